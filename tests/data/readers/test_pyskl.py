"""FLAG3D, NTU RGB+D 60 and FineGym from their pickles: converted, read, sharded, and the same all the way."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flag3d_ray.data import catalogue, lexicon
from flag3d_ray.data.convert import convert
from flag3d_ray.data.dataset import Dataset, open_dataset
from flag3d_ray.data.readers import ntu60
from flag3d_ray.data.readers.pyskl import (
    FINEGYM99,
    FLAG3D_2D,
    FLAG3D_3D,
    NTU60_2D,
    NTU60_3D,
    RELEASES,
    Release,
    release,
)
from flag3d_ray.data.splits import load_split, split_indices
from flag3d_ray.errors import DataError


def pixels(name: str, label: int, persons: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng([label, len(name)])
    return {
        "frame_dir": name,
        "label": label,
        "img_shape": (480, 854),
        "original_shape": (480, 854),
        "total_frames": 7,
        "keypoint": (400 * rng.random((persons, 7, 17, 2))).astype(np.float16),
        "keypoint_score": rng.random((persons, 7, 17)).astype(np.float16),
    }


def metres(name: str, label: int, persons: int = 1, kind: type = np.float16) -> dict[str, Any]:
    rng = np.random.default_rng([label, len(name)])
    keypoint = rng.normal(0, 0.5, (persons, 9, 25, 3)).astype(kind)
    return {"frame_dir": name, "label": label, "total_frames": 9, "keypoint": keypoint}


def flag3d_2d() -> dict[str, Any]:
    """Three performers rendered with two avatars and cameras; two filmed."""
    train = [
        pixels(f"S001C{camera:03d}M{avatar:03d}P{person:03d}A{action:03d}R001", action - 1)
        for camera in (1, 6)
        for avatar in (1, 4)
        for person in (1, 2, 10)
        for action in (1, 60)
    ]
    test = [
        pixels(f"{name}_A{action:03d}_V002_R003_S002", action - 1) for name in ("PLAY", "PZYX") for action in (1, 60)
    ]
    return _content(train, test, "train", "val")


def ntu60_like(make) -> dict[str, Any]:
    names = [
        f"S001C{camera:03d}P{person:03d}R002A{action:03d}"
        for camera in (1, 2, 3)
        for person in (1, 2, 4, 3)
        for action in (7, 50)
    ]
    annotations = [make(name, int(name[-3:]) - 1, 1 + (name[-3:] == "050")) for name in names]
    split = {
        "xsub_train": [name for name in names if "P003" not in name],
        "xsub_val": [name for name in names if "P003" in name],
        "xview_train": [name for name in names if "C001" not in name],
        "xview_val": [name for name in names if "C001" in name],
    }
    return {"split": split, "annotations": annotations}


def finegym() -> dict[str, Any]:
    train = [
        pixels(f"{video}_E_00{clip}787_005866_A_0075_0078", 10 * clip + 8)
        for video in ("0LtLS9wROrk", "-_jqn1vxdhl", "E3AHJ6-QS8M")
        for clip in range(3)
    ]
    return _content(train, [pixels("FEWTGYiWEaQ_E_000687_000726_A_0001_0002", 98)], "train", "val")


def _content(train: list, test: list, *names: str) -> dict[str, Any]:
    split = {name: [one["frame_dir"] for one in part] for name, part in zip(names, (train, test), strict=True)}
    return {"split": split, "annotations": train + test}


CONTENTS = {
    "flag3d_2d": flag3d_2d,
    "flag3d_3d": lambda: _content(
        [metres(f"S002C002M001P{p:03d}A015R003", 14, kind=np.float32) for p in (2, 3, 4)],
        [metres("S002C002M001P001A015R003", 14, kind=np.float32)],
        "train",
        "val",
    ),
    "ntu60_2d": lambda: ntu60_like(pixels),
    "ntu60_3d": lambda: ntu60_like(metres),
    "finegym99": finegym,
}


def converted(folder: Path, known: Release, content: dict[str, Any]) -> Path:
    (folder / "file.pkl").write_bytes(pickle.dumps(content, 4))
    convert(folder / "file.pkl", folder / "open", card=known.card, actions=known.actions)
    return folder / "open"


def ingested(folder: Path, known: Release, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setitem(catalogue.READERS, known.name, known.reader)
    catalogue.read_in(known.name, converted(folder, known, content), folder / "shards")
    return open_dataset(folder / "shards")


@pytest.mark.parametrize("known", RELEASES, ids=lambda known: known.name)
def test_joints_scores_and_labels_survive_conversion_and_sharding(tmp_path, monkeypatch, known):
    content = CONTENTS[known.name]()
    released = {one["frame_dir"]: one for one in content["annotations"]}
    dataset = ingested(tmp_path, known, content, monkeypatch)
    assert len(dataset) == len(released)
    for sample in dataset:
        one = released[sample.sample_id]
        expected = one["keypoint"].astype(np.float32)
        if "keypoint_score" in one:
            expected = np.concatenate([expected, one["keypoint_score"][..., None]], axis=-1)
            assert sample.image_hw == (480, 854)
        if known is FLAG3D_3D:
            expected = expected[..., [0, 2, 1]]
        np.testing.assert_allclose(sample.joints_MTVC, expected, atol=1e-6)
        assert int(sample.action_id[1:]) == one["label"] + (known is not FINEGYM99)
        assert sample.layout == known.reader.layout
        assert (sample.unit, sample.keys_RS, sample.count) == (known.reader.card.unit, None, 0)


def test_names_of_rendered_and_natural_recordings_are_taken_apart(tmp_path):
    folder = converted(tmp_path, FLAG3D_2D, flag3d_2d())
    by_name = {sample.sample_id: sample for sample in FLAG3D_2D.reader.read(folder)}
    rendered, natural = by_name["S001C006M004P010A060R001"], by_name["PZYX_A060_V002_R003_S002"]
    assert (rendered.source, rendered.subject, rendered.view, rendered.scene) == ("rendered", "P010", "C006", "S001")
    assert (rendered.avatar, rendered.take, rendered.action_id) == ("M004", 1, "A060")
    assert (natural.source, natural.subject, natural.view, natural.scene) == ("natural", "PZYX", "V002", "S002")
    assert (natural.avatar, natural.take, natural.action_id) == ("", 3, "A060")
    for sample in (rendered, natural):
        assert sample.captions == lexicon.captions("A060")
        assert sample.body_part == lexicon.body_part("A060")
        assert sample.dataset == "flag3d_2d"


def test_rendered_recordings_train_and_natural_ones_test(tmp_path, monkeypatch):
    dataset = ingested(tmp_path, FLAG3D_2D, flag3d_2d(), monkeypatch)
    split = load_split(dataset.folder, "rendered_to_natural")
    assert split.test == ("PLAY", "PZYX")
    assert len(split.valid) == 1
    assert set(split.train) | set(split.valid) == {"P001", "P002", "P010"}
    assert [len(split_indices(dataset, split.name, part)) for part in ("train", "valid", "test")] == [16, 8, 4]


def test_rendered_recordings_alone_have_the_splits_of_their_folder(tmp_path, monkeypatch):
    content = flag3d_2d()
    content["annotations"] = [one for one in content["annotations"] if one["frame_dir"].startswith("S")]
    people = [one["frame_dir"] for one in content["annotations"]]
    content["split"] = {"train": people[:18], "val": people[18:]}
    dataset = ingested(tmp_path, FLAG3D_2D, content, monkeypatch)
    assert load_split(dataset.folder, "released").by == "sample_id"


def test_motion_capture_is_turned_upright_and_out_of_its_left_handed_frame(tmp_path):
    """The release: root at 0, spine along z, the right shoulder at +x, hands in front of the body at negative y."""
    joints = np.zeros((1, 9, 25, 3), np.float32)
    joints[:, :, 2, 2] = 0.6
    joints[:, :, 8, 0], joints[:, :, 4, 0] = 0.2, -0.2
    joints[:, :, [7, 11], 1] = -0.3
    content = _content([metres("S002C002M001P002A001R001", 0) | {"keypoint": joints}], [], "train", "val")
    (sample,) = FLAG3D_3D.reader.read(converted(tmp_path, FLAG3D_3D, content))
    neck, left, right, hand = (sample.joints_MTVC[0, 0, joint] for joint in (2, 4, 8, 7))
    np.testing.assert_allclose(neck, [0, 0.6, 0], atol=1e-6)
    to_the_right, front = right - left, hand - [0, hand[1], 0]
    assert np.cross(to_the_right, front)[1] > 0  # right x front = up: as in a person


@pytest.mark.parametrize("known", [NTU60_2D, NTU60_3D], ids=lambda known: known.name)
def test_the_splits_of_ntu_are_the_official_ones_with_people_held_out(tmp_path, monkeypatch, known):
    dataset = ingested(tmp_path, known, CONTENTS[known.name](), monkeypatch)
    views, people = (np.array(dataset.index[column].to_pylist()) for column in ("view", "subject"))
    train, valid, test = (people[split_indices(dataset, "xsub", part)] for part in ("train", "valid", "test"))
    assert set(train) | set(valid) <= set(ntu60.XSUB_TRAIN)
    assert set(train).isdisjoint(valid)
    assert set(test) == {"P003"}
    train, valid, test = (split_indices(dataset, "xview", part) for part in ("train", "valid", "test"))
    assert set(views[test]) == set(ntu60.XVIEW_TEST)
    assert set(views[train]) | set(views[valid]) == {"C002", "C003"}
    assert set(people[train]).isdisjoint(people[valid])
    sample = dataset.sample(1)
    assert (sample.action, sample.captions[2], len(sample.joints_MTVC)) == (ntu60.actions()[49],) * 2 + (2,)


def test_whole_videos_of_finegym_are_held_out(tmp_path, monkeypatch):
    dataset = ingested(tmp_path, FINEGYM99, finegym(), monkeypatch)
    videos = np.array([name[:11] for name in dataset.index["sample_id"].to_pylist()])
    train, valid, test = (videos[split_indices(dataset, "released", part)] for part in ("train", "valid", "test"))
    assert set(train).isdisjoint(valid)
    assert (len(train), len(valid), list(test)) == (6, 3, ["FEWTGYiWEaQ"])
    samples = {sample.sample_id: sample for sample in dataset}
    sample = samples["0LtLS9wROrk_E_002787_005866_A_0075_0078"]
    assert (sample.action_id, sample.action, sample.subject) == ("C028", "class 28", "unknown")
    assert sample.scene == "0LtLS9wROrk"


def test_the_card_of_finegym_warns_of_the_two_accuracies():
    assert "means over classes" in FINEGYM99.card.limits


@pytest.mark.parametrize("known", RELEASES, ids=lambda known: known.name)
def test_every_release_has_a_whole_card_and_a_name_of_its_own(known):
    assert known.card.missing() == []
    assert known.card.fps == 30.0
    assert release(known.name) is known
    pickle.dumps(known.reader)


def test_an_unknown_release_names_those_that_exist():
    with pytest.raises(DataError, match=r"flag3d_2d.*finegym99"):
        release("kinetics")


@pytest.mark.parametrize(
    ("known", "name", "label", "rule"),
    [
        (FLAG3D_2D, "S001C001P001R001A001", 0, "the name is not like S001C002M003P004A005R001 or PLAY_A001"),
        (FLAG3D_2D, "S001C001M001P001A002R001", 0, r"the name says action 2, the label is C000 \(C000 is action 1\)"),
        (FLAG3D_2D, "PLAY_A061_V001_R001_S001", 60, "the name says action 61"),
        (NTU60_2D, "S001C001P001R001A061", 60, "with an action up to A060"),
        (NTU60_2D, "S001C001P001R001A003", 3, "the name says action 3, the label is C003"),
        (FINEGYM99, "short", 3, "the name is not like 0LtLS9wROrk"),
    ],
)
def test_a_name_that_does_not_fit_the_dataset_or_its_label_is_refused(tmp_path, known, name, label, rule):
    folder = converted(tmp_path, replace(known, actions=()), {"annotations": [pixels(name, label)]})
    with pytest.raises(DataError, match=rule) as caught:
        known.reader.find(folder)
    assert caught.value.where == name


def test_the_folder_of_another_layout_is_refused(tmp_path):
    folder = converted(tmp_path, NTU60_3D, ntu60_like(metres))
    with pytest.raises(DataError, match="joints of layout ntu25, ntu60_2d has coco17_scored"):
        NTU60_2D.reader.find(folder)
