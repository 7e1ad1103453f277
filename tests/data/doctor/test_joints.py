"""Joints of one sequence that are there but cannot be right: zeros, frozen, repeated, too fast."""

from dataclasses import replace

import numpy as np
import pytest

from flag3d_ray.data.doctor import joints
from flag3d_ray.data.findings import Finding
from flag3d_ray.data.synthetic.generate import Synthetic, synthetic_sample
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import FLAG3D24

PERSON = synthetic_sample(Synthetic(takes_per_action=1), 0)
WRIST = FLAG3D24.index("left_wrist")


def joint_findings(sample: Sample, *, metric: bool = True) -> list[Finding]:
    return list(joints.joint_findings(sample, metric=metric))


def changed(change, **fields) -> Sample:
    """The person with other joints: `change` writes into a copy [T, V, C]."""
    joints_MTVC = PERSON.joints_MTVC.copy()
    change(joints_MTVC[0])
    return replace(PERSON, joints_MTVC=joints_MTVC, **fields)


def test_a_synthetic_person_gives_nothing() -> None:
    assert (joint_findings(PERSON)) == []


def test_joints_written_as_zeros_are_counted_with_their_longest_gap() -> None:
    def lose(joints_TVC):
        joints_TVC[10:15, WRIST] = 0
        joints_TVC[40:42, WRIST + 1] = 0

    (found,) = joint_findings(changed(lose))
    assert (found.severity, found.row) == ("warning", "frame 10")
    assert "7 joint-frames are exactly 0" in found.rule
    assert "of 2 joints; longest gap 5 frames (left_wrist)" in found.rule


def test_one_coordinate_of_zero_is_no_missing_joint() -> None:
    def flatten(joints_TVC):
        joints_TVC[:, :, 2] = 0

    assert not any("exactly 0" in found.rule for found in joint_findings(changed(flatten)))


def test_a_sequence_centred_on_its_root_is_noted_and_nothing_else() -> None:
    def centre(joints_TVC):
        joints_TVC -= joints_TVC[:, :1].copy()

    (found,) = joint_findings(changed(centre))
    assert (found.severity, "centred on the pelvis" in found.rule) == ("note", True)


def test_children_that_lie_on_the_root_belong_to_the_note_and_a_lost_wrist_does_not() -> None:
    hips = [FLAG3D24.index(f"{side}_hip") for side in ("left", "right")]

    def centre(joints_TVC):
        joints_TVC -= joints_TVC[:, :1].copy()
        joints_TVC[:, [*hips, WRIST]] = 0

    warning, note = sorted(joint_findings(changed(centre)), key=lambda found: found.severity, reverse=True)
    assert f"{PERSON.frames} joint-frames are exactly 0" in warning.rule
    assert "of 1 joints" in warning.rule
    assert "pelvis, which is 0 in every frame, as left_hip, right_hip: the place is lost" in note.rule


def test_frames_without_anybody_are_counted() -> None:
    def leave(joints_TVC):
        joints_TVC[20:30] = 0

    (found,) = joint_findings(changed(leave))
    assert found.row == "frame 20"
    assert f"nobody in 10 of {PERSON.frames} frames" in found.rule


def test_a_second_person_who_is_never_there_is_no_finding_and_one_who_comes_late_a_note() -> None:
    two = np.concatenate([PERSON.joints_MTVC, np.zeros_like(PERSON.joints_MTVC)])
    assert (joint_findings(replace(PERSON, joints_MTVC=two))) == []
    two[1, 100:] = PERSON.joints_MTVC[0, 100:]
    (found,) = joint_findings(replace(PERSON, joints_MTVC=two))
    assert (found.severity, found.row) == ("note", "person 2, frame 0")


def test_a_joint_that_never_moves_is_frozen() -> None:
    def freeze(joints_TVC):
        joints_TVC[:, WRIST] = joints_TVC[0, WRIST]

    (found,) = joint_findings(changed(freeze))
    assert "frozen while others move: left_wrist" in found.rule
    assert f"longest {PERSON.frames - 1} of {PERSON.frames - 1} frames" in found.rule


def test_a_joint_that_stops_while_its_bone_stretches_is_frozen_and_one_that_rests_is_not() -> None:
    def walk_on(joints_TVC):
        joints_TVC[50:150] += np.linspace(0, 1, 100)[:, None, None]
        joints_TVC[50:150, WRIST] = joints_TVC[50, WRIST]

    def rest(joints_TVC):
        joints_TVC[50:150, [WRIST, FLAG3D24.index("left_elbow")]] = joints_TVC[
            50, [WRIST, FLAG3D24.index("left_elbow")]
        ]
        joints_TVC[50:150, FLAG3D24.index("left_shoulder")] = joints_TVC[50, FLAG3D24.index("left_shoulder")]

    assert any("frozen while others move: left_wrist" in found.rule for found in joint_findings(changed(walk_on)))
    assert not any("left_wrist" in found.rule for found in joint_findings(changed(rest)))


def test_frames_that_repeat_the_one_before_point_at_the_frame_rate() -> None:
    doubled = replace(PERSON, joints_MTVC=np.repeat(PERSON.joints_MTVC, 2, axis=1), fps=60.0)
    (found,) = joint_findings(doubled)
    assert found.rule.startswith("50% of the frames repeat the one before")
    assert found.row == "frame 1"


def test_a_frame_rate_that_is_too_high_makes_limbs_too_fast() -> None:
    found = joint_findings(replace(PERSON, fps=900.0))
    assert len(found) == 1
    assert "m/s in the median" in found[0].rule
    assert "2000 frames per second" in joint_findings(replace(PERSON, fps=2000.0))[0].rule


def test_a_joint_that_jumps_is_found_with_its_frame() -> None:
    def jump(joints_TVC):
        joints_TVC[77, WRIST] += 5

    (found,) = joint_findings(changed(jump))
    assert found.row == "frame 77"
    assert "a joint jumps: up to" in found.rule
    assert "2 times above 40" in found.rule


@pytest.mark.parametrize("frames", [1, 2])
def test_the_shortest_sequences_are_looked_at_too(frames) -> None:
    assert (joint_findings(replace(PERSON, joints_MTVC=PERSON.joints_MTVC[:, :frames]))) == []


def test_pixels_have_no_speed_and_what_a_detector_missed_is_a_note() -> None:
    rng = np.random.default_rng(0)
    joints_MTVC = rng.uniform(0, 1000, (1, 50, 17, 2)).astype(np.float32)
    joints_MTVC[0, 5, 3] = 0
    image = replace(PERSON, layout="coco17", unit="px", image_hw=(1080, 1920), joints_MTVC=joints_MTVC)
    (found,) = joint_findings(image, metric=False)
    assert (found.severity, found.row) == ("note", "frame 5")


def test_joints_in_another_unit_have_no_speed() -> None:
    in_millimetres = replace(PERSON, joints_MTVC=PERSON.joints_MTVC * np.float32(1000))
    assert joint_findings(in_millimetres, metric=False) == []
    assert len(joint_findings(in_millimetres)) == 1
