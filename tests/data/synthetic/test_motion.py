import dataclasses

import numpy as np
import pytest

from flag3d_ray.data.synthetic.body import SUBJECTS
from flag3d_ray.data.synthetic.flaws import RepFlaws
from flag3d_ray.data.synthetic.motion import ACTIVITIES, Variation, animate
from flag3d_ray.data.synthetic.timing import Tempo, Timeline, draw_timeline
from flag3d_ray.skeleton import FLAG3D24

BY_ID = {activity.action_id: activity for activity in ACTIVITIES}
QUIET = Variation(jitter=0.0, fatigue=0.0, wander=0.0, noise=(0.0, 0.0), distractors=False, heading=False)


def _animated(activity, seed=0, subject=SUBJECTS[0], repetitions=5, variation=None):
    rng = np.random.default_rng(seed)
    timeline = draw_timeline(rng, Tempo(seconds=activity.seconds, repetitions=repetitions))
    return timeline, animate(activity, timeline, subject, RepFlaws.none(repetitions), rng, variation)


@pytest.mark.parametrize("activity", ACTIVITIES, ids=lambda activity: activity.action_id)
def test_every_activity_gives_finite_smooth_joints_of_human_size(activity):
    timeline, joints_TV3 = _animated(activity, variation=Variation(noise=(0.0, 0.0)))
    assert joints_TV3.shape == (len(timeline), len(FLAG3D24), 3)
    assert joints_TV3.dtype == np.float32
    assert joints_TV3.flags.c_contiguous
    assert np.isfinite(joints_TV3).all()
    assert joints_TV3[..., 1].min() > -0.03
    assert joints_TV3[..., 1].max() < 2.9
    # No hand or foot is faster than a sprinter's.
    assert np.linalg.norm(np.diff(joints_TV3, axis=0), axis=-1).max() * timeline.fps < 13


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_bones_keep_their_length_in_every_frame(subject):
    for action_id in ("A006", "A010", "A036", "A046"):
        _, joints_TV3 = _animated(BY_ID[action_id], subject=subject, variation=QUIET)
        for child, parent in FLAG3D24.edges:
            length_T = np.linalg.norm(joints_TV3[:, child] - joints_TV3[:, parent], axis=1)
            np.testing.assert_allclose(length_T, np.linalg.norm(subject.offsets_V3[child]), atol=2e-3)


@pytest.mark.parametrize("action_id", ["A001", "A006", "A034", "A042", "A046", "A057"])
def test_knees_never_bend_forward(action_id):
    _, joints_TV3 = _animated(BY_ID[action_id], variation=QUIET)
    at = {name: joints_TV3[:, joint] for joint, name in enumerate(FLAG3D24.joints)}
    for side in ("left", "right"):
        thigh, shank = at[f"{side}_knee"] - at[f"{side}_hip"], at[f"{side}_ankle"] - at[f"{side}_knee"]
        bend = np.cross(thigh, shank)
        lateral = at["left_hip"] - at["right_hip"]
        cosine = (thigh * shank).sum(axis=1) / np.linalg.norm(thigh, axis=1) / np.linalg.norm(shank, axis=1)
        clearly_bent = cosine < np.cos(np.radians(15))
        assert ((bend * lateral).sum(axis=1)[clearly_bent] > 0).all()


def test_a_motion_repeats_as_often_as_its_timeline_says():
    timeline, joints_TV3 = _animated(BY_ID["A010"], repetitions=7)
    height_T = joints_TV3[:, FLAG3D24.index("pelvis"), 1]
    deepest_R = [height_T[first:last].min() for first, last in timeline.reps_R2]
    standing = np.quantile(height_T, 0.95)
    assert all(depth < standing - 0.12 for depth in deepest_R)
    below_T = height_T < (standing + min(deepest_R)) / 2
    assert np.count_nonzero(np.diff(below_T.astype(int)) == 1) == 7


def test_idle_frames_stay_at_the_start_pose():
    rep_T = np.concatenate([np.full(40, -1), np.zeros(60, int), np.full(40, -1)])
    phase_T = np.concatenate([np.zeros(40), np.arange(60) / 60, np.zeros(40)])
    timeline = Timeline(30.0, np.array([[40, 100]]), rep_T, phase_T)
    still = dataclasses.replace(SUBJECTS[0], sway=0.0, unsteadiness=0.0)
    joints_TV3 = animate(BY_ID["A020"], timeline, still, RepFlaws.none(1), np.random.default_rng(0), QUIET)
    np.testing.assert_allclose(joints_TV3[:40], np.broadcast_to(joints_TV3[0], (40, 24, 3)), atol=1e-6)
    np.testing.assert_allclose(joints_TV3[100:], np.broadcast_to(joints_TV3[0], (40, 24, 3)), atol=1e-6)


def test_sides_alternate_from_one_repetition_to_the_next_where_the_activity_says_so():
    rep_T, phase_T = np.repeat([0, 1], 90), np.tile(np.arange(90) / 90, 2)
    timeline = Timeline(30.0, np.array([[0, 90], [90, 180]]), rep_T, phase_T)
    joints_TV3 = animate(BY_ID["A052"], timeline, SUBJECTS[0], RepFlaws.none(2), np.random.default_rng(0), QUIET)
    toes = {side: joints_TV3[:, FLAG3D24.index(f"{side}_toe"), 1] for side in ("left", "right")}
    assert toes["left"][:90].max() > 0.2 > toes["right"][:90].max()
    assert toes["right"][90:].max() > 0.2 > toes["left"][90:].max()


def test_the_same_seed_gives_the_same_motion_and_another_seed_another():
    _, first = _animated(BY_ID["A003"], seed=3)
    _, again = _animated(BY_ID["A003"], seed=3)
    _, other = _animated(BY_ID["A003"], seed=4)
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.allclose(first, other)


def test_distractors_move_limbs_that_do_not_count():
    activity = BY_ID["A026"]
    always = dataclasses.replace(
        activity, distractors=tuple(dataclasses.replace(one, chance=1.0) for one in activity.distractors)
    )
    wrist = FLAG3D24.index("left_wrist")
    steady = dataclasses.replace(SUBJECTS[0], sway=0.0, unsteadiness=0.0)
    _, quiet = _animated(activity, subject=steady, variation=QUIET)
    _, moving = _animated(always, subject=steady, variation=dataclasses.replace(QUIET, distractors=True))
    assert np.ptp(moving[:, wrist], axis=0).max() > np.ptp(quiet[:, wrist], axis=0).max() + 0.03


def test_sensor_noise_is_four_to_six_millimetres():
    rng_timeline = draw_timeline(np.random.default_rng(0), Tempo(seconds=2.0, repetitions=4))
    noisy, clean = (
        animate(
            BY_ID["A001"],
            rng_timeline,
            SUBJECTS[1],
            RepFlaws.none(4),
            np.random.default_rng(5),
            dataclasses.replace(QUIET, noise=noise),
        )
        for noise in ((0.004, 0.006), (0.0, 0.0))
    )
    assert 0.0039 < (noisy - clean).std() < 0.0061
