import json
from importlib.resources import files

import numpy as np
import pytest

from flag3d_ray.data.synthetic.body import Subject, rest_offsets
from flag3d_ray.data.synthetic.flaws import FLAWS, RepFlaws
from flag3d_ray.data.synthetic.motion import ACTIVITIES, Variation, animate
from flag3d_ray.data.synthetic.timing import Timeline
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import FLAG3D24

STILL = Variation(jitter=0.0, fatigue=0.0, wander=0.0, noise=(0.0, 0.0), distractors=False, heading=False)
AVERAGE = Subject("average", rest_offsets(), posture={}, amplitude=1.0, sway=0.0, unsteadiness=0.0)
BY_ID = {activity.action_id: activity for activity in ACTIVITIES}
LENGTH = 60
LEXICON = json.loads(files("flag3d_ray.data").joinpath("lexicon.json").read_text())["activities"]
STANDARDS = [(action_id, standard["flaw"]) for action_id in LEXICON for standard in LEXICON[action_id]["standards"]]


def _timeline(reps):
    starts = LENGTH * np.arange(reps)
    phase_T = np.tile(np.arange(LENGTH) / LENGTH, reps)
    return Timeline(30.0, np.stack([starts, starts + LENGTH], axis=1), np.repeat(np.arange(reps), LENGTH), phase_T)


def _motion(action_id, flaw, *strengths):
    flaws = RepFlaws((flaw,), np.array(strengths, dtype=float)[:, None])
    return animate(BY_ID[action_id], _timeline(len(strengths)), AVERAGE, flaws, np.random.default_rng(0), STILL)


def _joint(joints_TV3, name):
    return joints_TV3[:, FLAG3D24.index(name)]


