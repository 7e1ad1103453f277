"""From a timeline and an activity to joint positions."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from flag3d_ray.data.synthetic.activities_arms import ARMS
from flag3d_ray.data.synthetic.activities_lower import LEGS
from flag3d_ray.data.synthetic.activities_trunk import TRUNK
from flag3d_ray.data.synthetic.activities_upper import TORSO
from flag3d_ray.data.synthetic.activity import Activity, Posture
from flag3d_ray.data.synthetic.body import SUBJECTS, Subject, global_rotations, joint_positions
from flag3d_ray.data.synthetic.contact import flatten_feet, hold_limbs, levelled, lift_shanks, placed, turned_about_x
from flag3d_ray.data.synthetic.flaws import Moment, RepFlaws, add_postural, change_range, rushed_phase
from flag3d_ray.data.synthetic.noise import smooth_noise
from flag3d_ray.data.synthetic.poses import ANGLES, COLUMN, DEGREES, HIGH, LOW, local_rotations, pose_vector
from flag3d_ray.data.synthetic.timing import Timeline
from flag3d_ray.skeleton import FLAG3D24

__all__ = ["ACTIVITIES", "SUBJECTS", "Activity", "RepFlaws", "Subject", "Variation", "animate"]

ACTIVITIES: tuple[Activity, ...] = TORSO + ARMS + TRUNK + LEGS


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How much a recording differs from the plain activity.

    Attributes:
        jitter: standard deviation of the amplitude from one repetition to the next.
        fatigue: most that the amplitude loses or gains over the sequence.
        wander: most that resting joints drift, in degrees, without a period.
        noise: range of the sensor noise's standard deviation in metres, one value per sequence.
        distractors: whether limbs that do not count may move.
        heading: whether the person faces any direction.
    """

    jitter: float = 0.06
    fatigue: float = 0.12
    wander: float = 5.0
    noise: tuple[float, float] = (0.004, 0.006)
    distractors: bool = True
    heading: bool = True


def animate(
    activity: Activity,
    timeline: Timeline,
    subject: Subject,
    flaws: RepFlaws,
    rng: np.random.Generator,
    variation: Variation | None = None,
) -> Float32[np.ndarray, "T V 3"]:
    """Joints of the flag3d24 layout in metres, y up, floor at y = 0.

    `flaws` holds one row per repetition of the timeline. The same generator state gives the same motion.
    """
    variation = variation or Variation()
    # One frame of rest before the first: it defines where hands and feet are planted.
    rep_T = np.concatenate([[-1], timeline.rep_T])
    moment = Moment(rep_T, np.concatenate([[0.0], timeline.phase_T]))
    mirrored_T = (rep_T % 2 == 1) & (rep_T >= 0) & activity.alternates
    phase_T = rushed_phase(activity, moment, flaws.of("rushed"))
    angles_TA, planted_TV = activity.angles_at(phase_T, mirrored_T)

    start_A = activity.table_PA[0]
    change_TA = change_range(activity, flaws, moment, angles_TA - start_A, rng)
    amplitude_R = _amplitudes(len(flaws.strength_RS), activity, subject, variation, rng)
    last_T = np.maximum.accumulate(rep_T)
    change_TA *= np.append(amplitude_R, 1.0)[last_T][:, None]
    angles_TA = start_A + change_TA + activity.posture.looseness * pose_vector(subject.posture)
    angles_TA = add_postural(activity, flaws, moment, angles_TA, rng)
    angles_TA += _unsteady(activity, timeline, subject, variation, rng)
    joints_TV3 = settled(activity.posture, subject, np.clip(angles_TA, LOW, HIGH), planted_TV)[1:]
    return _recorded(joints_TV3, variation, rng)


def _amplitudes(
    repetitions: int, activity: Activity, subject: Subject, variation: Variation, rng: np.random.Generator
) -> Float[np.ndarray, " R"]:
    trend_R = 1 + rng.uniform(-1, 1) * variation.fatigue * np.linspace(-0.5, 0.5, repetitions)
    amplitude_R = subject.amplitude * trend_R * (1 + variation.jitter * rng.standard_normal(repetitions))
    return np.clip(amplitude_R, 0.75, activity.amplitude_limit)


def _unsteady(
    activity: Activity, timeline: Timeline, subject: Subject, variation: Variation, rng: np.random.Generator
) -> Float[np.ndarray, "T A"]:
    """What moves besides the repetition: tremor of all joints, drift of resting ones, distractors, sway."""
    frames = len(timeline.rep_T) + 1
    scale_A = np.where(DEGREES, subject.unsteadiness * activity.posture.looseness, 0.0)
    scale_A[[COLUMN["pitch"], COLUMN["roll"], COLUMN["yaw"]]] *= 0.3
    extra_TA = smooth_noise(rng, len(ANGLES), frames, spacing=1.5 * timeline.fps).T * scale_A
    resting_A = (np.abs(activity.extreme_A) < 3) & DEGREES & (rng.random(len(ANGLES)) < 0.5)
    resting_A[: COLUMN["trunk_flex"]] = False
    wander_A = np.where(resting_A, rng.uniform(0.2, 0.5, len(ANGLES)) * variation.wander, 0.0)
    wander_A *= activity.posture.looseness
    extra_TA += smooth_noise(rng, len(ANGLES), frames, spacing=3.0 * timeline.fps).T * wander_A
    sway = [COLUMN["shift_x"], COLUMN["shift_z"]]
    extra_TA[:, sway] = smooth_noise(rng, 2, frames, spacing=2.5 * timeline.fps).T * subject.sway
    for distractor in activity.distractors if variation.distractors else ():
        if rng.random() < distractor.chance:
            wave_T = _wave(distractor.rate, timeline, rng)
            extra_TA += wave_T[:, None] * pose_vector(distractor.pose)
    extra_TA[0] = 0.0
    return extra_TA


