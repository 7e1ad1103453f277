"""ASF and AMC (Acclaim): a skeleton of bones, and per frame the angles of their joints, as text. CMU's captures are so.

Bone i points along d_i (length times direction, in the coordinates of the whole body at rest), its axes are turned by C_i
there, and M_i are its angles of a frame. With parent p, R_i the global rotation and x_i the bone's far end:

    R_i = R_p C_i M_i C_i^-1,    x_i = x_p + R_i d_i,    root: x = position + translation, R = C M C^-1

Rotations of one axis are applied in the order that the bone's `axis` names: XYZ is x first, the product R_z R_y R_x.
Joints are the root and the far ends of the bones, so `lfemur` is the knee.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from flag3d_ray.data.readers.files_in import Lines

MOST_BYTES = 256 << 20
"""Beyond it a file is not read: an hour and a half of 30 bones at 120 frames per second have as much."""
ROOT = "root"

_ROOT_CHANNELS = ("tx", "ty", "tz", "rx", "ry", "rz")
_Section = list[tuple[int, list[str]]]


@dataclass(frozen=True, eq=False)
class Bone:
    """One bone, or the root: its parent's place (-1 for the root), its vector and axes at rest, its channels in a frame."""

    name: str
    parent: int
    vector_C: Float[np.ndarray, " 3"]
    axes: Rotation
    order: str
    channels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Skeleton:
    """An ASF file: bones with parents first, and the file's unit.

    `unit_length` is what the file calls `length`: CMU's files say 0.45, and their unit is 1 / 0.45 inches.
    """

    bones: tuple[Bone, ...]
    unit_length: float
    degrees: bool

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the root and of the bones, of whose far ends `read_amc` gives the positions."""
        return tuple(bone.name for bone in self.bones)


def read_asf(path: Path) -> Skeleton:
    """Read a skeleton.

    Raises:
        DataError: names the line and what is expected; a bone twice, in no or two places of the hierarchy, or with a
            channel other than rx, ry, rz.
    """
    lines = Lines(path, MOST_BYTES, comment="#")
    sections = _sections(lines)
    units = {words[0]: words[1] for _, words in sections["units"] if len(words) == 2}
    degrees = units.get("angle", "deg").lower().startswith("deg")
    (length,) = lines.numbers([units.get("length", "1")], "length")
    bones = {ROOT: _root(lines, sections["root"], degrees)} | _bones(lines, sections["bonedata"], degrees)
    return Skeleton(_ordered(lines, bones, sections["hierarchy"]), length, degrees)


def read_amc(path: Path, skeleton: Skeleton) -> Float[np.ndarray, "T V 3"]:
    """Positions of the skeleton's joints in every frame, in the unit of its file.

    Raises:
        DataError: names the line; a bone that the skeleton does not have, with another number of values, missing or
            twice in a frame, a number that is none or not finite, a frame left out, no frame.
    """
    lines = Lines(path, MOST_BYTES, comment="#")
    widths = {bone.name: len(bone.channels) for bone in skeleton.bones if bone.channels}
    frames: list[dict[str, list[float]]] = []
    degrees, first = skeleton.degrees, 0
    for words in lines:
        if words[0].startswith(":"):
            degrees = {":degrees": True, ":radians": False}.get(words[0].lower(), degrees)
        elif len(words) == 1 and words[0].isdecimal():
            _check_frame(lines, frames, widths)
            first = first if frames else int(words[0])
            if int(words[0]) != first + len(frames):
                raise lines.broken(f"frame {words[0][:20]} where {first + len(frames)} is expected")
            frames.append({})
        else:
            _check_bone(lines, words, frames, widths)
            frames[-1][words[0]] = lines.numbers(words[1:], words[0])
    _check_frame(lines, frames, widths)
    if not frames:
        raise lines.broken("no frames")
    values = {name: np.array([frame[name] for frame in frames]) for name in widths}
    return _positions(skeleton, values, len(frames), degrees)


def _check_bone(lines: Lines, words: Sequence[str], frames: Sequence[Mapping], widths: Mapping[str, int]) -> None:
    name = words[0][:40]
    if not frames:
        raise lines.broken(f"{name!r} where the number of a frame is expected")
    if words[0] not in widths:
        raise lines.broken(f"{name!r} is no bone of the skeleton that moves: is it the subject's own .asf file?")
    if words[0] in frames[-1] or len(words) - 1 != widths[words[0]]:
        rule = f"{len(words) - 1} values, {widths[words[0]]} are expected"
        raise lines.broken(f"{name} " + ("stands there twice in a frame" if words[0] in frames[-1] else f"has {rule}"))


def _check_frame(lines: Lines, frames: Sequence[Mapping], widths: Mapping[str, int]) -> None:
    """That the last frame has every bone."""
    if frames and (absent := [name for name in widths if name not in frames[-1]]):
        raise lines.broken(f"the frame above has no {', '.join(absent[:5])} (the file may be cut off)")


def _positions(
    skeleton: Skeleton, values: Mapping[str, Float[np.ndarray, "T X"]], frames: int, degrees: bool
) -> Float[np.ndarray, "T V 3"]:
    """Forward kinematics; see the module's equations."""
    turned: list[Rotation] = []
    positions_TVC = np.empty((frames, len(skeleton.bones), 3))
    for number, bone in enumerate(skeleton.bones):
        channel = dict(zip(bone.channels, values.get(bone.name, np.empty((frames, 0))).T, strict=True))
        angles = np.stack([channel.get(f"r{axis}", np.zeros(frames)) for axis in bone.order], axis=1)
        moved = Rotation.from_euler(bone.order, angles, degrees=degrees)
        own = bone.axes * moved * bone.axes.inv()
        if bone.parent < 0:
            shift_TC = np.stack([channel.get(f"t{axis}", np.zeros(frames)) for axis in "xyz"], axis=1)
            turned.append(own)
            positions_TVC[:, number] = bone.vector_C + shift_TC
        else:
            turned.append(turned[bone.parent] * own)
            positions_TVC[:, number] = positions_TVC[:, bone.parent] + turned[-1].apply(bone.vector_C)
    return positions_TVC


