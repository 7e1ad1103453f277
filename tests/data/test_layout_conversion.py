"""Conversions between layouts: weights, copies, refusals, symmetries, and real clips as another skeleton."""

import os
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from flag3d_ray.data.body_places import RULES, SIDED, places
from flag3d_ray.data.doctor.body import measure
from flag3d_ray.data.layout_conversion import convert, convert_sample, converted_reader, joint_map, targets
from flag3d_ray.data.readers import cmu, cmu_actions, ui_prmd
from flag3d_ray.data.readers.open_format_joints import is_image
from flag3d_ray.data.synthetic.standing import standing_body
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import (
    CMU31,
    COCO17,
    COCO17_SCORED,
    FLAG3D24,
    LAYOUTS,
    SMPL24,
    UI_PRMD39,
    Layout,
)

SHARED = Path(__file__).parents[3] / "shared" / "data"
EXERCISES = Path(os.environ.get("FLAG3D_CMU_EXERCISE") or SHARED / "cmu_exercise")
ACTIONS = Path(os.environ.get("FLAG3D_CMU_ACTIONS") or SHARED / "cmu_actions")
RECORDINGS = Path(os.environ.get("FLAG3D_UI_PRMD") or SHARED / "ui_prmd")


def needs(folder: Path, variable: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not folder.is_dir(), reason=f"nothing at {folder}; set {variable} to the recordings")


PAIRS = [(source, target) for source in LAYOUTS for target in targets(source)]
IN_SPACE = [(source, target) for source, target in PAIRS if not is_image(source)]
every_pair = pytest.mark.parametrize(
    ("source", "target"), IN_SPACE, ids=[f"{source.name}-{target.name}" for source, target in IN_SPACE]
)


def moving(layout: Layout, frames: int = 5) -> np.ndarray:
    """The standing body, every joint moved by centimetres at random; two persons."""
    noise = np.random.default_rng(3).normal(0, 0.03, (2, frames, len(layout), 3))
    return (standing_body(layout).joints_V3 + noise).astype(np.float32)


def mirrored(joints_MTVC: np.ndarray, layout: Layout) -> np.ndarray:
    return joints_MTVC[:, :, list(layout.mirror)] * np.array([-1, 1, 1], np.float32)


def test_every_pair_of_layouts_converts_or_is_refused_with_a_reason() -> None:
    converts = {(source.name, target.name) for source, target in PAIRS}
    skeletons = {"flag3d24", "smpl24", "ntu25", "cmu31", "cmu38"}
    assert converts == {
        *((a, b) for a, b in product(skeletons, repeat=2) if a != b),
        *(("ui_prmd39", b) for b in skeletons),
        ("coco17_scored", "coco17"),
    }
    for source, target in product(LAYOUTS, repeat=2):
        if source != target and (source.name, target.name) not in converts:
            with pytest.raises(DataError, match=r"no depth|need a camera|measured scores|where these joints are"):
                joint_map(source, target)


def test_what_is_lacking_is_named() -> None:
    with pytest.raises(DataError) as caught:
        joint_map(FLAG3D24, UI_PRMD39)
    assert caught.value.where == "flag3d24 to ui_prmd39"
    assert "left_front_head, right_front_head, left_back_head" in caught.value.rule
    assert "and 33 more" in caught.value.rule


@every_pair
def test_the_weights_of_every_joint_sum_to_one(source: Layout, target: Layout) -> None:
    by = joint_map(source, target)
    assert [origin.joint for origin in by.origins] == list(target.joints)
    assert by.weights_UV.shape == (len(target), len(by.basis))
    np.testing.assert_allclose(by.weights_UV.sum(axis=1), 1, atol=1e-12)


@every_pair
def test_joints_are_the_weighted_sums_of_their_origins(source: Layout, target: Layout) -> None:
    joints_MTVC, by = moving(source), joint_map(source, target)
    basis_MTVC = joints_MTVC if by.basis == source else convert(joints_MTVC, source, by.basis).joints_MTVC
    found_MTUC = convert(joints_MTVC, source, target).joints_MTVC
    for u, origin in enumerate(by.origins):
        expected = 0.0
        for joint, weight in origin.weights:
            expected = expected + weight * basis_MTVC[:, :, by.basis.joints.index(joint)].astype(float)
        np.testing.assert_allclose(found_MTUC[:, :, u], expected, atol=1e-6)


