"""Which place of the body each joint of a layout stands for, and where a place lies that a layout has no joint at.

Layouts name joints after bones, nodes or sensors, so one name may mean two places: `head` is the base of the skull in
SMPL and the middle of the head elsewhere, `wrist` is on the forearm in CMU's skeletons. Conversions go through places:

    pelvis           the root                           head             middle of the head, level with the forehead
    spine_low        a quarter of the way up the trunk  head_front, _back  forehead, back of the head
    spine_mid        half of it (T10)                   nose, eye, ear   as they are called
    thorax           six tenths of it (SMPL only)       collar           a third of the way from neck to shoulder
    chest            three quarters of it               forearm          two thirds of the way from elbow to wrist
    neck             where the trunk ends (C7)          palm, hand       within the hand, its middle
    skull_base       where the skull turns              fingertip, thumb ends
    toe_base         ball of the foot                   toe_tip          end of the toes

Others are called as everybody calls them. Conventions differ within a place by centimetres (docs/layouts.md).

Sources: for smpl24 the rest pose of Loper et al. 2015, for ntu25 the joints of the Kinect v2 sensor, for cmu31 and cmu38
bone lengths and bending of CMU's own files, for flag3d24 the tree of the release and the construction in `ui_prmd.py`.
"""

from collections.abc import Mapping

from flag3d_ray.skeleton import Layout

MIDLINE = (
    *("pelvis", "spine_low", "spine_mid", "thorax", "chest", "neck", "skull_base", "head", "head_front", "head_back"),
    "nose",
)
SIDED = (
    *("collar", "shoulder", "elbow", "forearm", "wrist", "palm", "hand", "fingertip", "thumb"),
    *("hip", "knee", "ankle", "toe_base", "toe_tip", "eye", "ear"),
)

RENAMED: Mapping[str, Mapping[str, str]] = {
    "flag3d24": {"spine1": "spine_low", "spine2": "spine_mid", "spine3": "chest", "toe": "toe_base"},
    "smpl24": {
        **{"spine1": "spine_low", "spine2": "spine_mid", "spine3": "thorax", "head": "skull_base"},
        "foot": "toe_base",
    },
    "ntu25": {"spine_shoulder": "neck", "neck": "skull_base", "hand_tip": "fingertip", "foot": "toe_base"},
    "coco17": {},
    "coco17_scored": {},
    # The bones lradius and lwrist lie in one line in every frame of CMU's exercises, and the arm bends again where lwrist
    # ends, by up to 47 degrees: that is the wrist. What follows is short: lfingers ends within the hand.
    "cmu31": {
        **{"spine1": "spine_low", "spine2": "spine_mid", "spine3": "chest", "neck_upper": "skull_base"},
        **{"wrist": "forearm", "hand": "wrist", "knuckle": "palm", "finger": "hand"},
        **{"foot": "toe_base", "toe": "toe_tip"},
    },
    # A node is where its bone begins, so names are one bone late. thorax and lwrist have no length in these files.
    "cmu38": {
        **{"spine_root": "pelvis", "leg_root": "pelvis", "spine1": "spine_low", "spine2": "spine_mid"},
        **{"neck": "spine_mid", "collar": "spine_mid", "neck_upper": "neck", "head": "skull_base", "head_top": "head"},
        **{"hand": "wrist", "finger": "palm", "finger_tip": "hand", "thumb": "wrist", "thumb_tip": "thumb"},
        **{"foot": "toe_base", "toe": "toe_tip"},
    },
}
"""Layout -> joints that are not the place of their name, without their side. A layout that is not listed has no places:
the markers of ui_prmd39 lie on the skin."""

RULES: tuple[tuple[str, Mapping[str, float]], ...] = (
    ("thorax", {"spine_mid": 0.6, "chest": 0.4}),
    ("chest", {"thorax": 0.6, "neck": 0.4}),
    ("chest", {"spine_mid": 0.5, "neck": 0.5}),
    ("spine_low", {"pelvis": 0.5, "spine_mid": 0.5}),
    ("skull_base", {"neck": 0.5, "head": 0.5}),
    ("head", {"skull_base": 2.0, "neck": -1.0}),
    ("head_front", {"head": 1.0}),
    ("head_back", {"head": 1.0}),
    ("collar", {"neck": 2 / 3, "shoulder": 1 / 3}),
    ("forearm", {"elbow": 1 / 3, "wrist": 2 / 3}),
    ("hand", {"wrist": 1.3, "elbow": -0.3}),
    ("palm", {"wrist": 0.5, "hand": 0.5}),
    ("fingertip", {"hand": 2.0, "wrist": -1.0}),
    ("thumb", {"hand": 1.0}),
    ("toe_tip", {"toe_base": 1.4, "ankle": -0.4}),
)
"""Place -> weights of places that it lies between, or, with a weight below 0, straight beyond. The first rule of which
all places are known holds. Heads and hands cannot turn so: the forehead falls on the head, the thumb on the hand."""


def places(layout: Layout) -> Mapping[str, str]:
    """Joint -> place, with its side, for the joints that stand for one."""
    if layout.name not in RENAMED:
        return {}
    found = {}
    for joint in layout.joints:
        side, _, part = joint.partition("_")
        name = part if side in ("left", "right") else joint
        place = RENAMED[layout.name].get(name, name)
        if place in SIDED:
            found[joint] = f"{side}_{place}"
        elif place in MIDLINE:
            found[joint] = place
    return found


def known_places(layout: Layout) -> Mapping[str, Mapping[str, float]]:
    """Place -> joints of the layout and their weights, which sum to 1. A single weight of 1 may still be a stand-in."""
    known: dict[str, Mapping[str, float]] = {}
    for joint, place in places(layout).items():
        known.setdefault(place, {joint: 1.0})
    while (found := _next(known)) is not None:
        place, weights = found
        known[place] = weights
    return known


def _next(known: Mapping[str, Mapping[str, float]]) -> tuple[str, Mapping[str, float]] | None:
    """The first place that a rule adds to those that are known, in joints."""
    for name, parts in RULES:
        for side in ("left_", "right_") if name in SIDED else ("",):
            place = side + name
            sided = {f"{side if part in SIDED else ''}{part}": weight for part, weight in parts.items()}
            if place not in known and sided.keys() <= known.keys():
                joints: dict[str, float] = {}
                for part, weight in sided.items():
                    for joint, share in known[part].items():
                        joints[joint] = joints.get(joint, 0.0) + weight * share
                return place, joints
    return None
