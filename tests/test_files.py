"""A file appears whole or not at all, whatever goes wrong on the way."""

import errno
import json
import os
from pathlib import Path

import pytest

from flag3d_ray import files
from flag3d_ray.errors import RunError
from flag3d_ray.files import DiskFull, atomic_path, read_json, require_writable, write_bytes, write_json


def _everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"old")
    write_bytes(tmp_path / "a", b"new")
    assert _everything(tmp_path) == {"a": b"new"}


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    write_bytes(tmp_path / "x" / "y" / "a", b"deep")
    assert (tmp_path / "x" / "y" / "a").read_bytes() == b"deep"


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"old")

    def half(path: Path) -> None:
        with atomic_path(path) as part:
            part.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half(tmp_path / "a")
    assert _everything(tmp_path) == {"a": b"old"}


@pytest.mark.parametrize("step", ["flush", "write"])
def test_a_full_disk_is_named_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write_bytes(tmp_path / "a", b"old")
    if step == "flush":
        monkeypatch.setattr(files, "flush", _no_space)
    else:
        monkeypatch.setattr(Path, "write_bytes", _no_space)
    with pytest.raises(DiskFull) as caught:
        write_bytes(tmp_path / "a", b"new")
    assert caught.value.where == str(tmp_path / "a")
    assert "space" in caught.value.rule
    assert "same command again" in caught.value.remedy
    assert _everything(tmp_path) == {"a": b"old"}


def test_a_full_disk_without_room_for_a_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "mkdir", _no_space)
    with pytest.raises(DiskFull):
        write_bytes(tmp_path / "x" / "a", b"new")


def test_another_error_of_the_system_passes_through(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        write_bytes(tmp_path / "file" / "a", b"below a file")


def test_content_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, replace = files.flush, Path.replace
    monkeypatch.setattr(files, "flush", lambda path: (order.append(f"sync {path.is_dir()}"), sync(path)))
    monkeypatch.setattr(Path, "replace", lambda self, target: (order.append("rename"), replace(self, target))[1])
    write_bytes(tmp_path / "a", b"new")
    assert order == ["sync False", "rename", "sync True"]


def test_other_users_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_json_comes_back_and_is_sorted(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": {"ü": True}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert list(json.loads((tmp_path / "a.json").read_text())) == ["a", "b"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}], ids=repr)
def test_what_is_no_json_is_refused_before_the_file_is_touched(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "a.json", {"x": value})
    assert read_json(tmp_path / "a.json") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("content", [b'{"a": ', b"", b"\x80\x04\x95"], ids=["torn", "empty", "binary"])
def test_a_damaged_json_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RunError, match=r"a\.json.*not valid JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("folder", ["here", "here/is", "not/yet/there"])
def test_a_place_that_can_be_written_to_is_left_as_it_was(tmp_path: Path, folder: str) -> None:
    write_bytes(tmp_path / "here" / "is" / "a", b"old")
    before = sorted(tmp_path.rglob("*"))
    require_writable(tmp_path / folder, ("a",) if folder == "here/is" else ("is.csv",), "--out")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("folder", "text"),
    [
        ("file", "file is a file, where a folder is needed"),
        ("file/below/it", "file is a file, where a folder is needed"),
        (".", "taken.csv is a folder, where a file is to be written"),
        ("x" * 300, "cannot be written to (File name too long)"),
    ],
    ids=["file", "below", "folder", "long"],
)
def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path, folder: str, text: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "taken.csv").mkdir()
    with pytest.raises(RunError) as refused:
        require_writable(tmp_path / folder, ("free.csv", "taken.csv"), "--out here")
    assert text in refused.value.rule
    assert refused.value.where == "--out here"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.csv"]


def test_a_place_on_a_disk_that_only_reads_is_named_and_no_folder_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    with pytest.raises(RunError, match="Read-only file system"):
        require_writable(tmp_path / "x" / "y", (), "--out")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", _no_space)
    with pytest.raises(DiskFull):
        require_writable(tmp_path, (), "--out")
