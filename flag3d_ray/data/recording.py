"""One recording of anybody's, to be counted: joints of one person from .npz, .npy, .csv or .bvh, and nothing else.

    .npz    array `joints` or `positions`, [T, V, C] or [M, T, V, C]; `fps` and `names` (of the joints) where they are there
    .npy    the array alone
    .csv    one row per frame, columns pelvis_x, pelvis_y, pelvis_z, ... (`open_format_joints`)
    .bvh    a hierarchy with its motion (`bvh`); its joints' names must be those of a layout

`recording_files` reads them; here is told what their numbers mean: layout, rate, unit, axes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Real

from flag3d_ray.data.doctor.body import axis_up
from flag3d_ray.data.readers import cmu, cmu_actions
from flag3d_ray.data.readers.open_format_joints import TURNS, UNITS, is_image, to_y_up
from flag3d_ray.data.recording_files import Raw, read_raw
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import CMU31, CMU38, COCO17, COCO17_SCORED, FLAG3D24, LAYOUTS, NTU25, Layout
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
_CALLED = (*((one, one.joints) for one in LAYOUTS), (CMU31, cmu.NAMES), (CMU38, cmu_actions.NODES))
"""Layouts with their joints' names, then with those that datasets give them."""
ABSURD = 10.0
"""Factor by which a trunk may leave what a person's is in the unit asked for; beyond, that unit is refused."""
LEAST_TRUNK = 1e-6
FARTHEST = 1e9
"""In any unit. Beyond them, squares and scales leave single precision."""


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


def read_recording(
    path: Path,
    *,
    layout: str = "",
    fps: float | None = None,
    unit: str = "",
    up: str = "",
    seconds: tuple[float, float | None] = (0.0, None),
) -> Recording:
    """Read a file as far as counting needs it.

    Args:
        path: .npz, .npy, .csv or .bvh.
        layout: name of the joint layout; recognised by the joints' names or their number without.
        fps: frames per second; those of the file without; where it has none, with a note, those of `USUAL_FPS` or else
            `DEFAULT_FPS`.
        unit: m, cm or mm; recognised by the length of the trunk without.
        up: the axis that points up in the file: y, z, x, -y, -z or -x; y without, with a note where the trunk points
            along another.
        seconds: the part to read, from and to; to the end with None.

    Raises:
        DataError: no such file or another kind, damaged, a pickle, an unknown layout, one that cannot be recognised or
            that the joints' names contradict, a unit or an axis for an image, no frame in the part asked for, NaN,
            infinity or a joint farther away than `FARTHEST` there, two persons, hips and shoulders in one point, or no
            person in the unit asked for.
    """
    raw = read_raw(path, layout)
    skeleton, order, notes = _layout_of(path, raw, layout)
    usual = USUAL_FPS.get(skeleton.name, DEFAULT_FPS)
    if fps is None and raw.fps is None:
        notes.append(f"the file has no frame rate: {usual:g} per second assumed, seconds depend on it (--fps)")
    rate = _rate(path, fps, usual if raw.fps is None else raw.fps)
    first, end = _part(path, len(raw.joints_TVC), rate, seconds)
    joints_TVC = _finite(path, raw.joints_TVC[first:end, order], first, skeleton)
    if skeleton is COCO17_SCORED:
        skeleton, joints_TVC = COCO17, joints_TVC[..., :2]
    if up and up not in TURNS:
        raise DataError(where=f"--up {up}", rule="not an axis", remedy=f"use one of {', '.join(TURNS)}")
    if is_image(skeleton):
        _refuse_in_images(skeleton, {"--up": up, "--unit": unit})
    else:
        scale, said = _scale(path, joints_TVC, skeleton, unit)
        joints_TVC = to_y_up(joints_TVC, up or "y", "right") * np.float32(scale)
        notes += said if up else [*said, *_another_up(joints_TVC, skeleton)]
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


def _refuse_in_images(skeleton: Layout, options: Mapping[str, str]) -> None:
    for name, value in options.items():
        if value:
            rule = f"the joints of {skeleton.name} are pixels of an image, which have neither unit nor axes in space"
            raise DataError(where=f"{name} {value}", rule=rule, remedy="leave it out")


def _layout_of(path: Path, raw: Raw, layout: str) -> tuple[Layout, list[int] | slice, list[str]]:
    """The layout asked for, or that has these names, or this number of joints; how to put joints in its order; notes.

    Raises:
        DataError: the numbers of names, joints or coordinates are not those of the layout, the names contradict it, or
            no layout is recognised.
    """
    joints, channels = raw.joints_TVC.shape[1:]
    if raw.names and len(raw.names) != joints:
        rule, remedy = f"{len(raw.names)} names for {joints} joints", "save one name per joint, or leave names out"
        raise DataError(where=str(path), rule=rule, remedy=remedy)
    called = [pair for pair in _CALLED if len(pair[1]) == joints and set(pair[1]) == set(raw.names)]
    if layout:
        known = named_layout(layout)
    else:
        called.sort(key=lambda pair: pair[0].channels != channels)  # coco17 has one set of names for two layouts
        fitting = called[0][0] if called else None if raw.names else _BY_NUMBER.get(joints)
        if fitting is None:
            said = f"joints named {', '.join(raw.names[:4])}, ..." if raw.names else "joints without names"
            rule = f"{joints} {said}: no layout is recognised by that"
            remedy = f"say which it is with --layout ({', '.join(one.name for one in LAYOUTS)}), joints in its order"
            raise DataError(where=str(path), rule=rule, remedy=remedy)
        known = fitting
    if (joints, channels) != (len(known), known.channels):
        rule = f"[T, {joints}, {channels}], where {known.name} has [T, {len(known)}, {known.channels}]"
        remedy = "give joints and coordinates in the layout's order (--layout)"
        raise DataError(where=str(path), rule=rule, remedy=remedy)
    if raw.names:
        return known, *_ordered(path, raw.names, known, called)
    assumed = "24 joints are read as flag3d24; joints of SMPL need --layout smpl24"
    return known, slice(None), [assumed] if known is FLAG3D24 and not layout else []