def _sections(lines: Lines) -> dict[str, _Section]:
    """Lines by the keyword (:root, :bonedata, ...) above them, with their numbers."""
    sections: dict[str, _Section] = {}
    here: _Section = []
    for words in lines:
        if words[0].startswith(":"):
            here = sections.setdefault(words[0][1:].lower(), [])
        else:
            here.append((lines.number, words))
    if absent := [f":{name}" for name in ("units", "root", "bonedata", "hierarchy") if name not in sections]:
        raise lines.broken(f"no {', '.join(absent)} in this file: not a whole ASF skeleton")
    return sections


def _root(lines: Lines, section: _Section, degrees: bool) -> Bone:
    said = {words[0]: (number, words[1:]) for number, words in section}
    number = section[0][0] if section else lines.number
    channels = tuple(word.lower() for word in said.get("order", (0, _ROOT_CHANNELS))[1])
    if sorted(channels) != sorted(_ROOT_CHANNELS):
        raise lines.broken(f"order of the root is {' '.join(channels)[:60]!r}: TX TY TZ RX RY RZ, each once", number)
    order = _order(lines, said.get("axis", (number, ["XYZ"]))[1], number)
    where_C, turn_C = (
        _triple(lines, *said.get(name, (number, ["0"] * 3)), name) for name in ("position", "orientation")
    )
    return Bone(ROOT, -1, where_C, Rotation.from_euler(order, turn_C, degrees=degrees), order, channels)


def _bones(lines: Lines, section: _Section, degrees: bool) -> dict[str, Bone]:
    """Bones by name, without their parents."""
    bones: dict[str, Bone] = {}
    said: dict[str, tuple[int, list[str]]] = {}
    for number, words in section:
        if words[0] == "begin":
            said = {}
        elif words[0] != "end":
            said.setdefault(words[0], (number, words[1:]))
        else:
            bone = _bone(lines, said, number, degrees)
            if bone.name in bones or bone.name == ROOT:
                raise lines.broken(f"bone {bone.name!r} stands there twice", number)
            bones[bone.name] = bone
    return bones


def _bone(lines: Lines, said: Mapping[str, tuple[int, list[str]]], number: int, degrees: bool) -> Bone:
    """`said`: keyword -> line and words of one bone; `number`: the line that ends it."""
    if absent := [name for name in ("name", "direction", "length", "axis") if not said.get(name, (0, []))[1]]:
        raise lines.broken(f"a bone without {', '.join(absent)}", number)
    (length,) = lines.numbers(said["length"][1][:1], "length", said["length"][0])
    axis_line, axis = said["axis"]
    order = _order(lines, axis[3:], axis_line)
    channels = tuple(word.lower() for word in said.get("dof", (number, []))[1])
    if not set(channels) <= {"rx", "ry", "rz"} or len(set(channels)) < len(channels):
        raise lines.broken(f"channels {' '.join(channels)[:60]!r}: rx, ry and rz are read, each once", said["dof"][0])
    return Bone(
        name=" ".join(said["name"][1]),
        parent=-1,
        vector_C=length * _triple(lines, *said["direction"], "direction"),
        axes=Rotation.from_euler(order, _triple(lines, axis_line, axis[:3], "axis"), degrees=degrees),
        order=order,
        channels=channels,
    )


def _ordered(lines: Lines, bones: Mapping[str, Bone], section: _Section) -> tuple[Bone, ...]:
    """The bones in the order of the file, each with its parent, which must stand ahead of it."""
    parents: dict[str, str] = {}
    for number, words in section:
        if words[0] in ("begin", "end"):
            continue
        for name in words:
            if name not in bones:
                raise lines.broken(f"{name[:40]!r} is no bone of :bonedata", number)
        for child in words[1:]:
            if child in parents or child == ROOT:
                raise lines.broken(f"{child} has a parent already", number)
            parents[child] = words[0]
    places = {name: place for place, name in enumerate(bones)}
    for name, place in places.items():
        if name != ROOT and places.get(parents.get(name, ""), place) >= place:
            raise lines.broken(f"bone {name} has no parent ahead of it in :bonedata")
    return tuple(bone if name == ROOT else replace(bone, parent=places[parents[name]]) for name, bone in bones.items())


def _order(lines: Lines, words: Sequence[str], number: int) -> str:
    order = "".join(words).lower() or "xyz"
    if sorted(order) != ["x", "y", "z"]:
        raise lines.broken(f"axis order {order[:20]!r}: x, y and z, each once", number)
    return order


def _triple(lines: Lines, number: int, words: Sequence[str], what: str) -> Float[np.ndarray, " 3"]:
    if len(words) != 3:
        raise lines.broken(f"{what}: {len(words)} numbers, three are expected", number)
    return np.array(lines.numbers(words, what, number))
