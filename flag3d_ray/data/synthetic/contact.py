"""Contact with the floor: the body is turned, placed and its planted hands and feet are held where they stand.

Forward kinematics knows no floor. Closed-form steps on joint positions: the body is levelled (two groups of joints
touch the floor at once), moved so that what is planted stays, dropped until its lowest joint touches the floor, and the
limbs that end at a planted hand or foot are bent anew (two-bone inverse kinematics) so that it does not slide.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flag3d_ray.skeleton import FLAG3D24

_RADII = {"pelvis": 0.1, "spine": 0.1, "neck": 0.09, "head": 0.09, "collar": 0.09, "shoulder": 0.09, "elbow": 0.04}
_RADII |= {"wrist": 0.03, "hip": 0.09, "knee": 0.055, "ankle": 0.08, "toe": 0.03, "front": 0.03, "back": 0.03}


def _radius(name: str) -> float:
    return _RADII[name.rpartition("_")[2].rstrip("123")]


# Height of a joint above what it rests on, in metres.
RADIUS = np.array([_radius(name) for name in FLAG3D24.joints])
_LIMBS = {
    f"{side}_{end}": tuple(FLAG3D24.index(f"{side}_{joint}") for joint in chain)
    for side in ("left", "right")
    for end, chain in {"wrist": ("shoulder", "elbow", "wrist"), "toe": ("hip", "knee", "ankle", "toe")}.items()
}

# The ankle stands above the sole: a flat foot's line from ankle to toe falls by this angle.
_SOLE_SLOPE = -float(np.arctan2(0.05, 0.15))


@dataclass(frozen=True)
class Contacts:
    """What touches the floor: joint names.

    `planted` stays in place on average, and exactly where it is a wrist or a toe; empty lets the pelvis stay (jumps).
    `level` holds two groups, towards the head and towards the feet, that both touch the floor; empty leaves it.
    `free` do not carry the body: hands that follow the trunk, shanks behind the knees of who kneels.
    """

    planted: tuple[str, ...] = ()
    level: tuple[tuple[str, ...], tuple[str, ...]] | tuple[()] = ()
    free: tuple[str, ...] = ()


def levelled(
    joints_TV3: Float[np.ndarray, "T V 3"], weights_TV: Float[np.ndarray, "T V"], contacts: Contacts
) -> Float[np.ndarray, " T"]:
    """Angle in radians about the lateral axis (x) that brings the planted joints of both level groups to the floor."""
    centres = []
    for group in contacts.level:
        joints = [FLAG3D24.index(joint) for joint in group]
        weights_TG1 = weights_TV[:, joints, None] + 1e-6
        points_TG3 = joints_TV3[:, joints] - RADIUS[joints][:, None] * (0, 1, 0)
        centres.append((weights_TG1 * points_TG3).sum(axis=1) / weights_TG1.sum(axis=1))
    span_T3 = centres[0] - centres[1]
    return np.arctan2(span_T3[:, 1], span_T3[:, 2]) - np.where(span_T3[:, 2] > 0, 0.0, np.pi)


def turned_about_x(vectors: Float[np.ndarray, "T V 3"], angle_T: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T V 3"]:
    """Vectors of each frame turned about the x axis."""
    c, s = np.cos(angle_T)[:, None], np.sin(angle_T)[:, None]
    y, z = vectors[..., 1], vectors[..., 2]
    return np.stack([vectors[..., 0], c * y - s * z, s * y + c * z], axis=-1)


def placed(
    joints_TV3: Float[np.ndarray, "T V 3"], weights_TV: Float[np.ndarray, "T V"], contacts: Contacts
) -> tuple[Float[np.ndarray, "T V 3"], Float[np.ndarray, "V 3"]]:
    """The body on the floor with its planted joints in place, and where each joint is at home: the place in frame 0.

    `weights_TV` is 1 where a joint is planted; the horizontal position is the one with the least mean slip.
    """
    home_V3 = joints_TV3[0] - joints_TV3[0, FLAG3D24.root]
    # Feet and knees decide: arms can make up for the rest, straight legs cannot.
    votes_TV = weights_TV.copy()
    votes_TV[:, [FLAG3D24.index(wrist) for wrist in ("left_wrist", "right_wrist")]] *= 1e-3
    total_T1 = votes_TV.sum(axis=1, keepdims=True)
    share_TV = votes_TV / np.maximum(total_T1, 1e-9)
    slip_T3 = np.einsum("tv,tvc->tc", share_TV, joints_TV3 - home_V3)
    slip_T3 = np.where(total_T1 > 0, slip_T3, joints_TV3[:, FLAG3D24.root])
    carrying = [joint for joint, name in enumerate(FLAG3D24.joints) if name not in contacts.free]
    slip_T3[:, 1] = (joints_TV3[:, carrying, 1] - RADIUS[carrying]).min(axis=1)
    placed_TV3 = joints_TV3 - slip_T3[:, None]
    home_V3 = placed_TV3[0].copy()
    ends = [FLAG3D24.index(end) for end in _LIMBS]
    home_V3[ends, 1] = RADIUS[ends]
    return placed_TV3, home_V3


def flatten_feet(
    joints_TV3: Float[np.ndarray, "T V 3"],
    turned_TV33: Float[np.ndarray, "T V 3 3"],
    ankles_T2: Float[np.ndarray, "T 2"],
    weights_TV: Float[np.ndarray, "T V"],
) -> None:
    """Lay planted feet flat, in place: they point where the shank faces, with the toes up by `ankles_T2` (radians)."""
    for foot, side in enumerate(("left", "right")):
        knee, ankle, toe = (FLAG3D24.index(f"{side}_{joint}") for joint in ("knee", "ankle", "toe"))
        sole_T3 = joints_TV3[:, toe] - joints_TV3[:, ankle]
        length_T1 = _length(sole_T3)
        facing_T3 = turned_TV33[:, knee, :, 2] * (1.0, 0.0, 1.0)
        facing_T3 /= _length(facing_T3)
        slope_T1 = (ankles_T2[:, foot] + _SOLE_SLOPE)[:, None]
        flat_T3 = length_T1 * (np.cos(slope_T1) * facing_T3 + np.sin(slope_T1) * (0.0, 1.0, 0.0))
        sole_T3 += weights_TV[:, toe, None] * (flat_T3 - sole_T3)
        joints_TV3[:, toe] = joints_TV3[:, ankle] + length_T1 * sole_T3 / _length(sole_T3)


def lift_shanks(joints_TV3: Float[np.ndarray, "T V 3"], contacts: Contacts) -> None:
    """Turn, in place, free shanks that would sink into the floor about their knees until they lie on it."""
    for side in ("left", "right"):
        if f"{side}_ankle" not in contacts.free:
            continue
        knee, ankle, toe = (FLAG3D24.index(f"{side}_{joint}") for joint in ("knee", "ankle", "toe"))
        shank_T3 = joints_TV3[:, ankle] - joints_TV3[:, knee]
        length_T = np.linalg.norm(shank_T3, axis=1)
        lifted_T3 = shank_T3.copy()
        lifted_T3[:, 1] = np.maximum(shank_T3[:, 1], RADIUS[ankle] - joints_TV3[:, knee, 1])
        flat_T = np.sqrt(np.maximum(length_T**2 - lifted_T3[:, 1] ** 2, 1e-9))
        lifted_T3[:, ::2] *= (flat_T / np.maximum(np.hypot(shank_T3[:, 0], shank_T3[:, 2]), 1e-9))[:, None]
        joints_TV3[:, [ankle, toe]] += (lifted_T3 - shank_T3)[:, None]
        joints_TV3[:, toe, 1] = np.maximum(joints_TV3[:, toe, 1], RADIUS[toe])


def hold_limbs(
    joints_TV3: Float[np.ndarray, "T V 3"],
    poles_TV3: Float[np.ndarray, "T V 3"],
    home_V3: Float[np.ndarray, "V 3"],
    weights_TV: Float[np.ndarray, "T V"],
    moved_TV3: Float[np.ndarray, "T V 3"],
) -> None:
    """Bend arms and legs, in place, so that planted wrists and toes stay at `home_V3 + moved_TV3`.

    `poles_TV3` is the direction in which the middle joint of a limb points (elbows back, knees forward). A foot
    keeps its orientation; what is out of reach straightens the limb. Hands and feet never sink into the floor.
    """
    for end, chain in _LIMBS.items():
        joint = FLAG3D24.index(end)
        pull_T3 = weights_TV[:, joint, None] * (home_V3[joint] + moved_TV3[:, joint] - joints_TV3[:, joint])
        pull_T3[:, 1] = np.maximum(pull_T3[:, 1], RADIUS[joint] - joints_TV3[:, joint, 1])
        if not pull_T3.any():
            continue
        _bend(joints_TV3, chain, pull_T3, poles_TV3[:, chain[1]])


def _bend(
    joints_TV3: Float[np.ndarray, "T V 3"],
    chain: tuple[int, ...],
    pull_T3: Float[np.ndarray, "T 3"],
    pole_T3: Float[np.ndarray, "T 3"],
) -> None:
    start, middle, end, *beyond = chain
    upper_T1 = _length(joints_TV3[:, middle] - joints_TV3[:, start])
    lower_T1 = _length(joints_TV3[:, end] - joints_TV3[:, middle])
    reach_T3 = joints_TV3[:, end] + pull_T3 - joints_TV3[:, start]
    far_T1 = _length(reach_T3)
    axis_T3 = reach_T3 / far_T1
    far_T1 = np.clip(far_T1, abs(upper_T1 - lower_T1) + 1e-3, upper_T1 + lower_T1 - 1e-6)
    along_T1 = (upper_T1**2 - lower_T1**2 + far_T1**2) / (2 * far_T1)
    aside_T1 = np.sqrt(np.maximum(upper_T1**2 - along_T1**2, 0.0))
    side_T3 = pole_T3 - (pole_T3 * axis_T3).sum(axis=1, keepdims=True) * axis_T3
    side_T3 = side_T3 / np.maximum(_length(side_T3), 1e-6)
    begin_T3 = joints_TV3[:, start]
    stretched_T3 = begin_T3 + far_T1 * axis_T3
    for joint in beyond:
        joints_TV3[:, joint] += stretched_T3 - joints_TV3[:, end]
    joints_TV3[:, middle] = begin_T3 + along_T1 * axis_T3 + aside_T1 * side_T3
    joints_TV3[:, end] = stretched_T3


def _length(vectors_T3: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 1"]:
    return np.maximum(np.linalg.norm(vectors_T3, axis=1, keepdims=True), 1e-6)
