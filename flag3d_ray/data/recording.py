"""One recording of anybody's, to be counted: joints of one person from .npz, .npy, .csv or .bvh, and nothing else.

    .npz    array `joints` or `positions`, [T, V, C] or [M, T, V, C]; `fps` and `names` (of the joints) where they are there
    .npy    the array alone
    .csv    one row per frame, columns pelvis_x, pelvis_y, pelvis_z, ... (`open_format_joints`)
    .bvh    a hierarchy with its motion (`bvh`); its joints' names must be those of a layout

Other arrays of a .npz are not read, whatever they hold: labels cannot reach a count. Nothing is unpickled.
"""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Real

from flag3d_ray.data.manifest import refuse_pickle
from flag3d_ray.data.readers import cmu, cmu_actions
from flag3d_ray.data.readers.bvh import read_bvh
from flag3d_ray.data.readers.files_in import load_npy, load_npz
from flag3d_ray.data.readers.open_format_joints import TURNS, UNITS, column_names, is_image, read_joints, to_y_up
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import CMU31, COCO17, COCO17_SCORED, FLAG3D24, LAYOUTS, NTU25, Layout
from flag3d_ray.skeleton import layout as named_layout

DEFAULT_FPS = 30.0
USUAL_FPS: Mapping[str, float] = {CMU31.name: cmu.FPS}
"""Layouts of datasets whose recordings all have one frame rate, which their files do not repeat."""
TRUNKS: Mapping[str, tuple[float, float]] = {"m": (0.2, 1.0), "cm": (20.0, 100.0), "mm": (200.0, 1000.0)}
"""Unit -> how long the trunk of a person, hips to shoulders, can be in it."""
TRUNK_M = 0.5
"""Length that the trunk is scaled to where it has that of a person in no unit."""
_BY_NUMBER = {len(FLAG3D24): FLAG3D24, len(NTU25): NTU25}
"""What a number of joints without names is read as. smpl24 has 24 as well: a note says so."""
_SOURCES = {cmu.NAMES: "cmu31", cmu_actions.NODES: "cmu38"}
"""Names that datasets give their joints -> layout."""
_ARRAYS = ("joints", "positions")


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording:
    """Joints of one person: metres, right-handed, y up; pixels in image layouts.

    `first` is the raw frame of the file that stands first here. `notes` say what was assumed.
    """

    joints_TVC: Float32[np.ndarray, "T V C"]
    layout: str
    fps: float
    first: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Raw:
    """What a file says: numbers as they are, names of joints (empty: none), frames per second (None: unknown)."""

    joints_TVC: Real[np.ndarray, "T V C"]
    names: tuple[str, ...] = ()
    fps: float | None = None


def read_recording(
    path: Path,
    *,
    layout: str = "",
    fps: float | None = None,
    unit: str = "",
    up: str = "y",
    seconds: tuple[float, float | None] = (0.0, None),
) -> Recording:
    """Read a file as far as counting needs it.

    Args:
        path: .npz, .npy, .csv or .bvh.
        layout: name of the joint layout; recognised by the joints' names or their number without.
        fps: frames per second; those of the file without; where it has none, with a note, those of `USUAL_FPS` or else
            `DEFAULT_FPS`.
        unit: m, cm or mm; recognised by the length of the trunk without.
        up: the axis that points up in the file: y, z, x, -y, -z or -x.
        seconds: the part to read, from and to; to the end with None.

    Raises:
        DataError: no such file or another kind, damaged, a pickle, an unknown layout or one that cannot be recognised,
            no frame in the part asked for, NaN or infinity there, two persons, hips and shoulders in one point.
    """
    raw = _read(path, layout)
    skeleton = _layout_of(path, raw, layout)
    notes = []
    if not raw.names and not layout and skeleton is FLAG3D24:
        notes.append("24 joints are read as flag3d24; joints of SMPL need --layout smpl24")
    usual = USUAL_FPS.get(skeleton.name, DEFAULT_FPS)
    if fps is None and raw.fps is None:
        notes.append(f"the file has no frame rate: {usual:g} per second assumed, seconds depend on it (--fps)")
    rate = _rate(path, fps, usual if raw.fps is None else raw.fps)
    first, end = _part(path, len(raw.joints_TVC), rate, seconds)
    joints_TVC = _finite(path, raw.joints_TVC[first:end], first, skeleton)
    if skeleton is COCO17_SCORED:
        skeleton, joints_TVC = COCO17, joints_TVC[..., :2]
    if not is_image(skeleton):
        if up not in TURNS:
            raise DataError(where=f"--up {up}", rule="not an axis", remedy=f"use one of {', '.join(TURNS)}")
        scale, said = _scale(path, joints_TVC, skeleton, unit)
        joints_TVC, notes = to_y_up(joints_TVC, up, "right") * np.float32(scale), [*notes, *said]
    return Recording(joints_TVC=joints_TVC, layout=skeleton.name, fps=rate, first=first, notes=tuple(notes))


