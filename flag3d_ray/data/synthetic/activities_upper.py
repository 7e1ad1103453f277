"""Activities of chest, back, shoulder and arm (A001 to A025)."""

import numpy as np

from flag3d_ray.data.synthetic.activity import Activity, Distractor, Key, left_and_right, there_and_back
from flag3d_ray.data.synthetic.poses import Pose, both, left, reach, right
from flag3d_ray.data.synthetic.postures import (
    BENT_OVER,
    KNEELING_PLANK,
    PLANK,
    PRONE,
    STANDING,
    SUPINE,
    SUPINE_KNEES_BENT,
)

LOOKING_AROUND = Distractor({"neck_twist": 14, "neck_flex": 6}, rate=None)
NODDING_ALONG = Distractor({"neck_flex": 9}, rate=0.6)
SHIFTING_WEIGHT = Distractor({"shift_x": 0.025, "roll": 1.5}, rate=0.4)

_FLY = {"arm_raise": 85, "elbow": 14}
_GOALPOST_UP = {"arm_raise": 90, "arm_plane": 0, "arm_twist": -88, "elbow": 90}
_GOALPOST_DOWN = {"arm_raise": 90, "arm_plane": 0, "arm_twist": 85, "elbow": 90}
_OVERHEAD = {"arm_raise": 172, "arm_plane": 10, "elbow": 8}
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
        start=both(**_GOALPOST_UP),
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


def _circles(forward: bool) -> tuple[Key, ...]:
    """Arm circles about the horizontal arm, from the top; forward circles pass the front on the way down."""
    sign = 1 if forward else -1
    turns = np.arange(8) / 8
    return tuple(
        Key(
            float(phase),
            both(
                arm_raise=84 + 17 * float(np.cos(2 * np.pi * phase)),
                arm_plane=sign * 19 * float(np.sin(2 * np.pi * phase)),
                elbow=4,
            ),
        )
        for phase in turns
    )


_BESIDE = both(arm_raise=12, arm_plane=20, elbow=3)
_ALONG_FLOOR = both(arm_raise=92, arm_plane=2, elbow=3)
_BEYOND_HEAD = both(arm_raise=168, arm_plane=20, elbow=3)
_OVER_CHEST = both(arm_raise=90, arm_plane=88, elbow=3)

SHOULDER = (
    Activity(
        action_id="A013",
        name="Lateral Raise Forward Circles",
        body_part="shoulder",
        seconds=1.4,
        posture=STANDING,
        keys=_circles(forward=True),
        distractors=(LOOKING_AROUND,),
    ),
    Activity(
        action_id="A014",
        name="Lateral Raise Backward Circles",
        body_part="shoulder",
        seconds=1.4,
        posture=STANDING,
        keys=_circles(forward=False),
        distractors=(SHIFTING_WEIGHT,),
    ),
    Activity(
        action_id="A015",
        name="Lying Shoulder Joint Upward Round",
        body_part="shoulder",
        seconds=4.0,
        posture=SUPINE,
        start=_BESIDE,
        keys=(
            Key(0.0, {}),
            Key(0.05, {}),
            Key(0.28, _ALONG_FLOOR),
            Key(0.48, _BEYOND_HEAD),
            Key(0.54, both(arm_raise=168, arm_plane=60, elbow=3)),
            Key(0.74, _OVER_CHEST),
            Key(0.95, {}),
        ),
        amplitude_limit=1.05,
    ),
    Activity(
        action_id="A016",
        name="Lying Shoulder Joint Downward Round",
        body_part="shoulder",
        seconds=4.0,
        posture=SUPINE,
        start=_BESIDE,
        keys=(
            Key(0.0, {}),
            Key(0.05, {}),
            Key(0.26, _OVER_CHEST),
            Key(0.46, both(arm_raise=168, arm_plane=60, elbow=3)),
            Key(0.52, _BEYOND_HEAD),
            Key(0.72, _ALONG_FLOOR),
            Key(0.95, {}),
        ),
        amplitude_limit=1.05,
        distractors=(LOOKING_AROUND,),
    ),
    Activity(
        action_id="A017",
        name="Bare-handed Full Lateral Raise",
        body_part="shoulder",
        seconds=2.8,
        posture=STANDING,
        start=both(elbow=4),
        keys=there_and_back(both(arm_raise=176, elbow=4)),
        amplitude_limit=1.04,
        leans_back=True,
    ),
    Activity(
        action_id="A018",
        name="Bare-handed Cuban Press",
        body_part="shoulder",
        seconds=4.0,
        posture=STANDING,
        start=both(**_GOALPOST_DOWN),
        keys=(
            Key(0.0, {}),
            Key(0.04, {}),
            Key(0.26, both(**_GOALPOST_UP)),
            Key(0.30, both(**_GOALPOST_UP)),
            Key(0.48, both(**_OVERHEAD, arm_twist=-88)),
            Key(0.54, both(**_OVERHEAD, arm_twist=-88)),
            Key(0.72, both(**_GOALPOST_UP)),
            Key(0.76, both(**_GOALPOST_UP)),
            Key(0.97, {}),
        ),
        amplitude_limit=1.03,
    ),
    Activity(
        action_id="A019",
        name="Fortune Cat",
        body_part="shoulder",
        seconds=2.4,
        posture=STANDING,
        start=both(**_GOALPOST_DOWN),
        keys=there_and_back(both(**_GOALPOST_UP)),
        distractors=(LOOKING_AROUND, SHIFTING_WEIGHT),
    ),
)

