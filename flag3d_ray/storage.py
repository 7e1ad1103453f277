"""Files at a URL: whatever fsspec reaches (s3://bucket/prefix, memory://, ...) through universal-pathlib's `UPath`.

A folder of this machine, NFS included, stays a `pathlib.Path` and never comes through here. An object store differs from it
in three ways: a file appears whole, nothing can be appended, and a file can be created by one writer only (`create`).
"""

import contextlib
import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from flag3d_ray.errors import Flag3dError, RunError

if TYPE_CHECKING:
    import upath

StorePath = Union[Path, "upath.UPath"]  # no `|`: a name in quotes, of an optional package, has none
"""A file or folder of a store: here, or at a URL."""

CACHE_VARIABLE = "FLAG3D_CACHE"
_REMEDIES = {
    "NoCredentialsError": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "PermissionError": "check the keys (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) and what they may do in this bucket",
    "EndpointConnectionError": "check the network and AWS_ENDPOINT_URL; then type the same command again",
}


class StorageLost(Flag3dError):
    """The storage at a URL does not answer or refuses. Nothing is half-written, and the same command goes on later.

    No `RunError`: it says nothing about a run, and no run fails by it.
    """


def located(text: str | Path) -> StorePath:
    """The folder that a word names: a path, `file://` and a path, or a URL. Nothing is created, nothing is asked of a server.

    Raises:
        RunError: the package that reaches such a URL is missing, or the URL holds credentials or wildcards.
    """
    word = str(text)
    if word.startswith("file://"):
        return Path(word.removeprefix("file://")).absolute()
    if "://" not in word:
        return Path(text).absolute()
    scheme, _, rest = word.partition("://")
    if "@" in rest.split("/")[0]:
        remedy = "leave them out of the URL, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise RunError(where=f"{scheme}://...", rule="it holds credentials, which records would repeat", remedy=remedy)
    if any(letter in rest for letter in "*?[]"):
        raise RunError(
            where=word, rule="*, ?, [ and ] stand for many files in fsspec", remedy="name a prefix without them"
        )
    try:
        from upath import UPath

        # Listings are not remembered: other processes write there too.
        found = UPath(word.rstrip("/"), use_listings_cache=False)
        assert found.fs is not None  # made here, so that a missing package is named
    except (ImportError, ValueError) as error:
        rule = f"nothing here reads {scheme}:// ({error})"
        raise RunError(where=word, rule=rule, remedy='pip install "flag3d_ray[s3]"') from error
    return found


def require_reachable(root: "upath.UPath") -> None:
    """Ask the storage once, so that a command ends with a sentence before it starts anything.

    Raises:
        RunError: no such bucket.
        StorageLost: it does not answer, or refuses.
    """
    top = root.path.split("/")[0] if root.protocol == "s3" else "/"
    try:
        with trouble_is_named(root):
            root.fs.ls(top) if root.protocol == "s3" else root.fs.exists(root.path)
    except FileNotFoundError as error:
        remedy = f"create it (aws s3 mb s3://{top}), or name another one"
        raise RunError(where=str(root), rule=f"there is no bucket {top!r}", remedy=remedy) from error


@contextlib.contextmanager
def trouble_is_named(path: StorePath) -> Iterator[None]:
    """Turn what a storage's client raises into `StorageLost`, except that a file is not there or is there already."""
    try:
        yield
    except (FileNotFoundError, FileExistsError, Flag3dError):
        raise
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)  # of this disk, not there
        if full or not (isinstance(error, OSError) or is_trouble(error)):
            raise
        name = type(error).__name__
        remedy = _REMEDIES.get(name, "type the same command again; what is done is kept")
        raise StorageLost(where=str(path), rule=f"{name}: {error}", remedy=remedy) from error


def is_trouble(error: BaseException) -> bool:
    """Whether an error is the storage's, by its class: those of the client's packages are imported nowhere here."""
    packages = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return isinstance(error, StorageLost) or bool(packages & {"botocore", "aiobotocore", "aiohttp", "s3fs"})


