"""The reader of FLAG3D++: on miniatures in the layout of the authors' loader, whole and damaged."""

import os
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from flag3d_ray.data import lexicon
from flag3d_ray.data.readers import files_in
from flag3d_ray.data.readers.flag3d import READER, find, load, splits
from flag3d_ray.data.splits import load_split
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import FLAG3D24

ROWS = "Sta,End\n2,9\n9,14\n16,20\n"
SCORED = "Sta,End,Key1,Key2,Key3\n2,9,1,1,0\n9,14,1,0,0\n16,20,1,1,1\n"


def motion(frames: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, 24, 3))


def save(root: Path, name: str = "A001P003R02", part: str = "train_rac", rows: str = ROWS, joints=None) -> Path:
    """One sequence in the released layout; its table."""
    for folder in ("train_rac", "test_rac", "skeleton"):
        (root / folder).mkdir(exist_ok=True)
    np.save(root / "skeleton" / f"{name}.npy", motion() if joints is None else joints)
    table = root / part / f"{name}.csv"
    table.write_text(rows, encoding="utf-8")
    return table


def copy_of(root: Path, actions: Sequence[int] = range(1, 61), people: Sequence[int] = range(1, 4)) -> None:
    """A copy in which every tenth activity is tested."""
    for action in actions:
        for person in people:
            part = "test_rac" if action % 10 == 0 else "train_rac"
            save(root, f"A{action:03d}P{person:03d}R01", part, joints=motion(seed=100 * action + person))


def test_a_sequence_is_read_with_its_names_texts_and_intervals(tmp_path):
    save(tmp_path)
    (sample,) = READER.read(tmp_path)
    assert (sample.sample_id, sample.action_id, sample.subject, sample.take) == ("A001P003R02", "A001", "P003", 2)
    assert (sample.action, sample.body_part) == (lexicon.captions("A001")[0], lexicon.body_part("A001"))
    assert sample.captions == lexicon.captions("A001")
    assert len(sample.standards) == 3
    assert sample.reps_R2.tolist() == [[2, 9], [9, 14], [16, 20]]
    assert sample.keys_RS is None
    assert (sample.layout, sample.unit, sample.fps) == ("flag3d24", "m", 30.0)


def test_the_third_coordinate_is_negated_once_and_nothing_else_is_changed(tmp_path):
    save(tmp_path, joints=motion().astype(np.float32))
    (sample,) = READER.read(tmp_path)
    np.testing.assert_array_equal(sample.joints_MTVC[0], motion().astype(np.float32) * [1, 1, -1])


def test_left_and_right_of_a_body_in_the_released_axes_stay_what_they_are(tmp_path):
    """In a left-handed engine with y up a body that faces +z has its right side at +x."""
    standing = np.zeros((20, 24, 3))
    standing[:, [FLAG3D24.index(name) for name in FLAG3D24.joints if name.startswith("right")], 0] = 0.2
    standing[:, FLAG3D24.index("head"), 1] = 0.6
    standing[:, FLAG3D24.index("head_front"), 2] = 0.1
    save(tmp_path, joints=standing)
    (sample,) = READER.read(tmp_path)
    at = {name: sample.joints_MTVC[0, 0, n] for n, name in enumerate(FLAG3D24.joints)}
    facing, up = at["head_front"] - at["pelvis"], at["head"] - at["pelvis"]
    assert (at["right_hip"] - at["left_hip"]) @ np.cross(facing, up) > 0


@pytest.mark.parametrize(
    ("name", "subject", "take"),
    [
        ("A001P003R02", "P003", 2),
        ("A001_P10_R001", "P010", 1),
        ("A001R002P007", "P007", 2),
        ("A001", "unknown", 1),
        ("A001 PLAY über R", "unknown", 1),
        ("A001-12345", "unknown", 1),
    ],
)
def test_performer_and_take_are_read_where_the_name_has_them(tmp_path, name, subject, take):
    save(tmp_path, name)
    (sample,) = READER.read(tmp_path)
    assert (sample.sample_id, sample.subject, sample.take) == (name, subject, take)


