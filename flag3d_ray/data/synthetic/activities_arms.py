"""Activities of shoulder and arm (A013 to A025)."""

import numpy as np

from flag3d_ray.data.synthetic.activities_upper import GOALPOST_UP, LOOKING_AROUND, NODDING_ALONG, SHIFTING_WEIGHT
from flag3d_ray.data.synthetic.activity import Activity, Key, left_and_right, there_and_back
from flag3d_ray.data.synthetic.poses import Pose, both, left, reach, right
from flag3d_ray.data.synthetic.postures import BENT_OVER, STANDING, SUPINE

_GOALPOST_DOWN = {"arm_raise": 90, "arm_plane": 0, "arm_twist": 85, "elbow": 90}
_OVERHEAD = {"arm_raise": 172, "arm_plane": 10, "elbow": 8}


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
            Key(0.26, both(**GOALPOST_UP)),
            Key(0.30, both(**GOALPOST_UP)),
            Key(0.48, both(**_OVERHEAD, arm_twist=-88)),
            Key(0.54, both(**_OVERHEAD, arm_twist=-88)),
            Key(0.72, both(**GOALPOST_UP)),
            Key(0.76, both(**GOALPOST_UP)),
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
        keys=there_and_back(both(**GOALPOST_UP)),
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

ARMS = SHOULDER + ARM
