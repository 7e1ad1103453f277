"""Datasets, weights and embeddings of a home at a URL: fetched whole or not at all, and uploaded with the manifest last."""

import json
import pickle
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flag3d_ray import storage
from flag3d_ray.data import remote
from flag3d_ray.data.manifest import check
from flag3d_ray.data.splits import load_split, write_split
from flag3d_ray.errors import DataError
from flag3d_ray.home import Home
from flag3d_ray.storage import StorageLost

Write = Callable[[Path], None]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home in this process's memory, with its copies in a folder of the test."""
    monkeypatch.setenv("FLAG3D_CACHE", str(tmp_path / "here"))
    return Home.at(f"memory://{secrets.token_hex(6)}")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """From then on this process is one on another machine: without copies, and without memory of any."""

    def move() -> None:
        monkeypatch.setenv("FLAG3D_CACHE", str(tmp_path / secrets.token_hex(4)))
        monkeypatch.setattr(remote, "_copies", {})
        monkeypatch.setattr(remote, "_pulled", set())

    return move


@pytest.fixture
def stored(home: Home, write_tiny: Write, elsewhere: Callable[[], None]) -> Home:
    """The home with the dataset `tiny`, seen from another machine than the one that made it."""
    with home.new_dataset("tiny") as folder:
        write_tiny(folder)
    elsewhere()
    return home


def _at(home: Home, *names: str) -> "storage.StorePath":
    return home.root.joinpath("data", "tiny", *names)


def test_a_home_at_a_url_is_the_same_in_another_process_and_keeps_no_folder_of_this_one(stored: Home) -> None:
    assert stored.local.is_absolute()
    assert stored.store.folder("key").path == stored.root / "runs" / "key"
    travelled = pickle.dumps(stored)
    assert pickle.loads(travelled) == stored
    assert str(stored.local).encode() not in travelled


def test_what_was_made_on_one_machine_is_read_on_another(stored: Home, tiny_home: Home) -> None:
    folder = stored.dataset("tiny")
    assert folder.name == "tiny"
    assert check(folder, deep=True).digest == check(tiny_home.dataset("tiny")).digest
    assert load_split(folder, "by_action") == load_split(tiny_home.dataset("tiny"), "by_action")
    assert stored.datasets() == ["tiny"]


def test_who_made_a_dataset_has_its_copy_already(
    home: Home, write_tiny: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    with home.new_dataset("tiny") as folder:
        write_tiny(folder)
    monkeypatch.setattr(remote, "_copies", {})
    monkeypatch.setattr(storage, "download", lambda *_: pytest.fail("fetched again"))
    assert check(home.dataset("tiny"), deep=True)
    assert not folder.exists()


def test_a_dataset_that_is_not_there_is_no_folder(home: Home) -> None:
    assert not home.dataset("tiny").exists()
    assert home.datasets() == []


def test_a_dataset_without_its_manifest_is_not_there_yet(home: Home, write_tiny: Write, monkeypatch) -> None:
    """As when the upload is cut off: the manifest goes last."""
    upload, sent = storage.upload, []

    def cut_off(file: Path, path) -> None:
        if file.name == "manifest.json":
            raise StorageLost(where=str(path), rule="gone", remedy="wait")
        sent.append(file.name)
        upload(file, path)

    monkeypatch.setattr(storage, "upload", cut_off)
    with pytest.raises(StorageLost), home.new_dataset("tiny") as folder:
        write_tiny(folder)
    assert len(sent) == 3
    assert not home.dataset("tiny").exists()

    monkeypatch.setattr(storage, "upload", upload)
    with home.new_dataset("tiny") as folder:
        write_tiny(folder)
    assert check(home.dataset("tiny"), deep=True)


def test_a_copy_that_is_cut_off_is_no_copy(stored: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    download, fetched = storage.download, []

    def cut_off(path, file: Path) -> None:
        if fetched:
            raise StorageLost(where=str(path), rule="gone", remedy="wait")
        fetched.append(file.name)
        download(path, file)

    monkeypatch.setattr(storage, "download", cut_off)
    with pytest.raises(StorageLost):
        stored.dataset("tiny")
    assert not list(stored.data.rglob("manifest.json"))
    monkeypatch.setattr(storage, "download", download)
    assert check(stored.dataset("tiny"), deep=True)


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_shard_that_is_not_the_manifests_is_refused(stored: Home, damage: str) -> None:
    shard = json.loads(storage.read(_at(stored, "manifest.json")))["shards"][1]["file"]  # pyright: ignore[reportArgumentType]
    if damage == "changed":
        storage.write(_at(stored, shard), b"PAR1")  # pyright: ignore[reportArgumentType]
    else:
        _at(stored, shard).unlink()
    with pytest.raises(DataError, match=f"{shard} is missing or does not have the manifest's SHA-256"):
        stored.dataset("tiny")
    assert not list(stored.data.rglob("*.parquet"))


def test_a_dataset_is_replaced_only_with_force(stored: Home, write_tiny: Write) -> None:
    with pytest.raises(DataError, match="--force"), stored.new_dataset("tiny"):
        pytest.fail("it is there")
    storage.write(_at(stored, "shard-00009.parquet"), b"of an older version")  # pyright: ignore[reportArgumentType]
    with stored.new_dataset("tiny", force=True) as folder:
        write_tiny(folder)
    assert check(stored.dataset("tiny"), deep=True)
    assert not _at(stored, "shard-00009.parquet").exists()


def test_a_split_that_is_drawn_later_reaches_the_others(stored: Home, elsewhere: Callable[[], None]) -> None:
    folder = stored.dataset("tiny")
    write_split(folder, replace(load_split(folder, "by_action"), name="later"))
    stored.share_lists("tiny")
    elsewhere()
    assert load_split(stored.dataset("tiny"), "later").test == load_split(folder, "by_action").test


def test_files_that_are_shared_are_found_on_another_machine(home: Home, elsewhere: Callable[[], None]) -> None:
    texts = {"lexical-1/a.safetensors": b"a", "lexical-1/b.safetensors": b"b"}
    for name, data in texts.items():
        (home.text / name).parent.mkdir(parents=True, exist_ok=True)
        (home.text / name).write_bytes(data)
    home.share(home.text)
    kept = home.weights("0" * 64)
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(bytes(2 << 20))
    home.share(kept.parent)
    elsewhere()
    assert {name: (home.text / name).read_bytes() for name in texts} == texts
    assert home.weights("0" * 64).read_bytes() == bytes(2 << 20)
    assert home.weights("0" * 64) != kept
    assert not home.weights("1" * 64).exists()
