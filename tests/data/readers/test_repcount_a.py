"""The reader of RepCountA: released tables in miniature, with skeletons made here."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flag3d_ray.data import lexicon
from flag3d_ray.data.readers.repcount_a import SPELLINGS, find, load, omitted, reader
from flag3d_ray.data.splits import load_split
from flag3d_ray.errors import DataError

HEADER = ",type,name,count," + ",".join(f"L{n}" for n in range(1, 9))
ROWS = {
    "train": (
        "0,squant,train3 é.mp4,3,0,5,5.0,9.0,10.0,20.0,,",
        "1,bench_pressing,stu1_2.mp4,1,3,8,,,,,,",
        "2,others,stu1_3.mp4,0,,,,,,,,",
    ),
    "valid": ("0,jumpjacks,val7.mp4,2,0,9,9,20,,,,",),
    "test": ("0,push_up,test4.mp4,1,2,20,,,,,,",),
}
CARD = {
    "format": "flag3d-open/1",
    "name": "mine",
    "description": "SMPL joints by some method.",
    "limits": "Guesses from one camera.",
    "licence": "mine",
    "layout": "smpl24",
    "unit": "mm",
    "up": "-y",
    "handedness": "right",
    "fps": 30,
}


def motion(seed: int = 0, frames: int = 20, joints: int = 24, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, joints, channels)).astype(np.float32)


def write(root: Path, part: str, *rows: str, header: str = HEADER) -> Path:
    """One released table."""
    (root / "annotation").mkdir(exist_ok=True)
    table = root / "annotation" / f"{part}.csv"
    table.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return table


def give(root: Path, part: str, name: str, **arrays: Any) -> Path:
    """The skeleton of one video."""
    (root / "skeleton" / part).mkdir(parents=True, exist_ok=True)
    path = root / "skeleton" / part / f"{name}.npz"
    kept: dict[str, Any] = {"joints": motion()} | arrays
    np.savez(path, **kept)
    return path


@pytest.fixture
def copy(tmp_path) -> Path:
    """Four videos with skeletons, one without a repetition."""
    root = tmp_path / "my copy é"
    root.mkdir()
    (root / "dataset.json").write_text(json.dumps(CARD), encoding="utf-8")
    for number, (part, rows) in enumerate(ROWS.items()):
        write(root, part, *rows)
        for row in rows[:2]:
            give(root, part, row.split(",")[2].removesuffix(".mp4"), joints=motion(number) * 1000)
    return root


def test_a_video_is_read_with_its_type_and_intervals(copy):
    sample = load(find(copy)[0])
    assert (sample.sample_id, sample.action, sample.subject, sample.source) == (
        "train3 é",
        "Squat",
        "unknown",
        "natural",
    )
    assert sample.reps_R2.tolist() == [[0, 5], [5, 9], [10, 20]]
    assert (sample.layout, sample.unit, sample.fps, sample.keys_RS) == ("smpl24", "m", 30.0, None)


def test_texts_are_the_lexicons_at_three_levels_with_standards_that_nobody_scored(copy):
    sample = load(find(copy)[0])
    assert sample.captions == lexicon.captions("R09")
    assert len(set(sample.captions)) == 3
    assert sample.standards == tuple(standard.text for standard in lexicon.standards("R09"))
    assert sample.keys_RS is None
    assert "Captions and standards are this project's own words" in reader(copy).card.limits


@pytest.mark.parametrize(("kind", "action_id"), list(zip(SPELLINGS, lexicon.repcount_ids(), strict=True)))
def test_a_type_has_the_caption_of_its_name(copy, kind, action_id):
    write(copy, "train", f"0,{kind},stu1_2.mp4,1,0,9,,,,,,")
    sample = load(find(copy)[0])
    assert sample.action_id == action_id
    letters = "".join(letter for letter in sample.action.lower() if letter.isalpha())
    assert letters == ("otherexercise" if kind == "others" else kind.replace("_", ""))


def test_units_and_axes_of_the_card_become_metres_and_y_up(copy):
    sample = load(find(copy)[0])
    np.testing.assert_allclose(sample.joints_MTVC[0], motion() * [1, -1, -1], rtol=1e-6)


def test_what_is_ingested_is_what_was_released(copy, ingested):
    dataset = ingested(reader(copy), copy)
    by_name = {sample.sample_id: sample for sample in dataset}
    assert set(by_name) == {"train3 é", "stu1_2", "val7", "test4"}
    np.testing.assert_allclose(by_name["test4"].joints_MTVC[0], motion(2) * [1, -1, -1], rtol=0, atol=1e-6)
    assert by_name["val7"].reps_R2.tolist() == [[0, 9], [9, 20]]
    split = load_split(dataset.folder, "released")
    assert (split.train, split.valid, split.test) == (("stu1_2", "train3 é"), ("val7",), ("test4",))


def test_types_spelled_two_ways_are_one(copy):
    released = [
        "frontraise",
        "pullups",
        "squant",
        "front_raise",
        "bench_pressing",
        "jump_jack",
        "situp",
        "benchpressing",
    ]
    released += ["squat", "pull_up", "push_up", "jumpjacks", "pushups", "others", "battle_rope", "pommelhorse"]
    write(copy, "train", *(f"{n},{kind},v{n}.mp4,1,0,9,,,,,," for n, kind in enumerate(released)))
    for number in range(len(released)):
        give(copy, "train", f"v{number}")
    samples = [load(item) for item in find(copy) if item.name.startswith("v") and item.name != "val7"]
    assert len(samples) == 16
    assert {sample.action_id for sample in samples} == {f"R{n:02d}" for n in range(1, 11)}
    assert len({(sample.action_id, sample.action) for sample in samples}) == len(SPELLINGS) == 10


def test_what_is_left_out_is_listed_with_its_reason_and_counted_in_the_card(copy):
    (copy / "skeleton" / "train" / "stu1_2.npz").unlink()
    (copy / "left_out.csv").write_text("sample_id,reason\ntest4,another exercise\n", encoding="utf-8")
    assert [(row.name, row.reason) for row in omitted(copy)] == [
        ("stu1_2", "no skeleton"),
        ("stu1_3", "no repetition"),
        ("test4", "left_out.csv: another exercise"),
    ]
    assert [item.name for item in find(copy)] == ["train3 é", "val7"]
    card = reader(copy).card
    assert card.limits.startswith("3 videos left out (1 left_out.csv, 1 no repetition, 1 no skeleton)")
    assert "Guesses from one camera." in card.limits
    assert "SMPL joints by some method." in card.description


def test_a_name_that_is_left_out_and_stands_in_no_table_is_refused(copy):
    (copy / "left_out.csv").write_text("sample_id\ntest4.mp4\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"names videos that stand in no table: test4\.mp4") as caught:
        find(copy)
    assert caught.value.where == str(copy / "left_out.csv")


def test_a_rate_of_its_own_stands_beside_the_joints(copy):
    (copy / "dataset.json").write_text(json.dumps(CARD | {"fps": None}), encoding="utf-8")
    path = give(copy, "train", "train3 é", fps=np.float64(23.976))
    assert load(find(copy)[0]).fps == 23.976
    np.savez(path, joints=motion())
    with pytest.raises(DataError, match="missing array fps"):
        load(find(copy)[0])
    np.savez(path, joints=motion(), fps=np.float64(0))
    with pytest.raises(DataError, match="fps is 0"):
        load(find(copy)[0])


def test_joints_in_pixels_stay_pixels_with_the_size_of_the_image(copy):
    flat = {key: value for key, value in CARD.items() if key not in ("up", "handedness")}
    (copy / "dataset.json").write_text(json.dumps(flat | {"layout": "coco17", "unit": "px"}), encoding="utf-8")
    joints = motion(joints=17, channels=2)
    give(copy, "train", "train3 é", joints=joints, image_hw=np.array([480, 854]))
    assert reader(copy).layout == "coco17"
    sample = load(find(copy)[0])
    np.testing.assert_array_equal(sample.joints_MTVC[0], joints)
    assert (sample.image_hw, sample.unit) == ((480, 854), "px")


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("0,squat,a.mp4,1,0,21,,,,,,", "[0, 21) leaves the sequence of 20 frames"),
        ("0,squat,a.mp4,1,9,3,,,,,,", "[9, 3) ends before it starts"),
        ("0,squat,a.mp4,2,0,9,8,12,,,,", "[8, 12) starts before the one ahead of it ends, at 9"),
        ("0,squat,a.mp4,51,0,9,9,20,,,,", "count is 51, but there are 4 values from L1 on: 102 are expected"),
        ("0,squat,a.mp4,2,0,9,9,,,,,", "count is 2, but there are 3 values"),
        ("0,squat,a.mp4,2,0,9,,,9,20,,", "L3 is ''"),
        ("0,squat,a.mp4,1,0,x,,,,,,", "L2 is 'x'"),
        ("0,squat,a.mp4,,0,9,,,,,,", "count is ''"),
        ("0,squat,a.mp4,3,,,,,,,,", "count is 3, but there are 0 values"),
        ("0,yoga,a.mp4,1,0,9,,,,,,", "type 'yoga' is unknown"),
    ],
)
def test_a_label_that_cannot_be_is_named_with_its_row_and_other_videos_can_be_loaded(copy, row, rule):
    table = write(copy, "train", row, ROWS["train"][1])
    give(copy, "train", "a")
    first, second, *_ = find(copy)
    with pytest.raises(DataError) as caught:
        load(first)
    assert caught.value.where == f"{table}, row 2"
    assert rule in caught.value.rule
    assert load(second).sample_id == "stu1_2"


def test_a_video_in_two_tables_is_a_leak_and_named(copy):
    train = copy / "annotation" / "train.csv"
    test = write(copy, "test", ROWS["train"][0])
    give(copy, "test", "train3 é")
    leaking = [item for item in find(copy) if item.name == "train3 é"]
    with pytest.raises(DataError, match="a leak") as caught:
        load(leaking[1])
    assert caught.value.where == f"{test}, row 2"
    assert f"{train}, row 2" in caught.value.rule


@pytest.mark.parametrize(
    ("joints", "rule"),
    [
        (motion(joints=17), r"must be \[T, 24, 3\] of kind f, found float32 \[20, 17, 3\]"),
        (np.zeros((20, 24, 3), int), "of kind f, found int64"),
        (np.where(np.arange(20)[:, None, None] == 4, np.nan, motion()), "frame 4: NaN or infinity at joint pelvis"),
        (np.array([{"a": 1}], dtype=object), "a pickle"),
    ],
)
def test_broken_joints_are_named(copy, joints, rule):
    give(copy, "train", "train3 é", joints=joints)
    with pytest.raises(DataError, match=rule):
        load(find(copy)[0])


def test_a_truncated_skeleton_is_an_error_of_the_data(copy):
    path = give(copy, "train", "train3 é")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"not a readable \.npz"):
        load(find(copy)[0])


def test_a_table_with_a_byte_order_mark_and_windows_line_ends_reads_like_one_without(copy):
    plain = find(copy)
    for table in (copy / "annotation").iterdir():
        table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n"))
    assert find(copy) == plain


@pytest.mark.parametrize("name", ["../train3.mp4", "/etc/passwd", "a\\b.mp4", ""])
def test_a_name_that_is_a_path_is_refused(copy, name):
    write(copy, "train", f"0,squat,{name},1,0,9,,,,,,")
    with pytest.raises(DataError, match="name is"):
        find(copy)


@pytest.mark.parametrize("linked", ["skeleton/train/stu1_2.npz", "annotation/test.csv", "dataset.json"])
def test_a_link_out_of_the_folder_is_refused_with_its_target(copy, tmp_path, linked):
    (copy / linked).rename(tmp_path / "elsewhere")
    (copy / linked).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"a link to .*elsewhere, outside the folder") as caught:
        find(copy)
    assert caught.value.where == str(copy / linked)


def test_a_folder_without_card_tables_or_skeletons_says_what_is_missing(copy, tmp_path):
    with pytest.raises(DataError, match=r"dataset\.json: no such file"):
        find(tmp_path)
    for path in (copy / "skeleton").rglob("*.npz"):
        path.unlink()
    with pytest.raises(DataError, match=r"no video .* has a file skeleton"):
        find(copy)
    for path in (copy / "annotation").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"no train\.csv, valid\.csv, test\.csv"):
        find(copy)
