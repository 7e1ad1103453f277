"""Activities of hip, leg and the whole body (A043 to A060)."""

import numpy as np

from flag3d_ray.data.synthetic.activity import Activity, Distractor, Key, left_and_right, there_and_back
from flag3d_ray.data.synthetic.poses import Pose, both, left, mirrored, reach, right
from flag3d_ray.data.synthetic.postures import (
    ALL_FOURS,
    BOUNCING,
    SIDE_LYING_LEFT,
    SIDE_LYING_RIGHT,
    STANDING,
    TOES,
    WRISTS,
)

_ON_HIPS = both(**reach(0.02, -0.42, 0.06, elbow=(1.0, 0.2, -0.5)))
_AT_CHEST = both(**reach(-0.13, -0.12, 0.20, elbow=(0.7, -1.0, 0.0)))
_BALANCING = Distractor(left(arm_raise=12, elbow=8) | right(arm_raise=9, elbow=12), rate=None)

_FRONT = {"hip_flex": 92, "knee": 96}
_REAR = {"hip_flex": 2, "knee": 98, "ankle": 26}
_LUNGE_RIGHT: Pose = left(**_FRONT) | right(**_REAR) | {"pitch": 6}
_LUNGE_LEFT = mirrored(_LUNGE_RIGHT)
_KNEE_UP = {"hip_flex": 92, "knee": 92, "ankle": 4}

HIP = (
    Activity(
        action_id="A043",
        name="Side-lying Left Leg Forward Raise",
        body_part="hip",
        seconds=2.6,
        posture=SIDE_LYING_RIGHT,
        start=left(hip_abd=14),
        keys=there_and_back(left(hip_flex=78, hip_abd=14)),
        distractors=(Distractor(left(elbow=10, arm_plane=8), rate=None),),
    ),
    Activity(
        action_id="A044",
        name="Right Leg Reverse Lunge",
        body_part="hip",
        seconds=2.8,
        posture=STANDING,
        start=_ON_HIPS,
        keys=tuple(
            Key(key.phase, key.pose, ("left_toe",)) for key in there_and_back(_LUNGE_RIGHT, reached=0.46, held=0.06)
        ),
    ),
    Activity(
        action_id="A045",
        name="Kneeling Left Knee Lift",
        body_part="hip",
        seconds=2.4,
        posture=ALL_FOURS,
        keys=tuple(Key(key.phase, key.pose, (*WRISTS, "right_knee")) for key in there_and_back(left(hip_abd=62))),
    ),
    Activity(
        action_id="A046",
        name="Alternate Reverse Lunge",
        body_part="hip",
        seconds=5.2,
        posture=STANDING,
        start=_ON_HIPS,
        keys=left_and_right(_LUNGE_LEFT, _LUNGE_RIGHT, planted=(TOES, ("right_toe",), ("left_toe",))),
        strokes=2,
        distractors=(Distractor({"neck_flex": 10}, rate=None),),
    ),
    Activity(
        action_id="A047",
        name="Side-lying Right Leg Backward Kick",
        body_part="hip",
        seconds=2.4,
        posture=SIDE_LYING_LEFT,
        start=right(hip_flex=8, hip_abd=14),
        keys=there_and_back(right(hip_flex=-38, hip_abd=14)),
        amplitude_limit=1.05,
    ),
    Activity(
        action_id="A048",
        name="Left Leg Lunge With Knee Lift",
        body_part="hip",
        seconds=3.8,
        posture=STANDING,
        start=_AT_CHEST,
        keys=(
            Key(0.0, {}, ("right_toe",)),
            Key(0.04, {}, ("right_toe",)),
            Key(0.30, _LUNGE_LEFT, ("right_toe",)),
            Key(0.36, _LUNGE_LEFT, ("right_toe",)),
            Key(0.66, left(**_KNEE_UP), ("right_toe",)),
            Key(0.72, left(**_KNEE_UP), ("right_toe",)),
            Key(0.96, {}, ("right_toe",)),
        ),
        distractors=(_BALANCING,),
    ),
    Activity(
        action_id="A049",
        name="Sumo Squat",
        body_part="hip",
        seconds=3.0,
        posture=STANDING,
        start=_AT_CHEST | both(hip_abd=26, hip_rot=38),
        keys=there_and_back({"pitch": 10} | both(hip_flex=72, hip_abd=44, hip_rot=34, knee=99)),
    ),
)

