"""Layouts: trees that reach every joint and look the same in a mirror, and names that are found."""

import pytest

from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import LAYOUTS, UI_PRMD39, Layout, layout

ALL = pytest.mark.parametrize("skeleton", LAYOUTS, ids=lambda skeleton: skeleton.name)


@ALL
def test_the_tree_reaches_every_joint_once_and_parents_come_first(skeleton: Layout) -> None:
    assert sorted(skeleton.order) == list(range(len(skeleton)))
    place = {joint: number for number, joint in enumerate(skeleton.order)}
    assert all(place[parent] < place[child] for child, parent in skeleton.edges)
    assert len(set(skeleton.joints)) == len(skeleton)


@ALL
def test_the_mirror_image_of_the_mirror_image_is_the_skeleton_and_bones_stay_bones(skeleton: Layout) -> None:
    mirror = skeleton.mirror
    assert [mirror[partner] for partner in mirror] == list(range(len(skeleton)))
    bones = {frozenset(edge) for edge in skeleton.edges}
    assert {frozenset(mirror[end] for end in bone) for bone in bones} == bones


def test_ui_prmds_joints_are_its_readers_markers_in_their_order() -> None:
    from flag3d_ray.data.readers.ui_prmd import MARKERS

    words = {"FHD": "front_head", "BHD": "back_head", "SHO": "shoulder", "UPA": "upper_arm", "ELB": "elbow"}
    words |= {
        "FRM": "forearm",
        "WRA": "wrist_thumb",
        "WRB": "wrist_pinky",
        "FIN": "finger",
        "ASI": "asis",
        "PSI": "psis",
    }
    words |= {"THI": "thigh", "KNE": "knee", "TIB": "tibia", "ANK": "ankle", "HEE": "heel", "TOE": "toe"}
    midline = {"C7": "c7", "T10": "t10", "CLAV": "clavicle", "STRN": "sternum", "RBAK": "scapula"}
    sides = {"L": "left", "R": "right"}
    named = [midline.get(marker) or f"{sides[marker[0]]}_{words[marker[1:]]}" for marker in MARKERS]
    assert list(UI_PRMD39.joints) == named


def test_an_unknown_layout_is_refused_with_those_that_exist() -> None:
    with pytest.raises(DataError, match="flag3d24, smpl24, ntu25"):
        layout("kinect20")
    assert layout("ui_prmd39") is UI_PRMD39
