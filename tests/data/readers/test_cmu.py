"""The reader of CMU's exercises: miniatures as arrays and as ASF and AMC, and the prepared trials where they are at hand."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from flag3d_ray.data import lexicon
from flag3d_ray.data.readers.cmu import EXERCISES, NAMES, READER, evenly, find, load
from flag3d_ray.data.splits import load_split
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import layout

REAL = Path(os.environ.get("FLAG3D_CMU_EXERCISE") or Path(__file__).parents[4] / "shared" / "data" / "cmu_exercise")
needs_trials = pytest.mark.skipif(
    not REAL.is_dir(), reason=f"CMU's exercises are not at {REAL}; set FLAG3D_CMU_EXERCISE to their folder"
)

HEADER = "trial,action,start_s,end_s,count,unit,confidence\n"
ROWS = "13_29,Twist,0.0,0.5,3,one side,high\n13_29,JumpJack,0.5,0.7,2.5,cycles,low\n13_29,Squat,0.7,1.0,2,squats,High\n"
LABELS = [6] * 5 + [1] * 2 + [3] * 3


def motion(frames: int = 115) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(frames, 31, 3)).astype(np.float32)


def save(root: Path, trial: str = "13_29", rows: str = ROWS, **changed) -> Path:
    """A table and one trial of 115 frames, nearly a second; a changed array of None is left out."""
    (root / "counts.csv").write_text(HEADER + rows, encoding="utf-8")
    arrays = {"positions": motion(), "names": np.array(NAMES), "labels": np.array(LABELS), **changed}
    np.savez(root / f"{trial}.npz", **{name: array for name, array in arrays.items() if array is not None})
    return root / f"{trial}.npz"


def as_acclaim(root: Path) -> None:
    """The same trial as 13.asf and 13_29.amc: bones of 1 to 31 units in a row upwards, the whole turned about x."""
    bones = "".join(
        f"  begin\n    id {n}\n    name {name}\n    direction 0 1 0\n    length {n}\n    axis 0 0 0 XYZ\n  end\n"
        for n, name in enumerate(NAMES[1:], start=1)
    )
    chain = "".join(f"    {above} {name}\n" for above, name in pairwise(NAMES))
    (root / "13.asf").write_text(
        ":units\n  mass 1.0\n  length 0.45\n  angle deg\n:root\n  order TX TY TZ RX RY RZ\n  axis XYZ\n"
        f"  position 0 0 0\n  orientation 0 0 0\n:bonedata\n{bones}:hierarchy\n  begin\n{chain}  end\n",
        encoding="utf-8",
    )
    frames = "".join(f"{n}\nroot 1 2 3 {n - 1} 0 0\n" for n in range(1, 116))
    (root / "13_29.amc").write_text(f"#!OML:ASF\n:FULLY-SPECIFIED\n:DEGREES\n{frames}", encoding="utf-8")


def test_every_interval_counted_with_high_confidence_is_a_sequence(tmp_path):
    save(tmp_path)
    twist, squat = READER.read(tmp_path)
    assert (twist.sample_id, twist.action_id, twist.action, twist.count) == ("13_29_01", "C06", "Twist", 3)
    assert (squat.sample_id, squat.action_id, squat.action, squat.count) == ("13_29_03", "C03", "Squat", 2)
    assert (twist.subject, twist.take, twist.fps, twist.layout) == ("S013", 29, 120.0, "cmu31")
    np.testing.assert_array_equal(twist.joints_MTVC[0], motion()[:60])
    np.testing.assert_array_equal(squat.joints_MTVC[0], motion()[84:])  # the table says 1.0 s, the trial has 0.958


def test_texts_are_the_lexicons_at_three_levels_with_standards_that_nobody_scored(tmp_path):
    save(tmp_path)
    twist, _ = READER.read(tmp_path)
    assert twist.captions == lexicon.captions("C06")
    assert len(set(twist.captions)) == 3
    assert twist.standards == tuple(standard.text for standard in lexicon.standards("C06"))
    assert twist.keys_RS is None


def test_an_exercise_has_the_caption_of_its_name():
    words = {
        "ToeTouch1": "Toe Touch With One Hand",
        "ToeTouch2": "Toe Touch With Two Hands",
        "JumpJack": "Jumping Jack",
    }
    assert list(EXERCISES.values()) == list(range(1, 13))
    for exercise, action_id in zip(EXERCISES, lexicon.cmu_exercise_ids(), strict=True):
        name = lexicon.captions(action_id)[0]
        assert name == words.get(exercise, name)
        assert exercise in words or name.replace(" ", "").replace("And", "") == exercise


def test_repetitions_are_spaced_evenly_and_fill_the_interval(tmp_path):
    save(tmp_path)
    twist, squat = READER.read(tmp_path)
    assert twist.reps_R2.tolist() == [[0, 20], [20, 40], [40, 60]]
    assert squat.reps_R2.tolist() == [[0, 16], [16, 31]]
    with pytest.raises(DataError, match="5 repetitions in 4 frames"):
        evenly("row 2", 5, 4)


def test_what_is_ingested_is_what_was_released_and_all_of_it_is_tested(tmp_path, ingested):
    save(tmp_path)
    dataset = ingested(READER, tmp_path)
    first, second = dataset
    np.testing.assert_allclose(first.joints_MTVC[0], motion()[:60], rtol=0, atol=1e-6)
    assert (first.count, second.count) == (3, 2)
    split = load_split(dataset.folder, "all_test")
    assert (split.train, split.test) == ((), ("C03", "C06"))


def test_the_released_asf_and_amc_files_are_read_in_metres(tmp_path, ingested):
    save(tmp_path).unlink()
    as_acclaim(tmp_path)
    twist = ingested(READER, tmp_path).sample(0)
    unit = 0.0254 / 0.45
    root, hip = twist.joints_MTVC[0, 30, :2]
    np.testing.assert_allclose(root, np.array([1, 2, 3]) * unit, rtol=1e-6)
    turned = np.array([0, np.cos(np.radians(30)), np.sin(np.radians(30))])  # 30 degrees in frame 30
    np.testing.assert_allclose(hip - root, turned * unit, atol=1e-7)
    top = twist.joints_MTVC[0, 30, 30]
    np.testing.assert_allclose(top - root, turned * sum(range(1, 31)) * unit, rtol=1e-5)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("13_29,Dance,0.0,0.5,3,x,high", "action 'Dance'"),
        ("13_29,Twist,0.0,0.5,2.5,x,high", "count is '2.5'"),
        ("13_29,Twist,0.0,0.5,0,x,high", "count is '0'"),
        ("13_29,Twist,zero,0.5,3,x,high", "start_s is 'zero'"),
        ("13_29,Twist,0.5,0.0,3,x,high", "0.5 to 0.0 s is no interval"),
        ("13_29,Squat,0.7,1.1,3,x,high", "0.7 to 1.1 s is no interval of the trial's 0.958333 s"),
        ("13_29,Twist,0.0,0.7,3,x,high", "Twist is label 6, but 13_29.npz has 1 in there"),
    ],
)
def test_a_row_that_cannot_be_is_named(tmp_path, row, rule):
    save(tmp_path, rows=ROWS + row + "\n")
    *_, last = find(tmp_path)
    with pytest.raises(DataError) as caught:
        load(last)
    assert caught.value.where == f"{tmp_path / 'counts.csv'}, row 5"
    assert rule in caught.value.rule


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"positions": motion()[:, :30]}, r"must be \[T, 31, 3\] of kind f, found float32 \[115, 30, 3\]"),
        ({"positions": motion().astype(int)}, "of kind f, found int64"),
        ({"positions": np.where(np.arange(115)[:, None, None] == 9, np.nan, motion())}, "frame 9: NaN or infinity"),
        ({"names": np.array(NAMES[::-1])}, "not the 31 of CMU's skeleton in their order: 'rthumb'"),
        ({"names": np.array([Path("a")] * 31, dtype=object)}, "a pickle"),
        ({"labels": None}, "missing array labels"),
    ],
)
def test_a_broken_trial_is_named(tmp_path, changed, rule):
    path = save(tmp_path, **changed)
    with pytest.raises(DataError, match=rule) as caught:
        list(READER.read(tmp_path))
    assert caught.value.where.startswith(str(path))


def test_a_skeleton_with_other_bones_is_named(tmp_path):
    save(tmp_path).unlink()
    as_acclaim(tmp_path)
    asf = tmp_path / "13.asf"
    asf.write_text(asf.read_text(encoding="utf-8").replace("lthumb", "lpinky"), encoding="utf-8")
    with pytest.raises(DataError, match="not the 31 of CMU's skeleton in their order: 'lpinky'"):
        list(READER.read(tmp_path))
    asf.unlink()
    with pytest.raises(DataError, match=r"13_29\.amc has no skeleton 13\.asf"):
        find(tmp_path)


def test_a_trial_without_a_file_is_named_with_its_row(tmp_path):
    save(tmp_path, rows=ROWS + "14_06,Twist,0,1,3,x,high\n")
    with pytest.raises(DataError, match=r"there is no '14_06'\.npz or \.amc") as caught:
        find(tmp_path)
    assert caught.value.where == f"{tmp_path / 'counts.csv'}, row 5"


def test_a_truncated_trial_is_an_error_of_the_data(tmp_path):
    path = save(tmp_path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"not a readable \.npz"):
        list(READER.read(tmp_path))


def test_a_link_out_of_the_folder_is_refused_with_its_target(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    path = save(root)
    path.rename(tmp_path / "elsewhere.npz")
    path.symlink_to(tmp_path / "elsewhere.npz")
    with pytest.raises(DataError, match=r"a link to .*elsewhere\.npz, outside the folder"):
        find(root)


def test_a_table_with_a_byte_order_mark_and_windows_line_ends_reads_like_one_without(tmp_path):
    save(tmp_path)
    plain = find(tmp_path)
    table = tmp_path / "counts.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n"))
    assert find(tmp_path) == plain


def test_a_folder_without_counts_says_what_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"there is no file 'counts\.csv'"):
        find(tmp_path)
    save(tmp_path, rows="13_29,Twist,0.0,0.5,3,x,low\n")
    with pytest.raises(DataError, match="no row of high confidence among 1"):
        find(tmp_path)


@needs_trials
def test_the_real_intervals_are_bodies_of_human_size_with_the_counts_of_the_table(ingested):
    samples = list(ingested(READER, REAL))
    counts = {sample.sample_id: (sample.action, sample.count) for sample in samples}
    assert len(samples) == 8
    assert counts["13_29_02"] == ("Twist", 3)
    assert sum(count for _, count in counts.values()) == 23
    bones = layout("cmu31").edges
    for sample in samples:
        lengths_TE = np.linalg.norm(
            np.stack([sample.joints_MTVC[0, :, c] - sample.joints_MTVC[0, :, p] for c, p in bones], axis=1), axis=-1
        )
        assert lengths_TE.std(axis=0).max() < 1e-5, "bones are rigid"
        thigh = lengths_TE[0, [child for child, _ in bones].index(NAMES.index("lfemur"))]
        assert 0.35 < thigh < 0.5
        head, toes = sample.joints_MTVC[0, :, NAMES.index("head"), 1], sample.joints_MTVC[0, :, NAMES.index("ltoes"), 1]
        assert -0.1 < toes.min() < 0.15
        assert 1.4 < head.max() < 2.0
