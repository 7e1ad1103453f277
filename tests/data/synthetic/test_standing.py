"""The standing body: one person in every layout."""

import numpy as np
import pytest

from flag3d_ray.data.readers.ui_prmd import joint_centres
from flag3d_ray.data.synthetic.standing import standing_body
from flag3d_ray.skeleton import FLAG3D24, LAYOUTS, NTU25, UI_PRMD39, Layout


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_it_stands_on_the_floor_looks_forward_and_has_its_left_on_the_left(layout: Layout) -> None:
    joints_V3 = standing_body(layout).joints_V3
    assert joints_V3.shape == (len(layout), 3)
    assert joints_V3[:, 1].min() == 0
    assert 1.4 < joints_V3[:, 1].max() < 1.7
    for joint, (x, y, z) in zip(layout.joints, joints_V3, strict=True):
        if joint.startswith("left"):
            assert x >= 0
        if "nose" in joint or "head_front" in joint or joint.endswith(("foot", "toe")):
            assert z > 0.05, f"{joint} is in front, at {y}"


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_it_is_its_own_mirror_image(layout: Layout) -> None:
    joints_V3 = standing_body(layout).joints_V3
    paired = [joint != "scapula" for joint in layout.joints]  # the one marker without a partner
    np.testing.assert_allclose((joints_V3[list(layout.mirror)] * (-1, 1, 1))[paired], joints_V3[paired], atol=1e-6)


def test_what_is_not_a_joint_of_flag3d24_is_a_stand_in() -> None:
    assert standing_body(FLAG3D24).stand_ins == ()
    sided = (f"{side}_{joint}" for side in ("left", "right") for joint in ("hand", "hand_tip", "thumb"))
    assert set(standing_body(NTU25).stand_ins) == {"neck", *sided}
    assert standing_body(UI_PRMD39).stand_ins == UI_PRMD39.joints


def test_the_reader_finds_the_body_again_beneath_its_markers() -> None:
    markers_VC = standing_body(UI_PRMD39).joints_V3.astype(float)
    found_V3 = joint_centres(markers_VC[None])[0]
    body_V3 = standing_body(FLAG3D24).joints_V3
    off_V = np.linalg.norm((found_V3 - found_V3[0]) - (body_V3 - body_V3[0]), axis=-1)
    hips = [FLAG3D24.index("left_hip"), FLAG3D24.index("right_hip")]
    assert np.delete(off_V, hips).max() < 0.055
    assert off_V[hips].max() < 0.07, "regressed from the width of the pelvis"