@every_pair
def test_copies_are_equal_to_the_last_bit(source: Layout, target: Layout) -> None:
    joints_MTVC, by = moving(source), joint_map(source, target)
    found_MTUC = convert(joints_MTVC, source, target).joints_MTVC
    copied = [(u, origin.weights[0][0]) for u, origin in enumerate(by.origins) if origin.kind == "copied"]
    assert len(copied) > 10 or source == UI_PRMD39
    for u, joint in copied:
        np.testing.assert_array_equal(found_MTUC[:, :, u], joints_MTVC[:, :, source.index(joint)])


@pytest.mark.parametrize(
    ("source", "target"),
    [pair for pair in IN_SPACE if pair[0] != UI_PRMD39],
    ids=lambda layout: layout.name,
)
def test_there_and_back_again_joints_that_both_have_are_where_they_were(source: Layout, target: Layout) -> None:
    joints_MTVC = moving(source)
    there, back = joint_map(source, target), joint_map(target, source)
    again_MTVC = convert(convert(joints_MTVC, source, target).joints_MTVC, target, source).joints_MTVC
    first = {origin.joint: origin.weights[0][0] for origin in there.origins if origin.kind == "copied"}
    returned = 0
    for origin in back.origins:
        if origin.kind == "copied" and first.get(origin.weights[0][0]) == origin.joint:
            joint = source.index(origin.joint)
            np.testing.assert_array_equal(again_MTVC[:, :, joint], joints_MTVC[:, :, joint])
            returned += 1
    assert returned >= 15


@every_pair
def test_mirroring_and_converting_commute(source: Layout, target: Layout) -> None:
    joints_MTVC = moving(source)
    first = convert(mirrored(joints_MTVC, source), source, target).joints_MTVC
    last = mirrored(convert(joints_MTVC, source, target).joints_MTVC, target)
    np.testing.assert_allclose(first, last, atol=2e-6)


@every_pair
def test_a_turned_and_shifted_body_converts_to_the_turned_and_shifted_skeleton(source: Layout, target: Layout) -> None:
    joints_MTVC = moving(source)
    turn, shift = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix(), np.array([0.3, -0.2, 1.1])

    def moved(joints: np.ndarray) -> np.ndarray:
        return (joints @ turn.T + shift).astype(np.float32)

    first = convert(moved(joints_MTVC), source, target).joints_MTVC
    np.testing.assert_allclose(first, moved(convert(joints_MTVC, source, target).joints_MTVC), atol=5e-6)


def test_a_layout_becomes_itself_unchanged() -> None:
    for layout in LAYOUTS:
        joints_MTVC = np.random.default_rng(0).normal(size=(1, 3, len(layout), layout.channels)).astype(np.float32)
        found = convert(joints_MTVC, layout, layout)
        np.testing.assert_array_equal(found.joints_MTVC, joints_MTVC)
        assert found.by.interpolated == ()


def test_scores_can_be_left_out_but_not_made_up() -> None:
    joints_MTVC = np.random.default_rng(0).normal(size=(1, 3, 17, 3)).astype(np.float32)
    np.testing.assert_array_equal(convert(joints_MTVC, COCO17_SCORED, COCO17).joints_MTVC, joints_MTVC[..., :2])
    with pytest.raises(DataError, match="nobody measured scores"):
        convert(joints_MTVC[..., :2], COCO17, COCO17_SCORED)


def test_markers_become_joints_as_their_reader_makes_them() -> None:
    markers_MTNC = moving(UI_PRMD39)
    found_MTVC = convert(markers_MTNC, UI_PRMD39, FLAG3D24).joints_MTVC
    for person in range(2):
        expected = ui_prmd.joint_centres(markers_MTNC[person].astype(float))
        np.testing.assert_allclose(found_MTVC[person], expected, atol=1e-6)


def test_a_lost_marker_is_filled_one_never_seen_is_named_and_an_absent_person_stays_away() -> None:
    markers_MTNC = np.tile(standing_body(UI_PRMD39).joints_V3, (2, 6, 1, 1))
    markers_MTNC[1] = 0
    whole = convert(markers_MTNC, UI_PRMD39, SMPL24).joints_MTVC
    assert not whole[1].any()
    knee = UI_PRMD39.index("left_knee")
    markers_MTNC[0, 2:4, knee] = 0
    np.testing.assert_allclose(convert(markers_MTNC, UI_PRMD39, SMPL24).joints_MTVC, whole, atol=1e-6)
    markers_MTNC[0, :, knee] = 0
    with pytest.raises(DataError, match="never seen: marker left_knee"):
        convert(markers_MTNC, UI_PRMD39, SMPL24)


