"""Pickles of annotations come through the child process as they were: every protocol, type, byte order, memory order."""

import gzip
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from flag3d_ray.data import pickled_annotations
from flag3d_ray.data.pickled_annotations import Annotation, open_pickle
from flag3d_ray.errors import DataError


def annotation(**changed: Any) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    return {
        "frame_dir": "S001C001P001R001A001",
        "label": 4,
        "img_shape": (480, 854),
        "original_shape": (480, 854),
        "total_frames": 5,
        "keypoint": (400 * rng.random((2, 5, 17, 2))).astype(np.float16),
        "keypoint_score": rng.random((2, 5, 17)).astype(np.float16),
    } | changed


def read(path: Path, content: object, protocol: int = 4) -> list[Annotation]:
    path.write_bytes(pickle.dumps(content, protocol))
    with open_pickle(path) as contents:
        return list(contents.annotations)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_gives_the_same_arrays_names_and_splits(tmp_path, protocol):
    first, second = annotation(), annotation(frame_dir="räume und ümlaute", label=0)
    path = tmp_path / "file.pkl"
    path.write_bytes(
        pickle.dumps({"split": {"train": ["räume und ümlaute"]}, "annotations": [first, second]}, protocol)
    )
    with open_pickle(path) as contents:
        assert list(contents.names) == ["S001C001P001R001A001", "räume und ümlaute"]
        assert contents.splits == {"train": ["räume und ümlaute"]}
        found = list(contents.annotations)
    assert [one.label for one in found] == [4, 0]
    assert (found[0].total_frames, found[0].image_hw) == (5, (480, 854))
    assert found[0].keypoint_MTVC.dtype == np.float16
    np.testing.assert_array_equal(found[0].keypoint_MTVC, first["keypoint"])
    np.testing.assert_array_equal(found[1].score_MTV, second["keypoint_score"])


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f2"])
def test_types_byte_orders_and_memory_orders_come_through(tmp_path, kind, protocol):
    keypoint = np.asfortranarray(np.random.default_rng(0).random((1, 4, 25, 3)).astype(kind))
    (found,) = read(tmp_path / "file.pkl", [annotation(keypoint=keypoint, keypoint_score=None)], protocol)
    assert found.keypoint_MTVC.dtype == np.dtype(kind).newbyteorder("=")
    np.testing.assert_array_equal(found.keypoint_MTVC, keypoint)
    assert found.score_MTV is None


def test_slices_and_whole_numbers_are_read_too(tmp_path):
    every_second = annotation()["keypoint"][:, ::2]
    whole = np.arange(2 * 3 * 17 * 2, dtype=np.int64).reshape(2, 3, 17, 2)
    score = annotation()["keypoint_score"][:, ::2]
    sliced, integers = read(
        tmp_path / "file.pkl",
        [annotation(keypoint=every_second, keypoint_score=score), annotation(keypoint=whole, keypoint_score=score)],
    )
    np.testing.assert_array_equal(sliced.keypoint_MTVC, every_second)
    assert integers.keypoint_MTVC.dtype == np.float32
    np.testing.assert_array_equal(integers.keypoint_MTVC, whole)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_numbers_and_names_of_numpy_are_numbers_and_names(tmp_path, protocol):
    as_numpy = annotation(
        frame_dir=np.str_("näme"), label=np.int64(7), total_frames=np.int32(5), img_shape=(np.int64(480), 854)
    )
    (found,) = read(tmp_path / "file.pkl", [as_numpy], protocol)
    assert (found.frame_dir, found.label, found.total_frames, found.image_hw) == ("näme", 7, 5, (480, 854))


def test_the_spellings_of_numpy_1_and_of_python_2_are_read(tmp_path):
    content = pickle.dumps([annotation()], 2)
    old = content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert old != content
    (tmp_path / "old.pkl").write_bytes(old)
    with open_pickle(tmp_path / "old.pkl") as contents:
        (found,) = contents.annotations
    np.testing.assert_array_equal(found.keypoint_MTVC, annotation()["keypoint"])


