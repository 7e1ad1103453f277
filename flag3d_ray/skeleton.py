"""Joint layouts: names, parents, mirror pairs. Joint indices are 0-based here; the paper's numbering is 1-based."""

from dataclasses import dataclass
from functools import cached_property

from flag3d_ray.errors import DataError


@dataclass(frozen=True)
class Layout:
    """A skeleton: joint names, the parent of each joint (-1 at the root) and the coordinates per joint."""

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    channels: int = 3

    def __post_init__(self) -> None:
        if len(self.joints) != len(self.parents) or self.parents.count(-1) != 1:
            raise ValueError(f"{self.name}: {len(self.joints)} joints need as many parents, one of them -1")

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def root(self) -> int:
        """Index of the root joint."""
        return self.parents.index(-1)

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """(child, parent) for every joint but the root."""
        return tuple((child, parent) for child, parent in enumerate(self.parents) if parent >= 0)

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """The joint on the other side for each joint, itself on the midline."""
        swap = {"left": "right", "right": "left"}
        partner = []
        for name in self.joints:
            side, _, rest = name.partition("_")
            partner.append(self.index(f"{swap[side]}_{rest}" if side in swap else name))
        return tuple(partner)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Joints from the root outwards: each stands after its parent."""
        done: list[int] = [self.root]
        for joint in done:
            done.extend(child for child, parent in self.edges if parent == joint)
        return tuple(done)

    def index(self, joint: str) -> int:
        """Index of a joint by name; ValueError if the layout has none of that name."""
        return self.joints.index(joint)


def _sided(*names: str) -> tuple[str, ...]:
    return tuple(f"{side}_{name}" for name in names for side in ("left", "right"))


# The release names no joints; the tree is its edge list, the names and "odd is left from joint 9 on" are ours.
FLAG3D24 = Layout(
    "flag3d24",
    (
        *("pelvis", "spine1", "spine2", "spine3", "neck", "head", "head_front", "head_back"),
        *_sided("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toe"),
    ),
    (-1, 0, 1, 2, 3, 4, 5, 5, 4, 4, 8, 9, 10, 11, 12, 13, 0, 0, 16, 17, 18, 19, 20, 21),
)

SMPL24 = Layout(
    "smpl24",
    (
        *(
            "pelvis",
            "left_hip",
            "right_hip",
            "spine1",
            "left_knee",
            "right_knee",
            "spine2",
            "left_ankle",
            "right_ankle",
        ),
        *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head"),
        *_sided("shoulder", "elbow", "wrist", "hand"),
    ),
    (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21),
)

NTU25 = Layout(
    "ntu25",
    (
        *("pelvis", "spine_mid", "neck", "head", "left_shoulder", "left_elbow", "left_wrist", "left_hand"),
        *("right_shoulder", "right_elbow", "right_wrist", "right_hand"),
        *("left_hip", "left_knee", "left_ankle", "left_foot", "right_hip", "right_knee", "right_ankle", "right_foot"),
        *("spine_shoulder", "left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb"),
    ),
    (-1, 0, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 7, 7, 11, 11),
)

COCO17 = Layout(
    "coco17",
    ("nose", *_sided("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")),
    (-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
    channels=2,
)

COCO17_SCORED = Layout("coco17_scored", COCO17.joints, COCO17.parents, channels=3)
"""COCO17 with the detector's score of each joint, in [0, 1], as third channel: what networks on detected poses read."""

# Acclaim names bones; a joint here is the far end of its bone, in the order of CMU's .asf files.
CMU31 = Layout(
    "cmu31",
    (
        *("pelvis", "left_hip", "left_knee", "left_ankle", "left_foot", "left_toe"),
        *("right_hip", "right_knee", "right_ankle", "right_foot", "right_toe"),
        *("spine1", "spine2", "spine3", "neck", "neck_upper", "head"),
        *("left_shoulder", "left_elbow", "left_wrist", "left_hand", "left_knuckle", "left_finger", "left_thumb"),
        *("right_shoulder", "right_elbow", "right_wrist", "right_hand", "right_knuckle", "right_finger", "right_thumb"),
    ),
    (-1, 0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 0, 11, 12, 13, 14, 15, 13, 17, 18, 19, 20, 21, 20, 13, 24, 25, 26, 27, 28, 27),
)

# Nodes of Hahne's BVH conversion of CMU's captures. Where a bone of length 0 begins, two nodes stand at one place.
CMU38 = Layout(
    "cmu38",
    (
        *("pelvis", "left_leg_root", "left_hip", "left_knee", "left_ankle", "left_foot", "left_toe"),
        *("right_leg_root", "right_hip", "right_knee", "right_ankle", "right_foot", "right_toe"),
        *("spine_root", "spine1", "spine2", "neck", "neck_upper", "head", "head_top"),
        *("left_collar", "left_shoulder", "left_elbow", "left_wrist", "left_hand"),
        *("left_finger", "left_finger_tip", "left_thumb", "left_thumb_tip"),
        *("right_collar", "right_shoulder", "right_elbow", "right_wrist", "right_hand"),
        *("right_finger", "right_finger_tip", "right_thumb", "right_thumb_tip"),
    ),
    (
        *(-1, 0, 1, 2, 3, 4, 5, 0, 7, 8, 9, 10, 11, 0, 13, 14, 15, 16, 17, 18),
        *(15, 20, 21, 22, 23, 24, 25, 23, 27, 15, 29, 30, 31, 32, 33, 34, 32, 36),
    ),
)

# UI-PRMD's Plug-in-Gait markers in the order of its reader's MARKERS: points on the skin, and a tree to draw them by.
# scapula (RBAK) is on the right one and has no partner, so in a mirrored recording it is on the left one.
UI_PRMD39 = Layout(
    "ui_prmd39",
    (
        *_sided("front_head", "back_head"),
        *("c7", "t10", "clavicle", "sternum", "scapula"),
        *(
            f"{side}_{name}"
            for side in ("left", "right")
            for name in ("shoulder", "upper_arm", "elbow", "forearm", "wrist_thumb", "wrist_pinky", "finger")
        ),
        *_sided("asis", "psis"),
        *(
            f"{side}_{name}"
            for side in ("left", "right")
            for name in ("thigh", "knee", "tibia", "ankle", "heel", "toe")
        ),
    ),
    (
        *(2, 3, 4, 4, 5, -1, 4, 5, 4),
        *(4, 9, 10, 11, 12, 12, 12, 4, 16, 17, 18, 19, 19, 19),
        *(25, 26, 5, 5),
        *(23, 27, 28, 29, 30, 30, 24, 33, 34, 35, 36, 36),
    ),
)

LAYOUTS = (FLAG3D24, SMPL24, NTU25, COCO17, COCO17_SCORED, CMU31, CMU38, UI_PRMD39)


def layout(name: str) -> Layout:
    """The layout of that name.

    Raises:
        DataError: no layout has that name; the message lists those that exist.
    """
    for known in LAYOUTS:
        if known.name == name:
            return known
    names = ", ".join(known.name for known in LAYOUTS)
    raise DataError(
        where=f"layout {name!r}", rule="unknown joint layout", remedy=f"convert the joints to one of: {names}"
    )
