"""The reader of CMU's actions: miniatures as arrays and as BVH, and the prepared sequences where they are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest

from flag3d_ray.data.readers.cmu_actions import NODES, READER, UNIT_M, find, load
from flag3d_ray.data.splits import load_split
from flag3d_ray.errors import DataError

REAL = Path(os.environ.get("FLAG3D_CMU_ACTIONS") or Path(__file__).parents[4] / "shared" / "data" / "cmu_actions")
needs_sequences = pytest.mark.skipif(
    not REAL.is_dir(), reason=f"CMU's actions are not at {REAL}; set FLAG3D_CMU_ACTIONS to their folder"
)


def motion(frames: int = 9, seed: int = 0) -> np.ndarray:
    """Row 0 is the T-pose that the conversion adds."""
    positions_TVC = np.random.default_rng(seed).normal(size=(frames, 38, 3)).astype(np.float32)
    positions_TVC[:, 0] = 0
    return positions_TVC


def save(root: Path, name: str = "train_walking_1", **changed) -> Path:
    """One sequence; a changed array of None is left out."""
    label = name.removeprefix("train_").removeprefix("test_").rpartition("_")[0]
    arrays = {"positions": motion(), "label": np.array(label), **changed}
    np.savez(root / f"{name}.npz", **{key: array for key, array in arrays.items() if array is not None})
    return root / f"{name}.npz"


def as_bvh(root: Path, nodes=NODES) -> Path:
    """Three frames in which the root moves and turns; every node lies one unit above the one ahead of it in its chain."""
    text = "HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation\n"
    depth = 1
    for name in nodes[1:]:
        if name.endswith("_end"):
            text += "End Site\n{\nOFFSET 0 1 0\n}\n" + "}\n" * (depth - 1)
            depth = 1
        else:
            text += f"JOINT {name}\n{{\nOFFSET 0 1 0\nCHANNELS 3 Zrotation Yrotation Xrotation\n"
            depth += 1
    rest = " 0" * 3 * (sum(not name.endswith("_end") for name in nodes) - 1)
    frames = "".join(f"5 {height} 5 {turn} 0 0{rest}\n" for height, turn in ((0, 45), (10, 0), (11, 90)))
    path = root / "test_jumping_2.bvh"
    path.write_text(f"{text}}}\nMOTION\nFrames: 3\nFrame Time: .0083333\n{frames}", encoding="utf-8")
    return path


def test_a_sequence_is_read_with_its_names_and_without_the_added_pose(tmp_path):
    save(tmp_path, "train_basketball_signal_3")
    (sample,) = READER.read(tmp_path)
    assert (sample.sample_id, sample.action_id) == ("train_basketball_signal_3", "basketball_signal")
    assert (sample.action, sample.subject, sample.take) == ("basketball signal", "unknown", 3)
    assert (sample.layout, sample.unit, sample.fps, sample.count) == ("cmu38", "m", 30.0, 0)
    np.testing.assert_array_equal(sample.joints_MTVC[0], motion()[1:])


def test_what_is_ingested_is_what_was_released(tmp_path, ingested):
    for number in range(1, 12):
        save(tmp_path, f"train_walking_{number}", positions=motion(seed=number))
    save(tmp_path, "test_walking_1", positions=motion(20))
    dataset = ingested(READER, tmp_path)
    by_name = {sample.sample_id: sample for sample in dataset}
    np.testing.assert_allclose(by_name["test_walking_1"].joints_MTVC[0], motion(20)[1:], rtol=0, atol=1e-6)
    split = load_split(dataset.folder, "released")
    assert (len(split.train), len(split.valid), split.test) == (10, 1, ("test_walking_1",))


def test_a_bvh_file_of_the_conversion_is_read_in_metres_with_the_root_at_the_origin(tmp_path, ingested):
    as_bvh(tmp_path)
    (sample,) = ingested(READER, tmp_path)
    assert (sample.fps, sample.frames) == (120.0, 2)
    still, turned = sample.joints_MTVC[0]
    np.testing.assert_array_equal(still[0], [0, 0, 0])
    np.testing.assert_allclose(still[6], [0, 6 * UNIT_M, 0], rtol=1e-6)  # the sixth of its chain
    np.testing.assert_allclose(turned[6], [-6 * UNIT_M, 0, 0], atol=1e-6)  # 90 degrees about z takes up to -x


def test_a_bvh_file_with_other_joints_is_named(tmp_path):
    as_bvh(tmp_path, tuple(name.replace("LThumb", "LeftThumb") for name in NODES))
    with pytest.raises(DataError, match="not the 38 nodes of the conversion: 'LeftThumb'"):
        list(READER.read(tmp_path))


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"positions": motion()[:, :37]}, r"must be \[T, 38, 3\] of kind f, found float32 \[9, 37, 3\]"),
        ({"positions": motion().astype(int)}, "of kind f, found int64"),
        ({"positions": np.where(np.arange(9)[:, None, None] == 4, np.inf, motion())}, "frame 4: NaN or infinity"),
        ({"positions": motion(1)}, "one frame, which is the added T-pose"),
        ({"positions": motion(0)}, "no frames"),
        ({"label": np.array("running")}, "its label is 'running', its name says 'walking'"),
        ({"label": np.array({"a": 1}, dtype=object)}, "a pickle"),
        ({"label": None}, "missing array label"),
    ],
)
def test_a_broken_sequence_is_named(tmp_path, changed, rule):
    path = save(tmp_path, **changed)
    with pytest.raises(DataError, match=rule) as caught:
        list(READER.read(tmp_path))
    assert caught.value.where.startswith(str(path))


def test_two_files_of_one_sequence_are_refused(tmp_path):
    save(tmp_path, "test_jumping_2")
    as_bvh(tmp_path)
    with pytest.raises(DataError, match="has the same name"):
        find(tmp_path)


def test_a_truncated_sequence_is_an_error_of_the_data(tmp_path):
    path = save(tmp_path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"not a readable \.npz"):
        load(path)


def test_a_link_out_of_the_folder_is_refused_with_its_target(tmp_path):
    (tmp_path / "root").mkdir()
    save(tmp_path).rename(tmp_path / "elsewhere.npz")
    (tmp_path / "root" / "train_walking_1.npz").symlink_to(tmp_path / "elsewhere.npz")
    with pytest.raises(DataError, match=r"a link to .*elsewhere\.npz, outside the folder"):
        find(tmp_path / "root")


def test_a_folder_without_sequences_says_what_is_looked_for(tmp_path):
    (tmp_path / "walking.npz").touch()
    with pytest.raises(DataError, match="no file is named like train_walking_1"):
        find(tmp_path)


@needs_sequences
def test_all_real_sequences_are_upright_and_begin_without_the_added_pose(ingested):
    samples = list(ingested(READER, REAL))
    assert len(samples) == 38
    assert len({sample.action for sample in samples}) == 8
    for sample in samples:
        joints_TVC = sample.joints_MTVC[0]
        assert np.linalg.norm(joints_TVC[1] - joints_TVC[0], axis=-1).max() < 0.3, sample.sample_id
        head, foot = joints_TVC[:, NODES.index("Head"), 1], joints_TVC[:, NODES.index("LeftFoot"), 1]
        assert np.median(head) > 0.3
        assert np.median(foot) < -0.5
