"""ASF skeletons and AMC motions against poses worked out by hand, and damaged ones."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from flag3d_ray.data.readers.asf_amc import read_amc, read_asf
from flag3d_ray.errors import DataError

# A thigh of 4 pointing down, a shin of 3 whose axes are turned 90 degrees about y, a pelvis bone that does not move.
ASF = """# a comment
:version 1.10
:name made by hand
:units
  mass 1.0
  length 0.45
  angle deg
:documentation
  begin at the root
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name hipbone
    direction 1 0 0
    length 0.5
    axis 0 0 0 XYZ
  end
  begin
    id 2
    name thigh
    direction 0 -1 0
    length 4
    axis 0 0 0 XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-60.0 70.0)
  end
  begin
    id 3
    name shin
    direction 0 -1 0
    length 3
    axis 0 90 0 XYZ
    dof rx
    limits (-10.0 170.0)
  end
:hierarchy
  begin
    root hipbone
    hipbone thigh
    thigh shin
  end
"""
AMC = """#!OML:ASF
:FULLY-SPECIFIED
:DEGREES
1
root 0 9 0 0 0 0
thigh 0 0 0
shin 0
2
root 0 9 0 0 0 90
thigh 90 0 0
shin 0
3
root 0 9 0 0 0 0
thigh 0 0 0
shin 90
4
root 0 9 0 0 0 0
thigh 90 0 90
shin 0
"""


def read(folder, asf=ASF, amc=AMC):
    (folder / "13.asf").write_text(asf, encoding="utf-8")
    (folder / "13_29.amc").write_text(amc, encoding="utf-8")
    return read_amc(folder / "13_29.amc", read_asf(folder / "13.asf"))


def test_joints_are_the_far_ends_of_the_bones_where_the_angles_put_them(tmp_path):
    positions_TVC = read(tmp_path)
    expected_TVC = [
        [[0, 9, 0], [0.5, 9, 0], [0.5, 5, 0], [0.5, 2, 0]],
        # thigh about x: down to the back (-z); root about z: +x to +y
        [[0, 9, 0], [0, 9.5, 0], [0, 9.5, -4], [0, 9.5, -7]],
        # the shin's x axis is the body's -z (x turned 90 degrees about y): down turns to -x
        [[0, 9, 0], [0.5, 9, 0], [0.5, 5, 0], [-2.5, 5, 0]],
        # XYZ: x first, so the thigh points back, which the turn about z keeps
        [[0, 9, 0], [0.5, 9, 0], [0.5, 9, -4], [0.5, 9, -7]],
    ]
    np.testing.assert_allclose(positions_TVC, expected_TVC, atol=1e-12)
    skeleton = read_asf(tmp_path / "13.asf")
    assert skeleton.joints == ("root", "hipbone", "thigh", "shin")
    assert [bone.parent for bone in skeleton.bones] == [-1, 0, 1, 2]
    assert skeleton.unit_length == 0.45


def test_a_bone_with_oblique_axes_turns_about_them(tmp_path):
    """Against the matrices written out: R = C M C^-1 with C = Rz Ry Rx of the axis and M = Rx of the angle."""
    positions_TVC = read(tmp_path, ASF.replace("axis 0 90 0", "axis 20 -35 140"), AMC.replace("shin 90", "shin 50"))

    def about(axis, degrees):
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        at = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        at[first, first] = at[second, second] = cos
        at[second, first], at[first, second] = sin, -sin
        return at

    axes = about(2, 140) @ about(1, -35) @ about(0, 20)
    shin = axes @ about(0, 50) @ axes.T @ [0, -3, 0]
    np.testing.assert_allclose(positions_TVC[2, 3] - positions_TVC[2, 2], shin, atol=1e-12)


def test_a_knee_of_the_database_bends_as_its_known_conversion_says(tmp_path):
    """CMU's left knee has the axis (0, 0, 20); a bend of 23.3618 degrees is Z 1.5239, Y 7.7947, X 22.0921 in BVH."""
    amc = AMC.replace("shin 90", "shin 23.3618")
    positions_TVC = read(tmp_path, ASF.replace("axis 0 90 0", "axis 0 0 20"), amc)
    bvh = Rotation.from_euler("ZYX", [1.5239, 7.7947, 22.0921], degrees=True).apply([0, -3, 0])
    np.testing.assert_allclose(positions_TVC[2, 3] - positions_TVC[2, 2], bvh, atol=2e-5)


def test_radians_and_frames_counted_from_elsewhere_are_read(tmp_path):
    radians = AMC.replace(":DEGREES", ":RADIANS").replace("90", repr(np.pi / 2))
    for number in (4, 3, 2, 1):
        radians = radians.replace(f"\n{number}\n", f"\n{number + 100}\n")
    np.testing.assert_allclose(read(tmp_path, amc=radians), read(tmp_path), atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "line", "rule"),
    [
        (":hierarchy", ":skin", 48, "no :hierarchy"),
        ("length 4", "length x", 27, "length: not a finite number"),
        ("direction 1 0 0", "direction 1 0", 19, "direction: 2 numbers, three are expected"),
        ("    direction 1 0 0\n", "", 21, "a bone without direction"),
        ("name thigh", "name hipbone", 33, "bone 'hipbone' stands there twice"),
        ("dof rx\n", "dof rx l\n", 40, "rx, ry and rz are read"),
        ("axis 0 90 0 XYZ", "axis 0 90 0 XXZ", 39, "axis order 'xxz'"),
        ("order TX", "order RX", 11, "TX TY TZ RX RY RZ, each once"),
        ("    thigh shin\n", "    thigh foot\n", 47, "'foot' is no bone"),
        ("    thigh shin\n", "    thigh shin\n    root shin\n", 48, "shin has a parent already"),
        ("    thigh shin\n", "", 47, "bone shin has no parent"),
    ],
)
def test_a_broken_skeleton_is_named_with_its_line(tmp_path, old, new, line, rule):
    assert old in ASF
    with pytest.raises(DataError) as caught:
        read(tmp_path, asf=ASF.replace(old, new, 1))
    assert caught.value.where == f"{tmp_path / '13.asf'}, line {line}"
    assert rule in caught.value.rule


@pytest.mark.parametrize(
    ("old", "new", "line", "rule"),
    [
        ("shin 90", "foot 90", 15, "'foot' is no bone of the skeleton that moves"),
        ("shin 90", "shin 90 0", 15, "shin has 2 values, 1 are expected"),
        ("shin 90", "shin nan", 15, "shin: not a finite number"),
        ("shin 90", "thigh 0 0 0", 15, "thigh stands there twice in a frame"),
        ("shin 90\n", "", 15, "the frame above has no shin"),
        ("\n3\n", "\n4\n", 12, "frame 4 where 3 is expected"),
        ("1\nroot", "root", 4, "where the number of a frame is expected"),
        (AMC[AMC.index("1\n") :], "", 3, "no frames"),
    ],
)
def test_a_broken_motion_is_named_with_its_line(tmp_path, old, new, line, rule):
    assert old in AMC
    with pytest.raises(DataError) as caught:
        read(tmp_path, amc=AMC.replace(old, new, 1))
    assert caught.value.where == f"{tmp_path / '13_29.amc'}, line {line}"
    assert rule in caught.value.rule


@pytest.mark.parametrize("length", [0, 30, 100, len(AMC) - 10])
def test_a_motion_that_is_cut_off_is_an_error_of_the_data(tmp_path, length):
    with pytest.raises(DataError):
        read(tmp_path, amc=AMC[:length])
