import numpy as np
import pytest

from flag3d_ray.data.synthetic.body import (
    CARRIED_BY,
    SUBJECTS,
    TURNED_BY,
    forward_kinematics,
    rest_offsets,
    rotations_from_vectors,
)
from flag3d_ray.skeleton import FLAG3D24


def _identity(frames: int = 1) -> np.ndarray:
    return np.broadcast_to(np.eye(3), (frames, len(FLAG3D24), 3, 3)).copy()


def _plain_forward_kinematics(rotations_TV33, offsets_V3, root_T3):
    joints_TV3 = np.zeros(rotations_TV33.shape[:3])
    for frame, rotations_V33 in enumerate(rotations_TV33):
        turned = {}
        for joint in FLAG3D24.order:
            parent = FLAG3D24.parents[joint]
            if parent < 0:
                turned[joint], joints_TV3[frame, joint] = rotations_V33[joint], root_T3[frame]
                continue
            turned[joint] = turned[TURNED_BY[joint]] @ rotations_V33[joint]
            joints_TV3[frame, joint] = joints_TV3[frame, parent] + turned[CARRIED_BY[joint]] @ offsets_V3[joint]
    return joints_TV3


def test_forward_kinematics_equals_the_recursion_written_as_loops():
    rng = np.random.default_rng(0)
    rotations_TV33 = rotations_from_vectors(rng.normal(size=(4, len(FLAG3D24), 3)))
    root_T3 = rng.normal(size=(4, 3))
    joints_TV3 = forward_kinematics(rotations_TV33, rest_offsets(), root_T3)
    np.testing.assert_allclose(joints_TV3, _plain_forward_kinematics(rotations_TV33, rest_offsets(), root_T3))


def test_any_rotation_keeps_the_bone_lengths():
    rng = np.random.default_rng(1)
    rotations_TV33 = rotations_from_vectors(rng.normal(size=(3, len(FLAG3D24), 3)))
    joints_TV3 = forward_kinematics(rotations_TV33, rest_offsets(), np.zeros((3, 3)))
    for child, parent in FLAG3D24.edges:
        length_T = np.linalg.norm(joints_TV3[:, child] - joints_TV3[:, parent], axis=1)
        np.testing.assert_allclose(length_T, np.linalg.norm(rest_offsets()[child]))


def test_a_nod_of_the_neck_leaves_the_shoulders_where_they_are():
    vectors = np.zeros((1, len(FLAG3D24), 3))
    vectors[0, FLAG3D24.index("neck"), 0] = 0.7
    still = forward_kinematics(_identity(), rest_offsets(), np.zeros((1, 3)))
    nodded = forward_kinematics(rotations_from_vectors(vectors), rest_offsets(), np.zeros((1, 3)))
    moved = np.linalg.norm(nodded - still, axis=-1)[0] > 1e-9
    assert {name for name, joint in zip(FLAG3D24.joints, moved, strict=True) if joint} == {
        "head",
        "head_front",
        "head_back",
    }


def test_a_shrug_lifts_the_arm_without_turning_it():
    vectors = np.zeros((1, len(FLAG3D24), 3))
    vectors[0, FLAG3D24.index("left_collar"), 2] = 0.4
    still = forward_kinematics(_identity(), rest_offsets(), np.zeros((1, 3)))[0]
    shrugged = forward_kinematics(rotations_from_vectors(vectors), rest_offsets(), np.zeros((1, 3)))[0]
    shift_3 = shrugged[FLAG3D24.index("left_shoulder")] - still[FLAG3D24.index("left_shoulder")]
    assert shift_3[1] > 0.04
    for joint in ("left_elbow", "left_wrist"):
        np.testing.assert_allclose(shrugged[FLAG3D24.index(joint)] - still[FLAG3D24.index(joint)], shift_3)


def test_ten_subjects_differ_in_every_limb_and_stay_human():
    lengths = np.array([np.linalg.norm(subject.offsets_V3, axis=1) for subject in SUBJECTS])
    ratio = lengths[:, 1:] / np.linalg.norm(rest_offsets(), axis=1)[1:]
    assert len({subject.name for subject in SUBJECTS}) == 10
    assert (ratio.std(axis=0) > 0.02).all()
    assert ratio.min() > 0.75
    assert ratio.max() < 1.25


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_left_and_right_limbs_of_a_subject_are_equally_long(subject):
    mirror = list(FLAG3D24.mirror)
    np.testing.assert_allclose(subject.offsets_V3[mirror] * (-1, 1, 1), subject.offsets_V3, atol=1e-12)
