"""The hidden folder in which a dataset is written, beside the place where it will appear whole.

It is named by the work that is done in it, so that a killed or interrupted command goes on where it was when it is typed
again, and other work under the same name starts anew.
"""

import contextlib
import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from flag3d_ray.errors import DataError
from flag3d_ray.files import disk_full_is_named, flush
from flag3d_ray.source import source_digests

_WORK_DIGITS = 16


def check_dataset_name(name: str) -> str:
    """The name, if it can be a folder everywhere and part of a command.

    Raises:
        DataError: it is something else than letters, digits, dots, dashes and underscores, or starts with a dot or dash.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name):
        remedy = "use letters, digits, dots, dashes and underscores"
        raise DataError(where=f"dataset {name!r}", rule="not a name for a dataset", remedy=remedy)
    return name


def work_digest(parameters: Mapping[str, Any], module: str) -> str:
    """Identity of the making of a dataset: what it is made from, and the source of `module` that makes it.

    Args:
        parameters: plain JSON.
    """
    made_by = source_digests(("flag3d_ray.data.ingest", module))
    text = json.dumps({"from": parameters, "by": made_by}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_WORK_DIGITS]


def tree_state(root: Path) -> str:
    """Digest of names, sizes and times of all files under a folder: changes when somebody mends or adds a file."""
    seen = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file():
            stat = path.stat()
            seen.update(f"{path.relative_to(root)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return seen.hexdigest()


@contextlib.contextmanager
def hidden_folder(folder: Path, work: str = "") -> Iterator[Path]:
    """A folder beside `folder` that takes its place when the block ends well.

    It stays for the next attempt at the same `work` when the block is interrupted, the disk is full or the process dies;
    it vanishes when the data are bad, and always where `work` is empty.

    Raises:
        DataError: another process writes this dataset.
        DiskFull: no space is left.
    """
    lock_file = folder.parent / f".{folder.name}.lock"
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        rule, remedy = "another process is writing this dataset", "wait until it is done"
        raise DataError(where=str(folder), rule=rule, remedy=remedy) from None
    with lock:
        hidden = folder.parent / f".{folder.name}.{work or secrets.token_hex(8)}.part"
        # Whoever holds the lock owns these: they are what a killed process left of other work.
        for stale in folder.parent.glob(f".{folder.name}.*.part"):
            if stale != hidden:
                shutil.rmtree(stale)
        try:
            with disk_full_is_named(folder):
                hidden.mkdir(exist_ok=True)
                yield hidden
                flush(hidden)
                _swap_in(hidden, folder)
        except BaseException as error:
            if not work or isinstance(error, DataError):
                shutil.rmtree(hidden, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(_replaced(folder), ignore_errors=True)
            # While it is locked: whoever opened it before sees that it has no name any more, and does not take it.
            lock_file.unlink(missing_ok=True)


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced.part")


def _swap_in(hidden: Path, folder: Path) -> None:
    """Rename, the old dataset first out of the way and back again should the new one fail to take its place."""
    old = _replaced(folder)
    if folder.exists():
        folder.rename(old)
    try:
        hidden.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
    flush(folder.parent)
