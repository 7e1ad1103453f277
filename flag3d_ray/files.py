"""Files that appear whole or not at all: written beside their place, flushed to disk, then renamed.

At a URL they are uploaded at once, which an object store shows whole as well.
"""

import contextlib
import errno
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flag3d_ray import storage
from flag3d_ray.errors import RunError
from flag3d_ray.storage import StorePath


class DiskFull(RunError):
    """No space is left. Nothing is half-written, and the same command goes on once there is space again."""


@contextlib.contextmanager
def disk_full_is_named(path: StorePath) -> Iterator[None]:
    """Turn the operating system's error about a full disk, or a full quota, into `DiskFull`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        rule, remedy = "no space left on the disk", "free some space and type the same command again"
        raise DiskFull(where=str(path), rule=rule, remedy=remedy) from error


def require_writable(folder: Path, names: Sequence[str], where: str) -> None:
    """Try whether files of these names can be written to a folder, before their content is computed; nothing is left.

    Args:
        where: how the user named the folder, for messages.

    Raises:
        RunError: something in the way is a file, one of the files is a folder, or nothing may be written there.
        DiskFull: no space is left.
    """
    remedy = "name a folder that files can be written to"
    try:
        made = [one for one in (folder, *folder.parents) if not one.exists()]
        above = folder.parents[len(made) - 1] if made else folder
        if not above.is_dir():
            rule = f"{above} is a file, where a folder is needed"
            raise RunError(where=where, rule=rule, remedy=remedy)
        if taken := [folder / name for name in names if (folder / name).is_dir()]:
            rule = f"{taken[0]} is a folder, where a file is to be written"
            raise RunError(where=where, rule=rule, remedy="move it away, or name another folder")
        with disk_full_is_named(folder):
            _try_to_write(folder, made)
    except OSError as error:
        rule = f"{folder} cannot be written to ({error.strerror})"
        raise RunError(where=where, rule=rule, remedy=remedy) from None


def _try_to_write(folder: Path, made: Sequence[Path]) -> None:
    """Make the folder and a file without a name in it; then take away the folders that were `made`, innermost first."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    finally:
        for one in made:
            with contextlib.suppress(OSError):  # another process may have written to it by now
                one.rmdir()


@contextlib.contextmanager
def atomic_path(path: StorePath) -> Iterator[Path]:
    """A temporary path in the same folder that becomes `path` when the block ends well, and vanishes otherwise.

    For a file at a URL it lies on this disk and is uploaded.

    Raises:
        DiskFull: nothing is left behind.
        StorageLost: nothing is changed.
    """
    if not isinstance(path, Path):
        with disk_full_is_named(path), storage.scratch(path.name) as part:
            yield part
            storage.upload(part, path)
        return
    # Not from mkstemp, whose files nobody but their owner can read: a store may be shared.
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    with disk_full_is_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            flush(part)
            part.replace(path)
            flush(path.parent)
        finally:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def local_copy(path: StorePath) -> Iterator[Path]:
    """The file itself, or a copy on this disk of one at a URL, which goes with the block.

    Raises:
        FileNotFoundError: there is none at the URL.
        StorageLost: the storage does not answer.
    """
    if isinstance(path, Path):
        yield path
        return
    with storage.scratch(path.name) as copy:
        with disk_full_is_named(copy):
            storage.download(path, copy)
        yield copy


def read_bytes(path: StorePath) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: there is none.
    """
    return path.read_bytes() if isinstance(path, Path) else storage.read(path)


def is_there(path: StorePath) -> bool:
    """Whether a small file exists. At a URL it is read, in one request: `exists` asks twice, in case it is a folder."""
    if isinstance(path, Path):
        return path.exists()
    try:
        storage.read(path)
    except FileNotFoundError:
        return False
    return True


def write_bytes(path: StorePath, data: bytes) -> None:
    """Replace `path` by `data`, atomically."""
    if not isinstance(path, Path):
        storage.write(path, data)
        return
    with atomic_path(path) as part:
        part.write_bytes(data)


def write_json(path: StorePath, value: Any) -> None:
    """Replace `path` by readable JSON, atomically; NaN and infinities are refused."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def read_json(path: StorePath) -> Any:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: there is none.
        RunError: the file is not valid JSON.
    """
    try:
        return json.loads(read_bytes(path).decode("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(where=str(path), rule=f"not valid JSON: {error}", remedy="delete it and run again") from error


def flush(path: Path) -> None:
    """Make a file, or the entries of a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
