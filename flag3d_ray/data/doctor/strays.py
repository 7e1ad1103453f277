"""Files of a folder that nobody should open: pickles under any name, links that lead out of it, and archives whose members
would. Nothing here unpacks an archive, but somebody's other program may.
"""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from flag3d_ray.data.findings import Finding

PICKLE_SUFFIXES = (".pkl", ".pickle", ".p", ".joblib", ".pt", ".pth")
_HEAD = b"\x80"  # every pickle of protocol 2 and above begins so, and no format that is read here does
_ZIP = b"PK\x03\x04"


def stray_findings(root: Path) -> Iterator[Finding]:
    """Pickles, links out of the folder and archives that unpack out of it, whatever the reader makes of them.

    Of each file four bytes are read, and of a zip archive, which .npz files are, the list of its members.
    """
    inside = root.resolve()
    for path in _files(root):
        file = str(path.relative_to(root))
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            rule = f"a link to {path.resolve()}, outside the folder"
            yield Finding(
                severity="error", file=file, rule=rule, remedy="put the file itself there, or remove the link"
            )
            continue
        head = _head(path) if path.is_file() else b""
        if path.is_file() and (path.suffix.lower() in PICKLE_SUFFIXES or head.startswith(_HEAD)):
            yield Finding(
                severity="error",
                file=file,
                rule="this is a pickle, which could run any code when loaded: nothing here opens it",
                remedy="convert it (`flag3d data convert`, or to .npz where it came from), or move it out of the folder",
            )
        elif head == _ZIP and (member := _leaving(path)):
            rule = f"an archive with the member {member[:60]!r}, which would be unpacked outside its folder"
            remedy = "do not unpack it: copy it again from where it came, or move it out of the folder"
            yield Finding(severity="error", file=file, rule=rule, remedy=remedy)


def _files(root: Path) -> Iterator[Path]:
    """Everything below a folder but folders; links to folders are given, not followed."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from (Path(folder) / name for name in sorted([*files, *linked]))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(_ZIP))
    except OSError:
        return b""  # whoever reads it says why it cannot be read


def _leaving(path: Path) -> str:
    """The first member of a zip archive whose name leads out of the folder it is unpacked in; empty where none does."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return ""  # whoever reads it says why it cannot be read
    return next(
        (name for name in names if any(_leads_out(kind(name)) for kind in (PurePosixPath, PureWindowsPath))), ""
    )


def _leads_out(member: PurePosixPath | PureWindowsPath) -> bool:
    return bool(member.anchor) or ".." in member.parts