LEG = (
    Activity(
        action_id="A050",
        name="Straight Leg Calf Raise",
        body_part="leg",
        seconds=1.8,
        posture=STANDING,
        start=_ON_HIPS,
        keys=there_and_back(both(ankle=-42)),
        distractors=(Distractor({"neck_twist": 12}, rate=None),),
    ),
    Activity(
        action_id="A051",
        name="Squat Jump",
        body_part="leg",
        seconds=1.9,
        posture=STANDING,
        start=both(hip_abd=8, hip_rot=12),
        keys=(
            Key(0.0, {}),
            Key(0.06, {}),
            Key(0.34, {"pitch": 40} | both(hip_flex=100, knee=92, arm_raise=48, arm_plane=-80, elbow=12)),
            Key(0.40, {"pitch": 40} | both(hip_flex=100, knee=92, arm_raise=48, arm_plane=-80, elbow=12)),
            Key(0.55, {"lift": 0.02} | both(hip_flex=0, knee=2, ankle=-38, arm_raise=90, arm_plane=86, elbow=10)),
            Key(0.66, {"lift": 0.30} | both(hip_flex=4, knee=8, ankle=-42, arm_raise=150, arm_plane=84, elbow=10)),
            Key(0.78, {"lift": 0.0} | both(hip_flex=8, knee=14, ankle=-25, arm_raise=110, arm_plane=84)),
            Key(0.86, {"pitch": 16} | both(hip_flex=46, knee=48, arm_raise=45, arm_plane=70)),
        ),
        turn=0.6,
    ),
    Activity(
        action_id="A052",
        name="Squat With Alternate Knee Lift",
        body_part="leg",
        seconds=3.4,
        posture=STANDING,
        start=both(**reach(-0.12, 0.0, 0.16, elbow=(0.8, -1.0, 0.2))) | both(hip_abd=9, hip_rot=12),
        keys=(
            Key(0.0, {}),
            Key(0.28, {"pitch": 34} | both(hip_flex=98, knee=96, hip_abd=14)),
            Key(0.34, {"pitch": 34} | both(hip_flex=98, knee=96, hip_abd=14)),
            Key(0.54, {}),
            Key(0.57, {}, ("right_toe",)),
            Key(0.74, left(**_KNEE_UP), ("right_toe",)),
            Key(0.79, left(**_KNEE_UP), ("right_toe",)),
            Key(0.96, {}, ("right_toe",)),
        ),
        alternates=True,
        leans_back=True,
    ),
    Activity(
        action_id="A053",
        name="Standing Alternate Butt Kick",
        body_part="leg",
        seconds=2.6,
        posture=STANDING,
        start=_ON_HIPS,
        keys=left_and_right(
            left(hip_flex=-8, knee=128, ankle=-25),
            right(hip_flex=-8, knee=128, ankle=-25),
            planted=(TOES, ("right_toe",), ("left_toe",)),
        ),
        strokes=2,
    ),
    Activity(
        action_id="A054",
        name="Knee Warm-up",
        body_part="leg",
        seconds=2.2,
        posture=STANDING,
        start={"trunk_flex": 22, "neck_flex": -14},
        keys=tuple(
            Key(
                float(phase),
                {"pitch": 42, "trunk_flex": 22, "neck_flex": -14}
                | left(hip_flex=78 + 20 * c, knee=48 + 34 * c, hip_abd=8 * s, hip_rot=-2 + 26 * s)
                | right(hip_flex=78 + 20 * c, knee=48 + 34 * c, hip_abd=-8 * s, hip_rot=-2 - 26 * s)
                | both(**reach(-0.06, -0.47, 0.16, elbow=(1.0, 0.0, -0.5))),
            )
            for phase, c, s in (
                (p, float(np.cos(2 * np.pi * p)), float(np.sin(2 * np.pi * p))) for p in np.arange(8) / 8
            )
        ),
        distractors=(Distractor({"neck_twist": 14}, rate=None),),
    ),
)


def _running(drive: Pose, swing: Pose, arms: Pose, hop: float, leads: float) -> tuple[Key, ...]:
    """One left and one right step: the left leg in `drive` while the other stands (`swing`), both feet up between.

    `arms` is the pose of the arms with the left leg up, `hop` the height in metres of the flight between the steps, and
    `leads` the phase at which the left leg is highest.
    """
    high = drive | swing | arms
    between = both(hip_flex=14, knee=24, ankle=-18) | {"lift": hop} | both(arm_raise=14, arm_plane=20, elbow=88)
    phases = (leads, 0.5, leads + 0.5, 1.0)
    return tuple(
        Key(phase % 1.0, pose)
        for phase, pose in sorted(
            zip(phases, (high, between, mirrored(high), between), strict=True), key=lambda item: item[0] % 1.0
        )
    )


_STANCE_RIGHT = right(hip_flex=2, knee=8, ankle=4)
_ARMS_OPPOSED = right(arm_raise=38, arm_plane=88, elbow=95) | left(arm_raise=40, arm_plane=-82, elbow=78)
_WIDE = {"lift": 0.0} | both(hip_abd=24, hip_flex=8, knee=14, ankle=2)
_TAKE_OFF = {"lift": 0.07}

