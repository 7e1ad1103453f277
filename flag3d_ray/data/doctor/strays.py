"""Files of a folder that nobody should open: pickles under any name, and links that lead out of it."""

import os
from collections.abc import Iterator
from pathlib import Path

from flag3d_ray.data.findings import Finding

PICKLE_SUFFIXES = (".pkl", ".pickle", ".p", ".joblib", ".pt", ".pth")
_HEAD = b"\x80"  # every pickle of protocol 2 and above begins so, and no format that is read here does


def stray_findings(root: Path) -> Iterator[Finding]:
    """Pickles and links out of the folder, whatever the reader makes of them. Of each file one byte is read, if any."""
    inside = root.resolve()
    for path in _files(root):
        file = str(path.relative_to(root))
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            rule = f"a link to {path.resolve()}, outside the folder"
            yield Finding(
                severity="error", file=file, rule=rule, remedy="put the file itself there, or remove the link"
            )
        elif path.is_file() and (path.suffix.lower() in PICKLE_SUFFIXES or _head(path) == _HEAD):
            yield Finding(
                severity="error",
                file=file,
                rule="this is a pickle, which could run any code when loaded: nothing here opens it",
                remedy="convert it (`flag3d data convert`, or to .npz where it came from), or move it out of the folder",
            )


def _files(root: Path) -> Iterator[Path]:
    """Everything below a folder but folders; links to folders are given, not followed."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from (Path(folder) / name for name in sorted([*files, *linked]))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1)
    except OSError:
        return b""  # whoever reads it says why it cannot be read
