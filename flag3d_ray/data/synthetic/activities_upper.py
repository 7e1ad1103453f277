"""Activities of chest and back (A001 to A012)."""

from flag3d_ray.data.synthetic.activity import Activity, Distractor, Key, there_and_back
from flag3d_ray.data.synthetic.poses import both, reach
from flag3d_ray.data.synthetic.postures import (
    BENT_OVER,
    KNEELING_PLANK,
    PLANK,
    PRONE,
    STANDING,
    SUPINE_KNEES_BENT,
)

LOOKING_AROUND = Distractor({"neck_twist": 14, "neck_flex": 6}, rate=None)
NODDING_ALONG = Distractor({"neck_flex": 9}, rate=0.6)
SHIFTING_WEIGHT = Distractor({"shift_x": 0.025, "roll": 1.5}, rate=0.4)

_FLY = {"arm_raise": 85, "elbow": 14}
GOALPOST_UP = {"arm_raise": 90, "arm_plane": 0, "arm_twist": -88, "elbow": 90}
_LOWERED = both(**reach(0.16, -0.12, 0.20, elbow=(1.0, -0.3, -0.6)))

CHEST = (
    Activity(
        action_id="A001",
        name="Svend Press",
        body_part="chest",
        seconds=2.8,
        posture=STANDING,
        start=both(**reach(-0.16, -0.12, 0.17)),
        keys=there_and_back(both(**reach(-0.16, -0.08, 0.47))),
        amplitude_limit=1.0,
        distractors=(LOOKING_AROUND,),
    ),
    Activity(
        action_id="A002",
        name="Kneeling Push-ups",
        body_part="chest",
        seconds=2.4,
        posture=KNEELING_PLANK,
        keys=there_and_back(_LOWERED, reached=0.48, held=0.04),
    ),
    Activity(
        action_id="A003",
        name="Standing Straight-arm Chest Press With Resistance Band",
        body_part="chest",
        seconds=3.0,
        posture=STANDING,
        start=both(arm_raise=84, arm_plane=2, elbow=6),
        keys=there_and_back(both(arm_raise=84, arm_plane=104, elbow=6)),
        amplitude_limit=1.03,
        distractors=(NODDING_ALONG,),
    ),
    Activity(
        action_id="A004",
        name="Small Dumbbell Floor Flies",
        body_part="chest",
        seconds=3.4,
        posture=SUPINE_KNEES_BENT,
        start=both(**_FLY, arm_plane=96),
        keys=there_and_back(both(**_FLY, arm_plane=4)),
        amplitude_limit=1.05,
    ),
    Activity(
        action_id="A005",
        name="Chest Fly",
        body_part="chest",
        seconds=2.6,
        posture=STANDING,
        start=both(**GOALPOST_UP),
        keys=there_and_back(both(arm_raise=92, arm_plane=98, arm_twist=6, elbow=90)),
        amplitude_limit=1.04,
    ),
    Activity(
        action_id="A006",
        name="Push-ups",
        body_part="chest",
        seconds=2.1,
        posture=PLANK,
        keys=there_and_back(_LOWERED, reached=0.48, held=0.04),
    ),
)

BACK = (
    Activity(
        action_id="A007",
        name="Bent-over W-shape Stretch",
        body_part="back",
        seconds=3.2,
        posture=BENT_OVER,
        keys=there_and_back(both(arm_raise=50, arm_plane=-22, arm_twist=-80, elbow=112)),
        distractors=(NODDING_ALONG,),
        leans_back=True,
    ),
    Activity(
        action_id="A008",
        name="Bent-over Y-shape Stretch",
        body_part="back",
        seconds=3.2,
        posture=BENT_OVER,
        keys=there_and_back(both(arm_raise=148, arm_plane=32, elbow=5)),
    ),
    Activity(
        action_id="A009",
        name="Bent-over A-shape Stretch",
        body_part="back",
        seconds=2.8,
        posture=BENT_OVER,
        keys=(
            Key(0.0, {}),
            Key(0.22, both(arm_raise=26, arm_plane=48, elbow=5)),
            Key(0.46, both(arm_raise=34, arm_plane=-42, elbow=3)),
            Key(0.56, both(arm_raise=34, arm_plane=-42, elbow=3)),
            Key(0.76, both(arm_raise=26, arm_plane=48, elbow=5)),
            Key(0.96, {}),
        ),
        leans_back=True,
    ),
    Activity(
        action_id="A010",
        name="Squat With Arm Lift",
        body_part="back",
        seconds=3.0,
        posture=STANDING,
        start=both(hip_abd=8, hip_rot=14, arm_plane=70),
        keys=there_and_back(
            {"pitch": 34} | both(hip_flex=100, knee=98, hip_abd=14, arm_raise=168, arm_plane=76, elbow=5)
        ),
    ),
    Activity(
        action_id="A011",
        name="Breaststroke Arm Pull",
        body_part="back",
        seconds=2.8,
        posture=STANDING,
        start={"pitch": 22} | both(hip_flex=27, knee=10, **reach(-0.15, 0.02, 0.48)),
        keys=(
            Key(0.0, {}),
            Key(0.06, {}),
            Key(0.3, both(arm_raise=86, arm_plane=20, arm_twist=20, elbow=18)),
            Key(0.5, both(arm_raise=52, arm_plane=-38, arm_twist=-10, elbow=112)),
            Key(0.58, both(arm_raise=46, arm_plane=-30, arm_twist=0, elbow=122)),
            Key(0.74, both(**reach(-0.13, -0.12, 0.22, elbow=(0.6, -1.0, 0.0)))),
            Key(0.94, {}),
        ),
        turn=0.54,
        amplitude_limit=1.04,
    ),
    Activity(
        action_id="A012",
        name="Prone Y-shape Stretch",
        body_part="back",
        seconds=2.8,
        posture=PRONE,
        start=both(arm_raise=146, arm_plane=10, elbow=4),
        keys=there_and_back({"trunk_flex": -16, "neck_flex": -8} | both(arm_raise=146, arm_plane=-48, elbow=4)),
        distractors=(Distractor(both(hip_flex=-3, knee=8), rate=None),),
    ),
)

TORSO = CHEST + BACK
