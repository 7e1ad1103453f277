"""The open folder: what a person writes is read as meant, and everything that is wrong is named with its row."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flag3d_ray.data import catalogue, schema
from flag3d_ray.data.dataset import open_dataset
from flag3d_ray.data.readers import open_format
from flag3d_ray.data.readers.open_format_template import write_template
from flag3d_ray.data.splits import load_split, split_indices
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import LAYOUTS, layout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six sequences: P01 to P03 by A001 and A002; P01-A001 is a table."""
    write_template(tmp_path / "open", "flag3d24")
    return tmp_path / "open"


def samples(folder: Path) -> list[Sample]:
    return list(open_format.reader(folder).read(folder))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def card(folder: Path, **changed: Any) -> None:
    path = folder / "dataset.json"
    values = json.loads(path.read_text()) | changed
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))


def put(folder: Path, joints: np.ndarray, name: str = "P01-A002") -> None:
    np.savez(folder / "joints" / f"{name}.npz", joints=joints)


def ingested(folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> list[Sample]:
    monkeypatch.setitem(catalogue.READERS, "open", open_format.reader(folder))
    catalogue.read_in("open", folder, target)
    return list(open_dataset(target))


@pytest.mark.parametrize("name", [known.name for known in LAYOUTS])
def test_the_template_of_every_layout_is_valid_and_comes_back_from_shards(tmp_path, monkeypatch, name):
    write_template(tmp_path / "open", name)
    read = samples(tmp_path / "open")
    for sample in read:
        schema.check_sample(sample, sample.sample_id)
    assert [sample.sample_id for sample in read] == [f"P0{p}-A00{a}" for p in (1, 2, 3) for a in (1, 2)]
    assert {(sample.layout, sample.count, sample.frames, sample.fps) for sample in read} == {(name, 3, 60, 30.0)}
    for sample, back in zip(read, ingested(tmp_path / "open", tmp_path / "shards", monkeypatch), strict=True):
        np.testing.assert_allclose(back.joints_MTVC, sample.joints_MTVC, atol=1e-6)
        np.testing.assert_array_equal(back.reps_R2, sample.reps_R2)
        assert schema.content_hash(back) == schema.content_hash(sample)
    assert load_split(tmp_path / "shards", "by_person").rule == "as splits.csv has it"
    dataset = open_dataset(tmp_path / "shards")
    assert [len(split_indices(dataset, "by_person", part)) for part in ("train", "valid", "test")] == [2, 2, 2]


def test_all_that_the_tables_say_reaches_the_sample(folder):
    rows = "sample_id,action_id,action,subject,source,view,scene,avatar,body_part,take,fps\n"
    rows += 'P01-A001,A001,"Up, then down",Ann,natural,front,gym,robot,arm,4,25\nP01-A002,A002,Out,Bo,,,,,,,\n'
    (folder / "sequences.csv").write_text(rows)
    for name in ("splits.csv", "repetitions.csv"):
        (folder / name).unlink()
    first, second = samples(folder)
    assert (first.action, first.subject, first.source, first.view) == ("Up, then down", "Ann", "natural", "front")
    assert (first.scene, first.avatar, first.body_part, first.take) == ("gym", "robot", "arm", 4)
    assert (first.fps, second.fps, second.source, second.take) == (25.0, 30.0, "lab", 1)
    assert first.captions[1] == "Both arms rise and fall again."
    assert (first.reps_R2.shape, first.keys_RS) == ((0, 2), None)
    assert first.dataset == "my-dataset"


def test_without_captions_the_name_stands_at_all_levels_and_keys_name_the_standards(folder):
    (folder / "captions.csv").unlink()
    sample = samples(folder)[0]
    assert sample.captions == ("Arms Up", "Arms Up", "Arms Up")
    assert sample.standards == ("key1",)
    assert sample.keys_RS is not None
    assert sample.keys_RS.tolist() == [[1], [1], [1]]


def test_a_byte_order_mark_windows_line_ends_and_spaces_change_nothing(folder):
    before = [schema.content_hash(sample) for sample in samples(folder)]
    for path in [*folder.glob("*.csv"), folder / "joints" / "P01-A001.csv", folder / "dataset.json"]:
        text = path.read_text(encoding="utf-8").replace("\n", "\r\n")
        if path.parent == folder and path.suffix == ".csv":
            text = (text if '"' in text else text.replace(",", " , ")) + ",,\r\n\r\n"
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert [schema.content_hash(sample) for sample in samples(folder)] == before


def test_names_with_spaces_and_letters_of_any_script_are_read(folder):
    name = "Überkopf 深蹲 (é)"
    (folder / "joints" / "P01-A002.npz").rename(folder / "joints" / f"{name.replace('é', chr(0x65) + chr(0x301))}.npz")
    for table in ("sequences.csv", "repetitions.csv", "splits.csv"):
        path = folder / table
        path.write_text(path.read_text().replace("P01-A002", name), encoding="utf-8")
    assert name in [sample.sample_id for sample in samples(folder)]


@pytest.mark.parametrize(("unit", "factor"), [("m", 1.0), ("cm", 100.0), ("mm", 1000.0)])
def test_units_become_metres(folder, unit, factor):
    metres = samples(folder)[1].joints_MTVC
    put(folder, metres * factor)
    card(folder, unit=unit)
    np.testing.assert_allclose(samples(folder)[1].joints_MTVC, metres, atol=1e-6)


# A figure: right hand at its right, head up, nose in front; in each frame of axes as a person there would write it down.
RIGHT, UP, FRONT = np.eye(3)


@pytest.mark.parametrize(
    ("up", "handedness", "axes"),
    [
        ("y", "right", lambda right, up, front: np.stack([right, up, -front])),
        ("y", "left", lambda right, up, front: np.stack([right, up, front])),
        ("z", "right", lambda right, up, front: np.stack([right, front, up])),
        ("z", "left", lambda right, up, front: np.stack([right, -front, up])),
        ("x", "right", lambda right, up, front: np.stack([up, right, front])),
        ("-y", "right", lambda right, up, front: np.stack([right, -up, front])),
        ("-z", "right", lambda right, up, front: np.stack([right, -front, -up])),
        ("-x", "left", lambda right, up, front: np.stack([-up, front, -right])),
    ],
)
def test_whatever_the_axes_up_becomes_y_and_right_stays_right_of_front(folder, up, handedness, axes):
    frame = axes(RIGHT, UP, FRONT)  # rows: x, y, z of that frame in (right, up, front) of the person
    written = np.zeros((4, 24, 3))
    for joint, direction in ((0, RIGHT), (1, UP), (2, FRONT)):
        written[:, joint] = frame @ direction
    put(folder, written)
    card(folder, up=up, handedness=handedness)
    (folder / "repetitions.csv").unlink()
    right, upward, front = samples(folder)[1].joints_MTVC[0, 0, :3]
    np.testing.assert_allclose(upward, [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(np.cross(right, front), upward, atol=1e-6)  # right x front = up: right-handed
    np.testing.assert_allclose(np.abs(right).sum(), 1, atol=1e-6)


def test_several_persons_and_half_precision_are_kept(folder):
    joints = np.random.default_rng(0).normal(size=(2, 60, 24, 3)).astype(np.float16)
    put(folder, joints)
    sample = samples(folder)[1]
    assert sample.joints_MTVC.dtype == np.float32
    np.testing.assert_array_equal(sample.joints_MTVC, joints)


def test_a_table_of_joints_may_have_its_columns_in_any_order(folder):
    before = samples(folder)[0].joints_MTVC
    path = folder / "joints" / "P01-A001.csv"
    with path.open(newline="") as file:
        turned = [row[::-1] for row in csv.reader(file)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(turned)
    np.testing.assert_array_equal(samples(folder)[0].joints_MTVC, before)
    sway = 0.01 * np.sin(np.pi / 3)  # in frame 10 of 60
    np.testing.assert_allclose(before[0, 10, layout("flag3d24").index("left_wrist")], [0.2 + sway, 1.45, 0], atol=1e-5)


def test_files_that_no_row_names_are_left_out_and_logged(folder, caplog):
    edit(folder / "sequences.csv", "P01-A001", "other")
    (folder / "joints" / "P01-A001.csv").rename(folder / "joints" / "other.csv")
    (folder / "joints" / "spare.npz").write_bytes(b"x")
    (folder / "splits.csv").unlink()
    (folder / "repetitions.csv").unlink()
    with caplog.at_level("INFO"):
        assert len(samples(folder)) == 6
    assert "1 files of joints stand in no row" in caplog.text


def test_without_a_table_of_splits_people_are_split_or_everything_is_tested(folder):
    (folder / "splits.csv").unlink()
    index = schema.to_table(samples(folder))
    (split,) = open_format.splits(folder, index)
    assert (split.name, len(split.train), len(split.valid), len(split.test)) == ("by_person", 1, 1, 1)
    (split,) = open_format.splits(folder, index.slice(0, 4))
    assert (split.name, split.train, split.test) == ("all_test", (), ("A001", "A002"))


def test_a_split_without_validation_gets_one_from_its_training_people(folder):
    path = folder / "splits.csv"
    path.write_text(path.read_text().replace(",valid", ",train"))
    (split,) = open_format.splits(folder, schema.to_table(samples(folder)))
    assert split.test == ("P03-A001", "P03-A002")
    assert {name[:3] for name in split.valid}.isdisjoint({name[:3] for name in split.train})
    assert len(split.valid) == len(split.train) == 2
    assert "drawn, for validation" in split.rule


def replaced_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    ("damage", "where", "rule"),
    [
        (lambda f: (f / "dataset.json").unlink(), "dataset.json", "no such file"),
        (lambda f: (f / "dataset.json").write_text("{"), "dataset.json", "not valid JSON"),
        (lambda f: (f / "dataset.json").write_text("[" * 100_000), "dataset.json", "not valid JSON"),
        (lambda f: card(f, format="other"), "dataset.json", '"format" is not "flag3d-open/1"'),
        (
            lambda f: card(f, licence="", limits=..., up=...),
            "dataset.json",
            "missing or no text: limits, licence, up. Remedy",
        ),
        (lambda f: card(f, description=7), "dataset.json", "missing or no text: description"),
        (lambda f: card(f, frame_rate=30), "dataset.json", "unknown: 'frame_rate'"),
        (lambda f: card(f, fps="30"), "dataset.json", "fps is '30'"),
        (lambda f: card(f, fps=-1), "dataset.json", "fps is -1"),
        (lambda f: card(f, unit="inch"), "dataset.json", "unit is 'inch', layout flag3d24 has m or cm or mm"),
        (lambda f: card(f, unit="px"), "dataset.json", "unit is 'px'"),
        (lambda f: card(f, up="Y"), "dataset.json", "up is 'Y'"),
        (lambda f: card(f, handedness="both"), "dataset.json", "handedness is 'both'"),
        (lambda f: card(f, layout="kinect"), "layout 'kinect'", "unknown joint layout"),
        (lambda f: card(f, fps=None), "sequences.csv, row 2", "no fps here and none in dataset.json"),
        (lambda f: (f / "sequences.csv").unlink(), "sequences.csv", "no such file"),
        (lambda f: (f / "sequences.csv").write_bytes(b"\xff\xfe\x00"), "sequences.csv, row 1", "0xff is not UTF-8"),
        (lambda f: edit(f / "sequences.csv", "P02-A001,A", 'P02-A001,"A'), "row 4", "not a row of a table"),
        (lambda f: os.truncate(f / "repetitions.csv", 10 << 30), "repetitions.csv", "10737418240 bytes, more than"),
        (lambda f: (f / "sequences.csv").write_text(""), "sequences.csv, row 1", "missing column sample_id, action_id"),
        (
            lambda f: (f / "sequences.csv").write_text("sample_id;action_id\n"),
            "sequences.csv",
            "not separated by commas",
        ),
        (lambda f: edit(f / "sequences.csv", "source,view", "source,veiw"), "sequences.csv, row 1", "column 'veiw'"),
        (lambda f: edit(f / "sequences.csv", "scene,avatar", "scene,scene"), "sequences.csv, row 1", "there twice"),
        (
            lambda f: edit(f / "sequences.csv", "P02-A001,A001", "P02-A001"),
            "sequences.csv, row 4",
            "12 cells, the header",
        ),
        (lambda f: edit(f / "sequences.csv", ",A001,Arms Up,P02", ",,Arms Up,P02"), "row 4", "action_id is empty"),
        (lambda f: edit(f / "sequences.csv", "P02-A001,", "P01-a001,"), "row 4", "'P01-a001' occurs twice"),
        (lambda f: edit(f / "sequences.csv", "P02-A001,", "../P02-A001,"), "row 4", "cannot be the name of a file"),
        (lambda f: edit(f / "sequences.csv", "P02,lab,,,,,1,", "P02,lab,,,,,1.5,"), "row 4", "take is '1.5'"),
        (lambda f: edit(f / "sequences.csv", "P02,lab,,,,,1,", "P02,lab,,,,,1,nan"), "row 4", "fps is 'nan'"),
        (lambda f: edit(f / "sequences.csv", "P02,lab", "P02,studio"), "row 4", "source is 'studio'"),
        (lambda f: (f / "joints" / "P02-A001.npz").unlink(), "P02-A001.npz", "neither P02-A001.npz nor P02-A001.csv"),
        (lambda f: (f / "joints" / "P02-A001.csv").write_text("x"), "P02-A001.npz", r"P02-A001\.csv is there too"),
        (lambda f: (f / "joints").rename(f / "joint"), "joints", "no such folder"),
        (lambda f: replaced_by_a_pipe(f / "sequences.csv"), "sequences.csv", "no such file"),
        (lambda f: replaced_by_a_pipe(f / "joints" / "P02-A001.npz"), "P02-A001.npz", "neither P02-A001.npz nor"),
        (lambda f: replaced_by_a_folder(f / "joints" / "P02-A001.npz"), "P02-A001.npz", "neither P02-A001.npz nor"),
        (lambda f: os.truncate(f / "dataset.json", 10 << 30), "dataset.json", "10737418240 bytes: not a card"),
        (
            lambda f: edit(f / "repetitions.csv", "P02-A001,0", "P09-A001,0"),
            "repetitions.csv, row 8",
            "is not in sequences",
        ),
        (lambda f: edit(f / "repetitions.csv", "P02-A001,0,20", "P02-A001,0,2O"), "row 8", "end is '2O'"),
        (lambda f: edit(f / "repetitions.csv", "P02-A001,0,20,1", "P02-A001,0,20,2"), "row 8", "key scores '2'"),
        (lambda f: edit(f / "repetitions.csv", "P02-A001,20,40,1", "P02-A001,20,40,"), "row 9", "none here"),
        (
            lambda f: edit(f / "repetitions.csv", "P02-A001,40,60", "P02-A001,40,61"),
            "row 10",
            r"\[40, 61\) leaves the 60",
        ),
        (
            lambda f: edit(f / "repetitions.csv", "P02-A001,40,60", "P02-A001,40,40"),
            "row 10",
            "ends before it starts or",
        ),
        (lambda f: edit(f / "repetitions.csv", "P02-A001,40,60", "P02-A001,39,60"), "row 10", "ends, at 40"),
        (lambda f: edit(f / "repetitions.csv", "key1", "key2"), "repetitions.csv, row 1", "columns key2"),
        (lambda f: edit(f / "captions.csv", "A002", "A003"), "captions.csv", "no row for action A002"),
        (lambda f: edit(f / "captions.csv", "A002", "A001"), "captions.csv, row 3", "'A001' occurs twice"),
        (lambda f: edit(f / "captions.csv", "Arms end level.", ""), "captions.csv, row 3", "standard1 is empty"),
        (lambda f: edit(f / "captions.csv", ",standard1", ",standard1,standard2"), "captions.csv, row 2", "5 cells"),
    ],
)
def test_what_is_wrong_is_named_with_its_row_and_a_remedy(folder: Path, damage: Damage, where: str, rule: str):
    damage(folder)
    with pytest.raises(DataError, match=rule) as caught:
        samples(folder)
    assert caught.value.where.endswith(where)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("damage", "where", "rule"),
    [
        (lambda f: edit(f / "splits.csv", "P02-A001,", "P09-A001,"), "row 4", "no sequence 'P09-A001'"),
        (lambda f: edit(f / "splits.csv", ",valid", ",val"), "row 4", "part is 'val'"),
        (lambda f: edit(f / "splits.csv", ",by_person", ",../by_person"), "row 2", "cannot be the name of a file"),
        (lambda f: edit(f / "splits.csv", "P02-A001,by_person,valid\n", ""), "splits.csv", "leaves out 1 sequences"),
        (lambda f: edit(f / "splits.csv", "P02-A001,", "P01-A001,"), "splits.csv", "leaves out 1"),
        (
            lambda f: edit(f / "splits.csv", "P03-A002", "P01-A001,by_person,test\nP03-A002"),
            "'by_person'",
            "P01-A001 stands in train and in test: a leak",
        ),
    ],
)
def test_a_split_that_leaks_or_leaves_out_is_refused_and_nothing_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, damage: Damage, where: str, rule: str
):
    damage(folder)
    with pytest.raises(DataError, match=rule) as caught:
        ingested(folder, folder.parent / "shards", monkeypatch)
    assert caught.value.where.endswith(where)
    assert [path.name for path in folder.parent.iterdir() if "shards" in path.name and path.suffix != ".lock"] == []


@pytest.mark.parametrize("name", ["joints", "joints/P02-A001.npz", "sequences.csv", "dataset.json", "captions.csv"])
def test_a_link_that_leaves_the_folder_is_refused_by_name(folder, tmp_path, name):
    outside = tmp_path / "outside"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    with pytest.raises(DataError, match="outside the folder") as caught:
        samples(folder)
    assert caught.value.where == str(folder / name)


def test_links_that_lead_to_each_other_are_refused_by_name(folder):
    path, other = folder / "joints" / "P02-A001.npz", folder / "joints" / "P02-A002.npz"
    for one, to in ((path, other), (other, path)):
        one.unlink()
        one.symlink_to(to)
    with pytest.raises(DataError, match="a link that leads nowhere") as caught:
        samples(folder)
    assert caught.value.where in (str(path), str(other))


def test_a_link_inside_the_folder_is_followed(folder):
    path = folder / "joints" / "P02-A001.npz"
    path.rename(folder / "kept.npz")
    path.symlink_to(folder / "kept.npz")
    assert len(samples(folder)) == 6


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.write_text("x"), "a file, where a folder is expected"),
        (lambda path: path.write_bytes(b"PK\x03\x04..."), "an archive, which is not unpacked here"),
        (lambda path: path.write_bytes(b"\x1f\x8b..."), "an archive"),
        (lambda path: path.mkdir(), "no such file: without it nothing is known"),
    ],
)
def test_something_else_than_a_folder_is_named(tmp_path, make, rule):
    make(tmp_path / "open")
    with pytest.raises(DataError, match=rule):
        samples(tmp_path / "open")
