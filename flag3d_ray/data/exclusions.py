"""Exclusion lists: sequences that stand in a dataset and are left out of training, validation and test.

A list is a csv file with the columns `sample_id` and, if you like, `reason`. A run refers to it by content: the list is
stored in the dataset folder as `exclusions/DIGEST12.csv`, and the digest goes over the names alone, because another reason
or another order of rows changes no number.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from flag3d_ray.errors import DataError
from flag3d_ray.files import write_bytes

FOLDER = "exclusions"
MOST_BYTES = 64 << 20
"""Larger files are not read: a list of a million names has 30 MB."""
_NAME = re.compile(r"[0-9a-f]{12}")
_WRITE_IT = "write a csv file in UTF-8 with the columns sample_id and reason"


@dataclass(frozen=True)
class Exclusions:
    """Names and reasons, sorted by name, each name once."""

    rows: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str]]) -> "Exclusions":
        """The list of these rows; the first reason of a name stands."""
        first: dict[str, str] = {}
        for sample_id, reason in rows:
            first.setdefault(sample_id, reason)
        return cls(tuple(sorted(first.items())))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(sample_id for sample_id, _ in self.rows)

    @property
    def digest(self) -> str:
        """SHA-256 of the sorted names."""
        return hashlib.sha256(json.dumps(self.sample_ids).encode()).hexdigest()

    @property
    def name(self) -> str:
        """What a run calls the list: the digest's first twelve digits."""
        return self.digest[:12]


def read_exclusions(path: Path) -> Exclusions:
    """Read a list. A byte order mark and any line ends are fine, and so is a name that occurs twice.

    Raises:
        DataError: no such file, not a csv table in UTF-8, another column, a row without a name, no row at all.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _broken(str(path), f"{path.stat().st_size} bytes: this is no list of names")
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = Exclusions.of(_rows(path, csv.reader(file, strict=True)))
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise _broken(str(path), f"cannot be read ({error})") from None
    if not found.rows:
        raise DataError(where=str(path), rule="names no sequence", remedy="add rows, or leave out --exclude")
    return found


def _rows(path: Path, lines) -> Iterable[tuple[str, str]]:
    header = [name.strip() for name in next(lines, [])]
    if "sample_id" not in header or not set(header) <= {"sample_id", "reason"} or len(set(header)) < len(header):
        raise _broken(f"{path}, row 1", f"columns {', '.join(map(repr, header)) or 'none'}")
    for number, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        if len(cells) != len(header):
            rule = f"{len(cells)} cells, the header has {len(header)}"
            raise _broken(f"{path}, row {number}", rule, "put quotes around a reason that holds commas")
        if not row["sample_id"]:
            raise _broken(f"{path}, row {number}", "no sample_id", "name the sequence or remove the row")
        yield row["sample_id"], row.get("reason", "")


def write_exclusions(path: Path, exclusions: Exclusions) -> None:
    """Write a list, whole or not at all.

    Raises:
        DataError: the folder cannot be written.
    """
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(("sample_id", "reason"))
    lines.writerows(exclusions.rows)
    try:
        write_bytes(path, out.getvalue().encode())
    except OSError as error:
        remedy = "name a place that you may write"
        raise DataError(where=str(path), rule=f"cannot be written ({error.strerror})", remedy=remedy) from None


def store_exclusions(folder: Path, exclusions: Exclusions, sample_ids: Collection[str]) -> str:
    """Keep a list in the dataset folder, from where runs read it.

    Args:
        sample_ids: the names of all sequences of the dataset.

    Returns:
        The list's name, for `DataSpec.exclude`.

    Raises:
        DataError: the list names a sequence that the dataset does not have.
    """
    known = set(sample_ids)
    if unknown := [name for name in exclusions.sample_ids if name not in known]:
        rule = f"{len(unknown)} of its names are not in the dataset: {', '.join(unknown[:5])}"
        remedy = "correct or remove these rows; names are those of sample_id, as `flag3d data check` prints them"
        raise DataError(where=f"exclusion list for {folder.name}", rule=rule, remedy=remedy)
    path = _path(folder, exclusions.name)
    if not path.exists():
        write_exclusions(path, exclusions)
    return exclusions.name


def load_exclusions(folder: Path, name: str) -> Exclusions:
    """A stored list of a dataset folder.

    Raises:
        DataError: it is not there, or was edited by hand.
    """
    path = _path(folder, name)
    remedy = "give the list again with --exclude"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise DataError(where=str(path), rule=f"no exclusion list {name!r} is stored", remedy=remedy)
    found = read_exclusions(path)
    if found.name != name:
        rule = f"its names have the digest {found.name}: edited by hand"
        raise DataError(where=str(path), rule=rule, remedy=f"delete it and {remedy}")
    return found


def _path(folder: Path, name: str) -> Path:
    return folder / FOLDER / f"{name}.csv"


def _broken(where: str, rule: str, remedy: str = _WRITE_IT) -> DataError:
    return DataError(where=where, rule=rule, remedy=remedy)
