"""Files of one recording of anybody's, as they are: numbers, names of joints, frame rate. What they mean comes later.

Other arrays of a .npz are not read, whatever they hold: labels cannot reach a count. Nothing is unpickled.
"""

import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Real

from flag3d_ray.data.manifest import refuse_pickle
from flag3d_ray.data.readers.bvh import read_bvh
from flag3d_ray.data.readers.files_in import load_npy, load_npz
from flag3d_ray.data.readers.open_format_joints import column_names, read_joints
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import LAYOUTS, Layout
from flag3d_ray.skeleton import layout as named_layout

ARRAYS = ("joints", "positions")
"""What the joints of a .npz may be called."""
_AXES = ("frames", "joints", "coordinates")
_SAVE = "save the file again with the joints of one person as numbers, [frames, joints, 3]"
_NAMED = 3
"""How many columns a message names of each kind."""


@dataclass(frozen=True, eq=False)
class Raw:
    """What a file says: numbers as they are, names of joints (empty: none), frames per second (None: unknown)."""

    joints_TVC: Real[np.ndarray, "T V C"]
    names: tuple[str, ...] = ()
    fps: float | None = None


def read_raw(path: Path, layout: str) -> Raw:
    """Read a .npz, .npy, .csv or .bvh file.

    Args:
        layout: name of the one whose columns a .csv must have; empty for any.

    Raises:
        DataError: no such file or another kind, damaged, a pickle, no joints in it, two persons, columns of no layout.
    """
    kinds: Mapping[str, Callable[[Path], Raw]] = {
        ".npz": _from_npz,
        ".npy": lambda path: Raw(_one_person(path, _either_rank(lambda shape: load_npy(path, shape, "fiu", _SAVE)))),
        ".csv": lambda path: _from_csv(path, layout),
        ".bvh": _from_bvh,
    }
    if path.is_dir():
        remedy = "name one file; folders are datasets: flag3d data readers"
        raise DataError(where=str(path), rule="a folder, where the file of one recording is expected", remedy=remedy)
    if not path.is_file():
        raise DataError(where=str(path), rule="no such file", remedy="name a .npz, .npy, .csv or .bvh file")
    try:
        refuse_pickle(path)
    except DataError as error:
        remedy = "save its joints as .npz, .npy or .csv where it came from"
        raise DataError(where=error.where, rule=error.rule, remedy=remedy) from None
    except OSError as error:
        rule = f"cannot be read ({error.strerror})"
        raise DataError(where=str(path), rule=rule, remedy="look who may read it") from None
    if path.suffix.lower() not in kinds:
        rule = f"{path.suffix or 'no suffix'}: not a kind of file that joints are read from"
        raise DataError(where=str(path), rule=rule, remedy=f"save them as {', '.join(kinds)}")
    return kinds[path.suffix.lower()](path)


def _from_npz(path: Path) -> Raw:
    there = _members(path)
    name = next((name for name in ARRAYS if name in there), "")
    if there and not name:
        rule = f"missing array {' or '.join(ARRAYS)}; there are: {', '.join(there[:8])}"
        remedy = "save the joints under one of these names; a dataset's file may need `flag3d data ingest` first"
        raise DataError(where=str(path), rule=rule, remedy=remedy)
    name = name or ARRAYS[0]  # `load_npz` says what is wrong with an archive that holds nothing
    joints = _either_rank(lambda shape: load_npz(path, {name: (shape, "fiu")}, _SAVE)[name])
    names, fps = (), None
    if "names" in there:
        remedy = "save one text per joint as names, or leave names out and say --layout"
        names = tuple(load_npz(path, {"names": (("joints",), "U")}, remedy)["names"].tolist())
    if "fps" in there:
        remedy = "save one number as fps, or leave fps out and say --fps"
        fps = float(load_npz(path, {"fps": ((), "fiu")}, remedy)["fps"])
    return Raw(_one_person(path, joints), names, fps)


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return []  # `load_npz` says what is wrong


