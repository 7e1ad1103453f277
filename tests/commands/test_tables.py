"""`flag3d table` on a tiny dataset that stands in for the demo's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from flag3d_ray.data.splits import split_all_test, split_by_person, write_split
from flag3d_ray.declarations import default_dataset
from flag3d_ray.home import Home
from flag3d_ray.metrics import counting_metrics

Flag3d = Callable[..., Any]
QUICK = ("--preset", "demo", "--executor", "local", "--no-track")


def test_a_table_is_shown_without_running_anything(flag3d: Flag3d, home: Home) -> None:
    said = flag3d("table", 3, "--preset", "demo", "--no-run", "--seeds", 0, "--home", home.root)
    assert said.code == 0
    assert "HL-RAC" in said.out
    assert "synthetic" in said.out
    assert not home.store.root.exists()


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("table", 9), "choose one of 2, 3, 4, 5, 6, 7, ablations, transfer, variation"),
        (("table", "transfers"), "choose one of 2, 3, 4, 5, 6, 7, ablations, transfer, variation"),
        (("table", 7, "--dataset", "synthetic"), "leave it out, or use another table"),
        (("table", "variation", "--dataset", "synthetic"), "leave it out, or use table transfer"),
        (("table", 3, "--dataset", "ui_prmd", "--executor", "local"), "flag3d data ingest ui_prmd PATH-TO-YOUR-COPY"),
        (("table", 3, "--preset", "huge"), "choose one of demo, tiny, counter, paper"),
        (("table", 3, "--seeds", "x"), "write 0-2 or 0,3,7"),
        (("table", 3, "--executor", "slurm"), "use ray or local"),
        (("sweep", "nothing"), "choose one of hlrac"),
        (("train", "hl_rac_addition", "--caption-level", 4), "'--caption-level'"),
        (("train", "hl_rac_addition", "--text-encoder", "elmo"), "choose one of: bert, clip, minilm, lexical"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_wrong_word_is_answered_with_the_right_ones(
    flag3d: Flag3d, tmp_path: Path, words: tuple[object, ...], remedy: str
) -> None:
    said = flag3d(*words, "--home", tmp_path / "home")
    assert said.code == 2
    assert remedy in said.err
    assert not (tmp_path / "home").exists()


def test_a_table_with_failed_cells_ends_with_1(flag3d: Flag3d, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from flag3d_ray.commands.launch import Launch
    from flag3d_ray.progress import Cell

    def ensure(launch: Launch, runs: Any, title: str, group: str) -> list[Cell]:
        return [Cell(run, home.store.folder("x"), "failed", detail="too hot") for run in runs]

    monkeypatch.setattr(Launch, "ensure", ensure)
    assert flag3d("table", 3, *QUICK, "--seeds", 0, "--home", home.root).code == 1


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("5", "by body part"),
        ("transfer", "Real motion and transfer"),
        ("ablations", "Ablations of HL-RAC"),
        ("variation", "Variation of random motions"),
    ],
)
def test_a_table_is_shown_under_its_number_or_name(flag3d: Flag3d, home: Home, name: str, title: str) -> None:
    said = flag3d("table", name, "--preset", "demo", "--no-run", "--seeds", 0, "--home", home.root)
    assert said.code == 0
    assert f"Table {name}: " in said.out
    assert title in said.out
    assert len(list(home.tables.iterdir())) == 4


@pytest.mark.parametrize(("verb", "untrained"), [(("table",), set()), (("plan", "table"), {"2"})])
def test_the_help_of_table_lists_what_exists(flag3d: Flag3d, verb: tuple[str, ...], untrained: set[str]) -> None:
    from flag3d_ray.tables import declared_tables

    words = set(flag3d(*verb, "--help").out.replace(",", " ").replace(".", " ").replace(";", " ").split())
    assert declared_tables().keys() - untrained <= words


def test_table_7_without_repcount_a_shows_the_printed_rows_and_says_how_to_get_it(flag3d: Flag3d, home: Home) -> None:
    said = flag3d("table", 7, *QUICK, "--seeds", 0, "--home", home.root)
    assert said.code == 0
    assert "flag3d data ingest repcount_a PATH-TO-YOUR-COPY" in " ".join(said.out.split())
    assert "reads videos, printed only: TransRAC, EasyShots, IVAC" in " ".join(said.out.split())
    assert "0.4518" in said.out
    assert not home.store.root.exists()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The runs that a command wants, of which none is made."""
    from flag3d_ray.commands.launch import Launch

    wanted: list[Any] = []

    def ensure(launch: Launch, runs: Any, title: str, group: str) -> list[Any]:
        wanted.extend(runs)
        return []

    monkeypatch.setattr(Launch, "ensure", ensure)
    return wanted


