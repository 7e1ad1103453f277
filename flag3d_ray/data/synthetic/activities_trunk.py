"""Activities of neck, abdomen and waist (A026 to A042)."""

from flag3d_ray.data.synthetic.activity import Activity, Distractor, Key, left_and_right, there_and_back
from flag3d_ray.data.synthetic.poses import both, left, reach, right
from flag3d_ray.data.synthetic.postures import (
    ALL_FOURS,
    BENT_OVER,
    KNEES,
    PRONE,
    SHOULDERS,
    SITTING,
    STANDING,
    SUPINE,
    SUPINE_KNEES_BENT,
    TOES,
    WRISTS,
)

RESTLESS_ARMS = Distractor(both(arm_raise=8, elbow=16), rate=None)

NECK = (
    Activity(
        action_id="A026",
        name="Nod And Raise Head",
        body_part="neck",
        seconds=3.4,
        posture=STANDING,
        keys=left_and_right({"neck_flex": 52}, {"neck_flex": -46}),
        strokes=2,
        distractors=(RESTLESS_ARMS,),
    ),
    Activity(
        action_id="A027",
        name="Two-way Head Turn",
        body_part="neck",
        seconds=4.2,
        posture=STANDING,
        keys=left_and_right({"neck_twist": 76}, {"neck_twist": -76}),
        strokes=2,
        distractors=(RESTLESS_ARMS,),
    ),
    Activity(
        action_id="A028",
        name="Shrug And Sink The Shoulders",
        body_part="neck",
        seconds=2.6,
        posture=STANDING,
        start=both(elbow=4),
        keys=(
            Key(0.0, {}),
            Key(0.36, both(shrug=34, elbow=4)),
            Key(0.48, both(shrug=34, elbow=4)),
            Key(0.80, both(shrug=-13, elbow=1)),
            Key(0.88, both(shrug=-13, elbow=1)),
        ),
        turn=0.42,
    ),
    Activity(
        action_id="A029",
        name="Four-way Nod Head",
        body_part="neck",
        seconds=6.0,
        posture=STANDING,
        keys=(
            Key(0.0, {}),
            Key(0.125, {"neck_flex": 48}),
            Key(0.25, {}),
            Key(0.375, {"neck_flex": -42}),
            Key(0.5, {}),
            Key(0.625, {"neck_side": 40}),
            Key(0.75, {}),
            Key(0.875, {"neck_side": -40}),
        ),
        distractors=(RESTLESS_ARMS,),
    ),
)

_HAND_BEHIND_HEAD = reach(-0.10, 0.17, -0.07, elbow=(1.0, 0.0, 0.3))
_HIP_HOLD = both(hip_flex=42)

ABDOMEN = (
    Activity(
        action_id="A030",
        name="Lying Alternate Upper-half Leg Raise",
        body_part="abdomen",
        seconds=4.0,
        posture=SUPINE,
        start=_HIP_HOLD,
        keys=left_and_right(left(hip_flex=90), right(hip_flex=90)),
        strokes=2,
        amplitude_limit=1.08,
        distractors=(Distractor({"neck_flex": 12}, rate=None),),
    ),
    Activity(
        action_id="A031",
        name="Half Roll Back",
        body_part="abdomen",
        seconds=3.4,
        posture=SITTING,
        keys=there_and_back(
            {"pitch": -52, "trunk_flex": 20, "neck_flex": 20} | both(hip_flex=84, arm_raise=72, knee=92)
        ),
    ),
    Activity(
        action_id="A032",
        name="Kneeling Right-side Torso Twist",
        body_part="abdomen",
        seconds=3.2,
        posture=ALL_FOURS,
        start=right(**_HAND_BEHIND_HEAD) | {"trunk_twist": 14},
        keys=tuple(
            Key(key.phase, key.pose, ("left_wrist", *KNEES))
            for key in there_and_back({"trunk_twist": -54, "neck_twist": -30})
        ),
    ),
    Activity(
        action_id="A033",
        name="Left-side Knee Raise And Abdominal Muscles Contract",
        body_part="abdomen",
        seconds=2.4,
        posture=STANDING,
        start=both(arm_raise=172, arm_plane=70, elbow=6) | left(hip_flex=-8, knee=10),
        keys=(
            Key(0.0, {}),
            Key(0.05, {}, ("right_toe",)),
            Key(
                0.44,
                {"trunk_flex": 26, "neck_flex": 10}
                | left(hip_flex=105, knee=100, ankle=5)
                | both(arm_raise=42, arm_plane=80, elbow=128),
                ("right_toe",),
            ),
            Key(
                0.52,
                {"trunk_flex": 26, "neck_flex": 10}
                | left(hip_flex=105, knee=100, ankle=5)
                | both(arm_raise=42, arm_plane=80, elbow=128),
                ("right_toe",),
            ),
            Key(0.93, {}, ("right_toe",)),
        ),
    ),
    Activity(
        action_id="A034",
        name="Kneeling Right Leg Backward Stretch",
        body_part="abdomen",
        seconds=2.8,
        posture=ALL_FOURS,
        keys=tuple(
            Key(key.phase, key.pose, (*WRISTS, "left_knee"))
            for key in there_and_back(right(hip_flex=-6, knee=4, ankle=-30))
        ),
        distractors=(Distractor({"neck_flex": 14}, rate=0.7),),
    ),
    Activity(
        action_id="A035",
        name="Kneeling Right Arm Raise",
        body_part="abdomen",
        seconds=2.6,
        posture=ALL_FOURS,
        keys=tuple(
            Key(key.phase, key.pose, ("left_wrist", *KNEES))
            for key in there_and_back(right(arm_raise=176, arm_plane=84, elbow=3))
        ),
    ),
)