def test_key_scores_are_read_where_the_table_has_their_columns(tmp_path):
    save(tmp_path, "A001", rows=SCORED)
    save(tmp_path, "A002", rows="Sta,End,Key1,Key2,Key3\n2,9,,,\n")
    scored, unscored = READER.read(tmp_path)
    assert scored.keys_RS is not None
    assert scored.keys_RS.tolist() == [[1, 1, 0], [1, 0, 0], [1, 1, 1]]
    assert scored.score == pytest.approx(6 + 1 + 1 / 3 - 1 / 3)
    assert unscored.keys_RS is None


def test_a_table_with_a_byte_order_mark_and_windows_line_ends_reads_like_one_without(tmp_path):
    table = save(tmp_path)
    (plain,) = READER.read(tmp_path)
    table.write_bytes(("\ufeff" + ROWS.replace(",End", " , End ,").replace("\n", "\r\n") + "\r\n").encode())
    (other,) = READER.read(tmp_path)
    assert other.reps_R2.tolist() == plain.reps_R2.tolist()


def test_what_is_ingested_is_what_was_released(tmp_path, ingested):
    save(tmp_path, "A001P001R01", rows=SCORED)
    save(tmp_path, "A002 é", "test_rac", joints=motion(31, seed=1).astype(np.float32))
    dataset = ingested(READER, tmp_path)
    first, second = dataset
    np.testing.assert_allclose(first.joints_MTVC[0] * [1, 1, -1], motion(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(second.joints_MTVC[0] * [1, 1, -1], motion(31, seed=1), rtol=0, atol=1e-6)
    assert [sample.reps_R2.tolist() for sample in dataset] == [[[2, 9], [9, 14], [16, 20]]] * 2
    assert first.keys_RS is not None
    assert first.keys_RS.tolist() == [[1, 1, 0], [1, 0, 0], [1, 1, 1]]
    assert load_split(dataset.folder, "released").test == ("A002 é",)


def test_the_authors_folders_are_the_split_and_whole_activities_select(tmp_path, ingested):
    copy_of(tmp_path)
    dataset = ingested(READER, tmp_path)
    found = load_split(dataset.folder, "released")
    assert {name[:4] for name in found.test} == {f"A{action:03d}" for action in range(10, 61, 10)}
    held = {name[:4] for name in found.valid}
    assert len(held) == 5
    assert held.isdisjoint(name[:4] for name in found.train)
    assert len(found.train) + len(found.valid) + len(found.test) == 180
    assert len(load_split(dataset.folder, "by_action").test) == 10
    assert load_split(dataset.folder, "by_person").by == "subject"


def test_splits_that_a_copy_in_part_cannot_have_are_left_out(tmp_path, ingested, caplog):
    copy_of(tmp_path, actions=(1, 2, 10), people=(1,))
    dataset = ingested(READER, tmp_path)
    assert [split.name for split in splits(tmp_path, dataset.index)] == ["released"]
    assert "by_action" in caplog.text


def test_without_performers_there_is_no_split_by_person(tmp_path, ingested):
    for name in ("A001", "A002", "A003"):
        save(tmp_path, name)
    dataset = ingested(READER, tmp_path)
    assert [split.name for split in splits(tmp_path, dataset.index)] == ["released"]


def test_a_sequence_in_both_folders_is_a_leak_and_named(tmp_path):
    save(tmp_path, part="train_rac")
    table = save(tmp_path, part="test_rac")
    save(tmp_path, "A002")
    first, second, third = find(tmp_path)
    for item in (first, second):
        with pytest.raises(DataError, match=r"A001P003R02 has a table in .* too: a leak"):
            load(item)
    assert first.table == table
    assert load(third).sample_id == "A002"


@pytest.mark.parametrize(
    ("rows", "place", "rule"),
    [
        ("Sta,End\n2,9\n9,21\n", ", row 3", "[9, 21) leaves the sequence of 20 frames"),
        ("Sta,End\n9,2\n", ", row 2", "[9, 2) ends before it starts"),
        ("Sta,End\n2,9\n8,12\n", ", row 3", "[8, 12) starts before the one ahead of it ends, at 9"),
        ("Sta,End\n2,x\n", ", row 2", "End is 'x'"),
        ("Sta,End\n2\n", ", row 2", "1 cells, the header has 2"),
        ("Start,End\n2,9\n", ", row 1", "missing column Sta"),
        ("Sta,End\n", "", "no repetition"),
        ("Sta,End,Key1,Key2,Key3\n2,9,1,1,1\n9,14,1,,1\n", ", row 3", "key scores '1', '', '1'"),
        ("Sta,End,Key1,Key2,Key3\n2,9,1,2,1\n", ", row 2", "key scores '1', '2', '1'"),
        ("Sta,End,Key1\n2,9,1\n", ", row 2", "columns Key1 without the other key scores"),
    ],
)
def test_a_broken_annotation_is_named_with_its_row(tmp_path, rows, place, rule):
    table = save(tmp_path, rows=rows)
    with pytest.raises(DataError) as caught:
        list(READER.read(tmp_path))
    assert caught.value.where == f"{table}{place}"
    assert rule in caught.value.rule
    assert caught.value.remedy


def with_nan() -> np.ndarray:
    joints = motion()
    joints[7, 5, 1] = np.nan
    return joints


@pytest.mark.parametrize(
    ("joints", "rule"),
    [
        (motion()[:, :23], r"must be \[T, 24, 3\] of kind f, found float64 \[20, 23, 3\]"),
        (np.zeros((20, 24, 3), np.int32), r"found int32 \[20, 24, 3\]"),
        (with_nan(), "frame 7: NaN or infinity at joint head"),
        (motion(0), "no frames"),
    ],
)
def test_broken_joints_are_named(tmp_path, joints, rule):
    save(tmp_path, joints=joints)
    with pytest.raises(DataError, match=rule):
        list(READER.read(tmp_path))


class Payload:
    """Makes a folder where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("damage", ["absent", "cut off", "pickle", "too large"])
def test_a_damaged_file_of_joints_is_named_and_other_sequences_can_be_loaded(tmp_path, damage):
    save(tmp_path)
    save(tmp_path, "A002")
    path = tmp_path / "skeleton" / "A001P003R02.npy"
    if damage == "absent":
        path.unlink()
    elif damage == "cut off":
        path.write_bytes(path.read_bytes()[:2000])
    elif damage == "pickle":
        path.write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    else:
        header = {"descr": "<f4", "fortran_order": False, "shape": (files_in.MOST_BYTES, 24, 3)}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(10 << 30)
    first, second = find(tmp_path)
    with pytest.raises(DataError, match=r"A001P003R02\.npy"):
        load(first)
    assert load(second).sample_id == "A002"
    assert not (tmp_path / "ran").exists()


def test_a_link_out_of_the_folder_is_refused_with_its_target(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    save(root)
    elsewhere.mkdir()
    np.save(elsewhere / "secret.npy", motion())
    path = root / "skeleton" / "A001P003R02.npy"
    path.unlink()
    path.symlink_to(elsewhere / "secret.npy")
    with pytest.raises(DataError, match=r"a link to .*secret\.npy, outside the folder") as caught:
        list(READER.read(root))
    assert caught.value.where == str(path)


def test_an_unknown_activity_is_named(tmp_path):
    save(tmp_path, "B001P001")
    with pytest.raises(DataError, match="begins with 'B001', which is no activity"):
        list(READER.read(tmp_path))


def test_an_empty_folder_says_what_is_looked_for(tmp_path):
    with pytest.raises(DataError, match="neither train_rac nor test_rac"):
        READER.find(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        READER.find(tmp_path / "none")