def _either_rank(load: Callable[[Sequence[str]], np.ndarray]) -> np.ndarray:
    """Joints with or without an axis for persons; the error is that of one person's."""
    try:
        return load(_AXES)
    except DataError as error:
        try:
            return load(("persons", *_AXES))
        except DataError:
            raise error from None


def _one_person(path: Path, joints: np.ndarray) -> np.ndarray:
    """The only person that is there: datasets of two fill the place of an absent one with zeros or NaN."""
    if joints.ndim == 3:
        return joints
    there_M = (np.nan_to_num(joints.astype(np.float64)) != 0).any(axis=(1, 2, 3)) if joints.size else np.array([])
    if there_M.sum() != 1:
        rule = (
            f"{list(joints.shape)} is read as [persons, {', '.join(_AXES)}]: {there_M.sum()} persons of {len(joints)} "
            "are there, and repetitions of one are counted"
        )
        second = "joints[:, 0]" if joints.shape[1] == 1 else "joints[0], or joints[:, 0] if the second axis is persons"
        remedy = f"save the joints of one person, [frames, joints, 3], as {second}"
        raise DataError(where=str(path), rule=rule, remedy=remedy)
    return joints[int(there_M.argmax())]


def _from_csv(path: Path, layout: str) -> Raw:
    with path.open("rb") as file:
        header = file.readline(1 << 20).decode("utf-8-sig", errors="replace")
    columns = [name.strip().strip('"') for name in header.split(",")]
    fitting = [known for known in LAYOUTS if set(columns) == set(column_names(known))]
    asked = named_layout(layout) if layout else None
    known = asked or (fitting[0] if fitting else None)
    if known is None or known not in fitting:
        raise _other_columns(path, columns, asked)
    try:
        joints_TVC = read_joints(path, known)[0]
    except DataError as error:
        remedy = "write one row per frame and one column per coordinate, and fill gaps or cut their rows out"
        raise DataError(where=error.where, rule=error.rule, remedy=remedy) from None
    return Raw(joints_TVC, known.joints)


def _other_columns(path: Path, columns: Sequence[str], asked: Layout | None) -> DataError:
    """What is extra and what is missing, beside the layout asked for or else the one that is nearest."""
    where, there = f"{path}, row 1", set(columns)
    if len(columns) == 1 and any(separator in columns[0] for separator in ";\t"):
        rule = "its columns are separated by semicolons or tabs, not by commas"
        return DataError(where=where, rule=rule, remedy="save it as CSV separated by commas, with decimal points")
    nearest = asked or min(LAYOUTS, key=lambda known: len(there ^ set(column_names(known))))
    wanted = column_names(nearest)
    if not there & set(wanted):
        layouts = "no layout" if asked is None else f"another layout than {asked.name}, or of none"
        rule = f"its {len(there)} columns are those of {layouts}: {_some(sorted(there))}"
        remedy = (
            "name them pelvis_x, pelvis_y, pelvis_z, ... as docs/data.md says (the open folder); --layout says which"
        )
        return DataError(where=where, rule=rule, remedy=remedy)
    differ = {
        "extra": [name for name in columns if name not in wanted],
        "missing": [name for name in wanted if name not in there],
    }
    said = "; ".join(f"{word} {_some(names)}" for word, names in differ.items() if names)
    rule = f"its columns are those of no layout; nearest is {nearest.name}: {said}"
    if asked is not None:
        rule = f"its columns are not those of {asked.name}: {said}"
    remedy = "take out or rename what is extra and add what is missing (docs/data.md, the open folder)"
    return DataError(where=where, rule=rule, remedy=remedy)


def _some(names: Collection[str]) -> str:
    shown = [name[:40] or "one without a name" for name in names][:_NAMED]
    return ", ".join(shown) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _from_bvh(path: Path) -> Raw:
    found = read_bvh(path)
    return Raw(found.positions_TVC, found.joints, found.fps)
