"""The postures that activities start from."""

from flag3d_ray.data.synthetic.activity import Posture
from flag3d_ray.data.synthetic.contact import Contacts
from flag3d_ray.data.synthetic.poses import Pose, both, left, reach, right

TOES = ("left_toe", "right_toe")
WRISTS = ("left_wrist", "right_wrist")
KNEES = ("left_knee", "right_knee")
SHOULDERS = ("left_shoulder", "right_shoulder")

_HANGING = both(arm_raise=9, elbow=8)
_SHANKS = ("left_ankle", "right_ankle", *TOES)
_HINGE: Pose = {"pitch": 1.0, "left_hip_flex": 1.0, "right_hip_flex": 1.0}
_HIPS = both(hip_flex=1.0)

STANDING = Posture(
    pose=_HANGING | both(hip_abd=3, hip_rot=6),
    contacts=Contacts(planted=TOES),
    lean=_HINGE,
    sag={"pitch": 0.6, "trunk_flex": -1.0},
    flat_feet=True,
)
# Nothing is planted: the feet leave the floor, and the pelvis stays over its place.
BOUNCING = Posture(pose=STANDING.pose, contacts=Contacts(), lean=_HINGE, sag=STANDING.sag)
BENT_OVER = Posture(
    pose={"pitch": 58} | both(hip_flex=70, knee=22, hip_abd=4, hip_rot=6, arm_raise=58, arm_plane=90, elbow=6),
    contacts=STANDING.contacts,
    lean=_HINGE,
    sag={"trunk_flex": 1.0},
    flat_feet=True,
)
ALL_FOURS = Posture(
    pose={"pitch": 80, "neck_flex": -20}
    | both(arm_raise=80, arm_plane=90, elbow=4)
    | both(hip_flex=80, knee=90, ankle=-70, hip_abd=2),
    contacts=Contacts(planted=WRISTS + KNEES, level=(WRISTS, KNEES), free=_SHANKS),
    lean={"trunk_flex": 1.2},
    sag=both(hip_flex=1.0) | {"trunk_flex": -0.6},
)
KNEELING_PLANK = Posture(
    pose={"pitch": 62, "neck_flex": -12} | both(arm_raise=78, arm_plane=78, elbow=4, hip_flex=4, knee=62, ankle=-65),
    contacts=Contacts(planted=WRISTS + KNEES, level=(WRISTS, KNEES)),
    lean={"trunk_flex": 1.2},
    sag=both(hip_flex=-1.0),
)
PLANK = Posture(
    pose={"pitch": 72, "neck_flex": -12} | both(arm_raise=75, arm_plane=78, elbow=4, ankle=5, hip_abd=2),
    contacts=Contacts(planted=WRISTS + TOES, level=(WRISTS, TOES)),
    lean={"trunk_flex": 1.2},
    sag=both(hip_flex=-1.0),
)
KNEELING = Posture(
    pose=_HANGING | both(knee=90, ankle=-65, hip_abd=3),
    contacts=Contacts(planted=KNEES, free=_SHANKS),
    lean=_HINGE,
    sag=both(hip_flex=1.0, knee=1.0),
)
SUPINE = Posture(
    pose={"pitch": -90} | both(arm_raise=14, arm_plane=-8, elbow=4, ankle=-25, hip_abd=4, hip_rot=12),
    contacts=Contacts(planted=("pelvis",)),
    looseness=0.35,
    lean={"trunk_flex": 1.0},
    sag=_HIPS,
)
SUPINE_KNEES_BENT = Posture(
    pose={"pitch": -90} | both(arm_raise=16, arm_plane=-8, elbow=4, hip_flex=50, knee=102, hip_abd=4),
    contacts=Contacts(planted=("pelvis", *TOES), free=_SHANKS),
    looseness=0.35,
    lean={"trunk_flex": 1.0},
    sag=_HIPS | {"pitch": 1.0},
    flat_feet=True,
)
PRONE = Posture(
    pose={"pitch": 90} | both(arm_raise=14, elbow=6, ankle=-70, hip_abd=4),
    contacts=Contacts(planted=("pelvis",), free=WRISTS),
    looseness=0.35,
    lean={"trunk_flex": -1.0},
    sag=_HIPS,
)
SITTING = Posture(
    pose={"pitch": -6} | both(arm_raise=70, arm_plane=88, elbow=6, hip_flex=128, knee=92, hip_abd=4),
    contacts=Contacts(planted=("pelvis", *TOES), free=_SHANKS),
    looseness=0.35,
    lean={"pitch": 1.0, "left_hip_flex": 1.0, "right_hip_flex": 1.0},
    sag=_HIPS,
    flat_feet=True,
)
_UNDER_HEAD = {"arm_raise": 165, "arm_plane": 20, "elbow": 10}
_IN_FRONT = reach(-0.40, -0.10, 0.24, elbow=(0.3, 0.0, 1.0))
# The shoulders are wider than the hips: at 83 degrees both touch the floor.
SIDE_LYING_LEFT = Posture(
    pose={"roll": 83, "neck_side": 8}
    | left(**_UNDER_HEAD)
    | right(**_IN_FRONT)
    | both(ankle=-20)
    | left(hip_abd=-7)
    | right(hip_abd=2),
    contacts=Contacts(planted=("pelvis",)),
    looseness=0.35,
    lean={"trunk_flex": 1.0},
    sag={"roll": -0.3, "trunk_side": 1.0},
)
SIDE_LYING_RIGHT = Posture(
    pose={"roll": -83, "neck_side": -8}
    | right(**_UNDER_HEAD)
    | left(**_IN_FRONT)
    | both(ankle=-20)
    | right(hip_abd=-7)
    | left(hip_abd=2),
    contacts=Contacts(planted=("pelvis",)),
    looseness=0.35,
    lean={"trunk_flex": 1.0},
    sag={"roll": 0.3, "trunk_side": -1.0},
)
