"""A released pickle becomes an open folder: joints, labels and splits as they were, or nothing at all."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flag3d_ray.data.convert import Summary, convert
from flag3d_ray.data.readers import open_format
from flag3d_ray.data.readers.open_format_tables import OpenCard
from flag3d_ray.errors import DataError

CARD = OpenCard(
    name="mine", description="d", limits="l", licence="none", fps=30.0, unit="m", up="y", handedness="right"
)


def annotation(name: str, label: int = 0, persons: int = 1, **changed: Any) -> dict[str, Any]:
    rng = np.random.default_rng(label)
    keypoint = rng.normal(size=(persons, 6 + label, 25, 3)).astype(np.float16)
    return {"frame_dir": name, "label": label, "total_frames": 6 + label, "keypoint": keypoint} | changed


def flat(name: str, label: int = 0, *, scored: bool = True, **changed: Any) -> dict[str, Any]:
    rng = np.random.default_rng(label)
    keypoint = (400 * rng.random((2, 5, 17, 2))).astype(np.float16)
    score = {"keypoint_score": rng.random((2, 5, 17)).astype(np.float16)} if scored else {}
    size = {"img_shape": (1080, 1920), "original_shape": (1080, 1920), "total_frames": 5}
    return {"frame_dir": name, "label": label, "keypoint": keypoint, **score, **size, **changed}


def converted(folder: Path, content: object, **arguments: Any) -> Summary:
    (folder / "file.pkl").write_bytes(pickle.dumps(content, 2))
    return convert(folder / "file.pkl", folder / "open", **arguments)


def test_joints_labels_and_splits_come_through_exactly(tmp_path):
    content = {
        "split": {"xsub_train": ["a", "b"], "xsub_val": ["c"], "xview_train": ["a", "c"], "xview_val": ["b"]},
        "annotations": [annotation("a", 0), annotation("b", 3, persons=2), annotation("c", 0)],
    }
    summary = converted(tmp_path, content, card=CARD)
    assert (summary.sequences, summary.classes, summary.layout) == (3, {0, 3}, "ntu25")
    assert summary.splits == {"xsub": {"train": 2, "test": 1}, "xview": {"train": 2, "test": 1}}
    assert (summary.missing, summary.notes) == ([], [])
    samples = list(open_format.reader(tmp_path / "open").read(tmp_path / "open"))
    assert [(sample.sample_id, sample.action_id) for sample in samples] == [("a", "C000"), ("b", "C003"), ("c", "C000")]
    for sample, released in zip(samples, content["annotations"], strict=True):
        np.testing.assert_array_equal(sample.joints_MTVC, released["keypoint"])


def test_scores_become_the_third_channel_of_pixels(tmp_path):
    released = flat("a", 1)
    assert converted(tmp_path, [released], card=OpenCard(fps=30.0)).layout == "coco17_scored"
    with np.load(tmp_path / "open" / "joints" / "a.npz", allow_pickle=False) as archive:
        joints_MTVC = archive["joints"]
    np.testing.assert_array_equal(joints_MTVC[..., :2], released["keypoint"])
    np.testing.assert_array_equal(joints_MTVC[..., 2], released["keypoint_score"])
    row = (tmp_path / "open" / "sequences.csv").read_text().splitlines()[1]
    assert row.endswith("1080,1920")


def test_pixels_without_scores_keep_two_channels(tmp_path):
    assert converted(tmp_path, [flat("a", scored=False)]).layout == "coco17"


def test_actions_get_the_names_that_are_given(tmp_path):
    converted(tmp_path, [annotation("a", 1)], card=CARD, actions=("Wave", "Bow, twice"))
    (sample,) = open_format.reader(tmp_path / "open").read(tmp_path / "open")
    assert (sample.action, sample.captions) == ("Bow, twice", ("Bow, twice",) * 3)


def test_what_a_person_must_fill_in_is_listed_and_enough(tmp_path):
    summary = converted(tmp_path, [annotation("a")])
    assert summary.missing == ["description", "limits", "licence", "unit", "up", "handedness", "fps"]
    path = tmp_path / "open" / "dataset.json"
    with pytest.raises(DataError, match="description, limits, licence, unit, up, handedness"):
        open_format.find(tmp_path / "open")
    card = json.loads(path.read_text())
    assert (card["name"], card["layout"]) == ("open", "ntu25")
    filled = {
        "description": "d",
        "limits": "l",
        "licence": "CC0",
        "unit": "m",
        "up": "z",
        "handedness": "left",
        "fps": 25,
    }
    assert set(filled) == set(summary.missing)
    path.write_text(json.dumps(card | filled))
    assert len(open_format.find(tmp_path / "open")) == 1


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["train", "val"], {"released": {"train", "test"}}),
        (["train", "val", "test"], {"released": {"train", "valid", "test"}}),
        (["train1", "test1", "train2", "test2"], {"1": {"train", "test"}, "2": {"train", "test"}}),
        (["sub_train", "sub_VAL"], {"sub": {"train", "test"}}),
    ],
)
def test_the_names_of_splits_are_understood(tmp_path, names, found):
    content = {"split": {name: ["a"] for name in names}, "annotations": [annotation("a")]}
    summary = converted(tmp_path, content, card=CARD)
    assert {name: set(parts) for name, parts in summary.splits.items()} == found


def test_what_looks_odd_is_noted_and_nothing_is_lost(tmp_path):
    lost = annotation("lost", 2)
    lost["keypoint"][0, 1, 2, 0] = np.nan
    content = {
        "split": {"train": ["a", "ghost"], "val": ["lost"], "all": ["a"]},
        "annotations": [annotation("a", total_frames=99), lost, annotation("spare", 1)],
    }
    summary = converted(tmp_path, content, card=CARD)
    assert summary.sequences == 3
    assert summary.splits == {"released": {"train": 1, "test": 1}}
    notes = "\n".join(summary.notes)
    for said in (
        "split 'train': 1 names have no annotation; first 'ghost'",
        "split 'all' is left out",
        "split 'released': 1 sequences stand in no part; first 'spare'",
        "1 sequences say another total_frames than they have joints for; the joints count; first 'a'",
        "1 sequences hold NaN or infinity and cannot be read until they leave sequences.csv; first 'lost'",
    ):
        assert said in notes


def test_progress_goes_through_reading_and_writing(tmp_path):
    told: list[tuple[str, int, int]] = []
    content = [annotation(f"{n}") for n in range(5)]
    converted(tmp_path, content, card=CARD, progress=lambda *what: told.append(what))
    size = (tmp_path / "file.pkl").stat().st_size
    assert ("reading", size, size) in told
    assert [what for what in told if what[0] == "writing"] == [("writing", number, 5) for number in range(1, 6)]


@pytest.mark.parametrize(
    ("content", "arguments", "rule"),
    [
        ([], {}, "it holds no annotations"),
        ([annotation("a", keypoint=np.zeros((1, 3, 18, 3)))], {}, "18 joints with 3 channels: no layout is known"),
        ([annotation("a"), annotation("b", keypoint=np.zeros((1, 3, 24, 3)))], {}, r"b: joints and channels \[24, 3\]"),
        ([annotation("a")], {"card": OpenCard(layout="smpl24")}, r"\[25, 3\], layout smpl24 has \[24, 3\]"),
        ([annotation("a")], {"card": OpenCard(layout="kinect")}, "unknown joint layout"),
        ([annotation("a", 2)], {"actions": ("one", "two")}, "a: label 2, and 2 actions have names"),
        ([annotation("a", total_frames=6), annotation("b") | {"label": -1}], {}, "b: label -1"),
        ([annotation("a"), annotation("a")], {}, "a second sequence has that name"),
        ([annotation("a/b")], {}, "cannot be the name of a file"),
    ],
)
def test_what_cannot_be_converted_is_named_and_nothing_is_written(tmp_path, content, arguments, rule):
    with pytest.raises(DataError, match=rule):
        converted(tmp_path, content, **arguments)
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".lock"} == {"file.pkl"}


def test_a_truncated_pickle_writes_nothing(tmp_path):
    (tmp_path / "file.pkl").write_bytes(pickle.dumps([annotation("a"), annotation("b")])[:-300])
    with pytest.raises(DataError, match="not a readable pickle"):
        convert(tmp_path / "file.pkl", tmp_path / "open", card=CARD)
    assert not (tmp_path / "open").exists()
