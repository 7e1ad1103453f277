"""Files of a user's copy of a dataset: listed, found by name, read, without trusting what their names or headers say.

Nothing is followed out of the root, nothing is unpickled, and what is too large is refused before it is read. Every error
names the file, and the row as a spreadsheet numbers it (the header is row 1).
"""

import csv
import io
import math
import tokenize
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

import numpy as np
from jaxtyping import Float, Float32, Int32

from flag3d_ray.data.manifest import refuse_pickle
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import Layout

MOST_BYTES = 1 << 30
"""Of one file of joints, and of the arrays in it: 34 hours of 24 joints at 30 frames per second in three dimensions."""
MOST_TABLE_BYTES = 256 << 20
"""Of one table: five million repetitions."""

_ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")
_MALFORMED = (ValueError, TypeError, KeyError, SyntaxError, tokenize.TokenError, OverflowError)
_DAMAGED = (*_MALFORMED, OSError, EOFError, RuntimeError, MemoryError)
_UNZIPPED_BADLY = (*_DAMAGED, zipfile.BadZipFile, zlib.error)
_COPY_AGAIN = "copy the file again from where it came, or move it out of the folder"
_WORDS = {"fiu": "number", "U": "text"}
"""Kinds of type that have a name among people."""

Shape = Sequence[str | int]
"""What an array must be: a number where an axis has one length, a letter where it has any, as in `("T", 24, 3)`."""


def check_root(root: Path) -> None:
    """Raise unless the path is a folder; archives are named as such, because nothing here unpacks any.

    Raises:
        DataError: a file, or nothing.
    """
    if root.is_dir():
        return
    rule, remedy = "no such folder", "name the folder that holds your copy of the dataset"
    if root.is_file():
        rule = "a file, where a folder is expected"
        with root.open("rb") as file:
            if file.read(6).startswith(_ARCHIVES) or ".tar" in root.suffixes:
                rule, remedy = "an archive, which is not unpacked here", "unpack it yourself and name the folder"
    raise DataError(where=str(root), rule=rule, remedy=remedy)


def listed(root: Path, pattern: str) -> list[Path]:
    """The files below `root` that fit a pattern like `*.npz` or `skeleton/*.npy`, sorted by name; none is an empty list.

    Hidden files are left out: macOS writes a `._NAME` beside every file that it copies to a foreign disk.

    Raises:
        DataError: no folder, or one of the files is a link that leads out of it or nowhere.
    """
    check_root(root)
    fitting = (path for path in root.glob(pattern) if not path.name.startswith("."))
    found = sorted(fitting, key=lambda path: path.relative_to(root).as_posix())
    return [path for path in found if contained(root, path).is_file()]


def stems(paths: Sequence[Path]) -> dict[str, Path]:
    """Files by their name without its last suffix, accented letters in one spelling: disks differ in how they write them.

    Raises:
        DataError: two files have the same.
    """
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(normal(path.stem), path)
        if other is not path:
            raise DataError(where=str(path), rule=f"{other.name} has the same name", remedy="keep one of the two")
    return found


def normal(name: str) -> str:
    """A name as `stems` spells it (Unicode normal form C)."""
    return unicodedata.normalize("NFC", name)


def inside(root: Path, name: str, where: str = "") -> Path:
    """The file that a table, or the released layout, names relative to `root`.

    Args:
        where: the table and row that name it, for messages; without, the file itself is named.

    Raises:
        DataError: an absolute path, one with `..`, no such file, a link that leads out of the folder or nowhere.
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in name[:100])
    remedy = f"put it below {root}{', or remove its row' if where else ''}"
    where = where or str(root / shown)
    kinds = PurePosixPath(name), PureWindowsPath(name)
    if not name or any(kind.anchor or ".." in kind.parts for kind in kinds):
        raise DataError(where=where, rule=f"{shown!r} leads out of the folder", remedy="name a file inside the folder")
    try:
        if contained(root, root / name).is_file():
            return root / name
    except (OSError, ValueError):  # names that no file can have
        pass
    raise DataError(where=where, rule=f"there is no file {shown!r}", remedy=remedy)


def contained(root: Path, path: Path) -> Path:
    """The same path, which need not exist and may be a link, as long as it stays below `root`.

    Raises:
        DataError: it is a link that leads out of the folder, or to itself.
    """
    remedy = "put the file itself there"
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # links that lead to each other
        raise DataError(where=str(path), rule="a link that leads nowhere", remedy=remedy) from None
    if not target.is_relative_to(root.resolve()):
        raise DataError(where=str(path), rule=f"a link to {target}, outside the folder", remedy=remedy)
    return path


def csv_rows(path: Path, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(row number, cells by column) of a table with a header, in its order.

    A byte order mark, any line ends, empty rows, spaces around cells and empty cells behind the last column do not
    matter. Columns without a name (the row numbers that pandas writes) are dropped, columns that nobody asks for kept.

    Raises:
        DataError: absent, too large, not UTF-8, separated by something else than commas, a required column missing or
            one there twice, a row of another length than the header.
    """
    lines = csv.reader(io.StringIO(text(path, MOST_TABLE_BYTES), newline=""), strict=True)
    number = 0
    try:
        header = [name.strip() for name in next(lines, [])]
        while header and not header[-1]:
            header.pop()
        _check_header(path, header, required)
        found = []
        for number, line in enumerate(lines, start=2):
            cells = [cell.strip() for cell in line]
            if not any(cells):
                continue
            if len(cells) < len(header) or any(cells[len(header) :]):
                rule, remedy = f"{len(cells)} cells, the header has {len(header)}", "quote texts that hold commas"
                raise DataError(where=f"{path}, row {number}", rule=rule, remedy=remedy)
            found.append((number, {name: cell for name, cell in zip(header, cells, strict=False) if name}))
        return found
    except csv.Error as error:
        where = f"{path}, row {number + 1}"
        raise DataError(where=where, rule=f"not a row of a table ({error})", remedy="correct the quotes") from None


