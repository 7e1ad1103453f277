"""NTU RGB+D 60 from raw text files: a miniature written here in the released layout, and every way to damage it."""

from pathlib import Path

import numpy as np
import pytest

from flag3d_ray.data import catalogue, schema
from flag3d_ray.data.dataset import open_dataset
from flag3d_ray.data.readers import ntu60
from flag3d_ray.data.readers.ntu60 import READER, XSUB_TRAIN, Name, missing_skeletons, parse_name
from flag3d_ray.data.splits import load_split, split_indices
from flag3d_ray.errors import DataError

Frames = list[dict[int, np.ndarray]]
"""Per frame: body id -> joints [25, 3]."""


def standing(at: float = 0.0) -> np.ndarray:
    """[25, 3]: some fixed figure, 3 m from the camera."""
    return np.random.default_rng(1).normal((at, 0, 3), 0.3, (25, 3))


def moving(frames: int, reach: float, at: float = 0.0) -> list[np.ndarray]:
    return [standing(at) + np.array([0, reach * np.sin(0.5 * t), 0]) for t in range(frames)]


def text_of(frames: Frames) -> str:
    """The released layout."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body, joints in bodies.items():
            lines += [f"{body} 0 1 1 1 1 0 0.02765605 -0.1 2", "25"]
            lines += [f"{x:.7f} {y:.7f} {z:.7f} 277.4 191.9 1036.5 519.9 -0.21 0.03 0.97 -0.02 2" for x, y, z in joints]
    return "\n".join(lines) + "\n"


def save(folder: Path, name: str, frames: Frames) -> Path:
    path = folder / f"{name}.skeleton"
    path.write_text(text_of(frames))
    return path


def alone(frames: int = 6) -> Frames:
    return [{72057594037931101: joints} for joints in moving(frames, 0.1)]


def test_one_body_becomes_a_sample_that_the_schema_accepts(tmp_path):
    sample = ntu60.load(save(tmp_path, "S003C002P007R002A024", alone()))
    schema.check_sample(sample, "miniature")
    assert (sample.action_id, sample.action, sample.subject, sample.take) == ("A024", "kicking something", "P007", 2)
    assert (sample.view, sample.scene, sample.fps, sample.layout) == ("C002", "S003", 30.0, "ntu25")
    assert sample.captions == ("kicking something",) * 3
    assert sample.joints_MTVC.shape == (1, 6, 25, 3)
    np.testing.assert_allclose(sample.joints_MTVC[0], moving(6, 0.1), atol=1e-6)


def test_of_three_bodies_the_two_with_more_energy_are_kept_the_livelier_first(tmp_path):
    still, lively, liveliest = 72057594037931101, 72057594037931102, 72057594037931103  # equal as floats
    frames = [
        {still: standing(-1), lively: b, liveliest: c}
        for b, c in zip(moving(6, 0.5, 0.5), moving(6, 2.0, 1), strict=True)
    ]
    joints_MTVC = ntu60.load(save(tmp_path, "S001C001P001R001A050", frames)).joints_MTVC
    assert len(joints_MTVC) == 2
    np.testing.assert_allclose(joints_MTVC[0], moving(6, 2.0, 1), atol=1e-6)
    np.testing.assert_allclose(joints_MTVC[1], moving(6, 0.5, 0.5), atol=1e-6)


def test_frames_without_a_body_are_zeros_and_keep_their_place(tmp_path):
    frames: Frames = [{}, {5: standing()}, {}, {5: standing(), 6: standing(1)}, {}]
    joints_MTVC = ntu60.load(save(tmp_path, "S001C001P001R001A050", frames)).joints_MTVC
    assert (joints_MTVC != 0).any(axis=(2, 3)).tolist() == [
        [False, True, False, True, False],
        [False, False, False, True, False],
    ]


def test_windows_line_ends_change_nothing(tmp_path):
    path = save(tmp_path, "S001C001P001R001A001", alone())
    before = ntu60.load(path).joints_MTVC
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    np.testing.assert_array_equal(ntu60.load(path).joints_MTVC, before)


def test_recordings_with_missing_skeletons_and_those_of_ntu_120_are_left_out(tmp_path, caplog):
    for name in ("S001C002P005R002A008", "S001C001P001R001A061", "S001C001P001R001A002", "notes"):
        save(tmp_path, name, alone(1))
    with caplog.at_level("INFO"):
        assert [path.stem for path in ntu60.find(tmp_path)] == ["S001C001P001R001A002"]
    assert "left out 1 with missing skeletons, 2 others" in caplog.text


def test_the_facts_of_the_release_are_complete():
    assert len(ntu60.actions()) == len(set(ntu60.actions())) == 60
    assert len(missing_skeletons()) == 302
    assert all(parse_name(name) for name in missing_skeletons())
    assert len(set(XSUB_TRAIN)) == 20
    assert parse_name("S017C003P040R002A060") == Name("S017", "C003", "P040", 2, "A060")
    assert parse_name("S017C003P040R002A061") is None
    assert parse_name("S17C3P40R2A6") is None


@pytest.fixture
def miniature(tmp_path: Path) -> Path:
    """Subjects 1, 2, 4 (training) and 3, 6 (test), three cameras, two actions."""
    folder = tmp_path / "nturgb+d_skeletons"
    folder.mkdir()
    for subject in (1, 2, 3, 4, 6):
        for camera in (1, 2, 3):
            for action in (1, 60):
                save(folder, f"S001C{camera:03d}P{subject:03d}R001A{action:03d}", alone(2 + subject))
    return folder


def test_the_miniature_comes_back_from_shards_with_the_same_joints_and_labels(miniature, tmp_path, monkeypatch):
    monkeypatch.setitem(catalogue.READERS, "ntu60", READER)
    catalogue.read_in("ntu60", miniature, tmp_path / "shards")
    dataset = open_dataset(tmp_path / "shards")
    assert len(dataset) == 30
    for sample, read in zip(dataset, READER.read(miniature), strict=True):
        assert (sample.sample_id, sample.action_id, sample.subject) == (read.sample_id, read.action_id, read.subject)
        np.testing.assert_allclose(sample.joints_MTVC[0], moving(2 + int(sample.subject[1:]), 0.1), atol=1e-6)


def test_the_official_splits_do_not_leak(miniature, tmp_path, monkeypatch):
    monkeypatch.setitem(catalogue.READERS, "ntu60", READER)
    catalogue.read_in("ntu60", miniature, tmp_path / "shards")
    dataset = open_dataset(tmp_path / "shards")
    xsub = load_split(tmp_path / "shards", "xsub")
    assert xsub.test == ("P003", "P006")
    assert set(xsub.train) | set(xsub.valid) == {"P001", "P002", "P004"}
    assert len(xsub.valid) == 1
    views, people = (np.array(dataset.index[column].to_pylist()) for column in ("view", "subject"))
    train, valid, test = (split_indices(dataset, "xview", part) for part in ("train", "valid", "test"))
    assert set(views[test]) == {"C001"}
    assert set(views[train]) == set(views[valid]) == {"C002", "C003"}
    assert set(people[train]).isdisjoint(people[valid])
    assert len(train) + len(valid) + len(test) == 30


def test_a_part_copy_has_the_splits_that_are_possible(miniature, caplog):
    table = schema.to_table(list(READER.read(miniature)))
    one_camera = table.filter(np.array([view == "C002" for view in table["view"].to_pylist()]))
    assert [split.name for split in ntu60.splits(miniature, one_camera)] == ["xsub"]
    assert "xview" in caplog.text
    assert [split.name for split in ntu60.splits(miniature, one_camera.slice(0, 1))] == ["all_test"]


GOOD = text_of(alone(2))
LINES = GOOD.splitlines()


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", r"line 1: number of frames: 0 values, 1 are expected"),
        (b"\x80\x04\x95", "not a text file"),
        (b"cos\nsystem\n(S'true'\ntR.", "line 1: number of frames is 'cos'"),
        (b"0\n", "no frames"),
        (b"9999999\n", "line 1: number of frames is '9999999'"),
        (GOOD[: len(GOOD) // 2].encode(), "the file may be cut off"),
        ("\n".join(LINES[:-1]).encode(), r"line 57: a joint: 0 values, 12 are expected"),
        (GOOD.replace("\n25\n", "\n20\n", 1).encode(), "line 4: 20 joints, 25 are expected"),
        (GOOD.replace(" 277.4", "", 1).encode(), "line 5: a joint: 11 values"),
        ("\n".join([*LINES[:4], "x " + LINES[4].partition(" ")[2], *LINES[5:]]).encode(), "line 5: a joint at x "),
        ("\n".join([*LINES[:4], "nan " + LINES[4].partition(" ")[2], *LINES[5:]]).encode(), "infinity in frame 0"),
        ("\n".join([*LINES[:4], "1e999 " + LINES[4].partition(" ")[2], *LINES[5:]]).encode(), "infinity in frame 0"),
        ((GOOD + "1\n").encode(), "1 lines follow after the last frame"),
        (b"2\n0\n0\n", "no body in any of its 2 frames"),
        (b"2\n-1\n", "line 2: number of bodies is '-1'"),
    ],
)
def test_a_damaged_file_is_named_with_the_line(tmp_path, content, rule):
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rule) as caught:
        ntu60.load(path)
    assert caught.value.where.startswith(str(path))
    assert caught.value.remedy


def test_a_huge_file_is_refused_unread(tmp_path):
    path = tmp_path / "S001C001P001R001A001.skeleton"
    with path.open("wb") as file:
        file.truncate(10 << 30)  # sparse: takes no space
    with pytest.raises(DataError, match="10737418240 bytes"):
        ntu60.load(path)


def test_a_link_out_of_the_folder_an_empty_folder_and_an_archive_are_refused(tmp_path):
    folder = tmp_path / "skeletons"
    folder.mkdir()
    with pytest.raises(DataError, match=r"0 files \*\.skeleton"):
        ntu60.find(folder)
    outside = save(tmp_path, "S001C001P001R001A001", alone())
    (folder / outside.name).symlink_to(outside)
    with pytest.raises(DataError, match="outside the folder") as caught:
        ntu60.find(folder)
    assert caught.value.where == str(folder / outside.name)
    (tmp_path / "nturgbd_skeletons_s001_to_s017.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="an archive, which is not unpacked here"):
        ntu60.find(tmp_path / "nturgbd_skeletons_s001_to_s017.zip")


def test_a_name_of_another_dataset_is_refused_at_loading(tmp_path):
    with pytest.raises(DataError, match="the name is not like"):
        ntu60.load(save(tmp_path, "S001C001P001R001A061", alone()))
