"""BVH files against poses worked out by hand, and damaged ones."""

import numpy as np
import pytest

from flag3d_ray.data.readers.bvh import read_bvh
from flag3d_ray.errors import DataError

# A hip, a knee 2 below it and a foot: 1 below the knee and 0.5 to the front.
LEG = """HIERARCHY
ROOT Hip
{
    OFFSET 0 0 0
    CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
    JOINT Left Knee
    {
        OFFSET 0 -2 0
        CHANNELS 1 Xrotation
        End Site
        {
            OFFSET 0 -1 0.5
        }
    }
}
MOTION
Frames: 4
Frame Time: .0083333
1 9 0   0 0 0   0
1 9 0   0 0 0   90
1 9 0   90 0 0  0
1 9 0   90 90 0 90
"""


def read(folder, text):
    path = folder / "a b é.bvh"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_bvh(path)


def test_joints_stand_where_the_angles_put_them(tmp_path):
    found = read(tmp_path, LEG)
    assert (found.joints, found.parents) == (("Hip", "Left Knee", "Left Knee_end"), (-1, 0, 1))
    expected_TVC = [
        [[1, 9, 0], [1, 7, 0], [1, 6, 0.5]],
        [[1, 9, 0], [1, 7, 0], [1, 6.5, -1]],  # the knee's x takes down to the back and front to down
        [[1, 9, 0], [3, 9, 0], [4, 9, 0.5]],  # the hip's z takes down to +x
        # The hip's x works first: the knee, down, goes to the back, which z keeps. The foot is (0, -0.5, -1) from the
        # knee by the knee's x, (0, 1, -0.5) by the hip's x, (-1, 0, -0.5) by its z.
        [[1, 9, 0], [1, 9, -2], [0, 9, -2.5]],
    ]
    np.testing.assert_allclose(found.positions_TVC, expected_TVC, atol=1e-12)


def test_the_order_of_rotations_is_the_order_of_the_channels(tmp_path):
    turned = LEG.replace("Zrotation Xrotation Yrotation", "Xrotation Zrotation Yrotation")
    knee = read(tmp_path, turned).positions_TVC[3, 1]
    np.testing.assert_allclose(knee, [3, 9, 0], atol=1e-12)  # z first on the vector: down -> +x, which x keeps


def test_a_truncated_time_of_a_frame_gives_the_rate_that_was_meant(tmp_path):
    assert read(tmp_path, LEG).fps == 120
    assert read(tmp_path, LEG.replace(".0083333", "0.033333")).fps == 30
    assert read(tmp_path, LEG.replace(".0083333", "0.0417083")).fps == 23.98


def test_positions_of_an_inner_joint_stand_in_place_of_its_offset(tmp_path):
    moved = LEG.replace("CHANNELS 1 Xrotation", "CHANNELS 2 Yposition Xrotation")
    moved = moved.replace("   0\n", "  -3 0\n").replace("   90\n", "  -3 90\n").replace("90 0 0  0", "90 0 0 -3 0")
    moved = moved.replace("90 90 0 90", "90 90 0 -3 90")
    np.testing.assert_allclose(read(tmp_path, moved).positions_TVC[0, 1], [1, 6, 0], atol=1e-12)


def test_windows_line_ends_a_byte_order_mark_and_lower_case_do_not_matter(tmp_path):
    plain = read(tmp_path, LEG)
    other = LEG.replace("\n", "\r\n").replace("rotation", "Rotation").replace("Frames", "FRAMES").encode("utf-8-sig")
    np.testing.assert_array_equal(read(tmp_path, other).positions_TVC, plain.positions_TVC)


@pytest.mark.parametrize(
    ("old", "new", "line", "rule"),
    [
        ("HIERARCHY", "SOLID", 1, "begins with HIERARCHY"),
        ("OFFSET 0 -2 0", "OFFSET 0 nan 0", 8, "OFFSET: not a finite number"),
        ("OFFSET 0 -2 0", "OFFSET 0 -2", 8, "'OFFSET 0 -2' where"),
        ("        OFFSET 0 -2 0\n", "", 13, "joint Left Knee has no OFFSET"),
        ("CHANNELS 1 X", "CHANNELS 2 X", 9, "CHANNELS announces 2, 1 follow"),
        ("Zrotation Xrotation", "Xrotation Xrotation", 5, "each of Xposition ... Zrotation may stand once"),
        ("Left Knee", "Hip", 6, "joint 'Hip' stands there twice"),
        ("JOINT Left Knee", "ROOT Left Knee", 6, "'ROOT Left Knee' where"),
        ("Frames: 4", "Frames: 5", 18, "Frames: 5, but 4 lines follow"),
        ("Frames: 4", "Frames: 0", 17, "Frames: N is expected"),
        (".0083333", "0", 18, "a frame of 0 s"),
        ("1 9 0   90 0 0  0", "1 9 0   90 0 0", 21, "6 values, the hierarchy has 7 channels"),
        ("1 9 0   90 0 0  0", "1 9 0   90 inf 0 0", 21, "frame: not a finite number"),
        ("MOTION\n", "ROOT Second\n", 16, "one ROOT is read"),
    ],
)
def test_what_breaks_the_format_is_named_with_its_line(tmp_path, old, new, line, rule):
    assert old in LEG
    with pytest.raises(DataError) as caught:
        read(tmp_path, LEG.replace(old, new, 1))
    assert caught.value.where.endswith(f".bvh, line {line}")
    assert rule in caught.value.rule


@pytest.mark.parametrize("length", [0, 20, 200, 330, len(LEG) - 8])
def test_a_file_that_is_cut_off_is_an_error_of_the_data(tmp_path, length):
    with pytest.raises(DataError):
        read(tmp_path, LEG[:length])


def test_what_is_no_text_is_an_error_of_the_data(tmp_path):
    with pytest.raises(DataError, match="not UTF-8"):
        read(tmp_path, b"\x80\x04pickle")
    with pytest.raises(DataError, match="cannot be read"):
        read_bvh(tmp_path / "none.bvh")