def text(path: Path, most_bytes: int) -> str:
    """The content of a text file, whose size is looked at first. A byte order mark is dropped.

    Raises:
        DataError: absent, more than `most_bytes`, not UTF-8 (names the row).
    """
    try:
        if (size := path.stat().st_size) > most_bytes:
            rule = f"{size} bytes, more than {most_bytes}: it is not read"
            raise DataError(where=str(path), rule=rule, remedy=_COPY_AGAIN)
        content = path.read_bytes()
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = len(content[: error.start + 1].splitlines())
        rule = f"byte 0x{content[error.start]:02x} is not UTF-8"
        raise DataError(where=f"{path}, row {row}", rule=rule, remedy="save it in UTF-8 encoding") from None
    except OSError as error:
        rule = f"cannot be read ({error.strerror})"
        raise DataError(where=str(path), rule=rule, remedy="put it there, and look who may read it") from None


def intervals(
    rows: Sequence[tuple[str, int, int]],
    frames: int,
    remedy: str = "correct the row, or move its file out of the folder",
) -> Int32[np.ndarray, "R 2"]:
    """Repetitions from rows of a table, each with its place (file and row), first and exclusive last frame.

    Raises:
        DataError: a repetition leaves the sequence of `frames` frames, ends before it starts or where it starts, or
            starts before the one ahead of it ends.
    """
    ahead = 0
    for where, start, end in rows:
        rule = ""
        if start < 0 or end > frames:
            rule = f"leaves the sequence of {frames} frames"
        elif end <= start:
            rule = "ends before it starts or where it starts (its end is exclusive)"
        elif start < ahead:
            rule = f"starts before the one ahead of it ends, at {ahead}"
        if rule:
            raise DataError(where=where, rule=f"repetition [{start}, {end}) {rule}", remedy=remedy)
        ahead = end
    return np.array([(start, end) for _, start, end in rows], np.int32).reshape(-1, 2)


class Lines:
    """A text file's lines that are not empty, one after the other, split at spaces; errors name the one at hand.

    Raises:
        DataError: see `text`.
    """

    def __init__(self, path: Path, most_bytes: int, comment: str = "") -> None:
        """A line that begins with `comment` counts as empty."""
        self._path, self._comment = path, comment
        self._lines = text(path, most_bytes).splitlines()
        self.number = 0

    def __iter__(self) -> Iterator[list[str]]:
        while self.number < len(self._lines):
            self.number += 1
            words = self._lines[self.number - 1].split()
            if words and not (self._comment and words[0].startswith(self._comment)):
                yield words

    def next(self, expected: str) -> list[str]:
        """The next line; DataError with what was `expected` where there is none."""
        for words in self:
            return words
        raise self.broken(f"the file ends where {expected} is expected")

    def rest(self) -> int:
        """How many lines are left, empty ones not counted."""
        return sum(1 for line in self._lines[self.number :] if line.strip())

    def numbers(self, words: Sequence[str], what: str, number: int = 0) -> list[float]:
        """Finite numbers from the line at hand, or from that of the `number` given; DataError where one is none."""
        try:
            found = [float(word) for word in words]
        except ValueError:
            found = [math.nan]
        if not all(map(math.isfinite, found)):
            raise self.broken(f"{what}: not a finite number among {' '.join(words)[:60]!r}", number)
        return found

    def broken(self, rule: str, number: int = 0) -> DataError:
        """The rule that the line at hand, or the one of that number, breaks."""
        return DataError(where=f"{self._path}, line {number or self.number}", rule=rule, remedy=_COPY_AGAIN)


def _check_header(path: Path, header: Sequence[str], required: Sequence[str]) -> None:
    absent = [name for name in required if name not in header]
    if absent and len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        rule, remedy = "columns are not separated by commas", "save it as CSV separated by commas"
        raise DataError(where=f"{path}, row 1", rule=rule, remedy=remedy)
    if absent:
        there = ", ".join(name for name in header[:8] if name) or "none"
        rule = f"missing column {', '.join(absent)}; there are: {there}"
        raise DataError(where=f"{path}, row 1", rule=rule, remedy="name the columns as docs/data.md lists them")
    names = [name for name in header if name]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        rule = f"column {', '.join(twice)} stands there twice"
        raise DataError(where=f"{path}, row 1", rule=rule, remedy="remove or rename one of the two")