def has_trunk(skeleton: Layout) -> bool:
    """Whether the layout has hips and shoulders: all but markers on the skin."""
    return {"left_hip", "right_hip", "left_shoulder", "right_shoulder"} <= set(skeleton.joints)


def trunk_length(joints_TVC: Float32[np.ndarray, "T V C"], skeleton: Layout) -> float:
    """Median distance from the middle of the hips to that of the shoulders; the layout must have them (`has_trunk`)."""
    hips_TC, shoulders_TC = (
        joints_TVC[:, [skeleton.index(f"left_{name}"), skeleton.index(f"right_{name}")]].mean(axis=1)
        for name in ("hip", "shoulder")
    )
    return float(np.median(np.linalg.norm(shoulders_TC - hips_TC, axis=1)))


def _read(path: Path, layout: str) -> _Raw:
    kinds: Mapping[str, Callable[[Path], _Raw]] = {
        ".npz": _from_npz,
        ".npy": lambda path: _Raw(_one_person(path, _either_rank(lambda shape: load_npy(path, shape, "fiu")))),
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
    except OSError as error:
        rule = f"cannot be read ({error.strerror})"
        raise DataError(where=str(path), rule=rule, remedy="look who may read it") from None
    if path.suffix.lower() not in kinds:
        rule = f"{path.suffix or 'no suffix'}: not a kind of file that joints are read from"
        raise DataError(where=str(path), rule=rule, remedy=f"save them as {', '.join(kinds)}")
    return kinds[path.suffix.lower()](path)


def _from_npz(path: Path) -> _Raw:
    there = _members(path)
    name = next((name for name in _ARRAYS if name in there), _ARRAYS[0])
    joints = _either_rank(lambda shape: load_npz(path, {name: (shape, "fiu")})[name])
    names = load_npz(path, {"names": (("V",), "U")})["names"].tolist() if "names" in there else ()
    fps = float(load_npz(path, {"fps": ((), "fiu")})["fps"]) if "fps" in there else None
    return _Raw(_one_person(path, joints), tuple(names), fps)


def _members(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()  # `load_npz` says what is wrong


def _either_rank(load: Callable[[Sequence[str]], np.ndarray]) -> np.ndarray:
    """Joints with or without an axis for persons; the error is that of one person's."""
    try:
        return load(("T", "V", "C"))
    except DataError as error:
        try:
            return load(("M", "T", "V", "C"))
        except DataError:
            raise error from None


def _one_person(path: Path, joints: np.ndarray) -> np.ndarray:
    """The only person that is there: datasets of two fill the place of an absent one with zeros or NaN."""
    if joints.ndim == 3:
        return joints
    there_M = (np.nan_to_num(joints.astype(np.float64)) != 0).any(axis=(1, 2, 3)) if joints.size else np.array([])
    if there_M.sum() != 1:
        rule = f"{there_M.sum()} persons of {len(joints)} are there: repetitions of one are counted"
        raise DataError(where=str(path), rule=rule, remedy="save the joints of one person, [T, V, C]")
    return joints[int(there_M.argmax())]


def _from_csv(path: Path, layout: str) -> _Raw:
    with path.open("rb") as file:
        header = file.readline(1 << 20).decode("utf-8-sig", errors="replace")
    columns = {name.strip().strip('"') for name in header.split(",")}
    fitting = [known for known in LAYOUTS if columns == set(column_names(known))]
    known = named_layout(layout) if layout else fitting[0] if fitting else None
    if known is None:
        rule = f"its {len(columns)} columns are those of no layout: {', '.join(sorted(columns)[:3])[:60]}, ..."
        remedy = (
            "name them pelvis_x, pelvis_y, pelvis_z, ... as docs/data.md says (the open folder); --layout says which"
        )
        raise DataError(where=f"{path}, row 1", rule=rule, remedy=remedy)
    try:
        joints_TVC = read_joints(path, known)[0]
    except DataError as error:
        remedy = "write one row per frame and one column per coordinate, and fill gaps or cut their rows out"
        raise DataError(where=error.where, rule=error.rule, remedy=remedy) from None
    return _Raw(joints_TVC, known.joints)


def _from_bvh(path: Path) -> _Raw:
    found = read_bvh(path)
    return _Raw(found.positions_TVC, found.joints, found.fps)


def _layout_of(path: Path, raw: _Raw, layout: str) -> Layout:
    """The layout asked for, or the one that has these names, or this number of joints.

    Raises:
        DataError: the numbers of joints and coordinates are not those of the layout, or no layout is recognised.
    """
    joints, channels = raw.joints_TVC.shape[1:]
    if layout:
        known = named_layout(layout)
    else:
        by_name: dict[Any, Layout] = {one.joints: one for one in LAYOUTS} | {
            names: named_layout(name) for names, name in _SOURCES.items()
        }
        fitting = by_name.get(raw.names) if raw.names else _BY_NUMBER.get(joints)
        if fitting is None:
            said = f"joints named {', '.join(raw.names[:4])}, ..." if raw.names else "joints without names"
            rule = f"{joints} {said}: no layout is recognised by that"
            remedy = f"say which it is with --layout ({', '.join(one.name for one in LAYOUTS)}), joints in its order"
            raise DataError(where=str(path), rule=rule, remedy=remedy)
        known = fitting
    if (joints, channels) != (len(known), known.channels):
        rule = f"[T, {joints}, {channels}], where {known.name} has [T, {len(known)}, {known.channels}]"
        raise DataError(
            where=str(path), rule=rule, remedy="give joints and coordinates in the layout's order (--layout)"
        )
    return known


def _rate(path: Path, asked: float | None, otherwise: float) -> float:
    rate = otherwise if asked is None else asked
    if not 0.0 < rate <= 10_000.0:
        where = str(path) if asked is None else f"--fps {asked:g}"
        raise DataError(where=where, rule=f"{rate:g} frames per second", remedy="give the frame rate with --fps, as 30")
    return float(rate)


def _part(path: Path, frames: int, fps: float, seconds: tuple[float, float | None]) -> tuple[int, int]:
    """First and exclusive last raw frame of a part in seconds."""
    start, stop = seconds
    if not frames:
        raise DataError(where=str(path), rule="no frames", remedy="name a file with one frame or more")
    first = round(start * fps)
    end = frames if stop is None else min(frames, round(stop * fps))
    if start < 0 or not first < end:
        until = "the end" if stop is None else f"{stop:g} s"
        rule = f"no frame of its {frames / fps:.2f} s is from {start:g} s to {until}"
        raise DataError(where=f"{path}, --from and --to", rule=rule, remedy="give seconds inside the recording")
    return first, end


def _finite(
    path: Path, joints: Real[np.ndarray, "T V C"], first: int, skeleton: Layout
) -> Float32[np.ndarray, "T V C"]:
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused below
        joints_TVC = joints.astype(np.float32)
    bad_TV = ~np.isfinite(joints_TVC).all(axis=2)
    if bad_TV.any():
        frame, joint = np.argwhere(bad_TV)[0]
        rule = f"NaN or infinity at joint {skeleton.joints[joint]} ({len(set(np.nonzero(bad_TV)[0]))} frames hold any)"
        remedy = "fill the gap, or count a part without it with --from and --to (seconds)"
        raise DataError(where=f"{path}, frame {first + frame}", rule=rule, remedy=remedy)
    return joints_TVC


def _scale(
    path: Path, joints_TVC: Float32[np.ndarray, "T V C"], skeleton: Layout, unit: str
) -> tuple[float, list[str]]:
    """Factor to metres, and a note where the unit was recognised or is not one."""
    if unit:
        if unit not in TRUNKS:
            raise DataError(where=f"--unit {unit}", rule="unknown unit", remedy=f"use {', '.join(TRUNKS)}")
        return UNITS[unit], []
    if not has_trunk(skeleton):
        rule = f"the unit cannot be recognised: {skeleton.name} has no hips and shoulders"
        raise DataError(where=str(path), rule=rule, remedy=f"say it with --unit ({', '.join(TRUNKS)})")
    trunk = trunk_length(joints_TVC, skeleton)
    if trunk <= 0.0:
        rule = "hips and shoulders are in one point in most frames: that is no person"
        raise DataError(where=str(path), rule=rule, remedy="look at the file, and whether --layout is right")
    for known, (low, high) in TRUNKS.items():
        if low <= trunk <= high:
            return UNITS[known], [] if known == "m" else [f"read as {known}: hips and shoulders are {trunk:.0f} apart"]
    said = (
        f"hips and shoulders are {trunk:.3g} apart, which is no person's trunk in m, cm or mm: scaled to {TRUNK_M:g} m"
    )
    return TRUNK_M / trunk, [f"{said} (--unit)"]