def test_the_kinds_say_what_is_known_and_what_is_not() -> None:
    by = joint_map(CMU31, FLAG3D24)
    assert by.interpolated == ("head_front", "head_back", "left_collar", "right_collar")
    assert str(by.origins[FLAG3D24.index("left_wrist")]) == "left_hand"
    assert str(by.origins[FLAG3D24.index("left_collar")]) == "0.67 neck + 0.33 left_shoulder"
    assert str(joint_map(FLAG3D24, SMPL24).origins[SMPL24.index("left_hand")]) == "1.3 left_wrist - 0.3 left_elbow"
    markers = joint_map(UI_PRMD39, FLAG3D24)
    assert markers.interpolated == ("spine1", "spine3", "left_collar", "right_collar")
    assert {origin.kind for origin in markers.origins} == {"constructed", "interpolated"}


def test_the_card_of_a_converted_dataset_says_what_was_interpolated() -> None:
    reader = converted_reader(cmu.READER, FLAG3D24)
    said = "Converted from cmu31; interpolated: head_front, head_back, left_collar, right_collar."
    assert reader.layout == "flag3d24"
    assert reader.card.limits == f"{cmu.READER.card.limits} {said}"


def bone_variation(samples: list[Sample], layout: Layout) -> dict[str, float]:
    """Standard deviation over mean of every bone's length, the largest of all sequences, by the joint at its end."""
    varied: dict[str, float] = {}
    for sample in samples:
        joints_TVC = sample.joints_MTVC[0].astype(float)
        for child, parent in layout.edges:
            length_T = np.linalg.norm(joints_TVC[:, child] - joints_TVC[:, parent], axis=-1)
            if length_T.mean() > 1e-6:
                name = layout.joints[child]
                varied[name] = max(varied.get(name, 0.0), float(length_T.std() / length_T.mean()))
    return varied


@needs(EXERCISES, "FLAG3D_CMU_EXERCISE")
def test_cmus_exercises_become_plausible_people_of_flag3d24() -> None:
    samples = [convert_sample(sample, FLAG3D24) for sample in cmu.READER.read(EXERCISES)]
    bodies = [measure(sample) for sample in samples]
    assert {sample.layout for sample in samples} == {"flag3d24"}
    assert [body.stature for body in bodies if body is not None] == pytest.approx([1.86] * 8, abs=0.005)
    assert all(body is not None and body.mirrored is False for body in bodies)
    assert {body.up for body in bodies if body is not None} <= {"+y", ""}
    varied = bone_variation(samples, FLAG3D24)
    girdle = {"left_collar", "right_collar", "left_shoulder", "right_shoulder"}
    assert max(varied[joint] for joint in varied.keys() - girdle) < 0.004, "bones are rigid"
    assert 0.11 < max(varied[joint] for joint in girdle) < 0.125, "shoulders move against the neck"


@needs(ACTIONS, "FLAG3D_CMU_ACTIONS")
def test_cmus_actions_become_people_with_a_short_trunk_and_short_forearms() -> None:
    samples = [convert_sample(sample, FLAG3D24) for sample in cmu_actions.READER.read(ACTIONS)]
    bodies = [measure(sample) for sample in samples]
    assert [body.stature for body in bodies if body is not None] == pytest.approx([1.59] * 38, abs=0.005)
    assert all(body is not None and (body.up, body.mirrored) == ("+y", False) for body in bodies)
    assert apart(samples[0], FLAG3D24, "left_elbow", "left_wrist") == pytest.approx(0.19, abs=0.005)
    assert apart(samples[0], FLAG3D24, "spine2", "neck") == pytest.approx(0.09, abs=0.005)


@needs(EXERCISES, "FLAG3D_CMU_EXERCISE")
@needs(RECORDINGS, "FLAG3D_UI_PRMD")
def test_conventions_of_one_place_differ_by_the_centimetres_that_the_page_names() -> None:
    exercise = next(iter(cmu.READER.read(EXERCISES)))
    assert apart(exercise, CMU31, "spine2", "spine3") == pytest.approx(0.10, abs=0.005), "the bone thorax"
    assert apart(exercise, CMU31, "left_wrist", "left_hand") == pytest.approx(0.105, abs=0.005), "the bone lwrist"
    assert apart(exercise, CMU31, "left_hand", "left_finger") == pytest.approx(0.07, abs=0.005)
    hips = ("left_hip", "right_hip")
    assert apart(exercise, CMU31, "pelvis", *hips) == pytest.approx(0.11, abs=0.005)
    recording = ui_prmd.load(RECORDINGS / "m01_s01_correct.npz")
    assert apart(recording, FLAG3D24, "pelvis", *hips) == pytest.approx(0.09, abs=0.005)
    synthetic = replace(recording, joints_MTVC=standing_body(FLAG3D24).joints_V3[None, None])
    assert apart(synthetic, FLAG3D24, "pelvis", *hips) == pytest.approx(0.04, abs=0.005)


