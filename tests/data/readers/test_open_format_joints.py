"""Joints of the open folder: damaged, dangerous and odd files are refused before they are read."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from flag3d_ray.data.readers.open_format_joints import MOST_BYTES, column_names, read_joints
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import layout

NTU = layout("ntu25")


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def saved(folder: Path, array: np.ndarray) -> Path:
    np.savez(folder / "x.npz", joints=array)
    return folder / "x.npz"


def table(folder: Path, header: tuple[str, ...] | list[str], *rows: list[str]) -> Path:
    path = folder / "x.csv"
    path.write_text("\n".join(",".join(row) for row in (header, *rows)) + "\n")
    return path


def npy_of(shape: tuple[int, ...], folder: Path) -> Path:
    """An archive whose header promises `shape` and that holds no bytes of it."""
    with (
        zipfile.ZipFile(folder / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("joints.npy", "w") as file,
    ):
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return folder / "x.npz"


@pytest.mark.parametrize(
    ("array", "rule"),
    [
        (np.zeros((4, 24, 3)), r"\[T, 25, 3\] or \[M, T, ...\] for ntu25, found float64 \[4, 24, 3\]"),
        (np.zeros((4, 25, 2)), r"found float64 \[4, 25, 2\]"),
        (np.zeros((25, 3)), r"found float64 \[25, 3\]"),
        (np.zeros((4, 25, 3), np.int32), r"floating-point numbers, found int32"),
        (np.zeros((4, 25, 3), np.complex64), r"floating-point numbers, found complex64"),
        (np.full((4, 25, 3), "x"), r"floating-point numbers, found <U1"),
        (np.zeros((0, 25, 3)), "no frames or no persons"),
        (np.zeros((0, 4, 25, 3)), "no frames or no persons"),
    ],
)
def test_another_type_or_shape_is_named(tmp_path, array, rule):
    with pytest.raises(DataError, match=rule) as caught:
        read_joints(saved(tmp_path, array), NTU)
    assert caught.value.where.endswith("x.npz")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_the_first_frame_and_joint_that_is_not_finite_is_named(tmp_path, value):
    joints = np.zeros((2, 6, 25, 3))
    joints[1, 3:5, 4, 1] = value
    with (
        pytest.raises(DataError, match=r"x\.npz, frame 3: NaN .* at joint left_shoulder \(2 of 6 frames hold any\)"),
        np.errstate(over="ignore"),
    ):
        read_joints(saved(tmp_path, joints), NTU)


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lambda data: data[: len(data) // 2], "not a readable .npz"),
        (lambda data: data[:-200] + bytes(100) + data[-100:], "not a readable .npz"),
        (lambda data: b"", "not a readable .npz"),
        (lambda data: data[:300] + b"\xff" * 50 + data[350:], "not a readable .npz"),
    ],
)
def test_a_damaged_archive_is_named(tmp_path, damage, rule):
    path = saved(tmp_path, np.random.default_rng(0).normal(size=(4, 25, 3)))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rule):
        read_joints(path, NTU)


def test_another_name_of_the_array_is_named(tmp_path):
    np.savez(tmp_path / "x.npz", keypoints=np.zeros((4, 25, 3)))
    with pytest.raises(DataError, match=r"no array joints, but keypoints\.npy"):
        read_joints(tmp_path / "x.npz", NTU)


def test_objects_and_pickles_under_another_name_never_run(tmp_path):
    marker = tmp_path / "marker"
    array = np.empty(1, dtype=object)
    array[0] = Payload(marker)
    with pytest.raises(DataError, match="found object"):
        read_joints(saved(tmp_path, array), NTU)
    path = tmp_path / "x.npz"
    path.write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(DataError, match="this is a pickle"):
        read_joints(path, NTU)
    assert not marker.exists()


def test_a_header_that_promises_gigabytes_is_refused_unread(tmp_path):
    with pytest.raises(DataError, match=f"more than {MOST_BYTES} bytes"):
        read_joints(npy_of((10**9, 25, 3), tmp_path), NTU)
    with pytest.raises(DataError, match="not a readable"):
        read_joints(npy_of((1000, 25, 3), tmp_path), NTU)


def test_a_file_of_ten_gigabytes_is_refused_unread(tmp_path):
    path = tmp_path / "x.npz"
    with path.open("wb") as file:
        file.truncate(10 << 30)  # sparse: takes no space
    with pytest.raises(DataError, match=f"10737418240 bytes, more than {MOST_BYTES}"):
        read_joints(path, NTU)


COCO = layout("coco17")
ROW = [str(number) for number in range(34)]


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda f: table(f, column_names(COCO)), "no frames"),
        (lambda f: table(f, column_names(COCO)[:-1], ROW[:-1]), "33 columns, coco17 has 34, no right_ankle_y"),
        (lambda f: table(f, [*column_names(COCO)[:-1], "nose_z"], ROW), "no right_ankle_y, unknown nose_z"),
        (lambda f: table(f, [*column_names(COCO), "nose_x"], [*ROW, "1"]), "one twice|not a readable table"),
        (lambda f: table(f, column_names(COCO), ROW, ROW[:-1]), "not a readable table"),
        (lambda f: table(f, column_names(COCO), ["x", *ROW[1:]]), "not a readable table"),
        (lambda f: table(f, column_names(COCO), ["0,5", *ROW[1:]]), "not a readable table"),
        (lambda f: table(f, column_names(COCO), ROW, ["", *ROW[1:]]), r"x\.csv, row 3: nose_x is empty"),
        (
            lambda f: table(f, column_names(COCO), ROW, ROW, ["nan", *ROW[1:]]),
            "row 4: nose_x is|frame 2: NaN or infinity at joint nose",
        ),
        (lambda f: table(f, column_names(COCO), ["inf", *ROW[1:]]), "frame 0: NaN or infinity at joint nose"),
        (lambda f: table(f, [""]), "not a readable table|columns"),
    ],
)
def test_a_table_that_is_wrong_is_named_with_its_row(tmp_path, make, rule):
    with pytest.raises(DataError, match=rule):
        read_joints(make(tmp_path), COCO)


def test_an_empty_table_is_named(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"")
    with pytest.raises(DataError, match="not a readable table"):
        read_joints(tmp_path / "x.csv", COCO)


def test_a_file_that_may_not_be_read_or_is_a_folder_is_named(tmp_path):
    (tmp_path / "x.npz").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_joints(tmp_path / "x.npz", NTU)
    with pytest.raises(DataError, match="cannot be read"):
        read_joints(tmp_path / "nothing.npz", NTU)
