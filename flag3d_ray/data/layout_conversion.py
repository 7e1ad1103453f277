"""From one joint layout to another: every joint of the target is copied, or lies on a line through joints of the source.

    y_u = sum_v W[u, v] x_v,   sum_v W[u, v] = 1   for joints v of the source and u of the target

so a conversion goes with every turn and shift of the body, and with its mirror image. W comes from the places of the body
that joints stand for (`body_places.py`). Markers on the skin are another matter: those of ui_prmd39 become the joints of
flag3d24 first, by the construction of UI-PRMD's reader, which knows hips, knees and ankles beneath the skin.
"""

from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float32

from flag3d_ray.data.body_places import known_places, places
from flag3d_ray.data.marker_gaps import fill
from flag3d_ray.data.reader import Reader
from flag3d_ray.data.readers.open_format_joints import is_image
from flag3d_ray.data.readers.ui_prmd import joint_centres
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import FLAG3D24, LAYOUTS, UI_PRMD39, Layout, layout

Kind = Literal["copied", "interpolated", "constructed"]
_NAMED = 6
# Joints of flag3d24 that `joint_centres` sets between others, because no marker is near them.
_BETWEEN_MARKERS = {
    "spine1": (("pelvis", 0.5), ("spine2", 0.5)),
    "spine3": (("spine2", 0.5), ("neck", 0.5)),
    "left_collar": (("neck", 0.75), ("left_shoulder", 0.25)),
    "right_collar": (("neck", 0.75), ("right_shoulder", 0.25)),
}


@dataclass(frozen=True)
class Origin:
    """Where a joint of the target comes from: `weights` of joints sum to 1.

    `copied`: a joint of the same place. `interpolated`: between joints, beyond them (a weight below 0), or, with a single
    weight, in their place for want of better. `constructed`: from markers, not by weights alone.
    """

    joint: str
    kind: Kind
    weights: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        """As 1.3 left_wrist - 0.3 left_elbow, or the name alone where there is one."""
        (first, weight), *others = self.weights
        if not others:
            return first
        return f"{weight:.2g} {first}" + "".join(f" {'-+'[w > 0]} {abs(w):.2g} {joint}" for joint, w in others)


@dataclass(frozen=True)
class JointMap:
    """How a layout becomes another: one origin per joint of the target.

    `basis` is the layout whose joints the origins name: the source, or flag3d24 where the source has markers.
    """

    source: Layout
    target: Layout
    basis: Layout
    origins: tuple[Origin, ...]

    @cached_property
    def weights_UV(self) -> Float[np.ndarray, "U V"]:
        """Weights of the basis' joints (V) for the target's (U); every row sums to 1."""
        weights_UV = np.zeros((len(self.target), len(self.basis)))
        for row, origin in enumerate(self.origins):
            for joint, weight in origin.weights:
                weights_UV[row, self.basis.index(joint)] = weight
        return weights_UV

    @property
    def interpolated(self) -> tuple[str, ...]:
        """Joints of the target that the source has no joint for."""
        return tuple(origin.joint for origin in self.origins if origin.kind == "interpolated")


@dataclass(frozen=True, eq=False)
class Conversion:
    """Joints in the target's layout, and where each comes from."""

    joints_MTVC: Float32[np.ndarray, "M T U C"]
    by: JointMap


@cache
def joint_map(source: Layout, target: Layout) -> JointMap:
    """How `source` becomes `target`.

    Raises:
        DataError: from pixels to space or back, scores that nobody measured, or joints of the target that do not follow
            from those of the source; the message names them.
    """
    if source.joints == target.joints and source.channels >= target.channels:
        same = tuple(Origin(joint, "copied", ((joint, 1.0),)) for joint in source.joints)
        return JointMap(source, target, source, same)
    if is_image(source) or is_image(target):
        raise _pixels(source, target)
    basis = FLAG3D24 if source == UI_PRMD39 else source
    known, at, present = known_places(basis), places(target), set(places(basis).values())
    missing = [joint for joint in target.joints if at.get(joint) not in known]
    if missing:
        raise _lacking(source, target, missing)
    origins = tuple(
        Origin(joint, "copied" if at[joint] in present else "interpolated", tuple(known[at[joint]].items()))
        for joint in target.joints
    )
    return JointMap(source, target, basis, origins if basis == source else tuple(map(_constructed, origins)))


