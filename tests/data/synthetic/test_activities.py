import dataclasses
import json
from importlib.resources import files

import numpy as np
import pytest

from flag3d_ray.data.synthetic.gallery import filmstrip
from flag3d_ray.data.synthetic.motion import ACTIVITIES
from flag3d_ray.data.synthetic.poses import COLUMN, DEGREES, HIGH, LOW
from flag3d_ray.skeleton import FLAG3D24

IDS = [activity.action_id for activity in ACTIVITIES]
BY_ID = dict(zip(IDS, ACTIVITIES, strict=True))
BODY_PARTS = {
    "chest": 6,
    "back": 6,
    "shoulder": 7,
    "arm": 6,
    "neck": 4,
    "abdomen": 6,
    "waist": 7,
    "hip": 7,
    "leg": 5,
    "multiple parts": 6,
}


def _track(action_id, joint, frames=40):
    return filmstrip(BY_ID[action_id], frames)[:, FLAG3D24.index(joint)]


def _bend(action_id, start, middle, end, frames=40):
    joints_FV3 = filmstrip(BY_ID[action_id], frames)
    upper, lower = (
        joints_FV3[:, FLAG3D24.index(a)] - joints_FV3[:, FLAG3D24.index(b)] for a, b in ((start, middle), (end, middle))
    )
    cosine = (upper * lower).sum(axis=1) / np.linalg.norm(upper, axis=1) / np.linalg.norm(lower, axis=1)
    return 180 - np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def test_there_are_sixty_activities_in_order_with_the_published_body_parts():
    assert [f"A{number:03d}" for number in range(1, 61)] == IDS
    parts = [activity.body_part for activity in ACTIVITIES]
    assert {part: parts.count(part) for part in parts} == BODY_PARTS


def test_names_are_those_of_the_captions():
    lexicon = json.loads(files("flag3d_ray.data").joinpath("lexicon.json").read_text())["activities"]
    for activity in ACTIVITIES:
        assert lexicon[activity.action_id]["captions"][0] == activity.name
        assert lexicon[activity.action_id]["body_part"] == activity.body_part


def test_about_a_third_of_the_activities_have_limbs_that_do_not_count():
    assert 18 <= sum(bool(activity.distractors) for activity in ACTIVITIES) <= 40


@pytest.mark.parametrize("activity", ACTIVITIES, ids=IDS)
def test_key_poses_respect_joint_limits(activity):
    slack_A = np.where(DEGREES, 1e-9, 0.0)
    assert (activity.table_PA >= LOW - slack_A).all()
    assert (activity.table_PA <= HIGH + slack_A).all()


@pytest.mark.parametrize("activity", ACTIVITIES, ids=IDS)
def test_a_repetition_ends_where_it_begins(activity):
    np.testing.assert_allclose(activity.table_PA[0], activity.table_PA[-1], atol=1e-9)
    np.testing.assert_allclose(activity.planted_PV[0], activity.planted_PV[-1])


@pytest.mark.parametrize("activity", ACTIVITIES, ids=IDS)
def test_no_joint_sinks_into_the_floor_and_something_touches_it(activity):
    heights_FV = filmstrip(activity, 40)[..., 1]
    assert heights_FV.min() > -0.02
    airborne = activity.table_PA[:, COLUMN["lift"]].max() > 0
    assert (heights_FV.min(axis=1) < 0.12).all() or airborne


@pytest.mark.parametrize(
    ("action_id", "planted"),
    [
        ("A006", "left_wrist"),
        ("A006", "right_toe"),
        ("A010", "left_toe"),
        ("A034", "left_wrist"),
        ("A036", "right_toe"),
        ("A042", "left_toe"),
        ("A044", "left_toe"),
        ("A049", "right_toe"),
    ],
)
def test_planted_hands_and_feet_do_not_slide(action_id, planted):
    assert np.ptp(_track(action_id, planted), axis=0).max() < 0.03


def test_a_push_up_lowers_the_shoulders_by_bending_the_elbows_with_straight_legs():
    assert np.ptp(_track("A006", "left_shoulder")[:, 1]) > 0.25
    assert _bend("A006", "left_shoulder", "left_elbow", "left_wrist").max() > 80
    assert _bend("A006", "left_hip", "left_knee", "left_ankle").max() < 25


def test_hands_meet_in_front_of_the_chest_in_a_svend_press_and_in_a_clap():
    for action_id in ("A001", "A059"):
        hands_F3 = _track(action_id, "left_wrist") - _track(action_id, "right_wrist")
        assert np.linalg.norm(hands_F3, axis=1).min() < 0.12


def test_hands_meet_overhead_in_jumping_jacks_while_the_feet_are_apart():
    feet_F = _track("A057", "left_ankle")[:, 0] - _track("A057", "right_ankle")[:, 0]
    assert _track("A057", "left_wrist")[feet_F.argmax(), 1] > _track("A057", "head")[:, 1].max()
    assert np.ptp(feet_F) > 0.5


def test_the_forearms_of_the_fortune_cat_turn_without_moving_the_elbows():
    assert np.ptp(_track("A019", "left_elbow"), axis=0).max() < 0.05
    assert np.ptp(_track("A019", "left_wrist")[:, 1]) > 0.4


def test_arm_circles_turn_opposite_ways():
    def turning(action_id):
        hand_F3 = _track(action_id, "left_wrist") - _track(action_id, "left_wrist").mean(axis=0)
        y, z = hand_F3[:, 1], hand_F3[:, 2]
        return np.sign((y * np.roll(z, -1) - z * np.roll(y, -1)).sum())

    # Forward circles pass the front on the way down.
    assert turning("A013") == 1
    assert turning("A014") == -1


@pytest.mark.parametrize(("action_id", "moving", "still"), [("A022", "right", "left"), ("A034", "right", "left")])
def test_one_sided_activities_move_their_side_only(action_id, moving, still):
    limb = "wrist" if action_id == "A022" else "toe"
    assert np.ptp(_track(action_id, f"{moving}_{limb}"), axis=0).max() > 0.25
    assert np.ptp(_track(action_id, f"{still}_{limb}"), axis=0).max() < 0.05


def test_both_feet_leave_the_floor_in_a_squat_jump_after_a_squat():
    toes_F = np.minimum(_track("A051", "left_toe")[:, 1], _track("A051", "right_toe")[:, 1])
    assert toes_F.max() > 0.2
    assert _track("A051", "pelvis")[:, 1].argmin() < toes_F.argmax()


def test_the_rear_knee_comes_close_to_the_floor_in_a_reverse_lunge():
    assert _track("A044", "right_knee")[:, 1].min() < 0.16
    assert _track("A044", "right_ankle")[:, 2].min() < -0.6


def test_alternating_sides_within_a_repetition_mirror_each_other():
    frames = filmstrip(BY_ID["A021"], 40)
    left_F, right_F = (frames[:, FLAG3D24.index(f"{side}_wrist"), 1] for side in ("left", "right"))
    np.testing.assert_allclose(left_F, np.roll(right_F, 20), atol=0.05)


def test_what_one_repetition_is_is_stated():
    assert BY_ID["A046"].one_repetition == "left and right"
    assert BY_ID["A052"].one_repetition == "one side, the sides alternate"
    assert BY_ID["A006"].one_repetition == "there and back"


def test_an_activity_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(ACTIVITIES[0], "seconds", 1.0)  # noqa: B010 - the checker would refuse the plain assignment
