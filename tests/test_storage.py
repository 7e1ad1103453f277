"""A home's place as it is typed, and what an object store grants that a folder does not."""

import errno
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flag3d_ray import storage
from flag3d_ray.errors import RunError
from flag3d_ray.files import DiskFull, atomic_path, local_copy, read_json, write_json
from flag3d_ray.home import Home
from flag3d_ray.storage import StorageLost, cache_folder, located


@pytest.fixture
def url():
    """An empty prefix of a file system in this process's memory."""
    return located(f"memory://{secrets.token_hex(6)}")


def test_a_path_and_a_file_url_are_folders_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert located(".flag3d") == tmp_path / ".flag3d"
    assert located(f"file://{tmp_path}/home") == tmp_path / "home"
    assert isinstance(located(f"file://{tmp_path}"), type(Path()))


def test_a_url_keeps_its_slashes_and_loses_the_last_one() -> None:
    assert str(located("s3://bucket/some/home/")) == "s3://bucket/some/home"


@pytest.mark.parametrize("url", ["s3://KEYID:hunter2@bucket/home", "s3://KEYID@bucket"])
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(RunError, match="AWS_ACCESS_KEY_ID") as refusal:
        located(url)
    assert "hunter2" not in str(refusal.value)
    assert "KEYID@" not in str(refusal.value)


@pytest.mark.parametrize("missing", ["upath", "s3fs"])
def test_without_the_packages_the_remedy_is_to_install_them(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.registry import _registry

    monkeypatch.delitem(_registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(RunError, match=r'pip install "flag3d_ray\[s3\]"'):
        located("s3://bucket/home")


def test_a_url_with_wildcards_is_refused() -> None:
    with pytest.raises(RunError, match="without them"):
        located("memory://home[1]")


def test_an_unknown_kind_of_url_is_named() -> None:
    with pytest.raises(RunError, match="nothing here reads gopher://"):
        located("gopher://bucket/home")


def test_two_urls_never_share_a_folder_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAG3D_CACHE", str(tmp_path))
    urls = ["memory://a/b", "memory://a-b", "memory://a/b/c"]
    folders = [cache_folder(located(url)) for url in urls]  # pyright: ignore[reportArgumentType]
    assert len(set(folders)) == 3
    assert {folder.parent for folder in folders} == {tmp_path}


def test_a_file_is_created_by_the_first_only(url) -> None:
    assert storage.create(url / "one", b"first")
    assert not storage.create(url / "one", b"second")
    assert storage.read(url / "one") == b"first"


def test_files_are_written_and_read_at_a_url(url) -> None:
    write_json(url / "a" / "record.json", {"epoch": 3})
    assert read_json(url / "a" / "record.json") == {"epoch": 3}
    with local_copy(url / "a" / "record.json") as copy:
        assert copy.name == "record.json"
        assert read_json(copy) == {"epoch": 3}
    assert not copy.exists()
    with pytest.raises(FileNotFoundError):
        read_json(url / "absent.json")


def test_a_file_whose_writing_fails_changes_nothing_at_the_url(url) -> None:
    write_json(url / "record.json", {"epoch": 3})
    with pytest.raises(ZeroDivisionError), atomic_path(url / "record.json") as part:
        part.write_bytes(b"half" * (1 // 0))
    assert read_json(url / "record.json") == {"epoch": 3}


def test_small_files_travel_together(url) -> None:
    contents = {f"{name}.bin": name.encode() for name in "abc"}
    storage.push(url, contents)
    assert storage.names(url) == sorted(contents)
    assert storage.fetch(url, contents) == contents
    assert storage.fetch(url, ["a.bin"]) == {"a.bin": b"a"}
    storage.remove(url, ["a.bin", "b.bin"])
    assert storage.names(url) == ["c.bin"]
    assert storage.names(url / "nowhere") == []


def test_a_mark_changes_with_the_file(url) -> None:
    storage.write(url / "log", b"one")
    before = storage.mark(url / "log")
    assert storage.mark(url / "log") == before
    storage.write(url / "log", b"two")
    assert storage.mark(url / "log") != before


def test_what_a_storage_says_is_named_and_a_full_disk_here_stays_one(url, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(error: OSError):
        def call(*_: object, **__: object) -> None:
            raise error

        return call

    monkeypatch.setattr(url.fs, "pipe_file", raises(PermissionError("Access Denied")))
    with pytest.raises(StorageLost, match=r"PermissionError: Access Denied.*AWS_ACCESS_KEY_ID"):
        write_json(url / "record.json", {})
    monkeypatch.setattr(url.fs, "get_file", raises(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    with pytest.raises(DiskFull), local_copy(url / "record.json"):
        pass


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clients are made from the environment as it is now: s3fs keeps those that it has made."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield
    S3FileSystem.clear_instance_cache()


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_named(s3_url: str, anew: None) -> None:
    with pytest.raises(RunError, match="there is no bucket 'nowhere'"):
        Home.at("s3://nowhere/home")


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["secret", "keys"])
def test_keys_that_are_wrong_or_missing_are_named(
    missing: str, s3_url: str, anew: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    if missing == "keys":
        monkeypatch.setenv("HOME", str(tmp_path))  # where there might be a file of keys
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(StorageLost, match="AWS_SECRET_ACCESS_KEY"):
        Home.at(s3_url)


@pytest.mark.slow
def test_an_endpoint_that_does_not_answer_is_named(s3_url: str, anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageLost, match=r"EndpointConnectionError.*AWS_ENDPOINT_URL"):
        Home.at(s3_url)
