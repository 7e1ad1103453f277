"""`flag3d train` and `flag3d table` on a tiny dataset that stands in for the demo's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray.commands.tables import default_dataset
from flag3d_ray.home import Home

Flag3d = Callable[..., Any]
QUICK = ("--preset", "demo", "--executor", "local", "--no-track")


@pytest.fixture
def home(tmp_path: Path, write_tiny: Callable[[Path], None]) -> Home:
    """A home whose `synthetic-demo` is the tiny dataset."""
    home = Home(tmp_path / "home")
    write_tiny(home.dataset("synthetic-demo"))
    return home


def test_a_trained_method_prints_its_metrics_and_is_cached_after_that(flag3d: Flag3d, home: Home) -> None:
    first = flag3d("train", "fourier", *QUICK, "--home", home.root)
    assert first.code == 0
    (folder,) = home.store
    for name, value in folder.metrics().items():
        assert f"{name:18} {value:.4f}" in first.out
    written = folder.metrics_path.stat().st_mtime_ns
    second = flag3d("train", "fourier", *QUICK, "--home", home.root)
    assert second.out.splitlines()[-len(folder.metrics()) :] == first.out.splitlines()[-len(folder.metrics()) :]
    assert folder.metrics_path.stat().st_mtime_ns == written


def test_a_method_that_does_not_exist_is_answered_with_those_that_do(flag3d: Flag3d, home: Home) -> None:
    said = flag3d("train", "guess", *QUICK, "--home", home.root)
    assert said.code == 2
    assert "hl_rac_multiplication" in said.err
    assert not home.store.root.exists()


def test_a_table_is_shown_without_running_anything(flag3d: Flag3d, home: Home) -> None:
    said = flag3d("table", 3, "--preset", "demo", "--no-run", "--seeds", 0, "--home", home.root)
    assert said.code == 0
    assert "HL-RAC" in said.out
    assert "synthetic" in said.out
    assert not home.store.root.exists()


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("table", 5), "choose one of 3, 4, 6"),
        (("table", 3, "--preset", "huge"), "choose one of demo, tiny, paper"),
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


def test_the_preset_chooses_the_size_of_the_data() -> None:
    assert default_dataset("demo") == "synthetic-demo"
    assert {default_dataset(preset) for preset in ("tiny", "paper")} == {"synthetic"}


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


def test_table_2_without_datasets_says_how_to_get_one(flag3d, tmp_path):
    said = flag3d("table", 2, "--home", tmp_path)
    assert said.code == 2
    assert "flag3d data make synthetic" in said.err