def _flexion(joints_TV3, start, middle, end):
    upper, lower = (_joint(joints_TV3, a) - _joint(joints_TV3, b) for a, b in ((middle, start), (end, middle)))
    cosine = (upper * lower).sum(axis=1) / np.linalg.norm(upper, axis=1) / np.linalg.norm(lower, axis=1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize(("action_id", "flaw"), STANDARDS, ids=lambda value: value)
def test_every_standard_of_every_activity_shows_in_the_joints_and_only_after_it_happens(action_id, flaw):
    clean, flawed = _motion(action_id, flaw, 0, 0, 0), _motion(action_id, flaw, 0, 1, 0)
    moved_T = np.linalg.norm(flawed - clean, axis=-1).max(axis=1)
    assert moved_T[:LENGTH].max() < 1e-3
    assert moved_T.max() > 0.045


@pytest.mark.parametrize(("action_id", "flaw"), STANDARDS[::7], ids=lambda value: value)
def test_a_stronger_flaw_shows_more(action_id, flaw):
    clean = _motion(action_id, flaw, 0, 0, 0)
    sizes = [np.linalg.norm(_motion(action_id, flaw, 0, s, 0) - clean, axis=-1).mean() for s in (0.1, 0.5, 1.0)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_short_range_reaches_forty_to_seventy_percent_of_the_end_pose():
    def lift(strength):
        return np.ptp(_flexion(_motion("A020", "short_range", strength), "left_shoulder", "left_elbow", "left_wrist"))

    assert lift(1.0) / lift(0.0) == pytest.approx(0.4, abs=0.02)
    assert 0.65 < lift(0.05) / lift(0.0) < 0.72


def test_no_return_rests_a_quarter_to_half_way_to_the_end_pose():
    bend_T = _flexion(_motion("A020", "no_return", 0, 1, 0), "left_shoulder", "left_elbow", "left_wrist")
    span = bend_T.max() - bend_T[0]
    assert (bend_T[2 * LENGTH - 1] - bend_T[0]) / span == pytest.approx(0.5, abs=0.03)
    assert bend_T[LENGTH - 1] == pytest.approx(bend_T[0], abs=1)
    assert bend_T[-1] == pytest.approx(bend_T[0], abs=1)


def test_a_rushed_return_takes_a_fifth_of_the_repetition():
    bend_T = _flexion(_motion("A020", "rushed", 1.0), "left_shoulder", "left_elbow", "left_wrist")
    middle = bend_T[0] + 0.5 * np.ptp(bend_T)
    assert np.flatnonzero(bend_T > middle)[-1] > 0.8 * LENGTH


@pytest.mark.parametrize(("strength", "degrees"), [(0.001, 35), (1.0, 70)])
def test_bent_elbows_add_thirty_five_to_seventy_degrees(strength, degrees):
    clean, flawed = (
        _flexion(_motion("A017", "bent_elbows", s), "left_shoulder", "left_elbow", "left_wrist") for s in (0, strength)
    )
    assert (flawed - clean).max() == pytest.approx(degrees, abs=1)


def test_bent_knees_flex_the_knees_of_a_lying_leg_raise():
    clean, flawed = (_flexion(_motion("A030", "bent_knees", s), "left_hip", "left_knee", "left_ankle") for s in (0, 1))
    assert (flawed - clean).max() == pytest.approx(50, abs=3)


@pytest.mark.parametrize(("action_id", "forward"), [("A044", True), ("A020", False), ("A017", False)])
def test_the_trunk_leans_fifteen_to_thirty_degrees_the_way_the_standard_fears(action_id, forward):
    def pitch(strength):
        trunk_T3 = _joint(_motion(action_id, "trunk_lean", strength), "neck") - _joint(
            _motion(action_id, "trunk_lean", strength), "pelvis"
        )
        return np.degrees(np.arctan2(trunk_T3[:, 2], trunk_T3[:, 1]))

    change_T = pitch(1.0) - pitch(0.0)
    assert (change_T.max() if forward else -change_T.min()) == pytest.approx(30, abs=3)


def test_asymmetric_halves_one_side_and_lets_the_other_side_join_a_one_sided_move():
    curls = _motion("A020", "asymmetric", 1.0)
    rise = sorted(np.ptp(_joint(curls, f"{side}_wrist")[:, 1]) for side in ("left", "right"))
    assert rise[0] < 0.75 * rise[1]
    row = _motion("A022", "asymmetric", 1.0)
    assert np.ptp(_joint(row, "left_wrist"), axis=0).max() > 0.1


def test_hips_sag_in_a_push_up_and_in_a_bridge():
    for action_id in ("A006", "A036"):
        drop_T = _joint(_motion(action_id, "hip_sag", 0), "pelvis") - _joint(_motion(action_id, "hip_sag", 1), "pelvis")
        assert drop_T[:, 1].max() > 0.06


def test_knees_come_together_when_they_collapse_in_a_squat():
    def width(strength):
        joints_TV3 = _motion("A010", "knees_in", strength)
        return np.abs(_joint(joints_TV3, "left_knee") - _joint(joints_TV3, "right_knee"))[:, 0]

    assert (width(0) - width(1.0)).max() > 0.12
    assert width(1.0).min() > 0


def test_the_head_drops_and_the_shoulders_rise():
    def drop(flaw, joint, strength):
        return _joint(_motion("A028" if flaw == "head_drop" else "A013", flaw, strength), joint)[:, 1]

    assert (drop("head_drop", "head_front", 0) - drop("head_drop", "head_front", 1)).max() > 0.08
    assert (drop("shoulder_shrug", "left_shoulder", 1) - drop("shoulder_shrug", "left_shoulder", 0)).max() > 0.045


def test_flaring_elbows_leave_the_trunk_in_a_curl():
    out_T = _joint(_motion("A020", "elbows_flare", 1), "left_elbow") - _joint(
        _motion("A020", "elbows_flare", 0), "left_elbow"
    )
    assert out_T[:, 0].max() > 0.12


def test_off_balance_sways_six_to_twelve_centimetres_and_moves_one_foot_only():
    shift_TV3 = _motion("A050", "off_balance", 1.0) - _motion("A050", "off_balance", 0.0)
    assert 0.1 < np.abs(_joint(shift_TV3, "pelvis")[:, 0]).max() < 0.15
    assert np.abs(_joint(shift_TV3, "left_toe")[:, 0]).max() > 0.06
    assert np.abs(_joint(shift_TV3, "right_toe")[:, 0]).max() < 0.02


def test_lifted_heels_raise_the_ankles_while_the_toes_stay_down():
    lift_TV3 = _motion("A010", "heels_up", 1.0) - _motion("A010", "heels_up", 0.0)
    assert _joint(lift_TV3, "left_ankle")[:, 1].max() > 0.06
    assert np.abs(_joint(lift_TV3, "left_toe")).max() < 0.02


def test_every_flaw_is_in_the_lexicon_or_changes_a_squat():
    used = {flaw for _, flaw in STANDARDS}
    assert used <= set(FLAWS)
    assert used == set(FLAWS)


def test_unknown_flaws_and_strengths_out_of_range_are_refused():
    with pytest.raises(DataError, match="unknown flaw"):
        RepFlaws(("lazy",), np.zeros((1, 1)))
    with pytest.raises(DataError, match="strengths"):
        RepFlaws(("rushed",), np.full((1, 1), 1.5))
    with pytest.raises(DataError, match="strengths"):
        RepFlaws(("rushed",), np.zeros((1, 2)))