_CURLED = {"arm_raise": 14, "arm_plane": 80, "elbow": 138}
_ON_THIGH = left(**reach(0.06, -0.36, 0.22, elbow=(0.8, 0.0, -0.6)))
_SPLIT: Pose = left(hip_flex=92, knee=46) | right(hip_flex=56, knee=14)
_UPPER_ARM_BACK = {"arm_raise": 16, "arm_plane": -72}


def _clasped_circle() -> tuple[Key, ...]:
    keys = []
    for phase in np.arange(8) / 8:
        aside, up = 0.075 * float(np.sin(2 * np.pi * phase)), 0.085 * float(np.cos(2 * np.pi * phase))
        hands = left(**reach(-0.15 + aside, -0.15 + up, 0.24)) | right(**reach(-0.15 - aside, -0.15 + up, 0.24))
        keys.append(Key(float(phase), hands))
    return tuple(keys)


ARM = (
    Activity(
        action_id="A020",
        name="Dumbbell Curls",
        body_part="arm",
        seconds=2.6,
        posture=STANDING,
        start=both(arm_raise=8, arm_plane=60, elbow=6),
        keys=there_and_back(both(**_CURLED)),
        leans_back=True,
        distractors=(LOOKING_AROUND,),
    ),
    Activity(
        action_id="A021",
        name="Alternate Dumbbell Curls",
        body_part="arm",
        seconds=4.2,
        posture=STANDING,
        start=both(arm_raise=8, arm_plane=60, elbow=6),
        keys=left_and_right(left(**_CURLED), right(**_CURLED)),
        strokes=2,
        distractors=(SHIFTING_WEIGHT,),
    ),
    Activity(
        action_id="A022",
        name="Right-side Kettlebell Bent-over Row",
        body_part="arm",
        seconds=2.5,
        posture=BENT_OVER,
        start=_SPLIT | _ON_THIGH,
        keys=there_and_back(right(arm_raise=44, arm_plane=-78, elbow=98)),
    ),
    Activity(
        action_id="A023",
        name="Wrist Joint Warm-up",
        body_part="arm",
        seconds=1.6,
        posture=STANDING,
        keys=_clasped_circle(),
        distractors=(LOOKING_AROUND, SHIFTING_WEIGHT),
    ),
    Activity(
        action_id="A024",
        name="Right-side Bent-over Tricep Extension With Resistance Band",
        body_part="arm",
        seconds=2.4,
        posture=BENT_OVER,
        start=_SPLIT | _ON_THIGH | right(**_UPPER_ARM_BACK, elbow=92),
        keys=there_and_back(right(**_UPPER_ARM_BACK, elbow=4)),
        distractors=(NODDING_ALONG,),
    ),
    Activity(
        action_id="A025",
        name="Bent-over Dumbbell Tricep Extension",
        body_part="arm",
        seconds=2.5,
        posture=BENT_OVER,
        start=both(**_UPPER_ARM_BACK, elbow=92),
        keys=there_and_back(both(**_UPPER_ARM_BACK, elbow=4)),
        leans_back=True,
    ),
)

UPPER_BODY = CHEST + BACK + SHOULDER + ARM