MULTIPLE_PARTS = (
    Activity(
        action_id="A055",
        name="Butt Kicks",
        body_part="multiple parts",
        seconds=0.75,
        posture=BOUNCING,
        keys=_running(
            left(hip_flex=-4, knee=122, ankle=-35),
            _STANCE_RIGHT,
            right(arm_raise=14, arm_plane=80, elbow=95) | left(arm_raise=16, arm_plane=-70, elbow=90),
            hop=0.03,
            leads=0.25,
        ),
        strokes=2,
        distractors=(Distractor({"trunk_twist": 8, "neck_twist": -8}, rate=0.5),),
    ),
    Activity(
        action_id="A056",
        name="Jump Left and Right",
        body_part="multiple parts",
        seconds=1.3,
        posture=BOUNCING,
        start={"pitch": 12, "shift_x": -0.2}
        | both(arm_raise=24, elbow=80, arm_plane=40, hip_flex=38, knee=44, ankle=18),
        keys=(
            Key(0.0, {}),
            Key(0.08, {}),
            Key(
                0.27,
                {"lift": 0.14, "pitch": 5, "roll": 4}
                | both(hip_flex=16, knee=26, ankle=-25, arm_raise=38)
                | {"shift_x": 0.0},
            ),
            Key(0.46, {"shift_x": 0.2}),
            Key(0.58, {"shift_x": 0.2}),
            Key(
                0.77,
                {"lift": 0.14, "pitch": 5, "roll": -4}
                | both(hip_flex=16, knee=26, ankle=-25, arm_raise=38)
                | {"shift_x": 0.0},
            ),
            Key(0.96, {}),
        ),
        distractors=(Distractor(both(arm_raise=12, elbow=12), rate=None),),
    ),
    Activity(
        action_id="A057",
        name="Jumping Jacks",
        body_part="multiple parts",
        seconds=1.2,
        posture=BOUNCING,
        start=both(hip_flex=6, knee=10, ankle=4, hip_abd=1, elbow=5),
        keys=(
            Key(0.0, {}),
            Key(0.06, {}),
            Key(0.26, _TAKE_OFF | both(hip_abd=12, ankle=-28, arm_raise=90, elbow=5)),
            Key(0.46, _WIDE | both(arm_raise=172, elbow=8)),
            Key(0.54, _WIDE | both(arm_raise=172, elbow=8)),
            Key(0.74, _TAKE_OFF | both(hip_abd=12, ankle=-28, arm_raise=90, elbow=5)),
            Key(0.95, {}),
        ),
        amplitude_limit=1.05,
    ),
    Activity(
        action_id="A058",
        name="High Knee",
        body_part="multiple parts",
        seconds=0.8,
        posture=BOUNCING,
        keys=_running(left(hip_flex=96, knee=98, ankle=0), _STANCE_RIGHT, _ARMS_OPPOSED, hop=0.04, leads=0.25),
        strokes=2,
        leans_back=True,
        distractors=(Distractor({"neck_twist": 8, "neck_flex": 6}, rate=0.4),),
    ),
    Activity(
        action_id="A059",
        name="Clap Jacks",
        body_part="multiple parts",
        seconds=1.2,
        posture=BOUNCING,
        start=both(hip_flex=6, knee=10, ankle=4, hip_abd=1, arm_raise=86, arm_plane=106, elbow=5),
        keys=(
            Key(0.0, {}),
            Key(0.06, {}),
            Key(0.26, _TAKE_OFF | both(hip_abd=12, ankle=-28, arm_raise=88, arm_plane=50, elbow=6)),
            Key(0.46, _WIDE | both(arm_raise=88, arm_plane=-4, elbow=6)),
            Key(0.54, _WIDE | both(arm_raise=88, arm_plane=-4, elbow=6)),
            Key(0.74, _TAKE_OFF | both(hip_abd=12, ankle=-28, arm_raise=88, arm_plane=50, elbow=6)),
            Key(0.95, {}),
        ),
        amplitude_limit=1.06,
    ),
    Activity(
        action_id="A060",
        name="Run In Place With Arm Swing",
        body_part="multiple parts",
        seconds=0.7,
        posture=BOUNCING,
        keys=_running(left(hip_flex=44, knee=74, ankle=-12), _STANCE_RIGHT, _ARMS_OPPOSED, hop=0.03, leads=0.25),
        strokes=2,
        distractors=(Distractor({"neck_flex": 8}, rate=0.5),),
    ),
)

LEGS = HIP + LEG + MULTIPLE_PARTS
