"""BVH (Biovision hierarchy): a tree of joints with offsets, and per frame the values of their channels, as text.

    HIERARCHY
    ROOT Hips
    {
        OFFSET 0 0 0
        CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
        JOINT ... { ... }  or  End Site { OFFSET 0 0 1 }
    }
    MOTION
    Frames: 2
    Frame Time: 0.0083333
    0 0 0 0 0 0 ...

Global rotation and position of joint j with parent p, every frame:  R_j = R_p Q_j,  x_j = x_p + R_p t_j.  Q_j is the
product of the joint's rotations in the order of its channels (degrees), t_j its offset. Where a joint has channels of
position they stand in place of the offset's coordinates: writers that give inner joints positions write the whole vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from flag3d_ray.data.readers.files_in import Lines

MOST_BYTES = 256 << 20
"""Beyond it a file is not read: an hour and a half of 30 joints at 120 frames per second have as much."""
END = "_end"
"""What the name of an end site adds to its joint's."""

_KINDS = {"position": 0, "rotation": 1}


@dataclass(frozen=True, eq=False)
class Bvh:
    """Joints in the order of the file (parents first, -1 at the root) and their positions in the file's own unit.

    `fps` is rounded to hundredths, because files give the time of a frame with seven digits or fewer.
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    fps: float
    positions_TVC: Float[np.ndarray, "T V 3"]


@dataclass
class _Joint:
    name: str
    parent: int
    offset: list[float] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)


def read_bvh(path: Path) -> Bvh:
    """Read a file and put its joints where its angles say.

    Raises:
        DataError: names the line and what was expected there; also a joint twice, a number that is none or not finite,
            fewer or more frames than the file announces.
    """
    lines = Lines(path, MOST_BYTES)
    joints = _hierarchy(lines)
    frames, seconds = _announced(lines)
    values_TX = _motion(lines, frames, sum(len(joint.channels) for joint in joints))
    return Bvh(
        joints=tuple(joint.name for joint in joints),
        parents=tuple(joint.parent for joint in joints),
        fps=round(1 / seconds, 2),
        positions_TVC=_positions(joints, values_TX),
    )


def _hierarchy(lines: Lines) -> list[_Joint]:
    if lines.next("HIERARCHY")[0].upper() != "HIERARCHY":
        raise lines.broken("a BVH file begins with HIERARCHY")
    joints: list[_Joint] = []
    names: set[str] = set()
    opened: list[int] = []
    while not joints or opened:
        words = lines.next("ROOT, JOINT, End Site or }")
        kind = words[0].upper()
        if kind == "}" and opened:
            _check(lines, joints[opened.pop()])
        elif kind in ("ROOT", "JOINT", "END") and (kind == "ROOT") == (not joints):
            parent = opened[-1] if opened else -1
            name = joints[parent].name + END if kind == "END" else " ".join(words[1:])
            if not name or name in names:
                raise lines.broken(f"joint {name!r} stands there twice" if name else "a joint without a name")
            names.add(name)
            if lines.next("{") != ["{"]:
                raise lines.broken("{ is expected alone on its line")
            opened.append(len(joints))
            joints.append(_Joint(name, parent))
        elif kind == "OFFSET" and opened and len(words) == 4:
            joints[opened[-1]].offset = lines.numbers(words[1:], "OFFSET")
        elif kind == "CHANNELS" and opened:
            joints[opened[-1]].channels = _channels(lines, words[1:])
        else:
            raise lines.broken(
                f"{' '.join(words)[:60]!r} where ROOT, JOINT, End Site, OFFSET, CHANNELS or }} may stand"
            )
    return joints


def _check(lines: Lines, joint: _Joint) -> None:
    if not joint.offset:
        raise lines.broken(f"joint {joint.name} has no OFFSET")


def _channels(lines: Lines, words: Sequence[str]) -> list[str]:
    """Channels in lower case, as xposition or zrotation, each once."""
    names = [word.lower() for word in words[1:]]
    if not words or words[0] != str(len(names)):
        raise lines.broken(f"CHANNELS announces {words[0] if words else 'nothing'}, {len(names)} follow")
    known = all(name[:1] in "xyz" and name[1:] in _KINDS for name in names)
    if not known or len(set(names)) < len(names):
        raise lines.broken(f"channels {' '.join(words[1:])[:80]!r}: each of Xposition ... Zrotation may stand once")
    return names


def _announced(lines: Lines) -> tuple[int, float]:
    """Number of frames and seconds per frame."""
    if lines.next("MOTION")[0].upper() != "MOTION":
        raise lines.broken("MOTION is expected behind the hierarchy (one ROOT is read)")
    words = lines.next("Frames: N")
    if len(words) != 2 or words[0].lower() != "frames:" or not words[1].isdecimal() or words[1] == "0":
        raise lines.broken(f"Frames: N is expected, found {' '.join(words)[:60]!r}")
    frames = int(words[1])
    words = lines.next("Frame Time: seconds")
    if len(words) != 3 or [word.lower() for word in words[:2]] != ["frame", "time:"]:
        raise lines.broken(f"Frame Time: seconds is expected, found {' '.join(words)[:60]!r}")
    (seconds,) = lines.numbers(words[2:], "Frame Time")
    if not 1e-5 < seconds < 100:
        raise lines.broken(f"a frame of {seconds:g} s")
    return frames, seconds


def _motion(lines: Lines, frames: int, channels: int) -> Float[np.ndarray, "T X"]:
    if (rest := lines.rest()) != frames:
        raise lines.broken(f"Frames: {frames}, but {rest} lines follow (the file may be cut off)")
    rows = []
    for _ in range(frames):
        words = lines.next("a frame")
        if len(words) != channels:
            raise lines.broken(f"{len(words)} values, the hierarchy has {channels} channels")
        rows.append(np.array(lines.numbers(words, "frame")))
    return np.stack(rows)


def _positions(joints: Sequence[_Joint], values_TX: Float[np.ndarray, "T X"]) -> Float[np.ndarray, "T V 3"]:
    """Forward kinematics; see the module's equation."""
    frames, first = len(values_TX), 0
    turned: list[Rotation] = []
    positions_TVC = np.empty((frames, len(joints), 3))
    for number, joint in enumerate(joints):
        shift_TC = np.tile(np.array(joint.offset), (frames, 1))
        axes, angles = "", []
        for name, column in zip(joint.channels, values_TX[:, first:].T, strict=False):
            if name.endswith("position"):
                shift_TC[:, "xyz".index(name[0])] = column
            else:
                axes += name[0].upper()
                angles.append(column)
        first += len(joint.channels)
        own = Rotation.from_euler(axes, np.stack(angles, axis=1), degrees=True) if axes else Rotation.identity(frames)
        if joint.parent < 0:
            turned.append(own)
            positions_TVC[:, number] = shift_TC
        else:
            above = turned[joint.parent]
            turned.append(above * own)
            positions_TVC[:, number] = positions_TVC[:, joint.parent] + above.apply(shift_TC)
    return positions_TVC