def targets(source: Layout) -> tuple[Layout, ...]:
    """The layouts that `source` can become, itself left out."""
    found = []
    for target in LAYOUTS:
        try:
            joint_map(source, target)
        except DataError:
            continue
        if target != source:
            found.append(target)
    return tuple(found)


def convert(joints_MTVC: Float32[np.ndarray, "M T V C"], source: Layout, target: Layout) -> Conversion:
    """Joints of `source` as joints of `target`, in the same unit and axes; metres where the source is ui_prmd39.

    Copies are exact. An absent person (all 0) stays absent. Lost markers (0) are filled as UI-PRMD's reader fills them.

    Raises:
        DataError: see `joint_map`; also a marker that is never seen.
    """
    by = joint_map(source, target)
    if source.joints == target.joints:
        return Conversion(joints_MTVC[..., : target.channels], by)
    joints_MTVC = joints_MTVC if by.basis == source else _from_markers(joints_MTVC)
    converted = np.einsum("uv,mtvc->mtuc", by.weights_UV, joints_MTVC.astype(np.float64))
    return Conversion(converted.astype(np.float32), by)


def convert_sample(sample: Sample, target: Layout) -> Sample:
    """The same sequence in another layout.

    Raises:
        DataError: see `convert`.
    """
    joints_MTVC = convert(sample.joints_MTVC, layout(sample.layout), target).joints_MTVC
    return replace(sample, layout=target.name, joints_MTVC=joints_MTVC)


def converted_reader(reader: Reader, target: Layout) -> Reader:
    """The reader of the same recordings in another layout; its card says so and names the interpolated joints.

    Raises:
        DataError: see `joint_map`.
    """
    by = joint_map(layout(reader.layout), target)
    said = f"Converted from {reader.layout}; interpolated: {', '.join(by.interpolated) or 'none'}."
    return Reader(
        card=replace(reader.card, limits=f"{reader.card.limits} {said}"),
        layout=target.name,
        find=reader.find,
        load=partial(_load, reader, target),
        splits=reader.splits,
    )


def _load(reader: Reader, target: Layout, item: Any) -> Sample:
    return convert_sample(reader.load(item), target)


def _from_markers(markers_MTNC: Float32[np.ndarray, "M T 39 3"]) -> Float32[np.ndarray, "M T 24 3"]:
    """The joints of flag3d24; persons who are all 0 stay so."""
    joints_MTVC = np.zeros((*markers_MTNC.shape[:2], len(FLAG3D24), 3), np.float32)
    for person, markers_TNC in enumerate(markers_MTNC):
        missing_TN = (markers_TNC == 0).all(axis=-1)
        lost = [name for name, never in zip(UI_PRMD39.joints, missing_TN.all(axis=0), strict=True) if never]
        if len(lost) == len(UI_PRMD39):
            continue
        if lost:
            rule, remedy = f"never seen: marker {_listed(lost)}", "leave this recording out"
            raise DataError(where=f"person {person + 1} in {UI_PRMD39.name}", rule=rule, remedy=remedy)
        filled_TNC, _ = fill(markers_TNC.astype(np.float64), missing_TN, UI_PRMD39.joints)
        joints_MTVC[person] = joint_centres(filled_TNC)
    return joints_MTVC


def _constructed(origin: Origin) -> Origin:
    """What a copy from flag3d24 is where its joints come from markers."""
    if origin.kind != "copied":
        return origin
    between = _BETWEEN_MARKERS.get(origin.weights[0][0])
    return replace(origin, kind="constructed") if between is None else Origin(origin.joint, "interpolated", between)


def _pixels(source: Layout, target: Layout) -> DataError:
    if not is_image(target):
        rule, remedy = "a picture has no depth", "lift the joints to space with a method of your own, then read them in"
    elif not is_image(source):
        rule, remedy = "pixels need a camera", "project the joints with your camera and read them in as an open folder"
    else:
        rule, remedy = "nobody measured scores", f"keep {source.name}"
    return DataError(where=f"{source.name} to {target.name}", rule=rule, remedy=remedy)


def _lacking(source: Layout, target: Layout, missing: list[str]) -> DataError:
    rule = f"nothing in {source.name} tells where these joints are: {_listed(missing)}"
    remedy = f"convert to another layout: flag3d data layouts lists what {source.name} can become"
    return DataError(where=f"{source.name} to {target.name}", rule=rule, remedy=remedy)


def _listed(joints: list[str]) -> str:
    more = f" and {len(joints) - _NAMED} more" if len(joints) > _NAMED else ""
    return f"{', '.join(joints[:_NAMED])}{more}"