def read(path: "upath.UPath") -> bytes:
    """The content of a file, in one request.

    Raises:
        FileNotFoundError: there is none.
        StorageLost: see there.
    """
    with trouble_is_named(path):
        data = path.fs.cat_file(path.path)
    assert isinstance(data, bytes)
    return data


def write(path: "upath.UPath", data: bytes) -> None:
    """Replace a file; it appears whole."""
    with trouble_is_named(path):
        path.fs.pipe_file(path.path, data)


def upload(file: Path, path: "upath.UPath") -> None:
    """Replace a file at the URL by one of this disk; it appears whole, however many parts its upload has."""
    with trouble_is_named(path):
        path.fs.put_file(str(file), path.path)


def download(path: "upath.UPath", file: Path) -> None:
    """Copy a file to this disk. Not atomic: write to a temporary name and rename it."""
    with trouble_is_named(path):
        path.fs.get_file(path.path, str(file))


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """The path of a temporary file of that name, which goes with the block."""
    with tempfile.TemporaryDirectory(prefix="flag3d-") as folder:
        yield Path(folder) / name


def create(path: "upath.UPath", data: bytes) -> bool:
    """Write a file that must not exist yet; False where it does. Of writers that race exactly one gets True.

    On S3 this is a PUT with `If-None-Match: *`.
    """
    try:
        with trouble_is_named(path):
            path.fs.pipe_file(path.path, data, mode="create")
    except FileExistsError:
        return False
    except StorageLost as error:
        if _refused_condition(error):
            return False
        raise
    return True


def _refused_condition(error: BaseException | None) -> bool:
    """Whether S3 answered 412 or 409: somebody else created the file, before or at this moment. s3fs makes EINVAL of it."""
    while error is not None:
        answer: Any = getattr(error, "response", None)
        if isinstance(answer, dict) and answer.get("ResponseMetadata", {}).get("HTTPStatusCode") in (409, 412):
            return True
        error = error.__cause__
    return False


def mark(path: "upath.UPath") -> str:
    """Changes whenever a file is replaced: its ETag on S3, where two files of one second have the same time.

    Raises:
        FileNotFoundError: there is none.
    """
    with trouble_is_named(path):
        known = path.fs.info(path.path)
    return f"{known['size']}-{known.get('ETag') or known.get('LastModified') or known.get('created')}"


def names(folder: "upath.UPath") -> list[str]:
    """Paths of all files below a folder, relative to it, sorted; none where there is no folder."""
    with trouble_is_named(folder):
        top = folder.path.rstrip("/") + "/"
        return sorted(found.removeprefix(top) for found in folder.fs.find(top) if found.startswith(top))


def fetch(folder: "upath.UPath", wanted: Iterable[str]) -> dict[str, bytes]:
    """The contents of small files of a folder, many requests at a time."""
    paths = {f"{folder.path}/{name}": name for name in wanted}
    with trouble_is_named(folder):
        found = folder.fs.cat(list(paths)) if paths else {}
    assert isinstance(found, dict)  # of several files, and of a list of one
    return {paths[path if path in paths else f"/{path}"]: data for path, data in found.items()}


def push(folder: "upath.UPath", contents: dict[str, bytes]) -> None:
    """Write small files of a folder, many requests at a time."""
    if contents:
        with trouble_is_named(folder):
            folder.fs.pipe({f"{folder.path}/{name}": data for name, data in contents.items()})


def remove(folder: "upath.UPath", wanted: Iterable[str]) -> None:
    """Delete files of a folder, many requests at a time."""
    if paths := [f"{folder.path}/{name}" for name in wanted]:
        with trouble_is_named(folder):
            folder.fs.rm(paths)


def cache_folder(root: "upath.UPath") -> Path:
    """The folder of this machine that belongs to a URL: below `$FLAG3D_CACHE`, else `~/.cache/flag3d`."""
    base = (
        os.environ.get(CACHE_VARIABLE) or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "flag3d"
    )
    text = str(root)
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-")[:60]
    return Path(base).absolute() / f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
