"""Writing open folders: whole or absent, and read back as they were."""

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flag3d_ray.data.readers import open_format
from flag3d_ray.data.readers.open_format_tables import OpenCard, Row
from flag3d_ray.data.readers.open_format_template import write_template
from flag3d_ray.data.readers.open_format_write import OpenSequence, write_open
from flag3d_ray.errors import DataError
from flag3d_ray.files import DiskFull

CARD = OpenCard(
    name="mine",
    description="noise",
    limits="tests only",
    licence="none",
    layout="ntu25",
    unit="mm",
    up="z",
    handedness="left",
    fps=29.97,
)


def sequence(name: str, persons: int = 1, reps: int = 2, **row) -> OpenSequence:
    rng = np.random.default_rng(len(name))
    return OpenSequence(
        row=Row(sample_id=name, action_id="A001", action="Wave, then bow", subject="P01", **row),
        joints_MTVC=rng.normal(0, 1000, (persons, 20, 25, 3)).astype(np.float32),
        reps_R2=np.array([[5 * n, 5 * n + 5] for n in range(reps)], int).reshape(reps, 2),
        keys_RS=np.arange(2 * reps, dtype=np.int8).reshape(reps, 2) % 2 if reps else None,
    )


def left(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix != ".lock"]


def test_what_is_written_is_read_back(tmp_path):
    first = sequence("näme 1", 2, take=3, view="front", scene="S1", avatar="robot", source="rendered", fps=60.0)
    second = sequence("x", reps=0, body_part="arm")
    splits = {"xsub": {"train": ["näme 1"], "test": ["x"]}, "other": {"test": ["x", "näme 1"]}}
    assert write_open(tmp_path / "open", iter([first, second]), CARD, splits) == 2
    items = open_format.find(tmp_path / "open")
    assert [item.row for item in items] == [first.row, second.row]
    assert items[0].card == CARD
    samples = [open_format.load(item) for item in items]
    for written, sample in zip((first, second), samples, strict=True):
        x, y, z = np.moveaxis(written.joints_MTVC * 1e-3, -1, 0)
        np.testing.assert_allclose(sample.joints_MTVC, np.stack([x, z, y], axis=-1), atol=1e-6)
        np.testing.assert_array_equal(sample.reps_R2, written.reps_R2)
    np.testing.assert_array_equal(samples[0].keys_RS, first.keys_RS)
    assert samples[1].keys_RS is None
    assert [sample.fps for sample in samples] == [60.0, 29.97]


def test_sequences_are_written_one_by_one(tmp_path):
    def stream() -> Iterator[OpenSequence]:
        for number in range(4):
            written = list(tmp_path.glob(".open.*.part/joints/*.npz"))
            assert len(written) == number
            yield sequence(f"s{number}")

    assert write_open(tmp_path / "open", stream(), CARD, {}) == 4


def test_half_precision_is_kept(tmp_path):
    half = OpenSequence(row=sequence("a").row, joints_MTVC=sequence("a").joints_MTVC.astype(np.float16))
    write_open(tmp_path / "open", [half], CARD, {})
    with np.load(tmp_path / "open" / "joints" / "a.npz", allow_pickle=False) as archive:
        assert archive["joints"].dtype == np.float16


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        ([], "no sequences"),
        (["a", "b", "A"], "a second sequence has that name"),
        (["a", "../b"], "cannot be the name of a file"),
        (["a", ".hidden"], "cannot be the name of a file"),
        (["a", "con:x"], "cannot be the name of a file"),
        (["a", "tab\tname"], "cannot be the name of a file"),
        (["a", "\ud800"], "cannot be the name of a file"),
        (["a", "x" * 201], "cannot be the name of a file"),
        (["a", ""], "cannot be the name of a file"),
    ],
)
def test_names_that_are_no_file_names_or_occur_twice_leave_nothing_behind(tmp_path, names, rule):
    with pytest.raises(DataError, match=rule):
        write_open(tmp_path / "open", (sequence(name) for name in names), CARD, {})
    assert left(tmp_path) == []


def test_an_error_of_the_source_and_an_interruption_leave_nothing_behind(tmp_path):
    def broken(error: BaseException) -> Iterator[OpenSequence]:
        yield sequence("a")
        raise error

    for error in (DataError(where="x", rule="y", remedy="z"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            write_open(tmp_path / "open", broken(error), CARD, {})
        assert left(tmp_path) == []


def test_a_full_disk_is_named_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(DiskFull):
        write_open(tmp_path / "open", [sequence("a")], CARD, {})
    assert left(tmp_path) == []


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("nowhere")])
def test_a_folder_that_is_there_stays(tmp_path, make):
    make(tmp_path / "open")
    for write in (
        lambda: write_open(tmp_path / "open", [sequence("a")], CARD, {}),
        lambda: write_template(tmp_path / "open", "ntu25"),
    ):
        with pytest.raises(DataError, match="exists already"):
            write()


def test_a_card_with_gaps_can_be_written_and_says_what_is_missing(tmp_path):
    write_open(tmp_path / "open", [sequence("a", reps=0)], OpenCard(layout="ntu25"), {})
    with pytest.raises(DataError, match="name, description, limits, licence, unit, up, handedness"):
        open_format.find(tmp_path / "open")


def test_a_template_of_an_unknown_layout_names_those_that_exist(tmp_path):
    with pytest.raises(DataError, match=r"flag3d24.*ntu25"):
        write_template(tmp_path / "open", "kinect")
    assert left(tmp_path) == []


def test_the_readme_of_the_template_names_every_file_and_joint(tmp_path):
    write_template(tmp_path / "open", "coco17")
    readme = (tmp_path / "open" / "README.md").read_text()
    for path in (tmp_path / "open").iterdir():
        if path.is_file():
            assert path.name in readme or path.name == "README.md"
    assert "nose, left_eye, right_eye" in readme
    assert "flag3d data ingest open" in readme