def test_table_7_runs_its_rows_where_repcount_a_is_here(
    flag3d: Flag3d, home: Home, write_tiny: Callable[[Path], None], asked: list[Any]
) -> None:
    folder = home.dataset("repcount_a")
    write_tiny(folder)
    (folder / "splits" / "by_action.json").unlink()
    write_split(folder, replace(split_all_test([f"A{action:03d}" for action in range(1, 7)]), name="released"))
    assert flag3d("table", 7, *QUICK, "--seeds", 0, "--home", home.root).code == 0
    assert {run.data.dataset for run in asked} == {"repcount_a"}
    assert {run.method.name for run in asked} >= {"random", "knn", "transrac", "hl_rac"}


def test_the_transfer_table_asks_for_the_rows_whose_data_are_here(
    flag3d: Flag3d, home: Home, write_tiny: Callable[[Path], None], asked: list[Any]
) -> None:
    folder = home.dataset("ui_prmd")
    write_tiny(folder)
    write_split(folder, split_by_person(["S01", "S02", "S03"], test=("S02",), valid=("S03",)))
    (folder / "splits" / "by_action.json").unlink()
    said = flag3d("table", "transfer", *QUICK, "--seeds", 0, "--home", home.root)
    assert said.code == 0
    assert {(run.data.dataset, run.data.split) for run in asked} == {("ui_prmd", "by_person")}
    assert {run.is_transfer for run in asked} == {True, False}
    text = " ".join(said.out.split())
    assert "no split 'by_action'; there are: by_person" in text
    assert "flag3d data ingest cmu_exercise PATH-TO-YOUR-COPY" in text


@pytest.mark.parametrize("name", ["transfer", "variation"])
def test_no_synthetic_data_are_made_for_real_data_that_are_not_here(
    flag3d: Flag3d, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[Any], name: str
) -> None:
    monkeypatch.setattr("flag3d_ray.commands.launch.make_dataset", lambda name, *_: pytest.fail(f"{name} was made"))
    said = flag3d("table", name, *QUICK, "--seeds", 0, "--home", tmp_path / "home")
    assert said.code == 0
    assert asked == []
    assert "flag3d data ingest ui_prmd PATH-TO-YOUR-COPY" in " ".join(said.out.split())


def test_the_preset_chooses_the_size_of_the_data() -> None:
    assert default_dataset("demo") == "synthetic-demo"
    assert {default_dataset(preset) for preset in ("tiny", "paper")} == {"synthetic"}
    assert default_dataset("counter") == "synthetic-mixed"


def test_table_2_describes_the_datasets_at_hand_beside_the_printed_ones(flag3d, tmp_path, tiny_home):
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    (home / "data" / "tiny").symlink_to(tiny_home.dataset("tiny"))
    said = flag3d("table", 2, "--home", home)
    assert said.code == 0
    starts = [line.split()[:3] for line in said.out.splitlines()]
    assert ["RepCountA", "paper", "30.67"] in starts
    assert ["tiny", "12"] in [start[:2] for start in starts]
    assert (home / "tables" / "table02_tiny.png").exists()
    assert len((home / "tables" / "table02.csv").read_text().splitlines()) == 6


def test_table_2_shows_the_other_datasets_where_some_are_damaged_and_names_these(flag3d, tmp_path, write_tiny):
    home = Home(tmp_path / "home")
    for name in ("broken", "tiny", "torn"):
        write_tiny(home.dataset(name))
    (home.dataset("broken") / "shard-00000.parquet").write_bytes(b"no shard")
    (home.dataset("torn") / "manifest.json").write_text("{")
    said = flag3d("table", 2, "--home", home.root)
    assert said.code == 2
    assert ["tiny", "12"] in [line.split()[:2] for line in said.out.splitlines()]
    assert (home.tables / "table02_tiny.png").exists()
    assert "table 2 is without broken, torn" in said.err
    assert "flag3d data make broken --force" in said.err
    assert "flag3d data make torn --force" in said.err


