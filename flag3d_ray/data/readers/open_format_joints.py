"""Joints of one sequence of an open folder: `joints/ID.npz` or `joints/ID.csv`, in the axes that its card declares."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Float32
from pyarrow import csv

from flag3d_ray.data.manifest import refuse_pickle
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import COCO17, COCO17_SCORED, Layout

MOST_BYTES = 1 << 30
"""Joints of one sequence: 34 hours of 24 joints at 30 frames per second. Beyond it a file is not read."""

UNITS: Mapping[str, float] = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "px": 1.0}
"""Unit of a card -> metres (pixels stay pixels)."""

TURNS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "y": ((0, 1), (1, 1), (2, 1)),
    "z": ((0, 1), (2, 1), (1, -1)),
    "x": ((1, -1), (0, 1), (2, 1)),
    "-y": ((0, 1), (1, -1), (2, -1)),
    "-z": ((0, 1), (2, -1), (1, 1)),
    "-x": ((1, 1), (0, -1), (2, 1)),
}
"""Axis that points up -> (axis taken, its sign) for x, y and z of y-up coordinates: quarter or half turns, no mirror."""

_COPY_AGAIN = "copy or write the file again, or take the recording out of sequences.csv"


def column_names(layout: Layout) -> tuple[str, ...]:
    """Header of a joints table: pelvis_x, pelvis_y, pelvis_z, ...; in image layouts nose_x, nose_y[, nose_score]."""
    axes = ("x", "y", "score" if is_image(layout) else "z")[: layout.channels]
    return tuple(f"{joint}_{axis}" for joint in layout.joints for axis in axes)


def is_image(layout: Layout) -> bool:
    """Whether coordinates are pixels (x right, y down), with or without a score beside them."""
    return layout in (COCO17, COCO17_SCORED)


def to_y_up(joints: Float[np.ndarray, "*T 3"], up: str, handedness: str) -> Float[np.ndarray, "*T 3"]:
    """Right-handed coordinates with y up: a turn that takes `up` to y, then for left-handed ones z becomes -z.

    Both are exact: axes change places and signs.
    """
    axes, signs = zip(*TURNS[up], strict=True)
    mirror = -1.0 if handedness == "left" else 1.0
    return joints[..., list(axes)] * np.array([signs[0], signs[1], signs[2] * mirror], joints.dtype)


def read_joints(path: Path, layout: Layout) -> Float32[np.ndarray, "M T V C"]:
    """Joints as the file has them, unit and axes unchanged.

    Raises:
        DataError: a pickle, no such array, another type or shape, damaged, larger than `MOST_BYTES`, NaN or infinite.
    """
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise _broken(path, f"{size} bytes, more than {MOST_BYTES}", "cut the recording into parts")
        refuse_pickle(path)
    except OSError as error:
        raise _broken(path, f"cannot be read ({error.strerror})", "check the file and who may read it") from None
    joints_MTVC = _from_csv(path, layout) if path.suffix == ".csv" else _from_npz(path, layout)
    bad_MT = ~np.isfinite(joints_MTVC).all(axis=(2, 3))
    if bad_MT.any():
        person, frame = np.argwhere(bad_MT)[0]
        joint = layout.joints[int(np.argwhere(~np.isfinite(joints_MTVC[person, frame]))[0, 0])]
        rule = (
            f"NaN or infinity at joint {joint} ({bad_MT.any(axis=0).sum()} of {joints_MTVC.shape[1]} frames hold any)"
        )
        raise _broken(f"{path}, frame {frame}", rule, "fill the gap, or take the recording out of sequences.csv")
    return joints_MTVC


def _from_npz(path: Path, layout: Layout) -> Float32[np.ndarray, "M T V C"]:
    try:
        with zipfile.ZipFile(path) as archive:
            if "joints.npy" not in archive.namelist():
                raise _broken(path, f"no array joints, but {', '.join(archive.namelist()[:5]) or 'nothing'}")
            shape, dtype = _header(archive)
            _check_shape(path, shape, dtype, layout)
            with archive.open("joints.npy") as file:
                joints = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, TypeError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise _broken(path, f"not a readable .npz file ({error})", _COPY_AGAIN) from None
    joints = joints.astype(np.float32, copy=False)
    return joints[None] if joints.ndim == 3 else joints


def _header(archive: zipfile.ZipFile) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the joints, before a byte of them is read."""
    with archive.open("joints.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    return shape, dtype


def _check_shape(path: Path, shape: tuple[int, ...], dtype: np.dtype, layout: Layout) -> None:
    axes = [len(layout), layout.channels]
    found = f"found {dtype} {list(shape)}"
    if dtype.kind != "f":
        raise _broken(path, f"joints must be floating-point numbers, {found}", "save joints.astype('float32')")
    if len(shape) not in (3, 4) or list(shape[-2:]) != axes:
        rule = f"joints must be [T, {axes[0]}, {axes[1]}] or [M, T, ...] for {layout.name}, {found}"
        raise _broken(
            path, rule, f"save the joints of {layout.name} in its order, or correct the layout in dataset.json"
        )
    if 0 in shape:
        raise _broken(path, f"no frames or no persons, {found}", "take the recording out of sequences.csv")
    if np.prod(shape, dtype=object) * dtype.itemsize > MOST_BYTES:
        raise _broken(path, f"more than {MOST_BYTES} bytes of joints, {found}", "cut the recording into parts")


def _from_csv(path: Path, layout: Layout) -> Float32[np.ndarray, "1 T V C"]:
    """One row per frame; columns in any order."""
    columns = column_names(layout)
    try:
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(use_threads=False),
            convert_options=csv.ConvertOptions(column_types={name: pa.float64() for name in columns}),
        )
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, f"not a readable table of numbers ({' '.join(str(error).split())})") from None
    absent, strange = [set(columns) - set(table.column_names), set(table.column_names) - set(columns)]
    if absent or strange or len(table.column_names) != len(columns):
        said = "".join(
            f", {word} {', '.join(sorted(names)[:3])}"
            for word, names in (("no", absent), ("unknown", strange))
            if names
        )
        raise _broken(
            path, f"{len(table.column_names)} columns, {layout.name} has {len(columns)}{said or ', one twice'}"
        )
    if not table.num_rows:
        raise _broken(path, "no frames", "take the recording out of sequences.csv")
    for name in columns:
        if table[name].null_count:
            row = table[name].is_null().to_pylist().index(True) + 2
            raise _broken(f"{path}, row {row}", f"{name} is empty or no number", "fill the gap")
    joints_TX = np.column_stack([table[name].to_numpy() for name in columns]).astype(np.float32)
    return joints_TX.reshape(1, table.num_rows, len(layout), layout.channels)


def _broken(
    path: Path | str, rule: str, remedy: str = "write the file as docs/data.md says (the open folder)"
) -> DataError:
    return DataError(where=str(path), rule=rule, remedy=remedy)
