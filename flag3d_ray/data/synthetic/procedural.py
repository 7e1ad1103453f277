"""Random periodic motions of the 24-joint tree: no activity at all, but what makes counting hard varies in every clip.

A pre-training source. Variation, not realism, is what carries over to real motion, so each group of it can be removed
alone (`Variation`) and its worth measured: whatever is removed, a clip draws the same random numbers in the same order.
"""

import numpy as np
from jaxtyping import Float, Float32, Int

from flag3d_ray.data import lexicon
from flag3d_ray.data.synthetic.body import forward_kinematics, rest_offsets, rotations_from_vectors
from flag3d_ray.data.synthetic.noise import smooth_noise
from flag3d_ray.data.synthetic.timing import DURATION_RANGE_S, FPS, Tempo, Timeline, draw_timeline, evenly_timed
from flag3d_ray.data.synthetic.variation import RICH, Variation
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import FLAG3D24

COUNT_RANGE = (1, 32)
_STREAM = 0x9B0C


def _joints(*names: str) -> Int[np.ndarray, " n"]:
    return np.array([FLAG3D24.index(name) for name in names])


def _limb(side: str, *names: str) -> Int[np.ndarray, " n"]:
    return _joints(*(f"{side}_{name}" for name in names))


_GROUPS = (
    *(_limb(side, "collar", "shoulder", "elbow") for side in ("left", "right")),
    *(_limb(side, "hip", "knee", "ankle") for side in ("left", "right")),
    _joints("spine1", "spine2", "spine3"),
    _joints("neck", "head"),
)


def _by_name(default: float, **named: float) -> Float[np.ndarray, " V"]:
    return np.array([named.get(name.rpartition("_")[2].rstrip("123"), default) for name in FLAG3D24.joints])


# Share of the drawn amplitude that a joint takes: bones that end a chain turn nothing, three spine joints add up.
_RANGE_V = _by_name(
    0.0, shoulder=1.0, elbow=1.0, hip=0.8, knee=1.0, ankle=0.4, collar=0.15, spine=0.3, neck=0.4, head=0.3
)
_POSTURE_V = _by_name(0.0, shoulder=0.6, elbow=0.5, hip=0.35, knee=0.3, ankle=0.15, collar=0.1, spine=0.12, neck=0.2)
_LEFT = np.array([joint for joint, name in enumerate(FLAG3D24.joints) if name.startswith("left_")])
_RIGHT = np.array([FLAG3D24.mirror[joint] for joint in _LEFT])
_MIDLINE = np.array([joint for joint, other in enumerate(FLAG3D24.mirror) if joint == other])
_SMALLEST_SWING = 0.3
# A rotation vector is a pseudo-vector: seen in the mirror x = 0 it keeps x and changes the sign of y and z.
_MIRRORED_3 = np.array([1.0, -1.0, -1.0])


def procedural_sample(seed: int, index: int, variation: Variation = RICH) -> Sample:
    """Clip `index` of the random motions of `seed`; the same for the same arguments, whatever was drawn before."""
    rng = np.random.default_rng((seed, index, _STREAM))
    timeline = draw_timeline(rng, draw_tempo(rng))
    if not variation.tempo:
        timeline = evenly_timed(timeline)
    vectors_3VT = _vectors(rng, timeline, variation)
    name = f"P{index:06d}"
    return Sample(
        sample_id=name,
        dataset="synthetic",
        source="procedural",
        action_id=name,
        action="Random motion",
        body_part="multiple parts",
        subject=f"V{index:06d}",
        take=1,
        fps=timeline.fps,
        layout=FLAG3D24.name,
        unit="m",
        captions=lexicon.captions(lexicon.PROCEDURAL),
        standards=(),
        joints_MTVC=_recorded(rng, timeline, vectors_3VT, variation)[None],
        reps_R2=timeline.reps_R2.astype(np.int32),
    )


def draw_tempo(rng: np.random.Generator) -> Tempo:
    """Count (gamma, 1 to 32) and seconds per repetition (log-uniform in [0.6, 6]), their product in Table 2's range."""
    count = int(np.clip(round(rng.gamma(1.9, 5.0)), *COUNT_RANGE))
    # Rests, idle time, trend and jitter may lengthen the sequence; 0.75 keeps nearly all of them under the longest.
    shortest = max(0.6, DURATION_RANGE_S[0] / count)
    longest = max(shortest, min(6.0, 0.75 * DURATION_RANGE_S[1] / count))
    return Tempo(
        seconds=float(np.exp(rng.uniform(np.log(shortest), np.log(longest)))),
        repetitions=count,
        fps=FPS,
        jitter=0.18,
        trend=0.25,
        rest_clips=0.5,
        idle_clips=0.5,
        cut_clips=0.5,
    )