def test_table_2_without_datasets_says_how_to_get_one(flag3d, tmp_path):
    said = flag3d("table", 2, "--home", tmp_path)
    assert said.code == 2
    assert "flag3d data make synthetic" in said.err


@pytest.fixture
def exclude(tmp_path: Path) -> Path:
    """A list of one training and one test sequence, as a spreadsheet on Windows saves it."""
    path = tmp_path / "wrong labels.csv"
    path.write_bytes("\ufeffsample_id,reason\r\nA005-S02,51 repetitions\r\nA001-S01,\r\n".encode())
    return path


def test_the_metrics_of_a_run_with_an_exclusion_list_are_those_of_the_remaining_clips(
    flag3d: Flag3d, home: Home, exclude: Path
) -> None:
    words = ("train", "fourier", *QUICK, "--home", home.root)
    assert flag3d(*words).code == 0
    (whole,) = home.store
    said = flag3d(*words, "--exclude", exclude)
    assert said.code == 0
    (fewer,) = (folder for folder in home.store if folder.key != whole.key)
    clips = pq.read_table(whole.predictions).to_pydict()
    kept_N = np.array([name != "A005-S02" for name in clips["sample_id"]])
    assert 0 < kept_N.sum() < len(kept_N)
    count_N, truth_N = np.array(clips["count"])[kept_N], np.array(clips["truth"])[kept_N]
    assert fewer.metrics() == pytest.approx(counting_metrics(count_N, truth_N))
    assert fewer.metrics() != whole.metrics()
    (stored,) = (home.dataset("synthetic-demo") / "exclusions").iterdir()
    assert f"without the sequences of list {stored.stem}" in said.out


def test_a_list_with_its_rows_in_another_order_is_answered_from_the_store(
    flag3d: Flag3d, home: Home, exclude: Path, tmp_path: Path
) -> None:
    words = ("train", "fourier", *QUICK, "--home", home.root, "--exclude")
    assert flag3d(*words, exclude).code == 0
    other = tmp_path / "again.csv"
    other.write_text("sample_id\nA001-S01\nA005-S02\n")
    assert flag3d(*words, other).code == 0
    assert len(list(home.store)) == 1


def test_a_table_says_in_each_file_how_many_sequences_were_excluded(flag3d: Flag3d, home: Home, exclude: Path) -> None:
    said = flag3d("table", 3, "--preset", "demo", "--no-run", "--exclude", exclude, "--home", home.root)
    assert said.code == 0
    assert "Excluded: 2 sequences" in said.out
    (stored,) = (home.dataset("synthetic-demo") / "exclusions").iterdir()
    files = list(home.tables.iterdir())
    assert len(files) == 4
    assert [path.name for path in files if stored.stem not in path.name] == []
    assert [path.name for path in files if stored.stem not in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("verb", [("table", 3, "--seeds", 0, "--no-run"), ("train", "fourier")], ids=["table", "train"])
def test_a_list_of_unknown_sequences_is_refused_before_anything_is_written(
    flag3d: Flag3d, home: Home, tmp_path: Path, verb: tuple[object, ...]
) -> None:
    path = tmp_path / "list.csv"
    path.write_text("sample_id\nA001-S01\nA099-S01\n")
    said = flag3d(*verb, "--preset", "demo", "--exclude", path, "--home", home.root)
    assert said.code == 2
    assert "1 of its names are not in the dataset: A099-S01" in said.err
    assert not home.store.root.exists()
    assert not (home.dataset("synthetic-demo") / "exclusions").exists()


def test_table_2_takes_no_exclusion_list(flag3d: Flag3d, tmp_path: Path, exclude: Path) -> None:
    said = flag3d("table", 2, "--exclude", exclude, "--home", tmp_path / "home")
    assert said.code == 2
    assert "leave it out" in said.err