_BESIDE_CHEST = both(**reach(0.15, -0.02, 0.07, elbow=(0.6, -0.6, -1.0)))
_COBRA = {"pitch": 68, "trunk_flex": -70, "neck_flex": -16} | both(hip_flex=-22, arm_raise=34, arm_plane=80, elbow=6)
_COBRA_LEFT = _COBRA | {"trunk_twist": 38, "neck_twist": 42}
_REACHING = both(arm_raise=168, arm_plane=14, elbow=4)
_PULLED = both(arm_raise=36, arm_plane=-8, arm_twist=-80, elbow=132)

WAIST = (
    Activity(
        action_id="A036",
        name="Shoulder Bridge",
        body_part="waist",
        seconds=3.0,
        posture=SUPINE_KNEES_BENT,
        keys=tuple(
            Key(key.phase, key.pose, (*SHOULDERS, *WRISTS, *TOES))
            for key in there_and_back({"pitch": -118} | both(hip_flex=-6, knee=82))
        ),
    ),
    Activity(
        action_id="A037",
        name="Prone Press-ups",
        body_part="waist",
        seconds=3.2,
        posture=PRONE,
        start=_BESIDE_CHEST,
        keys=tuple(Key(key.phase, key.pose, ("pelvis", *WRISTS)) for key in there_and_back(_COBRA)),
    ),
    Activity(
        action_id="A038",
        name="Bent-over Torso Rotation",
        body_part="waist",
        seconds=3.6,
        posture=BENT_OVER,
        start=both(arm_raise=90, arm_plane=2, elbow=4, hip_abd=20, hip_rot=14),
        keys=left_and_right({"trunk_twist": 66, "neck_twist": 25}, {"trunk_twist": -66, "neck_twist": -25}),
        strokes=2,
    ),
    Activity(
        action_id="A039",
        name="Lying Arm Pull",
        body_part="waist",
        seconds=2.6,
        posture=PRONE,
        start={"trunk_flex": -16, "neck_flex": -6} | both(arm_raise=168, arm_plane=-6, elbow=4),
        keys=there_and_back(_PULLED),
        distractors=(Distractor(left(hip_flex=-5, knee=10) | right(knee=6), rate=None),),
    ),
    Activity(
        action_id="A040",
        name="Prone Press Up With Torso Rotation",
        body_part="waist",
        seconds=4.4,
        posture=PRONE,
        start=_BESIDE_CHEST,
        keys=tuple(
            Key(phase, pose, ("pelvis", *WRISTS))
            for phase, pose in (
                (0.0, {}),
                (0.28, _COBRA),
                (0.32, _COBRA),
                (0.48, _COBRA_LEFT),
                (0.55, _COBRA_LEFT),
                (0.70, _COBRA),
                (0.73, _COBRA),
                (0.97, {}),
            )
        ),
        alternates=True,
    ),
    Activity(
        action_id="A041",
        name="Breaststroke Push-ups",
        body_part="waist",
        seconds=4.6,
        posture=PRONE,
        start={"trunk_flex": -10} | both(arm_raise=168, arm_plane=4, elbow=4),
        keys=(
            Key(0.0, {}),
            Key(0.05, {}),
            Key(0.20, both(arm_raise=98, arm_plane=-2, elbow=22)),
            Key(0.34, _BESIDE_CHEST | {"trunk_flex": -6}),
            Key(0.54, _COBRA),
            Key(0.60, _COBRA),
            Key(0.78, _BESIDE_CHEST | {"trunk_flex": -6}),
            Key(0.96, {}),
        ),
        turn=0.57,
    ),
    Activity(
        action_id="A042",
        name="Sit-ups",
        body_part="waist",
        seconds=3.0,
        posture=SUPINE_KNEES_BENT,
        start=both(**_HAND_BEHIND_HEAD),
        keys=(
            Key(0.0, {}),
            Key(0.04, {}),
            Key(0.22, {"pitch": -72, "trunk_flex": 40, "neck_flex": 18} | both(hip_flex=68)),
            Key(0.46, {"pitch": -4, "trunk_flex": 24, "neck_flex": 8} | both(hip_flex=132, knee=100)),
            Key(0.52, {"pitch": -4, "trunk_flex": 24, "neck_flex": 8} | both(hip_flex=132, knee=100)),
            Key(0.76, {"pitch": -72, "trunk_flex": 40, "neck_flex": 18} | both(hip_flex=68)),
            Key(0.96, {}),
        ),
    ),
)

TRUNK = NECK + ABDOMEN + WAIST