def test_one_person_without_an_axis_of_its_own_gets_one(tmp_path):
    (found,) = read(
        tmp_path / "file.pkl",
        [annotation(keypoint=annotation()["keypoint"][0], keypoint_score=annotation()["keypoint_score"][0])],
    )
    assert found.keypoint_MTVC.shape == (1, 5, 17, 2)
    assert found.score_MTV is not None
    assert found.score_MTV.shape == (1, 5, 17)


def test_sets_and_tuples_of_names_are_splits_too(tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps({"split": {"train": {"b", "a"}, "val": ("c",)}, "annotations": [annotation()]}, 2))
    with open_pickle(path) as contents:
        assert contents.splits == {"train": ["a", "b"], "val": ["c"]}


def test_progress_counts_the_bytes_of_the_file(tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps([annotation(keypoint=np.zeros((1, 40_000, 17, 2)), keypoint_score=None)]))
    told: list[tuple[int, int]] = []
    with open_pickle(path, lambda done, total: told.append((done, total))):
        pass
    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert len(told) > 5
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_whoever_stops_early_leaves_no_process_behind(tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps([annotation(frame_dir=f"{n}") for n in range(2000)]))
    with open_pickle(path) as contents:
        assert next(contents.annotations).frame_dir == "0"
        (child,) = psutil.Process().children()
    assert not child.is_running()


@pytest.mark.parametrize(
    ("write", "rule"),
    [
        (lambda path: zipfile.ZipFile(path, "w").close(), "a zip archive"),
        (
            lambda path: zipfile.ZipFile(path, "w").writestr("../evil", b"x"),
            "a zip archive, which is not unpacked here",
        ),
        (lambda path: path.write_bytes(gzip.compress(pickle.dumps([annotation()]))), "a gzip archive"),
        (lambda path: path.mkdir(), "not a file"),
        (lambda path: None, "no such file"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed file")
def test_archives_folders_and_nothing_are_named(tmp_path, write, rule):
    path = tmp_path / "file.pkl"
    write(path)
    with pytest.raises(DataError, match=rule) as caught, open_pickle(path):
        pass
    assert caught.value.where == str(path)
    assert list(tmp_path.rglob("evil")) == []


@pytest.mark.parametrize(
    ("script", "rule"),
    [
        ("import os; os.kill(os.getpid(), 9)", "killed: not enough memory"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "more processor time"),
        ("raise SystemExit('a fault of ours')", r"its reader ended \(1\): a fault of ours"),
        ("print('{\"names\": [\"a\"', end='')", r"its reader ended \(0\)"),
        ('print(\'{"names": ["a"], "splits": {}}\')', r"its reader ended \(0\)"),
        (
            'print(\'{"names": ["a"], "splits": {}}\'); print(\'{"row": 0, "frame_dir": "a", "label": 0, "total_frames": 1,'
            ' "image_hw": null, "arrays": {"keypoint": ["<f4", [1, 1, 17, 2], false, 136]}}\')',
            "an array of 136 bytes ended after 0",
        ),
    ],
)
def test_a_reading_process_that_dies_is_an_error_of_the_file(tmp_path, monkeypatch, script, rule):
    child = tmp_path / "child.py"
    child.write_text(script)
    monkeypatch.setattr(pickled_annotations.restricted_pickle, "__file__", str(child))
    path = tmp_path / "file.pkl"
    path.write_bytes(b"x")
    with pytest.raises(DataError, match=rule), open_pickle(path) as contents:
        list(contents.annotations)


def test_this_process_never_imports_what_a_pickle_names(tmp_path):
    content = b"cantigravity_of_a_pickle\nanything\n."
    (tmp_path / "file.pkl").write_bytes(content)
    with pytest.raises(DataError, match="antigravity_of_a_pickle"), open_pickle(tmp_path / "file.pkl"):
        pass
    assert "antigravity_of_a_pickle" not in sys.modules
