import numpy as np
import pytest

from flag3d_ray.data.synthetic.body import forward_kinematics, rest_offsets
from flag3d_ray.data.synthetic.poses import (
    ANGLES,
    HIGH,
    LOW,
    both,
    left,
    local_rotations,
    mirrored,
    pose_vector,
    reach,
    right,
)
from flag3d_ray.skeleton import FLAG3D24


def _joints(pose):
    return forward_kinematics(local_rotations(pose_vector(pose)[None]), rest_offsets(), np.zeros((1, 3)))[0]


def _bone(pose, start, end):
    joints_V3 = _joints(pose)
    bone_3 = joints_V3[FLAG3D24.index(end)] - joints_V3[FLAG3D24.index(start)]
    return bone_3 / np.linalg.norm(bone_3)


@pytest.mark.parametrize(
    ("pose", "start", "end", "direction"),
    [
        (left(arm_raise=90), "left_shoulder", "left_elbow", (1, 0, 0)),
        (right(arm_raise=90), "right_shoulder", "right_elbow", (-1, 0, 0)),
        (both(arm_raise=90, arm_plane=90), "right_shoulder", "right_elbow", (0, 0, 1)),
        (both(arm_raise=180), "left_shoulder", "left_elbow", (0, 1, 0)),
        (both(arm_raise=60, arm_plane=-90), "left_shoulder", "left_elbow", (0, -0.5, -0.87)),
        (both(elbow=90), "left_elbow", "left_wrist", (0, 0, 1)),
        (both(elbow=90, arm_twist=90), "left_elbow", "left_wrist", (-1, 0, 0)),
        (both(arm_raise=90, elbow=90, arm_twist=-90), "right_elbow", "right_wrist", (0, 1, 0)),
        (both(hip_flex=90), "left_hip", "left_knee", (0, 0, 1)),
        (both(hip_abd=45), "right_hip", "right_knee", (-0.71, -0.71, 0)),
        (both(knee=90), "left_knee", "left_ankle", (0, 0, -1)),
        ({"pitch": 90}, "pelvis", "spine1", (0, 0, 1)),
        ({"roll": 90}, "pelvis", "spine1", (1, 0, 0)),
        ({"trunk_side": 30}, "spine3", "neck", (0.5, 0.87, 0)),
    ],
)
def test_an_angle_turns_its_bone_the_way_its_name_says(pose, start, end, direction):
    np.testing.assert_allclose(_bone(pose, start, end), direction, atol=0.01)


def test_a_turned_head_looks_to_the_left():
    joints_V3 = _joints({"neck_twist": 80})
    face_3 = joints_V3[FLAG3D24.index("head_front")] - joints_V3[FLAG3D24.index("head")]
    assert face_3[0] > 0.08


def test_a_mirrored_pose_gives_mirrored_joints():
    pose = left(arm_raise=70, arm_plane=40, arm_twist=30, elbow=60, hip_flex=50, knee=80) | {
        "trunk_twist": 25,
        "neck_side": 20,
        "roll": 10,
    }
    np.testing.assert_allclose(_joints(mirrored(pose)), _joints(pose)[list(FLAG3D24.mirror)] * (-1, 1, 1), atol=1e-12)


@pytest.mark.parametrize("target", [(-0.16, -0.1, 0.2), (0.1, 0.3, 0.1), (0.0, -0.4, 0.1), (-0.1, 0.17, -0.07)])
def test_reach_brings_the_wrist_to_the_target(target):
    joints_V3 = _joints(left(**reach(*target)))
    wrist_3 = joints_V3[FLAG3D24.index("left_wrist")] - joints_V3[FLAG3D24.index("left_shoulder")]
    np.testing.assert_allclose(wrist_3, target, atol=1e-6)


def test_reach_straightens_the_arm_towards_what_is_too_far():
    assert reach(0.0, 0.0, 2.0)["elbow"] < 8


def test_rotations_of_any_allowed_angles_are_rotations():
    angles_TA = np.random.default_rng(0).uniform(LOW, HIGH, size=(20, len(ANGLES)))
    rotations = local_rotations(angles_TA)
    np.testing.assert_allclose(
        rotations @ rotations.swapaxes(-1, -2), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0)


def test_an_unknown_angle_is_an_error():
    with pytest.raises(KeyError):
        pose_vector({"left_thumb": 3.0})
