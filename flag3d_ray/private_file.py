"""Files with a secret: made so that nobody but their owner can read them, whatever the umask, and never replaced."""

import contextlib
import os
import secrets
import stat
from pathlib import Path

from flag3d_ray.errors import RunError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def create_private(path: Path, text: str) -> bool:
    """Write a file with mode 0600 unless there is one; whether this call wrote it.

    The file appears whole: of two processes that start at once one wins, and both then read the same secret.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
    return True


def readable_by_others(path: Path) -> bool:
    """Whether the mode lets anybody but the owner do anything with it."""
    return bool(path.stat().st_mode & _OTHERS)


def make_private(path: Path) -> bool:
    """Take everybody else's permissions away; whether there were any.

    Raises:
        RunError: the file is another user's, who could read and change it, or its mode cannot be changed.
    """
    if path.stat().st_uid != os.geteuid():
        rule = "it belongs to another user, who can read and change it"
        raise RunError(where=str(path), rule=rule, remedy="use a file of your own with mode 0600")
    if not readable_by_others(path):
        return False
    try:
        path.chmod(0o600)
    except OSError as error:
        rule = f"others may read it, and its mode cannot be changed: {error.strerror}"
        raise RunError(where=str(path), rule=rule, remedy=f"chmod 600 {path}") from error
    return True
