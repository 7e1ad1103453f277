"""`flag3d data check`: on a dataset and on a copy; its forms, its exit codes, and the list that it writes."""

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flag3d_ray.data.exclusions import read_exclusions
from flag3d_ray.data.ingest import write_dataset
from flag3d_ray.data.manifest import file_sha256
from flag3d_ray.data.readers.open_format_template import write_template
from flag3d_ray.data.splits import Split, write_split
from flag3d_ray.data.synthetic.generate import CARD, Synthetic, synthetic_sample
from flag3d_ray.home import Home

Flag3d = Callable[..., Any]
SPEC = Synthetic(takes_per_action=2)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with `mine`: four synthetic activities by two people each, and a split of them."""
    home = Home(tmp_path / "home")
    split = Split(name="mine", by="action_id", rule="", seed=0, train=("A001", "A002"), valid=("A003",), test=("A004",))

    def make(rows):
        return (synthetic_sample(SPEC, row) for row in rows)

    write_dataset(home.dataset("mine"), make, 8, card=CARD, finish=lambda hidden: write_split(hidden, split))
    return home


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """An open folder with one sequence that stands on two sides of its split, and a pickle."""
    folder = tmp_path / "my copy"
    write_template(folder, "flag3d24")
    with np.load(folder / "joints" / "P02-A002.npz") as archive:
        np.savez(folder / "joints" / "P01-A002.npz", joints=archive["joints"])
    (folder / "joints" / "old.pkl").write_bytes(b"\x80\x05.")
    return folder


def test_a_dataset_without_findings_is_described_and_ends_with_0(flag3d: Flag3d, home: Home) -> None:
    said = flag3d("data", "check", "mine", "--home", home.root)
    assert said.code == 0
    first, last = said.out.splitlines()
    assert first.startswith("mine: 8 sequences, ")
    assert " in 1 shard, digest " in first
    assert last == "no finding"


def test_errors_are_listed_with_file_rule_and_remedy_and_end_with_2(flag3d: Flag3d, copy: Path) -> None:
    said = flag3d("data", "check", copy, "--reader", "open")
    assert said.code == 2
    words = " ".join(said.out.split())
    assert f"{copy}: 6 sequences, 18 repetitions, 360 frames read" in said.out
    for word in (
        "joints/P01-A002.npz",
        "a leak in split by_person",
        "joints/old.pkl",
        "this is a pickle",
    ):
        assert word in words
    assert said.out.splitlines()[-1].startswith("2 errors, ")
    assert said.err == ""


def test_warnings_alone_end_with_0(flag3d: Flag3d, tmp_path: Path) -> None:
    write_template(tmp_path / "open", "flag3d24")
    path = tmp_path / "open" / "joints" / "P01-A002.npz"
    with np.load(path) as archive:
        np.savez(path, joints=archive["joints"] * 1000)
    said = flag3d("data", "check", tmp_path / "open", "--reader", "open")
    assert said.code == 0
    assert "warning" in said.out
    assert "error" not in said.out


def test_csv_and_json_are_all_that_is_printed(flag3d: Flag3d, copy: Path) -> None:
    words = ("data", "check", copy, "--reader", "open")
    rows = list(csv.DictReader(io.StringIO(flag3d(*words, "--format", "csv").out)))
    told = flag3d(*words, "--format", "json")
    assert json.loads(told.out) == rows
    assert told.code == 2
    assert {row["file"] for row in rows if row["severity"] == "error"} == {"joints/P01-A002.npz", "joints/old.pkl"}


def test_a_severity_hides_what_is_less_severe_and_changes_no_exit_code(flag3d: Flag3d, copy: Path) -> None:
    words = ("data", "check", copy, "--reader", "open", "--format", "csv", "--severity")
    everything, errors = flag3d(*words, "note"), flag3d(*words, "error")
    assert {row["severity"] for row in csv.DictReader(io.StringIO(errors.out))} == {"error"}
    assert len(everything.out) > len(errors.out)
    assert everything.code == errors.code == 2


def test_the_sequences_with_errors_are_written_as_an_exclusion_list(flag3d: Flag3d, copy: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    said = flag3d("data", "check", copy, "--reader", "open", "--write-exclusions", path)
    assert said.code == 2
    ((name, reason),) = read_exclusions(path).rows
    assert (name, "a leak in split by_person" in reason) == ("P01-A002", True)
    assert f"written: {path}, sequences: 1" in said.err
    assert "errors about no readable sequence, which --exclude cannot mend: 1" in said.err


def test_a_run_refuses_broken_rows_and_goes_on_without_those_that_the_check_lists(
    flag3d: Flag3d, tmp_path: Path, write_tiny: Callable[[Path], None]
) -> None:
    home, path = Home(tmp_path / "home"), tmp_path / "broken rows.csv"
    write_tiny(home.dataset("synthetic-demo"))
    _break_rows(home.dataset("synthetic-demo") / "shard-00001.parquet")
    train = ("train", "fourier", "--preset", "demo", "--executor", "local", "--no-track", "--home", home.root)
    refused = flag3d(*train)
    assert refused.code == 2
    assert "row 2 (A005-S01)" in refused.err
    said = flag3d("data", "check", "synthetic-demo", "--write-exclusions", path, "--home", home.root)
    assert said.code == 2
    assert read_exclusions(path).sample_ids == ("A005-S01", "A006-S01")
    assert flag3d(*train, "--exclude", path).code == 0
    (table,) = (pq.read_table(folder.predictions) for folder in home.store if folder.status == "finished")
    assert set(table["sample_id"].to_pylist()) == {"A005-S02", "A006-S02"}
    shown = flag3d("table", 3, "--preset", "demo", "--no-run", "--exclude", path, "--home", home.root)
    assert "Excluded: 2 sequences" in " ".join(shown.out.split())


def _break_rows(shard: Path) -> None:
    """A label past the end in row 2, and NaN in row 4; the manifest agrees with the shard."""
    table = pq.read_table(shard)
    columns = {name: table[name].to_pylist() for name in ("reps", "joints")}
    columns["reps"][2][-1] = 9999
    columns["joints"][4] = b"\x00\x00\xc0\x7f" + columns["joints"][4][4:]
    for name, values in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))
    pq.write_table(table, shard, compression="none", use_dictionary=False)
    path = shard.parent / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"][1] |= {"bytes": shard.stat().st_size, "sha256": file_sha256(shard)}
    path.write_text(json.dumps(manifest))


def test_a_list_that_is_there_is_not_overwritten(flag3d: Flag3d, home: Home, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("mine")
    said = flag3d("data", "check", "mine", "--write-exclusions", tmp_path / "list.csv", "--home", home.root)
    assert said.code == 2
    assert "exists already" in said.err
    assert (tmp_path / "list.csv").read_text() == "mine"


def test_without_errors_no_list_is_written(flag3d: Flag3d, home: Home, tmp_path: Path) -> None:
    said = flag3d("data", "check", "mine", "--write-exclusions", tmp_path / "list.csv", "--home", home.root)
    assert said.code == 0
    assert "no list was written" in said.err
    assert not (tmp_path / "list.csv").exists()


def test_a_damaged_dataset_whose_manifest_is_torn_is_reported(flag3d: Flag3d, home: Home) -> None:
    (home.dataset("mine") / "manifest.json").write_text("{")
    said = flag3d("data", "check", "mine", "--home", home.root)
    assert said.code == 2
    assert "not valid JSON" in " ".join(said.out.split())
    assert "0 sequences" in said.out


def test_a_manifest_of_ten_gigabytes_is_not_read_for_the_heading_either(flag3d: Flag3d, home: Home) -> None:
    os.truncate(home.dataset("mine") / "manifest.json", 10 << 30)  # sparse: takes no space
    said = flag3d("data", "check", "mine", "--home", home.root)
    assert said.code == 2
    assert "it is not read" in " ".join(said.out.split())
    assert "0 sequences" in said.out


@pytest.mark.parametrize(
    ("content", "rule"), [("", "not valid JSON"), ('{"format": "x"}', '"format" is not'), (None, "no such")]
)
@pytest.mark.parametrize("reader", ["open", "repcount_a"])
def test_a_card_that_cannot_be_read_is_a_finding_in_every_form_beside_what_nobody_should_open(
    flag3d: Flag3d, copy: Path, reader: str, content: str | None, rule: str
) -> None:
    (copy / "dataset.json").unlink()
    if content is not None:
        (copy / "dataset.json").write_text(content)
    said = flag3d("data", "check", copy, "--reader", reader, "--format", "json")
    assert said.code == 2
    found = {one["file"]: one for one in json.loads(said.out)}
    assert rule in found["dataset.json"]["rule"]
    assert found["dataset.json"]["remedy"].endswith("no recording could be looked at")
    assert "this is a pickle" in found["joints/old.pkl"]["rule"]
    assert said.err == ""


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("mine", "--format", "xml"), "use table, csv, json"),
        (("mine", "--severity", "fatal"), "use error, warning, note"),
        (("mine", "--reader", "kinect"), "choose one of flag3d, ui_prmd"),
        (("yours",), "flag3d data ingest yours"),
        (("nowhere", "--reader", "open"), "name the folder that holds your copy"),
        (("nowhere", "--reader", "ui_prmd"), "name the folder that holds your copy"),
    ],
    ids=str,
)
def test_a_wrong_word_is_answered_with_the_right_ones(
    flag3d: Flag3d, home: Home, words: tuple[str, ...], remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home.local)
    said = flag3d("data", "check", *words, "--home", home.root)
    assert said.code == 2
    assert remedy in said.err
    assert said.out == ""