def _wave(rate: float | None, timeline: Timeline, rng: np.random.Generator) -> Float[np.ndarray, " T"]:
    """A periodic wave of `rate` cycles per mean repetition with drifting size, or smooth noise; one frame longer."""
    frames = len(timeline.rep_T) + 1
    size_T = smooth_noise(rng, 1, frames, spacing=3.0 * timeline.fps)[0].astype(np.float64)
    if rate is None:
        return size_T
    mean_frames = float(np.mean(timeline.reps_R2[:, 1] - timeline.reps_R2[:, 0])) if len(timeline.reps_R2) else frames
    cycles_T = rate * rng.uniform(0.85, 1.15) * np.arange(frames) / mean_frames
    return (1 + 0.25 * size_T) * np.sin(2 * np.pi * (cycles_T + rng.random()))


def settled(
    posture: Posture, subject: Subject, angles_TA: Float[np.ndarray, "T A"], planted_TV: Float[np.ndarray, "T V"]
) -> Float[np.ndarray, "T V 3"]:
    """Joint positions of joint angles, with the body on the floor and its planted joints where frame 0 has them."""
    column = COLUMN.__getitem__
    turned_TV33 = global_rotations(local_rotations(angles_TA))
    joints_TV3 = joint_positions(turned_TV33, subject.offsets_V3, np.zeros((len(angles_TA), 3)))
    if posture.flat_feet:
        ankles_T2 = np.radians(angles_TA[:, [column("left_ankle"), column("right_ankle")]])
        flatten_feet(joints_TV3, turned_TV33, ankles_T2, planted_TV)
    poles_TV3 = _poles(turned_TV33)
    if posture.contacts.level:
        angle_T = levelled(joints_TV3, planted_TV, posture.contacts)
        joints_TV3, poles_TV3 = turned_about_x(joints_TV3, angle_T), turned_about_x(poles_TV3, angle_T)

    shift_T3 = angles_TA[:, [column("shift_x"), column("lift"), column("shift_z")]]
    joints_TV3, home_V3 = placed(joints_TV3, planted_TV, posture.contacts)
    joints_TV3 += shift_T3[:, None]
    moved_TV3 = np.zeros_like(joints_TV3)
    moved_TV3[..., 1] = shift_T3[:, None, 1]
    for side in ("left", "right"):
        moved_TV3[:, FLAG3D24.index(f"{side}_toe"), 0] = angles_TA[:, column(f"{side}_slip")]
    hold_limbs(joints_TV3, poles_TV3, home_V3, planted_TV, moved_TV3)
    lift_shanks(joints_TV3, posture.contacts)
    return joints_TV3


def _poles(turned_TV33: Float[np.ndarray, "T V 3 3"]) -> Float[np.ndarray, "T V 3"]:
    """Where each knee and elbow points: forward of the thigh, backward of the upper arm."""
    poles_TV3 = np.zeros(turned_TV33.shape[:3])
    for side in ("left", "right"):
        hip, shoulder = FLAG3D24.index(f"{side}_hip"), FLAG3D24.index(f"{side}_shoulder")
        poles_TV3[:, FLAG3D24.index(f"{side}_knee")] = turned_TV33[:, hip, :, 2]
        poles_TV3[:, FLAG3D24.index(f"{side}_elbow")] = -turned_TV33[:, shoulder, :, 2]
    return poles_TV3


def _recorded(
    joints_TV3: Float[np.ndarray, "T V 3"], variation: Variation, rng: np.random.Generator
) -> Float32[np.ndarray, "T V 3"]:
    """The joints as a sensor sees them: any heading, any place, noise."""
    yaw = rng.uniform(-np.pi, np.pi) if variation.heading else 0.0
    c, s = np.float32(np.cos(yaw)), np.float32(np.sin(yaw))
    place_3 = np.array([rng.normal(0, 0.3), 0.0, rng.normal(0, 0.3)], dtype=np.float32) * variation.heading
    seen_TV3 = rng.standard_normal(joints_TV3.shape, dtype=np.float32) * np.float32(rng.uniform(*variation.noise))
    x, y, z = np.moveaxis(joints_TV3.astype(np.float32), -1, 0)
    # Sums instead of a matrix product: the last bits of BLAS depend on its threads, and a seed must give one digest.
    seen_TV3 += np.stack([c * x + s * z, y, c * z - s * x], axis=-1) + place_3
    return seen_TV3