def _ordered(
    path: Path, names: Sequence[str], known: Layout, called: Sequence[tuple[Layout, Sequence[str]]]
) -> tuple[list[int] | slice, list[str]]:
    """Where the layout's joints stand among names, and a note where that is another order or cannot be told.

    Args:
        called: layouts whose joints have these names, in any order.
    """
    for one, wanted in called:
        if one is known:
            order = [names.index(name) for name in wanted]
            same = order == list(range(len(names)))
            return (slice(None), []) if same else (order, [f"joints put into the order of {known.name} by their names"])
    if called:
        other = called[0][0].name
        rule = f"its joints have the names of {other}, not those of {known.name}"
        raise DataError(where=f"{path}, names", rule=rule, remedy=f"leave out --layout, or say --layout {other}")
    for place, (name, wanted) in enumerate(zip(names, known.joints, strict=True)):
        if name in known.joints and name != wanted:
            rule = f"joint {place} is called {name}, where {known.name} has {wanted}"
            remedy = f"name all joints as {known.name} does, in any order, or leave names out"
            raise DataError(where=f"{path}, names", rule=rule, remedy=remedy)
    said = f"joints named {', '.join(names[:3])}, ... are taken in the order of {known.name}, as --layout says"
    return slice(None), [said]


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
    for option, value in (("--from", start), ("--to", stop)):
        if value is not None and not math.isfinite(value * fps):
            raise DataError(where=f"{option} {value:g}", rule="no number of seconds", remedy="give seconds, as 12.5")
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
    if (far_TV := (np.abs(joints_TVC) > FARTHEST).any(axis=2)).any():
        frame, joint = np.argwhere(far_TV)[0]
        rule = f"joint {skeleton.joints[joint]} is {np.abs(joints_TVC[frame, joint]).max():.3g} away: that is no person"
        remedy = "look at the file: joints are in m, cm or mm"
        raise DataError(where=f"{path}, frame {first + frame}", rule=rule, remedy=remedy)
    return joints_TVC


def _scale(
    path: Path, joints_TVC: Float32[np.ndarray, "T V C"], skeleton: Layout, unit: str
) -> tuple[float, list[str]]:
    """Factor to metres, and a note where the unit was recognised, is not one or hardly that of a person."""
    if unit and unit not in TRUNKS:
        raise DataError(where=f"--unit {unit}", rule="unknown unit", remedy=f"use {', '.join(TRUNKS)}")
    if not has_trunk(skeleton):
        if unit:
            return UNITS[unit], []
        rule = f"the unit cannot be recognised: {skeleton.name} has no hips and shoulders"
        raise DataError(where=str(path), rule=rule, remedy=f"say it with --unit ({', '.join(TRUNKS)})")
    trunk = trunk_length(joints_TVC, skeleton)
    if trunk < LEAST_TRUNK:
        rule = "hips and shoulders are in one point in most frames: that is no person"
        raise DataError(where=str(path), rule=rule, remedy="look at the file, and whether --layout is right")
    fitting = [known for known, (low, high) in TRUNKS.items() if low <= trunk <= high]
    if unit:
        return UNITS[unit], _doubts(trunk, unit, fitting)
    if fitting:
        known = fitting[0]
        return UNITS[known], [] if known == "m" else [f"read as {known}: hips and shoulders are {trunk:.0f} apart"]
    said = (
        f"hips and shoulders are {trunk:.3g} apart, which is no person's trunk in m, cm or mm: scaled to {TRUNK_M:g} m"
    )
    return TRUNK_M / trunk, [f"{said} (--unit)"]


def _doubts(trunk: float, unit: str, fitting: Sequence[str]) -> list[str]:
    """A note where a trunk in the unit asked for is hardly a person's.

    Args:
        fitting: units in which it is.

    Raises:
        DataError: it is off by more than `ABSURD`.
    """
    (low, high), metres = TRUNKS["m"], trunk * UNITS[unit]
    if low <= metres <= high:
        return []
    rule = f"hips and shoulders are {metres:.2g} m apart in that unit, a person's {low:g} to {high:g} m"
    better = f"--unit {fitting[0]} would fit" if fitting else "without --unit they are scaled to a person's"
    if low / ABSURD <= metres <= high * ABSURD:
        return [f"--unit {unit}: {rule}; {better}"]
    remedy = f"look whether the unit is right: {better}"
    raise DataError(where=f"--unit {unit}", rule=rule, remedy=remedy)


def _another_up(joints_TVC: Float32[np.ndarray, "T V C"], skeleton: Layout) -> list[str]:
    """A question where the trunk points along another axis than y: somebody lies there, or the axes are others."""
    there_TVC = joints_TVC[joints_TVC.any(axis=(1, 2))].astype(np.float64)
    axis = axis_up(there_TVC, skeleton).removeprefix("+") if len(there_TVC) else ""
    if axis in ("", "y"):
        return []
    return [
        f"on the whole the trunk points along {axis}: if {axis} is up, say --up {axis} (people who lie point anywhere)"
    ]
