"""One recording from a file: every format, what is recognised, and what is refused with a remedy."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flag3d_ray.data.readers import cmu, cmu_actions
from flag3d_ray.data.readers.open_format_joints import TURNS, column_names
from flag3d_ray.data.recording import Recording, has_trunk, read_recording, trunk_length
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import FLAG3D24, LAYOUTS, NTU25, layout

BVH = """HIERARCHY
ROOT Hips
{
OFFSET 0 0 0
CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
End Site
{
OFFSET 0 0 1
}
}
MOTION
Frames: 2
Frame Time: 0.05
0 0 0 0 0 0
0 1 0 0 0 0
"""


@pytest.fixture
def joints_TVC(tiny_sample: Callable[[int], Sample]) -> np.ndarray:
    """90 frames of flag3d24, upright, trunk half a metre."""
    joints_TVC = tiny_sample(3).joints_MTVC[0].copy()[:90]
    skeleton = layout("flag3d24")
    for name, height in (("hip", 0.9), ("shoulder", 1.4)):
        for side, across in (("left", 0.15), ("right", -0.15)):
            joints_TVC[:, skeleton.index(f"{side}_{name}")] = (across, height, 0.0)
    joints_TVC[:, skeleton.index("head")] = joints_TVC[:, skeleton.index("pelvis")] + np.array(
        (0.0, 0.7, 0.0), np.float32
    )
    return joints_TVC


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., Path]:
    def write(**arrays: Any) -> Path:
        np.savez(tmp_path / "one.npz", **arrays)
        return tmp_path / "one.npz"

    return write


def same(recording: Recording, joints_TVC: np.ndarray) -> None:
    np.testing.assert_allclose(recording.joints_TVC, joints_TVC, atol=1e-6)
    assert recording.joints_TVC.dtype == np.float32


@pytest.mark.parametrize("name", ["joints", "positions"])
def test_an_archive_is_read_with_its_rate(npz, joints_TVC: np.ndarray, name: str) -> None:
    recording = read_recording(npz(**{name: joints_TVC.astype(np.float64)}, fps=50))
    same(recording, joints_TVC)
    assert (recording.layout, recording.fps, recording.first) == ("flag3d24", 50.0, 0)
    assert ["flag3d24" in note for note in recording.notes] == [True]


def test_arrays_beside_the_joints_are_not_read(npz, joints_TVC: np.ndarray) -> None:
    poison = np.array([{"reps": 1}], dtype=object)
    same(read_recording(npz(joints=joints_TVC, fps=30, reps=poison, count=np.array("?"), density=poison)), joints_TVC)


def test_a_plain_array_is_read_and_its_rate_is_assumed_aloud(tmp_path: Path, joints_TVC: np.ndarray) -> None:
    np.save(tmp_path / "one.npy", joints_TVC)
    recording = read_recording(tmp_path / "one.npy", layout="flag3d24")
    same(recording, joints_TVC)
    assert recording.fps == 30
    assert any("--fps" in note for note in recording.notes)
    assert read_recording(tmp_path / "one.npy", fps=12.5, layout="flag3d24").notes == ()


def test_a_table_is_recognised_by_its_columns_in_any_order(tmp_path: Path, joints_TVC: np.ndarray) -> None:
    columns = column_names(layout("flag3d24"))[::-1]
    flat_TX = joints_TVC.reshape(len(joints_TVC), -1)[:, ::-1]
    lines = [",".join(columns), *(",".join(map(repr, row)) for row in flat_TX.tolist())]
    (tmp_path / "one.csv").write_text("\n".join(lines))
    recording = read_recording(tmp_path / "one.csv", fps=30.0)
    same(recording, joints_TVC)
    assert recording.notes == ()


def test_a_motion_of_cmu_is_recognised_by_its_names(tmp_path: Path) -> None:
    skeleton = layout("cmu38")
    lines = ["HIERARCHY"]

    def node(joint: int, depth: int) -> None:
        name = cmu_actions.NODES[joint]
        end = name.endswith("_end")
        lines.append("End Site" if end else f"{'JOINT' if depth else 'ROOT'} {name}")
        lines.extend(["{", "OFFSET 0 2 0"])
        if not end:
            lines.append("CHANNELS 3 Zrotation Yrotation Xrotation")
        for child, parent in skeleton.edges:
            if parent == joint:
                node(child, depth + 1)
        lines.append("}")

    node(0, 0)
    moving = sum(not name.endswith("_end") for name in cmu_actions.NODES)
    lines += ["MOTION", "Frames: 3", "Frame Time: 0.025", *[" ".join(["0"] * 3 * moving)] * 3]
    (tmp_path / "one.bvh").write_text("\n".join(lines))
    recording = read_recording(tmp_path / "one.bvh")
    assert (recording.layout, recording.fps, recording.joints_TVC.shape) == ("cmu38", 40.0, (3, 38, 3))
    assert trunk_length(recording.joints_TVC, skeleton) == pytest.approx(0.5, rel=0.01), "scaled to a person's"
    assert any("scaled to 0.5 m" in note for note in recording.notes)


def test_joints_named_as_cmu_names_bones_are_recognised(npz) -> None:
    joints_TVC = np.random.default_rng(0).normal(0, 0.2, (5, 31, 3))
    assert read_recording(npz(positions=joints_TVC, names=np.array(cmu.NAMES), fps=120), unit="m").layout == "cmu31"
    assert read_recording(npz(joints=joints_TVC[:, :25], fps=30), unit="m").layout == NTU25.name


def test_a_motion_of_cmu_without_a_rate_has_that_of_its_captures(npz) -> None:
    joints_TVC = np.random.default_rng(0).normal(0, 0.2, (9, 31, 3))
    recording = read_recording(npz(positions=joints_TVC, names=np.array(cmu.NAMES)), unit="m", seconds=(0.025, None))
    assert (recording.fps, recording.first) == (120.0, 3)
    assert "120 per second assumed" in recording.notes[0]


@pytest.mark.parametrize(("unit", "factor"), [("m", 1), ("cm", 100), ("mm", 1000)])
def test_units_are_asked_for_or_recognised_by_the_trunk(npz, joints_TVC: np.ndarray, unit: str, factor: int) -> None:
    path = npz(joints=joints_TVC * factor, fps=30)
    np.testing.assert_allclose(read_recording(path).joints_TVC, joints_TVC, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(read_recording(path, unit=unit).joints_TVC, joints_TVC, rtol=1e-5, atol=1e-6)
    assert any(f"read as {unit}" in note for note in read_recording(path).notes) == (unit != "m")


def test_another_axis_may_point_up(npz, joints_TVC: np.ndarray) -> None:
    z_up = np.stack([joints_TVC[..., 0], -joints_TVC[..., 2], joints_TVC[..., 1]], axis=-1)
    same(read_recording(npz(joints=z_up, fps=30), up="z"), joints_TVC)


@pytest.mark.parametrize("up", ["z", "-z", "x", "-x", "-y"])
def test_a_trunk_along_another_axis_is_asked_about_unless_up_is_said(npz, joints_TVC: np.ndarray, up: str) -> None:
    back = np.empty_like(joints_TVC)
    for target, (taken, sign) in enumerate(TURNS[up]):
        back[..., taken] = sign * joints_TVC[..., target]
    path = npz(joints=back, fps=30)
    (note,) = read_recording(path, layout="flag3d24").notes
    assert f"the trunk points along {up}: if {up} is up, say --up {up}" in note
    for said in (up, "y"):
        assert read_recording(path, layout="flag3d24", up=said).notes == ()


def test_an_upright_person_and_one_who_bends_are_not_asked_about(npz, joints_TVC: np.ndarray) -> None:
    for trunk in ((0, 0.7, 0), (0, 0.5, 0.5)):
        joints_TVC[:, FLAG3D24.index("head")] = joints_TVC[:, FLAG3D24.index("pelvis")] + np.array(trunk, np.float32)
        assert read_recording(npz(joints=joints_TVC, fps=30), layout="flag3d24").notes == ()


def test_a_unit_that_makes_a_dwarf_is_doubted_and_one_that_fits_is_not(npz, joints_TVC: np.ndarray) -> None:
    path = npz(joints=joints_TVC * 100, fps=30)
    (note,) = read_recording(path, unit="mm", layout="flag3d24").notes
    assert "hips and shoulders are 0.05 m apart" in note
    assert "--unit cm would fit" in note
    assert read_recording(path, unit="cm", layout="flag3d24").notes == ()


@pytest.mark.parametrize("said", ["", "flag3d24"])
def test_joints_in_another_order_are_put_right_by_their_names(npz, joints_TVC: np.ndarray, said: str) -> None:
    order = np.random.default_rng(0).permutation(24)
    names = np.array(FLAG3D24.joints)
    recording = read_recording(npz(joints=joints_TVC[:, order], fps=30, names=names[order]), layout=said)
    same(recording, joints_TVC)
    assert (recording.layout, recording.notes) == (
        "flag3d24",
        ("joints put into the order of flag3d24 by their names",),
    )
    assert read_recording(npz(joints=joints_TVC, fps=30, names=names), layout=said).notes == ()


def test_names_of_a_dataset_in_another_order_are_put_right_too(npz) -> None:
    joints_TVC = np.random.default_rng(0).normal(0, 0.2, (5, 31, 3)).astype(np.float32)
    path = npz(joints=joints_TVC[:, ::-1], names=np.array(cmu.NAMES[::-1]), fps=120)
    for said in ("", "cmu31"):
        same(read_recording(path, unit="m", layout=said), joints_TVC)


def test_names_that_no_layout_has_are_taken_in_the_order_of_the_one_asked_for_aloud(
    npz, joints_TVC: np.ndarray
) -> None:
    recording = read_recording(npz(joints=joints_TVC, fps=30, names=np.array(["a"] * 24)), layout="flag3d24")
    same(recording, joints_TVC)
    assert recording.notes == ("joints named a, a, a, ... are taken in the order of flag3d24, as --layout says",)


@pytest.mark.parametrize(("name", "channels"), [("coco17", 2), ("coco17_scored", 3)])
def test_named_joints_in_pixels_are_recognised_with_and_without_scores(npz, name: str, channels: int) -> None:
    joints_TVC = np.random.default_rng(0).uniform(0, 500, (10, 17, channels)).astype(np.float32)
    path = npz(joints=joints_TVC, names=np.array(layout(name).joints), fps=25)
    same(read_recording(path), joints_TVC[..., :2])


def test_a_part_is_read_and_says_where_it_begins(npz, joints_TVC: np.ndarray) -> None:
    joints_TVC[:30] = np.nan
    path = npz(joints=joints_TVC, fps=30)
    recording = read_recording(path, seconds=(1.0, 2.0))
    same(recording, joints_TVC[30:60])
    assert recording.first == 30
    same(read_recording(path, seconds=(2.0, None)), joints_TVC[60:])


def test_the_place_of_an_absent_second_person_is_left_out(npz, joints_TVC: np.ndarray) -> None:
    for absent in (0.0, np.nan):
        two = np.stack([np.full_like(joints_TVC, absent), joints_TVC])
        same(read_recording(npz(joints=two, fps=30)), joints_TVC)


@pytest.mark.parametrize("option", [{"up": "z"}, {"unit": "mm"}])
def test_joints_of_an_image_take_neither_unit_nor_axis(npz, option):
    joints_TVC = np.random.default_rng(0).uniform(0, 500, (40, 17, 2)).astype(np.float32)
    (name,) = option
    with pytest.raises(DataError, match=rf"--{name} .*pixels of an image.*leave it out"):
        read_recording(npz(joints=joints_TVC, fps=25), layout="coco17", **option)


def test_pixels_stay_pixels_and_scores_are_dropped(npz) -> None:
    joints_TVC = np.random.default_rng(0).uniform(0, 500, (10, 17, 3)).astype(np.float32)
    recording = read_recording(npz(joints=joints_TVC, fps=25), layout="coco17_scored")
    assert recording.layout == "coco17"
    same(recording, joints_TVC[..., :2])


def test_every_layout_but_that_of_markers_has_a_trunk() -> None:
    assert {known.name for known in LAYOUTS if not has_trunk(known)} == {"ui_prmd39"}


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        ({"joints": None, "keypoints": 1}, {}, "missing array joints or positions; there are: fps, keypoints"),
        ({"shape": (90, 24)}, {}, "must be an array of numbers [frames, joints, coordinates], found float32 [90, 24]"),
        ({"shape": (90, 24, 2)}, {}, "where flag3d24 has [T, 24, 3]"),
        ({"shape": (90, 22, 3)}, {}, "22 joints without names: no layout is recognised"),
        ({"shape": (90, 24, 3)}, {"layout": "ntu25"}, "where ntu25 has [T, 25, 3]"),
        ({}, {"layout": "kinect"}, "unknown joint layout"),
        ({"shape": (0, 24, 3)}, {}, "no frames"),
        ({"fps": 0.0}, {}, "frames per second"),
        ({}, {"fps": -3.0}, "--fps -3"),
        ({}, {"unit": "inch"}, "--unit inch"),
        ({}, {"up": "w"}, "--up w"),
        ({}, {"seconds": (5.0, None)}, "--from and --to"),
        ({}, {"seconds": (2.0, 1.0)}, "--from and --to"),
        ({}, {"seconds": (-1.0, None)}, "--from and --to"),
        ({}, {"seconds": (np.nan, None)}, "--from nan: no number of seconds"),
        ({}, {"seconds": (-np.inf, None)}, "--from -inf: no number of seconds"),
        ({}, {"seconds": (1e308, None)}, "--from 1e+308: no number of seconds"),
        ({}, {"seconds": (0.0, np.nan)}, "--to nan: no number of seconds"),
        ({}, {"seconds": (0.0, np.inf)}, "--to inf: no number of seconds"),
        ({"value": np.nan}, {}, "frame 7: NaN or infinity at joint spine2 (1 frames"),
        ({"value": np.inf}, {}, "NaN or infinity"),
        ({"still": 0.0}, {}, "hips and shoulders are in one point"),
        ({"still": 0.0}, {"unit": "m"}, "hips and shoulders are in one point"),
        ({"times": 1e-30}, {}, "hips and shoulders are in one point"),
        ({"times": 1e30}, {}, "away: that is no person"),
        ({"value": 1e30}, {}, "frame 7: joint spine2 is 1e+30 away"),
        ({}, {"unit": "mm"}, "--unit mm: hips and shoulders are 0.0005 m apart in that unit"),
        ({"times": 1000}, {"unit": "m"}, "look whether the unit is right: --unit mm would fit"),
        ({"persons": 2}, {}, "2 persons of 2 are there"),
        ({"names": ["a"] * 24}, {}, "joints named a, a, a, a"),
        ({"names": ["a"] * 23}, {}, "23 names for 24 joints"),
        (
            {"names": FLAG3D24.joints},
            {"layout": "smpl24"},
            "its joints have the names of flag3d24, not those of smpl24",
        ),
        ({"names": [*FLAG3D24.joints[1:], "x"]}, {}, "no layout is recognised"),
        (
            {"names": [*FLAG3D24.joints[1:], "x"]},
            {"layout": "flag3d24"},
            "joint 0 is called spine1, where flag3d24 has pelvis",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_cannot_be_counted_is_refused_with_a_remedy(
    npz, joints_TVC: np.ndarray, change: dict[str, Any], options: dict[str, Any], text: str
) -> None:
    if "shape" in change:
        joints_TVC = np.resize(joints_TVC, change["shape"])
    if "value" in change:
        joints_TVC[7, 2, 1] = change["value"]
    if "times" in change:
        joints_TVC *= np.float32(change["times"])
    if "still" in change:
        joints_TVC[:] = change["still"]
    joints = np.stack([joints_TVC] * change["persons"]) if "persons" in change else joints_TVC
    arrays: dict[str, Any] = {"joints": joints, "fps": change.get("fps", 30.0)}
    if "keypoints" in change:
        arrays = {"fps": 30, "keypoints": joints}
    if "names" in change:
        arrays["names"] = np.array(change["names"])
    with pytest.raises(DataError) as refused:
        read_recording(npz(**arrays), **options)
    assert text in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.npz", b"PK\x03\x04 cut off", "not a readable .npz file"),
        ("a.npz", pickle.dumps([1]), "this is a pickle"),
        ("a.pkl", b"", "this is a pickle"),
        ("a.npy", b"\x93NUMPY", "not a readable .npy file"),
        ("a.mp4", b"0000", ".mp4: not a kind of file"),
        ("a.csv", b"x,y,z\n1,2,3\n", "columns are those of no layout"),
        ("a.csv", b"", "columns are those of no layout"),
        ("a.csv", (",".join(column_names(NTU25)) + "\n1,2\n").encode(), "not a readable table"),
        ("a.bvh", b"MOTION\n", "begins with HIERARCHY"),
        ("a.bvh", BVH.encode(), "joints named Hips"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_files_that_are_something_else_are_refused(tmp_path: Path, name: str, content: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as refused:
        read_recording(tmp_path / name)
    assert text in str(refused.value)
    assert "sequences.csv" not in refused.value.remedy


def test_folders_and_absent_files_are_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder"):
        read_recording(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        read_recording(tmp_path / "absent.npz")
