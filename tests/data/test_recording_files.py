"""What is wrong with a file of one's own, and what to do about it, in words that fit a file of one's own."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flag3d_ray.data.readers.open_format_joints import column_names
from flag3d_ray.data.recording_files import read_raw
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import FLAG3D24

COLUMNS = list(column_names(FLAG3D24))
JOINTS = np.ones((9, 24, 3), np.float32)


def refusal(path: Path, layout: str = "") -> DataError:
    with pytest.raises(DataError) as refused:
        read_raw(path, layout)
    assert "out of the folder" not in refused.value.remedy, "the file is the user's own, and in no dataset's folder"
    return refused.value


def table(folder: Path, columns: Sequence[str], separator: str = ",") -> Path:
    rows = [separator.join(columns), *[separator.join(["0.5"] * len(columns))] * 3]
    (folder / "one.csv").write_text("\n".join(rows))
    return folder / "one.csv"


@pytest.mark.parametrize("joints", [JOINTS[0], JOINTS.astype("U4"), JOINTS[None, None]])
def test_joints_of_another_shape_or_type_are_told_what_is_expected(tmp_path: Path, joints: np.ndarray) -> None:
    np.savez(tmp_path / "one.npz", joints=joints)
    np.save(tmp_path / "one.npy", joints)
    for name in ("one.npz", "one.npy"):
        error = refusal(tmp_path / name)
        assert "must be an array of numbers [frames, joints, coordinates]" in error.rule
        assert "kind" not in error.rule
        assert "[frames, joints, 3]" in error.remedy


@pytest.mark.parametrize(
    ("beside", "rule", "remedy"),
    [
        ({"fps": [30]}, "must be one number, found int64 [1]", "--fps"),
        ({"fps": "30"}, "must be one number", "--fps"),
        ({"names": 3}, "must be an array of texts [joints]", "--layout"),
    ],
)
def test_what_lies_beside_the_joints_is_told_what_is_expected(
    tmp_path: Path, beside: dict[str, Any], rule: str, remedy: str
) -> None:
    np.savez(tmp_path / "one.npz", joints=JOINTS, **beside)
    error = refusal(tmp_path / "one.npz")
    assert rule in error.rule
    assert remedy in error.remedy


def test_a_dataset_s_own_file_is_sent_to_ingest(tmp_path: Path) -> None:
    np.savez(tmp_path / "m01.npz", markers_tenth_mm=np.ones((9, 39, 3), np.int16), start=[0])
    error = refusal(tmp_path / "m01.npz")
    assert error.rule == "missing array joints or positions; there are: markers_tenth_mm, start"
    assert "flag3d data ingest" in error.remedy


def test_an_archive_of_nothing_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz")
    assert "there are: none" in refusal(tmp_path / "one.npz").rule


def test_pickles_are_sent_to_formats_that_are_read_here(tmp_path: Path) -> None:
    (tmp_path / "one.pkl").write_bytes(pickle.dumps([1]))
    error = refusal(tmp_path / "one.pkl")
    assert "pickle" in error.rule
    assert "Parquet" not in error.remedy
    assert ".npz, .npy or .csv" in error.remedy


@pytest.mark.parametrize(
    ("shape", "said", "remedy"),
    [((9, 1, 24, 3), "9 persons of 9", "as joints[:, 0]"), ((2, 9, 24, 3), "2 persons of 2", "as joints[0], or")],
)
def test_several_persons_are_told_which_axis_is_theirs(
    tmp_path: Path, shape: tuple[int, ...], said: str, remedy: str
) -> None:
    np.save(tmp_path / "one.npy", np.ones(shape))
    error = refusal(tmp_path / "one.npy")
    assert f"{list(shape)} is read as [persons, frames, joints, coordinates]: {said} are there" in error.rule
    assert remedy in error.remedy


@pytest.mark.parametrize("layout", ["", "flag3d24"])
@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["time", *COLUMNS], ": extra time"),
        (["", *COLUMNS], ": extra one without a name"),
        (["pelvsi_x", *COLUMNS[1:]], ": extra pelvsi_x; missing pelvis_x"),
        (COLUMNS[5:], ": missing pelvis_x, pelvis_y, pelvis_z and 2 more"),
    ],
)
def test_columns_that_are_too_many_or_missing_are_named(
    tmp_path: Path, columns: Sequence[str], said: str, layout: str
) -> None:
    error = refusal(table(tmp_path, columns), layout)
    assert error.rule.endswith(said)
    assert "flag3d24" in error.rule


def test_columns_are_compared_with_the_layout_that_is_asked_for(tmp_path: Path) -> None:
    rule = refusal(table(tmp_path, COLUMNS), "smpl24").rule
    assert "not those of smpl24: extra head_front_x" in rule
    assert "missing left_foot_x" in rule
    assert "another layout than coco17, or of none" in refusal(table(tmp_path, ["a", "b"]), "coco17").rule


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_without_commas_is_named_as_such(tmp_path: Path, separator: str) -> None:
    error = refusal(table(tmp_path, COLUMNS, separator))
    assert "semicolons or tabs" in error.rule
    assert "commas" in error.remedy
