"""Datasets, weights and embeddings of a home at a URL: what never changes once it is written, read from copies on this disk.

A copy of a dataset is a folder named by the digest of its manifest, so it is that dataset or is not there; the manifest
holds the SHA-256 of every shard. What is new is built here and uploaded, the manifest last: readers see the dataset whole.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from flag3d_ray import storage
from flag3d_ray.data.workplace import hidden_folder
from flag3d_ray.errors import DataError
from flag3d_ray.files import atomic_path, read_bytes, write_bytes

if TYPE_CHECKING:
    from upath import UPath

MANIFEST = "manifest.json"
_BESIDE = ("splits/", "exclusions/")  # small files that come later than the shards, each under a name of its own
_copies: dict["UPath", Path] = {}
_pulled: set["UPath"] = set()
_SMALL = 1 << 20
_AT_A_TIME = 256


def dataset_names(remote: "UPath") -> list[str]:
    """The datasets below a URL, sorted."""
    with storage.trouble_is_named(remote):
        return sorted(path.parent.name for path in remote.glob(f"*/{MANIFEST}"))


def copy_of(remote: "UPath", data: Path) -> Path | None:
    """The copy in `data` of the dataset at `remote`, fetched at first; None where there is none.

    Any number of processes may ask at once: one fetches, the others wait. A process keeps to the version that it saw first.

    Raises:
        DataError: a shard does not have the manifest's SHA-256.
    """
    if remote not in _copies:
        try:
            manifest = read_bytes(remote / MANIFEST)
        except FileNotFoundError:
            return None
        folder = _place(data, manifest, remote.name)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / ".fetching.lock"):
            if not folder.exists():
                with hidden_folder(folder) as hidden:
                    _fetch(remote, manifest, hidden)
            _pull_beside(remote, folder)
        _copies[remote] = folder
    return _copies[remote]


@contextlib.contextmanager
def built(remote: "UPath", data: Path, *, force: bool = False) -> Iterator[Path]:
    """A folder that does not exist yet, to write a dataset to. At the end of the block it is uploaded and becomes the copy.

    Raises:
        DataError: there is one at `remote` and `force` is off, or another process of this machine writes it.
    """
    if not force and (remote / MANIFEST).exists():
        raise DataError(where=str(remote), rule="exists already", remedy="add --force to replace it")
    folder = data.parent / "building" / remote.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder.parent / f".{remote.name}.upload.lock").acquire(timeout=0)
    except Timeout:
        rule, remedy = "another process is writing this dataset", "wait until it is done"
        raise DataError(where=str(remote), rule=rule, remedy=remedy) from None
    with lock:
        shutil.rmtree(folder, ignore_errors=True)  # what a process left that was killed while it uploaded
        yield folder
        _upload(folder, remote)
        place = _place(data, read_bytes(folder / MANIFEST), remote.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.parent / ".fetching.lock"):
            shutil.rmtree(place, ignore_errors=True)
            folder.rename(place)
        _copies[remote] = place


def push_beside(folder: Path, remote: "UPath") -> None:
    """Upload the splits and exclusion lists of a copy that `remote` lacks."""
    for kind in _BESIDE:
        push_missing(folder / kind, remote / kind)


def pull_once(remote: "UPath", folder: Path) -> None:
    """Bring the files that `folder` lacks, once per process."""
    if remote in _pulled:
        return
    missing = [name for name in storage.names(remote) if not (folder / name).exists()]
    for start in range(0, len(missing), _AT_A_TIME):
        for name, data in storage.fetch(remote, missing[start : start + _AT_A_TIME]).items():
            write_bytes(folder / name, data)
    _pulled.add(remote)


def pull_file(remote: "UPath", file: Path) -> None:
    """Bring a file that is named by its content, where it is not here and is there."""
    if not file.exists():
        with contextlib.suppress(FileNotFoundError), atomic_path(file) as part:
            storage.download(remote, part)


def push_missing(folder: Path, remote: "UPath") -> None:
    """Upload the files below a folder that `remote` lacks; hidden ones stay here."""
    there = set(storage.names(remote))
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    missing = {name: path for name, path in files.items() if name not in there and not path.name.startswith(".")}
    small = [name for name, path in missing.items() if path.stat().st_size < _SMALL]
    for start in range(0, len(small), _AT_A_TIME):
        storage.push(remote, {name: missing[name].read_bytes() for name in small[start : start + _AT_A_TIME]})
    for name in missing.keys() - set(small):
        storage.upload(missing[name], remote / name)


def _place(data: Path, manifest: bytes, name: str) -> Path:
    return data / hashlib.sha256(manifest).hexdigest()[:16] / name


def _fetch(remote: "UPath", manifest: bytes, hidden: Path) -> None:
    from flag3d_ray.data.manifest import file_sha256, load_manifest  # imports torch, which `--help` must not wait for

    write_bytes(hidden / MANIFEST, manifest)
    for shard in load_manifest(hidden).shards:
        try:
            storage.download(remote / shard.file, hidden / shard.file)
        except FileNotFoundError:
            digest = "nothing"
        else:
            digest = file_sha256(hidden / shard.file)
        if digest != shard.sha256:
            rule = f"{shard.file} is missing or does not have the manifest's SHA-256"
            remedy = "wait where somebody is replacing this dataset, else write it again with --force"
            raise DataError(where=str(remote), rule=rule, remedy=remedy)


def _pull_beside(remote: "UPath", folder: Path) -> None:
    """Bring the small files; one that is the same stays untouched, since its time says whether it changed."""
    wanted = [name for name in storage.names(remote) if name.startswith(_BESIDE)]
    for name, data in storage.fetch(remote, wanted).items():
        if not (folder / name).exists() or (folder / name).read_bytes() != data:
            write_bytes(folder / name, data)


def _upload(folder: Path, remote: "UPath") -> None:
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    for name in sorted(files, key=lambda name: name == MANIFEST):  # the manifest last
        storage.upload(folder / name, remote / name)
    storage.remove(remote, set(storage.names(remote)) - set(files))
