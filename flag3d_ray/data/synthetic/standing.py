"""The synthetic body standing with its arms a little off the trunk, in any layout: what pictures of layouts show.

Joints of flag3d24 are posed by forward kinematics. Other layouts take theirs from the same places of the body; a place
that flag3d24 has no joint at is interpolated by the rules of `body_places.py`, or stands at an offset given here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from flag3d_ray.data.body_places import SIDED, known_places, places
from flag3d_ray.data.synthetic.body import forward_kinematics, rest_offsets
from flag3d_ray.data.synthetic.poses import both, local_rotations, pose_vector
from flag3d_ray.skeleton import FLAG3D24, UI_PRMD39, Layout

POSE = both(arm_raise=56, elbow=14, hip_abd=5, hip_rot=10)

Offset = tuple[tuple[str, ...], tuple[float, float, float]]

OFFSETS: Mapping[str, Offset] = {
    "nose": (("head",), (0.0, 0.02, 0.11)),
    "eye": (("head",), (0.033, 0.055, 0.09)),
    "ear": (("head",), (0.075, 0.03, 0.0)),
    "thumb": (("hand",), (0.0, 0.01, 0.05)),
    "toe_tip": (("toe_base",), (0.01, 0.0, 0.06)),
}
"""Place -> places in whose middle it would be, and how far outwards (on the midline: to the left), up and forward of
it, in metres."""

MARKERS: Mapping[str, Offset] = {
    "front_head": (("head_front",), (0.07, 0.0, 0.0)),
    "back_head": (("head_back",), (0.07, 0.0, 0.0)),
    "c7": (("neck",), (0.0, 0.03, -0.07)),
    "clavicle": (("neck",), (0.0, -0.03, 0.07)),
    "t10": (("spine_mid",), (0.0, 0.0, -0.12)),
    "sternum": (("spine_mid",), (0.0, 0.0, 0.12)),
    "scapula": (("chest",), (-0.09, 0.03, -0.13)),
    "shoulder": (("shoulder",), (0.0, 0.05, 0.0)),
    "upper_arm": (("shoulder", "elbow"), (0.05, 0.03, 0.0)),
    "elbow": (("elbow",), (0.0, 0.0, 0.0)),
    "forearm": (("elbow", "wrist"), (0.03, 0.02, 0.0)),
    "wrist_thumb": (("wrist",), (0.0, 0.0, 0.03)),
    "wrist_pinky": (("wrist",), (0.0, 0.0, -0.03)),
    "finger": (("hand",), (0.01, 0.01, 0.0)),
    "asis": (("pelvis",), (0.13, 0.0, 0.10)),
    "psis": (("pelvis",), (0.045, 0.0, -0.10)),
    "thigh": (("hip", "knee"), (0.09, 0.0, 0.02)),
    "knee": (("knee",), (0.057, 0.0, 0.0)),
    "tibia": (("knee", "ankle"), (0.06, 0.0, 0.0)),
    "ankle": (("ankle",), (0.042, 0.0, 0.0)),
    "heel": (("ankle",), (0.0, -0.04, -0.07)),
    "toe": (("toe_base",), (0.0, 0.0, 0.0)),
}
"""The same for the markers of ui_prmd39, by where Plug-in-Gait glues them; their joints are those of the body again."""


@dataclass(frozen=True, eq=False)
class StandingBody:
    """Joints in metres, y up, facing +z, left at +x, the lowest at y = 0; `stand_ins` are not posed but placed."""

    joints_V3: Float32[np.ndarray, "V 3"]
    stand_ins: tuple[str, ...]


def standing_body(layout: Layout) -> StandingBody:
    """The body in a layout of this package; image layouts as 17 points in space.

    Raises:
        KeyError: a layout with joints that have no place.
    """
    at, posed = _places()
    place_of = places(layout)
    found, stand_ins = [], []
    for joint in layout.joints:
        if layout == UI_PRMD39:
            side, _, part = joint.partition("_") if joint.startswith(("left", "right")) else ("", "", joint)
            found.append(_beside(at, MARKERS[part], side))
        else:
            found.append(at[place_of[joint]])
        if place_of.get(joint) not in posed:
            stand_ins.append(joint)
    joints_V3 = np.stack(found)
    joints_V3[:, 1] -= joints_V3[:, 1].min()
    return StandingBody(joints_V3.astype(np.float32), tuple(stand_ins))


def _places() -> tuple[dict[str, Float[np.ndarray, " 3"]], set[str]]:
    """Every place of the body, and those that a joint of flag3d24 is at."""
    turned_TV33 = local_rotations(pose_vector(POSE)[None])
    body_V3 = forward_kinematics(turned_TV33, rest_offsets(), np.zeros((1, 3)))[0]
    at = {
        place: np.sum([weight * body_V3[FLAG3D24.index(joint)] for joint, weight in weights.items()], axis=0)
        for place, weights in known_places(FLAG3D24).items()
    }
    for part, offset in OFFSETS.items():
        if part in SIDED:
            at |= {f"{side}_{part}": _beside(at, offset, side) for side in ("left", "right")}
        else:
            at[part] = _beside(at, offset, "")
    return at, set(places(FLAG3D24).values())


def _beside(at: Mapping[str, np.ndarray], offset: Offset, side: str) -> Float[np.ndarray, " 3"]:
    anchors, shift = offset
    middle_3 = np.mean([at[f"{side}_{anchor}" if anchor in SIDED else anchor] for anchor in anchors], axis=0)
    return middle_3 + np.array(shift) * (-1 if side == "right" else 1, 1, 1)