def _vectors(rng: np.random.Generator, timeline: Timeline, variation: Variation) -> Float32[np.ndarray, "3 V T"]:
    """Rotation vectors of all joints in radians: posture, the repeated motion, and what does not count."""
    frames, joints = len(timeline), len(FLAG3D24)
    waves_KT = _waves(rng, timeline.phase_T).astype(np.float32)
    waves = len(waves_KT)
    swing_KV3 = _swings(rng, waves)
    if not variation.shape:
        # One wave that swings as far as all did: it turns every joint about the sum of its axes.
        waves_KT = _bump(timeline.phase_T, 0.5, 1.0)[None].astype(np.float32)
        swing_KV3 = swing_KV3.sum(axis=0, keepdims=True)
    swing_KV3 = _far_enough(swing_KV3)
    posture_V3 = rng.standard_normal((joints, 3)) * _POSTURE_V[:, None] * variation.posture
    if rng.random() < 0.5 and variation.posture:
        swing_KV3, posture_V3 = _symmetric(swing_KV3), _symmetric(posture_V3)
    wandering_1T = smooth_noise(rng, 1, frames, spacing=4.0 * timeline.fps)
    strength_KT = _strengths(rng, waves, len(timeline.reps_R2))[: len(waves_KT), timeline.rep_T]
    if variation.amplitude:
        waves_KT *= (1 + 0.12 * wandering_1T) * strength_KT
    swing_3VK = swing_KV3.transpose(2, 1, 0).astype(np.float32)
    # Sums instead of matrix products, here and below: the last bits of BLAS depend on its number of threads.
    vectors_3VT = posture_V3.T[..., None].astype(np.float32)
    for wave in range(len(waves_KT)):
        vectors_3VT = vectors_3VT + swing_3VK[..., wave, None] * waves_KT[wave]
    restless_3VT = _restless(rng, timeline)
    return vectors_3VT + restless_3VT if variation.distractors else vectors_3VT


def _waves(rng: np.random.Generator, phase_T: Float[np.ndarray, " T"]) -> Float[np.ndarray, "K T"]:
    """What the joints share: functions of the phase, 0 at both ends of a repetition and about 1 at their peak."""
    two_bumps = rng.random() < 1 / 3
    waves = []
    for number in range(int(rng.integers(2, 4))):
        turn, dwell = rng.uniform(0.3, 0.7), rng.uniform(0.6, 1.8)
        if two_bumps and number == 0:
            # The second bump differs: two equal ones would be two repetitions.
            second = rng.uniform(0.3, 0.8) * rng.choice((-1.0, 1.0))
            bump_T = _bump(np.mod(2 * phase_T, 1.0), turn, dwell)
            waves.append(np.where(phase_T < 0.5, 1.0, second) * bump_T)
        else:
            waves.append(_bump(phase_T, turn, dwell))
    if rng.random() < 1 / 3:
        waves.append(0.5 * np.sin(2 * np.pi * phase_T))
    return np.stack(waves)


def _bump(phase_T: Float[np.ndarray, " T"], turn: float, dwell: float) -> Float[np.ndarray, " T"]:
    """A raised cosine that peaks at phase `turn`; powers below 1 dwell at the peak, above 1 at the ends."""
    even_T = np.where(phase_T < turn, phase_T / (2 * turn), 1 - (1 - phase_T) / (2 * (1 - turn)))
    return (0.5 - 0.5 * np.cos(2 * np.pi * even_T)) ** dwell


def _swings(rng: np.random.Generator, waves: int) -> Float[np.ndarray, "K V 3"]:
    """How far each wave turns each joint, about a random axis: one to three limb groups, 0.15 to 1.9 rad."""
    moving = rng.choice(len(_GROUPS), size=rng.integers(1, 4), replace=False)
    swing_KV3 = np.zeros((waves, len(FLAG3D24), 3))
    for group in moving:
        joints = _GROUPS[group]
        axes_KN3 = rng.standard_normal((waves, len(joints), 3))
        axes_KN3 /= np.linalg.norm(axes_KN3, axis=-1, keepdims=True)
        size_K11 = rng.uniform(0.15, 1.9, (waves, 1, 1)) / waves**0.5
        share_KN1 = rng.uniform(0.3, 1.0, (waves, len(joints), 1))
        swing_KV3[:, joints] = axes_KN3 * size_K11 * share_KN1 * _RANGE_V[joints, None]
    return swing_KV3


def _far_enough(swing_KV3: Float[np.ndarray, "K V 3"]) -> Float[np.ndarray, "K V 3"]:
    """What counts has to outdo what does not: a neck that turns by 0.02 rad drowns in the wandering of other joints."""
    largest = np.linalg.norm(swing_KV3, axis=-1).max()
    return swing_KV3 * max(1.0, _SMALLEST_SWING / largest)


