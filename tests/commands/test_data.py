"""`flag3d data`: make, ingest, check, gallery."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray.data import catalogue
from flag3d_ray.home import Home
from flag3d_ray.sample import Sample

Flag3d = Callable[..., Any]


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, tiny_sample: Callable[[int], Sample]) -> list[Sample]:
    """What the reader `ui_prmd` finds, whatever the folder: two sequences each of people S04 to S07."""
    samples = [replace(tiny_sample(index), subject=f"S{4 + index // 2:02d}") for index in range(8)]
    found = replace(catalogue.READERS["ui_prmd"], find=lambda root: samples, load=lambda sample: sample)
    monkeypatch.setitem(catalogue.READERS, "ui_prmd", found)
    return samples


def test_an_ingested_dataset_is_described_and_its_check_finds_no_error(
    flag3d: Flag3d, tmp_path: Path, reader: list[Sample]
) -> None:
    said = flag3d("data", "ingest", "ui_prmd", tmp_path, "--home", tmp_path / "home")
    assert said.code == 0
    assert f"ui_prmd: 8 sequences, {sum(sample.count for sample in reader)} repetitions" in said.out
    said = flag3d("data", "check", "ui_prmd", "--home", tmp_path / "home")
    assert said.code == 0
    assert "error" not in said.out.splitlines()[-1]


def test_a_dataset_is_replaced_only_when_asked(flag3d: Flag3d, tmp_path: Path, reader: list[Sample]) -> None:
    words = ("data", "ingest", "ui_prmd", tmp_path, "--home", tmp_path / "home")
    assert flag3d(*words).code == 0
    reader.append(replace(reader[0], sample_id="one more"))
    refused = flag3d(*words)
    assert refused.code == 2
    assert "add --force" in refused.err
    assert "9 sequences" in flag3d(*words, "--force").out


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("make", "real"), "make one of synthetic-demo, synthetic"),
        (("ingest", "kinect", "."), "choose one of flag3d, ui_prmd"),
        (("check", "synthetic"), "flag3d data make synthetic"),
        (("check", "mine"), "flag3d data ingest mine"),
        (("ingest", "ui_prmd", "nowhere"), "point at the folder"),
    ],
    ids=str,
)
def test_what_is_not_there_is_answered_with_a_command(
    flag3d: Flag3d, tmp_path: Path, words: tuple[str, ...], remedy: str
) -> None:
    said = flag3d("data", *words, "--home", tmp_path / "home")
    assert said.code == 2
    assert remedy in said.err
    assert not (tmp_path / "home").exists()


def test_make_generates_in_this_process_with_the_local_executor(
    flag3d: Flag3d, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_tiny: Callable[[Path], None]
) -> None:
    asked = []

    def make(name: str, folder: Path, *, executor: str, progress: Callable[[int, int], None], force: bool) -> None:
        asked.append((name, executor, force))
        write_tiny(folder)
        progress(12, 12)

    monkeypatch.setattr(catalogue, "make", make)
    words = ("data", "make", "synthetic-demo", "--executor", "local", "--home", tmp_path)
    said = flag3d(*words)
    assert said.code == 0
    assert "synthetic-demo: 12 sequences" in said.out
    assert asked == [("synthetic-demo", "local", False)]
    assert flag3d(*words).code == 2, "it exists now"
    assert Home(tmp_path).dataset("synthetic-demo").is_dir()


def test_gallery_writes_where_it_is_told(flag3d: Flag3d, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flag3d_ray.data.synthetic.gallery.gallery", lambda path: path)
    said = flag3d("data", "gallery", tmp_path / "a.png")
    assert said.out.strip() == f"written: {tmp_path / 'a.png'}"


def test_an_example_of_the_open_folder_is_written_and_ingested_under_a_name_of_ones_own(
    flag3d: Flag3d, tmp_path: Path
) -> None:
    assert flag3d("data", "template", tmp_path / "mine").code == 0
    said = flag3d("data", "ingest", "open", tmp_path / "mine", "--name", "my-people", "--home", tmp_path / "home")
    assert said.code == 0
    assert said.out.splitlines()[-1].startswith("my-people: ")
    assert (tmp_path / "home" / "data" / "my-people" / "manifest.json").exists()


@pytest.mark.parametrize("name", ["../up", "/abs", ".hidden", "-f", "a b", "é"])
def test_a_name_that_is_no_folder_name_everywhere_is_refused(flag3d: Flag3d, tmp_path: Path, name: str) -> None:
    flag3d("data", "template", tmp_path / "mine")
    said = flag3d("data", "ingest", "open", tmp_path / "mine", f"--name={name}", "--home", tmp_path / "home")
    assert said.code == 2
    assert "use letters, digits" in said.err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["flag3d", "synthetic", "repcount_a"])
def test_other_data_cannot_take_the_name_of_a_dataset_that_tables_know(
    flag3d: Flag3d, tmp_path: Path, name: str
) -> None:
    assert flag3d("data", "template", tmp_path / "mine").code == 0
    said = flag3d("data", "ingest", "open", tmp_path / "mine", "--name", name, "--home", tmp_path / "home")
    assert said.code == 2
    assert "a name of your own" in said.err
    assert not (tmp_path / "home" / "data" / name).exists()


def test_every_reader_is_listed(flag3d: Flag3d) -> None:
    said = flag3d("data", "readers")
    assert said.code == 0
    first = [line.split()[0] for line in said.out.splitlines() if line and not line.startswith(" ")]
    assert {*catalogue.READERS, *catalogue.OF_FOLDER} <= set(first)


def test_readers_are_not_cut_in_a_pipe(flag3d: Flag3d, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = flag3d("data", "readers").out.splitlines()
    assert len(lines) == 1 + len(catalogue.READERS) + len(catalogue.OF_FOLDER)
    for name, known in catalogue.READERS.items():
        (line,) = (line for line in lines if line.split()[0] == name)
        assert known.card.licence in line
        assert known.card.description in line
