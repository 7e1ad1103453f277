"""Files that appear whole or not at all: written beside their place, flushed to disk, then renamed."""

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flag3d_ray.errors import RunError


class DiskFull(RunError):
    """No space is left. Nothing is half-written, and the same command goes on once there is space again."""


@contextlib.contextmanager
def disk_full_is_named(path: Path) -> Iterator[None]:
    """Turn the operating system's error about a full disk, or a full quota, into `DiskFull`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        rule, remedy = "no space left on the disk", "free some space and type the same command again"
        raise DiskFull(where=str(path), rule=rule, remedy=remedy) from error


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that becomes `path` when the block ends well, and vanishes otherwise.

    Raises:
        DiskFull: nothing is left behind.
    """
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


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, atomically."""
    with atomic_path(path) as part:
        part.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by readable JSON, atomically; NaN and infinities are refused."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        RunError: the file is not valid JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(where=str(path), rule=f"not valid JSON: {error}", remedy="delete it and run again") from error


def flush(path: Path) -> None:
    """Make a file, or the entries of a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