def integer(where: str, cells: Mapping[str, str], column: str, *, least: int = 0) -> int:
    """A whole number of at least `least`; `12.0`, as pandas writes columns with gaps, is 12.

    Args:
        where: the table and row, for messages.

    Raises:
        DataError: the cell is empty, no whole number, or too small or large.
    """
    text = cells[column]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number == int(number) and least <= number < 2**31):
        remedy = f"write a whole number of {least} or more, or remove the row"
        raise DataError(where=where, rule=f"{column} is {text[:40]!r}", remedy=remedy)
    return int(number)


def load_npy(path: Path, shape: Shape, kinds: str = "f", remedy: str = _COPY_AGAIN) -> np.ndarray:
    """The array of a .npy file, in the machine's own byte order. Its header is judged before anything else is read.

    Args:
        shape: what it must be, for instance `("T", 24, 3)`.
        kinds: numpy's kinds of type that are accepted: f floating point, i and u integers, U text, b truth values.
        remedy: what to do about an array or a file that is not as it must be.

    Raises:
        DataError: a pickle, an array of objects, another type or shape, larger than `MOST_BYTES`, damaged or cut off.
    """
    try:
        refuse_pickle(path)
        with path.open("rb") as file:
            return _array(str(path), file, shape, kinds, remedy)
    except _DAMAGED as error:
        raise DataError(where=str(path), rule=f"not a readable .npy file ({error})", remedy=remedy) from None


def load_npz(path: Path, arrays: Mapping[str, tuple[Shape, str]], remedy: str = _COPY_AGAIN) -> dict[str, np.ndarray]:
    """Arrays of a .npz file by name, each with the shape and kinds that `load_npy` takes; others in it are not read.

    Raises:
        DataError: one of them is missing, a pickle, or breaks a rule of `load_npy`; the file is larger than `MOST_BYTES`
            or damaged.
    """
    try:
        refuse_pickle(path)
        if (size := path.stat().st_size) > MOST_BYTES:
            rule = f"{size} bytes, more than {MOST_BYTES}: it is not read"
            raise DataError(where=str(path), rule=rule, remedy=remedy)
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if absent := [name for name in arrays if f"{name}.npy" not in names]:
                there = ", ".join(name.removesuffix(".npy") for name in names[:8]) or "none"
                rule = f"missing array {', '.join(absent)}; there are: {there}"
                raise DataError(where=str(path), rule=rule, remedy=remedy)
            found = {}
            for name, (shape, kinds) in arrays.items():
                with archive.open(f"{name}.npy") as file:
                    found[name] = _array(f"{path}, {name}", file, shape, kinds, remedy)
            return found
    except _UNZIPPED_BADLY as error:
        raise DataError(where=str(path), rule=f"not a readable .npz file ({error})", remedy=remedy) from None


def _array(where: str, file: IO[bytes] | io.BufferedIOBase, shape: Shape, kinds: str, remedy: str) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    found, _, dtype = read(file)
    said = f"{dtype} {list(found)}"
    if dtype.hasobject:
        rule = "an array of Python objects, which is a pickle and could run any code when loaded"
        raise DataError(where=where, rule=rule, remedy="convert it to plain arrays where it came from")
    wanted = f"[{', '.join(map(str, shape))}] of kind {' or '.join(kinds)}"
    if word := _WORDS.get(kinds):
        wanted = f"an array of {word}s [{', '.join(map(str, shape))}]" if shape else f"one {word}"
    fits = len(found) == len(shape) and all(
        size >= 0 if isinstance(axis, str) else size == axis for axis, size in zip(shape, found, strict=True)
    )
    if dtype.kind not in kinds or not fits:
        raise DataError(where=where, rule=f"must be {wanted}, found {said}", remedy=remedy)
    if math.prod(found) * dtype.itemsize > MOST_BYTES:
        rule = f"more than {MOST_BYTES} bytes, found {said}: it is not read"
        raise DataError(where=where, rule=rule, remedy="cut the recording into parts, or leave it out")
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def to_joints(path: Path, positions_TVC: Float[np.ndarray, "T V C"], layout: Layout) -> Float32[np.ndarray, "T V C"]:
    """The same in single precision, if there is a frame and every number is finite.

    Raises:
        DataError: there is none, or one is not; names the first frame and joint.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused below
        joints_TVC = positions_TVC.astype(np.float32)
    if not len(joints_TVC):
        raise DataError(where=str(path), rule="no frames", remedy=_COPY_AGAIN)
    bad_TV = ~np.isfinite(joints_TVC).all(axis=-1)
    if bad_TV.any():
        frame, joint = np.argwhere(bad_TV)[0]
        rule = (
            f"NaN or infinity at joint {layout.joints[joint]} ({len(np.unique(np.nonzero(bad_TV)[0]))} frames hold any)"
        )
        raise DataError(where=f"{path}, frame {frame}", rule=rule, remedy="fill the gap, or leave the recording out")
    return joints_TVC
