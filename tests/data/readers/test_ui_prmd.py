"""The reader of UI-PRMD: on a miniature made here, which always runs, and on real recordings where they are at hand."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flag3d_ray.data import schema
from flag3d_ray.data.marker_gaps import fill, gaps
from flag3d_ray.data.readers.ui_prmd import (
    ANKLE_INWARD_M,
    KNEE_INWARD_M,
    MARKERS,
    READER,
    examine,
    joint_centres,
    read_recording,
    splits,
)
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import FLAG3D24

REAL = Path(os.environ.get("FLAG3D_UI_PRMD") or Path(__file__).parents[4] / "shared" / "data" / "ui_prmd")
needs_recordings = pytest.mark.skipif(
    not REAL.is_dir(), reason=f"UI-PRMD is not at {REAL}; set FLAG3D_UI_PRMD to its folder"
)

# A person of 1.7 m, facing +x, left is +y, z up; metres. The left side is given, the right is its mirror image.
MIDLINE = {"C7": (-0.08, 0, 1.43), "T10": (-0.12, 0, 1.18), "CLAV": (0.06, 0, 1.36), "STRN": (0.12, 0, 1.16)}
SIDED = {
    **{"FHD": (0.10, 0.06, 1.59), "BHD": (-0.06, 0.06, 1.59), "ASI": (0.10, 0.13, 0.97), "PSI": (-0.10, 0.05, 0.98)},
    **{"SHO": (-0.02, 0.19, 1.40), "UPA": (-0.02, 0.26, 1.24), "ELB": (0.00, 0.25, 1.09), "FRM": (0.04, 0.26, 0.98)},
    **{"WRA": (0.10, 0.20, 0.86), "WRB": (0.06, 0.26, 0.86), "FIN": (0.10, 0.24, 0.78)},
    **{"THI": (0.02, 0.21, 0.74), "KNE": (-0.01, 0.19, 0.52), "TIB": (-0.05, 0.21, 0.33), "ANK": (-0.04, 0.20, 0.08)},
    **{"HEE": (-0.08, 0.15, 0.06), "TOE": (0.11, 0.17, 0.05)},
}


def standing() -> np.ndarray:
    """[39, 3] in metres."""
    body = {**MIDLINE, "RBAK": (-0.12, -0.10, 1.34)}
    for name, (x, y, z) in SIDED.items():
        body |= {f"L{name}": (x, y, z), f"R{name}": (x, -y, z)}
    return np.array([body[name] for name in MARKERS])


def moving(frames: int = 120, repetitions: int = 4) -> np.ndarray:
    """[T, 39, 3]: the whole body leans sideways and forward and walks; every distance between markers stays."""
    phase = np.sin(2 * np.pi * repetitions * np.arange(frames) / frames)
    markers = np.empty((frames, len(MARKERS), 3))
    for t, lean in enumerate(0.4 * phase):
        cos, sin = np.cos(lean), np.sin(lean)
        turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]) @ np.array(
            [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]
        )
        markers[t] = standing() @ turn.T + [0.5, 0.005 * t, 0.0]
    return markers


def save(folder: Path, name: str = "m01_s02_correct.npz", markers: np.ndarray | None = None, **changed) -> Path:
    """One recording of four repetitions in the published layout; a changed array of None is left out."""
    tenths = np.round((moving() if markers is None else markers) * 1e4).astype(np.int16)
    bounds = np.linspace(0, len(tenths), 5).astype(np.int32)
    arrays = {"markers_tenth_mm": tenths, "start": bounds[:-1], "end": bounds[1:], **changed}
    np.savez(folder / name, **{key: value for key, value in arrays.items() if value is not None})
    return folder / name


def bone_lengths(joints_TVC: np.ndarray) -> np.ndarray:
    return np.stack([np.linalg.norm(joints_TVC[:, c] - joints_TVC[:, p], axis=-1) for c, p in FLAG3D24.edges], axis=1)


def left_of_the_body(joints_TVC: np.ndarray, joint: str) -> np.ndarray:
    """How far `joint` lies to the left of the pelvis, by the direction the toes point in; y up."""
    at = {name: joints_TVC[:, n] for n, name in enumerate(FLAG3D24.joints)}
    feet = at["left_toe"] + at["right_toe"] - at["left_ankle"] - at["right_ankle"]
    left = np.cross([0.0, 1.0, 0.0], feet / np.linalg.norm(feet, axis=-1, keepdims=True))
    return ((at[joint] - at["pelvis"]) * left).sum(axis=-1)


def test_a_recording_becomes_a_sample_that_the_schema_accepts(tmp_path):
    sample, report = read_recording(save(tmp_path))
    schema.check_sample(sample, "miniature")
    assert (sample.sample_id, sample.action_id, sample.subject) == ("M001S02C", "M001", "S02")
    assert (sample.action, sample.body_part, sample.fps, sample.unit) == ("Deep Squat", "leg", 50.0, "m")
    assert sample.joints_MTVC.dtype == np.float32
    assert sample.reps_R2.tolist() == [[0, 30], [30, 60], [60, 90], [90, 120]]
    assert str(report) == "no drop-outs"


def test_every_repetition_has_the_verdict_of_its_recording(tmp_path):
    save(tmp_path, "m07_s01_incorrect.npz")
    save(tmp_path, "m07_s01_correct.npz")
    correct, incorrect = READER.read(tmp_path)
    assert correct.sample_id == "M007S01C"
    assert correct.keys_RS is not None
    assert incorrect.keys_RS is not None
    assert correct.keys_RS.tolist() == [[1]] * 4
    assert incorrect.keys_RS.tolist() == [[0]] * 4


def test_y_points_up_left_stays_left_and_the_place_is_kept(tmp_path):
    standstill = np.repeat(standing()[None] + [2.0, 1.0, 0.0], 8, axis=0)
    joints_TVC = read_recording(save(tmp_path, markers=standstill))[0].joints_MTVC[0]
    pelvis, head = FLAG3D24.index("pelvis"), FLAG3D24.index("head")
    np.testing.assert_allclose(joints_TVC[0, pelvis], [2.0, 0.975, -1.0], atol=1e-3)
    assert joints_TVC[0, head, 1] > joints_TVC[0, pelvis, 1] + 0.5
    for name in ("shoulder", "wrist", "hip", "knee", "toe"):
        assert (left_of_the_body(joints_TVC, f"left_{name}") > 0.05).all()
        assert (left_of_the_body(joints_TVC, f"right_{name}") < -0.05).all()


def test_a_symmetric_body_gives_mirrored_joints():
    joints_VC = joint_centres(standing()[None])[0]
    np.testing.assert_allclose(joints_VC[list(FLAG3D24.mirror)], joints_VC * [1, -1, 1], atol=1e-9)


def test_knees_and_ankles_move_inward_by_the_stated_lengths():
    markers_NC, joints_VC = standing(), joint_centres(standing()[None])[0]
    for marker, joint, length in (("LKNE", "left_knee", KNEE_INWARD_M), ("RANK", "right_ankle", ANKLE_INWARD_M)):
        moved = joints_VC[FLAG3D24.index(joint)] - markers_NC[MARKERS.index(marker)]
        assert np.linalg.norm(moved) == pytest.approx(length)
        assert abs(moved[1]) > 0.9 * length
        assert abs(joints_VC[FLAG3D24.index(joint), 1]) < abs(markers_NC[MARKERS.index(marker), 1])


def test_joints_follow_a_rigid_body():
    lengths_TE = bone_lengths(joint_centres(moving()))
    np.testing.assert_allclose(lengths_TE, np.broadcast_to(lengths_TE[0], lengths_TE.shape), atol=1e-9)


def test_gaps_are_found_per_marker_with_exclusive_ends():
    missing_TN = np.array([[1, 0], [0, 1], [0, 1], [1, 1]], dtype=bool)
    assert gaps(missing_TN) == [(0, 0, 1), (0, 3, 4), (1, 1, 4)]


def test_drop_outs_are_filled_from_neighbours_that_move_rigidly_and_reported(tmp_path):
    markers = moving()
    lost = markers.copy()
    lost[20:70, MARKERS.index("STRN")] = 0
    lost[:10, MARKERS.index("RASI")] = 0  # nothing is seen before it
    sample, report = read_recording(save(tmp_path, markers=lost))
    (tmp_path / "whole").mkdir()
    whole, _ = read_recording(save(tmp_path / "whole", markers=markers))
    assert (report.filled, report.longest_gap, report.longest_marker) == (60, 50, "STRN")
    assert report.marker_frames == 120 * 39
    np.testing.assert_allclose(sample.joints_MTVC, whole.joints_MTVC, atol=1e-3)


def test_without_neighbours_a_gap_is_interpolated_in_time_and_held_at_the_ends():
    markers_TNC = np.zeros((6, 1, 3))
    markers_TNC[:, 0, 0] = [9, 1, 9, 9, 4, 9]
    missing_TN = np.array([[1], [0], [1], [1], [0], [1]], dtype=bool)
    filled_TNC, _ = fill(markers_TNC, missing_TN, ("A",))
    np.testing.assert_allclose(filled_TNC[:, 0, 0], [1, 1, 2, 3, 4, 4])
    assert markers_TNC[0, 0, 0] == 9


def test_what_was_filled_is_logged(tmp_path, caplog):
    lost = moving()
    lost[20:30, MARKERS.index("STRN")] = 0
    save(tmp_path, markers=lost)
    with caplog.at_level("INFO"):
        list(READER.read(tmp_path))
    assert "m01_s02_correct.npz: 10 marker-frames filled (0.21%), longest gap 10 frames (STRN)" in caplog.text


def with_nan() -> np.ndarray:
    markers = moving().astype(np.float32)
    markers[3, 4, 1] = np.nan
    return markers


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"start": None}, "missing array start"),
        ({"markers_tenth_mm": np.ones((120, 38, 3), np.int16)}, r"must be \[T, 39, 3\].*found int16 \[120, 38, 3\]"),
        ({"markers_tenth_mm": np.ones((120, 39, 3), "U1")}, "of kind i or f, found <U1"),
        ({"markers_tenth_mm": np.array([{"a": 1}], dtype=object)}, "an array of Python objects"),
        ({"markers_tenth_mm": np.ones((0, 39, 3), np.int16)}, "0 frames"),
        ({"start": np.array([0, 30, 60], np.int32)}, "3 starts and 4 ends"),
        ({"start": np.array([0.0, 30, 60, 90])}, "of kind i, found float64"),
        ({"start": np.zeros(0, np.int32), "end": np.zeros(0, np.int32)}, "no repetition"),
    ],
)
def test_a_broken_recording_is_named_with_rule_and_remedy(tmp_path, changed, rule):
    path = save(tmp_path, **changed)
    with pytest.raises(DataError, match=rule) as caught:
        read_recording(path)
    assert caught.value.where.startswith(str(path))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("changed", "place", "rule"),
    [
        ({"markers_tenth_mm": with_nan()}, "frame 3", "NaN or infinity at marker C7 (1 of 120 frames"),
        ({"end": np.array([30, 60, 90, 121], np.int32)}, "repetition 4", "leaves frames 0 to 120"),
        ({"start": np.array([-1, 30, 60, 90], np.int32)}, "repetition 1", "leaves frames 0 to 120"),
        (
            {"start": np.array([0, 29, 60, 90], np.int32)},
            "repetition 2",
            "starts before the one ahead of it ends, at 30",
        ),
        ({"end": np.array([30, 60, 55, 120], np.int32)}, "repetition 3", "ends before it starts"),
    ],
)
def test_a_broken_frame_or_repetition_is_numbered(tmp_path, changed, place, rule):
    path = save(tmp_path, **changed)
    with pytest.raises(DataError) as caught:
        read_recording(path)
    assert caught.value.where == f"{path}, {place}"
    assert rule in caught.value.rule


def test_what_was_filled_is_a_note_and_a_long_gap_a_warning(tmp_path):
    lost = moving()
    lost[20:30, MARKERS.index("STRN")] = 0
    _, (note,) = examine(save(tmp_path, markers=lost))
    assert (note.severity, note.rule) == (
        "note",
        "lost markers: 10 marker-frames filled (0.21%), longest gap 10 frames (STRN)",
    )
    lost[20:75, MARKERS.index("STRN")] = 0
    _, (warning,) = examine(save(tmp_path, markers=lost))
    assert (warning.severity, "longest gap 55 frames" in warning.rule) == ("warning", True)
    assert examine(save(tmp_path))[1] == ()


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here").mkdir()
    link = tmp_path / "here" / "m01_s02_correct.npz"
    link.symlink_to(save(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match=r"a link to .*elsewhere.*outside the folder"):
        read_recording(link)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "m01_s02_correct.npz"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(DataError, match="it is not read"):
        read_recording(path)


def test_a_marker_that_is_never_seen_is_named(tmp_path):
    markers = moving()
    markers[:, MARKERS.index("LKNE")] = 0
    with pytest.raises(DataError, match="never seen: marker LKNE"):
        read_recording(save(tmp_path, markers=markers))


@pytest.mark.parametrize("damage", ["truncated", "one array", "bytes changed"])
def test_a_damaged_file_is_an_error_of_the_data(tmp_path, damage):
    path = save(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[:2000])
    elif damage == "one array":
        np.save(path.with_suffix(".npy"), np.zeros(3))
        path.with_suffix(".npy").rename(path)
    else:
        content[5000] ^= 0xFF
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"not a readable \.npz file"):
        read_recording(path)


def test_a_folder_without_recordings_says_what_is_looked_for(tmp_path):
    with pytest.raises(DataError, match="m01_s01_correct"):
        list(READER.read(tmp_path))


@needs_recordings
def test_the_real_recordings_are_anatomical():
    limbs = ("elbow", "wrist", "knee", "ankle")
    bones = [n for n, (child, _) in enumerate(FLAG3D24.edges) if FLAG3D24.joints[child].endswith(limbs)]
    variations = []
    for path in sorted(REAL.glob("m0[1-9]_s0[15]_correct.npz")):
        joints_TVC = read_recording(path)[0].joints_MTVC[0].astype(np.float64)
        lengths_TE = bone_lengths(joints_TVC)
        children = (FLAG3D24.joints[child] for child, _ in FLAG3D24.edges)
        median = dict(zip(children, np.median(lengths_TE, axis=0), strict=True))
        assert 0.33 < median["left_knee"] < 0.48
        assert 0.36 < median["right_ankle"] < 0.48
        assert median["left_elbow"] == pytest.approx(median["right_elbow"], rel=0.15)
        variations.append(lengths_TE[:, bones].std(axis=0) / lengths_TE[:, bones].mean(axis=0))
        assert (left_of_the_body(joints_TVC, "left_hip") > 0).mean() > 0.95, path.name
    assert np.max(variations) < 0.07  # a thigh in a deep squat, where the skin slides over the pelvis
    assert np.median(variations) < 0.02


@needs_recordings
def test_markers_hidden_for_two_seconds_of_a_deep_squat_are_recovered_within_three_centimetres():
    with np.load(REAL / "m01_s02_correct.npz") as archive:
        markers_TNC = archive["markers_tenth_mm"] * 1e-4
    for name in ("STRN", "CLAV", "LFHD", "LWRA"):
        missing_TN = np.zeros(markers_TNC.shape[:2], dtype=bool)
        missing_TN[300:400, MARKERS.index(name)] = True
        filled_TNC, _ = fill(np.where(missing_TN[..., None], 0.0, markers_TNC), missing_TN, MARKERS)
        error = np.linalg.norm(filled_TNC - markers_TNC, axis=-1)[missing_TN]
        assert np.sqrt((error**2).mean()) < 0.03, name


@needs_recordings
def test_all_hundred_and_ten_real_recordings_obey_the_schema():
    samples = list(READER.read(REAL))
    for sample in samples:
        schema.check_sample(sample, sample.sample_id)
    assert len({sample.sample_id for sample in samples}) == 110
    assert sum(sample.count for sample in samples) == 1100


def test_people_are_split_and_movements_too_where_all_that_are_held_out_are_there():
    people = [f"S{number:02d}" for number in range(1, 8)]

    def names(*movements: int) -> list[str]:
        index = pa.table(
            {"subject": people * len(movements), "action_id": np.repeat([f"M{m:03d}" for m in movements], 7)}
        )
        return [split.name for split in splits(REAL, index)]

    assert names(1, 2, 3, 9) == ["by_person", "by_action"]
    assert names(1, 3, 9) == names(2, 4) == ["by_person"]
