"""What one sequence says of unit, axes and sides, measured on the person in it; and what a dataset says with all of them.

Bones scale with stature: H times 0.245 (thigh), 0.246 (shank), 0.186 (upper arm) and 0.146 (forearm), Drillis and Contini
1966 (in Winter, Biomechanics and Motor Control of Human Movement). So lengths tell the unit, the trunk tells which axis
looks up, and the legs tell left from right.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flag3d_ray.data.doctor.entry import Entry
from flag3d_ray.data.findings import Finding
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import Layout, layout

BONES = (("hip", "knee", 0.245), ("knee", "ankle", 0.246), ("shoulder", "elbow", 0.186), ("elbow", "wrist", 0.146))
"""Thigh, shank, upper arm and forearm: from joint to joint, and the share of the stature."""
STATURE = (0.7, 2.9)
"""Metres: a child and a giant, each with a third of tolerance for where a layout sets its joints."""
UNITS = {1e4: "tenths of a millimetre", 1e3: "millimetres", 1e2: "centimetres", 1e-3: "kilometres"}
"""How many of a unit make a metre -> its name."""
_UPRIGHT = 0.8  # cosine between trunk and axis
_TELLING = 0.5  # cosine between the hips and the left that a leg shows
_SURE = 0.95  # share of frames that must agree on the side
_MOST = 0.5  # share of sequences that makes a finding one about the dataset


@dataclass(frozen=True)
class Body:
    """What a sequence shows. `stature` in the data's unit, from the median bone, 0 where there is none; `up` is the signed
    axis along which head and pelvis stand (+y), empty where the trunk leans or lies across; `mirrored` is None where the
    legs do not tell."""

    stature: float = 0.0
    up: str = ""
    mirrored: bool | None = None

    @property
    def unit(self) -> str:
        """The name of the unit that the bones speak for: empty for metres and where none fits."""
        fits = [name for scale, name in UNITS.items() if STATURE[0] <= self.stature / scale <= STATURE[1]]
        return fits[0] if fits else ""

    @property
    def plausible(self) -> bool:
        """Whether this is a person measured in metres."""
        return STATURE[0] <= self.stature <= STATURE[1]


def measure(sample: Sample) -> Body | None:
    """The first person of a sequence; None in image layouts, and where nobody is there."""
    skeleton, joints_TVC = layout(sample.layout), sample.joints_MTVC[0]
    if sample.unit != "m" or skeleton.channels != 3:
        return None
    joints_TVC = joints_TVC[joints_TVC.any(axis=(1, 2))].astype(np.float64)
    if not len(joints_TVC):
        return None
    return Body(_stature(joints_TVC, skeleton), axis_up(joints_TVC, skeleton), _mirrored(joints_TVC, skeleton))


def _stature(joints_TVC: Float[np.ndarray, "T V 3"], skeleton: Layout) -> float:
    found = []
    for upper, lower, share in BONES:
        for side in ("left", "right"):
            if {f"{side}_{upper}", f"{side}_{lower}"} <= set(skeleton.joints):
                ends = [joints_TVC[:, skeleton.index(f"{side}_{joint}")] for joint in (upper, lower)]
                found.append(float(np.median(np.linalg.norm(ends[0] - ends[1], axis=-1))) / share)
    return float(np.median(found)) if found else 0.0


def axis_up(joints_TVC: Float[np.ndarray, "T V 3"], skeleton: Layout) -> str:
    """The signed axis along which head and pelvis stand in the median, as +y; empty where the trunk leans, or is unknown."""
    if not {"head", "pelvis"} <= set(skeleton.joints):
        return ""
    trunk_C = np.median(joints_TVC[:, skeleton.index("head")] - joints_TVC[:, skeleton.index("pelvis")], axis=0)
    axis, length = int(np.abs(trunk_C).argmax()), float(np.linalg.norm(trunk_C))
    if not length or abs(trunk_C[axis]) < _UPRIGHT * length:
        return ""
    return f"{'+' if trunk_C[axis] > 0 else '-'}{'xyz'[axis]}"


def _mirrored(joints_TVC: Float[np.ndarray, "T V 3"], skeleton: Layout) -> bool | None:
    """Whether the left hip lies to the right of the legs: in right-handed axes left = up x forward.

    Up the shank and forward along the foot, because an ankle bends so in every posture; trunk and feet may point anywhere.
    """
    toe = "toe" if "left_toe" in skeleton.joints else "foot"
    needed = {f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle", toe)}
    if not needed <= set(skeleton.joints):
        return None
    at = {name: joints_TVC[:, skeleton.index(name)] for name in needed}
    hips_TC = at["left_hip"] - at["right_hip"]
    votes = []
    for side in ("left", "right"):
        up_TC, forward_TC = at[f"{side}_knee"] - at[f"{side}_ankle"], at[f"{side}_{toe}"] - at[f"{side}_ankle"]
        left_TC = np.cross(up_TC, forward_TC)
        lengths_T = np.linalg.norm(left_TC, axis=-1) * np.linalg.norm(hips_TC, axis=-1)
        cosine_T = (left_TC * hips_TC).sum(axis=-1) / np.maximum(lengths_T, 1e-12)
        telling_T = np.abs(cosine_T) > _TELLING  # not where the leg is turned outwards
        if telling_T.mean() < 0.5:
            return None
        votes.append(cosine_T[telling_T] > 0)
    share = float(np.concatenate(votes).mean())
    return None if 1 - _SURE < share < _SURE else share < 0.5


@dataclass(frozen=True)
class Seen:
    """A sequence and the body in it."""

    entry: Entry
    body: Body

    def found(self, rule: str, remedy: str) -> Finding:
        """A warning about this sequence."""
        return self.entry.found(Finding(severity="warning", rule=rule, remedy=remedy))


def convention_findings(seen: Sequence[Seen]) -> Iterator[Finding]:
    """Unit, axes and sides: one finding where most sequences break the rule, one per sequence where only some do."""
    yield from _units(seen)
    yield from _axes(seen)
    yield from _sides(seen)


def _units(seen: Sequence[Seen]) -> Iterator[Finding]:
    strange = [one for one in seen if one.body.stature and not one.body.plausible]
    units = Counter(one.body.unit for one in strange)
    for unit, number in units.items():
        statures = [one.body.stature for one in strange if one.body.unit == unit]
        looks = f"looks like {unit}, not metres" if unit else "no unit makes this a person"
        remedy = "convert the joints to metres, or correct the unit that the card declares"
        if number > _MOST * len(seen):
            rule = f"bones of a person of {np.median(statures):.3g} m: {looks} ({number} of {len(seen)} sequences)"
            yield Finding(severity="error" if unit else "warning", rule=rule, remedy=remedy)
        else:
            for one in (one for one in strange if one.body.unit == unit):
                yield one.found(f"bones of a person of {one.body.stature:.3g} m: {looks}", remedy)


def _axes(seen: Sequence[Seen]) -> Iterator[Finding]:
    """Lying people lie anywhere, standing ones agree: the axis that most upright trunks share looks up."""
    votes = Counter(one.body.up for one in seen if one.body.up)
    if not votes:
        return
    up, number = votes.most_common(1)[0]
    if up != "+y" and number > _MOST * len(seen):
        counted = f"along {up} in {number} of {len(seen)} sequences, along +y in {votes['+y']}"
        rule = f"{up} looks up, not +y: the head is above the pelvis {counted}"
        yield Finding(severity="warning", rule=rule, remedy="turn the axes so that y is up")
        return
    upright = _upright(seen)
    for one in seen:
        others = upright.get(one.entry.action_id, 0)
        if one.body.up and one.body.up != "+y" and others >= 4:
            rule = f"the trunk lies along {one.body.up}, along +y in {others} other sequences of action {one.entry.action_id}"
            yield one.found(rule, "look at the recording: wrong axes, or another action")


def _upright(seen: Sequence[Seen]) -> Mapping[str, int]:
    """Number of upright sequences of the actions that are done upright nearly always."""
    upright = Counter(one.entry.action_id for one in seen if one.body.up == "+y")
    across = Counter(one.entry.action_id for one in seen if one.body.up not in ("", "+y"))
    return {action: number for action, number in upright.items() if number >= 4 * across[action]}


def _sides(seen: Sequence[Seen]) -> Iterator[Finding]:
    told = [one for one in seen if one.body.mirrored is not None]
    mirrored = [one for one in told if one.body.mirrored]
    rule = "left and right are exchanged, or the axes are left-handed"
    remedy = "exchange the joints, or mirror one axis"
    if len(mirrored) > _MOST * len(told):
        yield Finding(severity="warning", rule=f"{rule} ({len(mirrored)} of {len(told)} sequences)", remedy=remedy)
    else:
        for one in mirrored:
            yield one.found(f"{rule}: the left hip lies on the right of the legs", remedy)