def apart(sample: Sample, layout: Layout, joint: str, *others: str) -> float:
    """Metres between a joint and the middle of others, in the median."""
    joints_TVC = sample.joints_MTVC[0].astype(float)
    middle_TC = np.mean([joints_TVC[:, layout.index(other)] for other in others], axis=0)
    return float(np.median(np.linalg.norm(joints_TVC[:, layout.index(joint)] - middle_TC, axis=-1)))


@needs(EXERCISES, "FLAG3D_CMU_EXERCISE")
def test_cmus_elbow_is_straight_at_its_joint_wrist_and_the_arm_bends_at_its_hand() -> None:
    joints_TVC = np.concatenate([sample.joints_MTVC[0] for sample in cmu.READER.read(EXERCISES)]).astype(float)
    elbow, wrist, hand, knuckle = (
        joints_TVC[:, CMU31.index(f"right_{joint}")] for joint in ("elbow", "wrist", "hand", "knuckle")
    )
    assert bend(elbow, wrist, hand).max() < 0.1
    assert 40 < bend(wrist, hand, knuckle).max() < 50


def bend(before_TC: np.ndarray, at_TC: np.ndarray, after_TC: np.ndarray) -> np.ndarray:
    """Degrees by which a chain turns at its middle joint."""
    come, go = at_TC - before_TC, after_TC - at_TC
    sine = np.linalg.norm(np.cross(come, go), axis=-1)
    return np.degrees(np.arctan2(sine, (come * go).sum(axis=-1)))


MISSED_CM = {
    **{"chest": 1.2, "spine_low": 0.7, "skull_base": 0.8, "head": 1.7, "forearm": 0.1, "hand": 4.5, "palm": 0.3},
    **{"thumb": 3.2, "toe_tip": 2.8},
}
"""Median distance between a joint of CMU's exercises and where the rule for its place would have it: docs/layouts.md."""


@needs(EXERCISES, "FLAG3D_CMU_EXERCISE")
def test_how_far_off_an_interpolated_joint_is_stands_in_the_page_on_layouts() -> None:
    joints_TVC = np.concatenate([sample.joints_MTVC[0] for sample in cmu.READER.read(EXERCISES)]).astype(float)
    at = {place: joints_TVC[:, CMU31.index(joint)] for joint, place in places(CMU31).items()}
    missed: dict[str, list[np.ndarray]] = {}
    for place, parts in RULES:
        for side in ("left_", "right_") if place in SIDED else ("",):
            sided = {f"{side if part in SIDED else ''}{part}": weight for part, weight in parts.items()}
            if side + place in at and sided.keys() <= at.keys():
                guess_TC = sum((weight * at[part] for part, weight in sided.items()), np.zeros(3))
                missed.setdefault(place, []).append(np.linalg.norm(guess_TC - at[side + place], axis=-1))
    medians = {place: 100 * float(np.median(np.concatenate(parts))) for place, parts in missed.items()}
    assert medians == pytest.approx(MISSED_CM, abs=0.06)


@needs(RECORDINGS, "FLAG3D_UI_PRMD")
def test_the_forehead_is_a_hands_breadth_before_the_middle_of_the_head() -> None:
    joints_TVC = ui_prmd.load(RECORDINGS / "m01_s01_correct.npz").joints_MTVC[0].astype(float)
    head, front = (joints_TVC[:, FLAG3D24.index(joint)] for joint in ("head", "head_front"))
    assert 7 < 100 * float(np.median(np.linalg.norm(head - front, axis=-1))) < 8


def test_the_page_on_layouts_says_of_every_pair_what_is_interpolated_and_how_far_off_places_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "layouts.md").read_text(encoding="utf-8").splitlines()
    for source, target in PAIRS:
        joints = joint_map(source, target).interpolated
        parts = dict.fromkeys(joint.removeprefix("left_").removeprefix("right_") for joint in joints)
        assert f"| `{source.name}` | `{target.name}` | {len(joints)} | {', '.join(parts) or 'none'} |" in page
    rows = {line.split(" | ")[0].removeprefix("| "): line.rpartition(" | ")[2] for line in page if "|" in line}
    assert {place: rows[place] for place in MISSED_CM} == {place: f"{cm} |" for place, cm in MISSED_CM.items()}