def _strengths(rng: np.random.Generator, waves: int, repetitions: int) -> Float32[np.ndarray, "K R"]:
    """How strong each wave is in each repetition: 1, in half of the clips log-normal by up to 50 % and in [0.3, 1.8].

    People who tire or do an exercise badly do some of its repetitions half. A part is common to all waves of a repetition.
    """
    spread = rng.uniform(0.0, 0.5) * (rng.random() < 0.5)
    common_R, own_KR = rng.standard_normal(repetitions), rng.standard_normal((waves, repetitions))
    return np.clip(np.exp(spread * (common_R + own_KR) / 2**0.5), 0.3, 1.8).astype(np.float32)


def _restless(rng: np.random.Generator, timeline: Timeline) -> Float32[np.ndarray, "3 V T"]:
    """Rotation vectors of what does not count: half of the joints wander by 0.02 to 0.15 rad, the whole body tilts.

    In half of the clips the posture changes too, so slowly that it is another one after a third of the sequence.
    """
    frames, joints = len(timeline), len(FLAG3D24)
    vectors_3VT = np.zeros((3, joints, frames), np.float32)
    restless = np.flatnonzero((rng.random(joints) < 0.5) & (_RANGE_V > 0))
    size_n1 = (rng.uniform(0.02, 0.15, (len(restless), 1)) / 3**0.5).astype(np.float32)
    noise_NT = smooth_noise(rng, 3 * len(restless), frames, spacing=rng.uniform(0.7, 2.5) * timeline.fps)
    vectors_3VT[:, restless] = size_n1 * noise_NT.reshape(3, len(restless), frames)
    tilt = np.float32(rng.uniform(0.005, 0.04))
    vectors_3VT[:, FLAG3D24.root] += tilt * smooth_noise(rng, 3, frames, spacing=2.5 * timeline.fps)
    change_V1 = (_POSTURE_V[:, None] * rng.uniform(0.0, 0.4) * (rng.random() < 0.5)).astype(np.float32)
    slow_NT = smooth_noise(rng, 3 * joints, frames, spacing=max(4.0 * timeline.fps, frames / 3))
    return vectors_3VT + change_V1 * slow_NT.reshape(3, joints, frames)


def _symmetric(vectors: Float[np.ndarray, "*k V 3"]) -> Float[np.ndarray, "*k V 3"]:
    """The right side does what the left does, or the other way round where only the right one moves."""
    vectors = vectors.copy()
    left, right = vectors[..., _LEFT, :], vectors[..., _RIGHT, :] * _MIRRORED_3
    both = np.where(np.abs(left).max(axis=-1, keepdims=True) > 0, left, right)
    vectors[..., _LEFT, :], vectors[..., _RIGHT, :] = both, both * _MIRRORED_3
    vectors[..., _MIDLINE, 1:] = 0.0
    return vectors


def _recorded(
    rng: np.random.Generator, timeline: Timeline, vectors_3VT: Float32[np.ndarray, "3 V T"], variation: Variation
) -> Float32[np.ndarray, "T V 3"]:
    """Joints in metres: bones, the floor, heading, place and sensor noise."""
    length_V = rng.uniform(0.9, 1.1, len(FLAG3D24))
    length_V[_RIGHT] = length_V[_LEFT]
    offsets_V3 = rest_offsets() * length_V[:, None] if variation.person else rest_offsets()
    rotations_TV33 = rotations_from_vectors(vectors_3VT.transpose(2, 1, 0))
    joints_TV3 = forward_kinematics(rotations_TV33, offsets_V3, np.zeros((len(timeline), 3))).astype(np.float32)
    lying_33 = _lie_down(rng) if rng.random() < 1 / 3 else np.eye(3)
    heading_33 = rotations_from_vectors(np.array([0.0, rng.uniform(-np.pi, np.pi), 0.0]))
    world_33 = lying_33 if variation.posture else np.eye(3)
    world_33 = heading_33 @ world_33 if variation.person else world_33
    joints_TV3 = np.einsum("ic,tvc->tvi", world_33.astype(np.float32), joints_TV3)
    joints_TV3[..., 1] -= joints_TV3[..., 1].min(axis=1, keepdims=True)
    noise_2T = smooth_noise(rng, 2, len(timeline), spacing=3.0 * timeline.fps)
    drift_2T = noise_2T * np.float32(rng.uniform(0.005, 0.03))
    sensor_TV3 = np.float32(0.006) * rng.standard_normal(joints_TV3.shape, dtype=np.float32)
    if variation.distractors:
        joints_TV3[..., [0, 2]] += drift_2T.T[:, None]
        joints_TV3 += sensor_TV3
    return joints_TV3


def _lie_down(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """On the back, the belly or (one in five) a side."""
    axis = 2 if rng.random() < 0.2 else 0
    vector_3 = np.zeros(3)
    vector_3[axis] = rng.choice((-1.0, 1.0)) * (np.pi / 2 + rng.normal(0, 0.15))
    return rotations_from_vectors(vector_3)
