"""Writing an open folder from a stream of sequences."""

import contextlib
import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Int8

from flag3d_ray.data.readers.open_format_tables import (
    CARD,
    JOINTS,
    REPETITIONS,
    SEQUENCE_COLUMNS,
    SEQUENCES,
    SPLITS,
    OpenCard,
    Row,
    check_name,
)
from flag3d_ray.data.workplace import hidden_folder
from flag3d_ray.errors import DataError
from flag3d_ray.files import disk_full_is_named

Splits = Mapping[str, Mapping[str, Sequence[str]]]
"""Name of a split -> part (train, valid, test) -> sample ids."""


@dataclass(frozen=True, eq=False, kw_only=True)
class OpenSequence:
    """A row of sequences.csv, its joints in the unit and the axes of the card, its repetitions and key scores."""

    row: Row
    joints_MTVC: Float[np.ndarray, "M T V C"]
    reps_R2: Int[np.ndarray, "R 2"] | None = None
    keys_RS: Int8[np.ndarray, "R S"] | None = None


def write_open(folder: Path, sequences: Iterable[OpenSequence], card: OpenCard, splits: Splits) -> int:
    """Write an open folder, sequence by sequence: the folder appears whole or not at all. Returns how many there are.

    Joints keep their floating-point type.

    Raises:
        DataError: the folder exists, a name is no file name or occurs twice, no sequences.
        DiskFull: nothing is left behind.
    """
    with appearing(folder) as hidden:
        return write_into(hidden, sequences, card, splits)


def write_into(folder: Path, sequences: Iterable[OpenSequence], card: OpenCard, splits: Splits) -> int:
    """Fill an empty folder; see `write_open`."""
    (folder / JOINTS).mkdir()
    seen: set[str] = set()
    repetitions: list[list[object]] = []
    with (folder / SEQUENCES).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(SEQUENCE_COLUMNS)
        for number, sequence in enumerate(sequences):
            name = sequence.row.sample_id
            check_name(name, f"sequence {number}")
            if name.casefold() in seen:
                rule, remedy = "a second sequence has that name", "give every sequence a name of its own"
                raise DataError(where=f"sequence {number} ({name})", rule=rule, remedy=remedy)
            seen.add(name.casefold())
            table.writerow(sequence.row.cells())
            np.savez(folder / JOINTS / f"{name}.npz", joints=sequence.joints_MTVC)
            repetitions += _repetition_rows(sequence)
    if not seen:
        raise DataError(where=str(folder), rule="no sequences", remedy="check where they should come from")
    (folder / CARD).write_text(card.text(), encoding="utf-8")
    if repetitions:
        keys = [f"key{number}" for number in range(1, max(map(len, repetitions)) - 2)]
        write_table(folder / REPETITIONS, ("sample_id", "start", "end", *keys), repetitions)
    if splits:
        rows = ((name, split, part) for split, parts in splits.items() for part in parts for name in parts[part])
        write_table(folder / SPLITS, ("sample_id", "split", "part"), rows)
    return len(seen)


def _repetition_rows(sequence: OpenSequence) -> Iterator[list[object]]:
    for number, (start, end) in enumerate([] if sequence.reps_R2 is None else sequence.reps_R2.tolist()):
        keys = [] if sequence.keys_RS is None else sequence.keys_RS[number].tolist()
        yield [sequence.row.sample_id, start, end, *keys]


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A CSV file; short rows are filled up with empty cells."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(header)
        table.writerows([*row, *[""] * (len(header) - len(row))] for row in rows)


@contextlib.contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A folder that appears whole at its place when the block ends well, and not at all otherwise.

    Raises:
        DataError: it exists, or another process writes it.
        DiskFull: nothing is left behind.
    """
    if folder.exists() or folder.is_symlink():
        raise DataError(where=str(folder), rule="exists already", remedy="name another folder, or remove this one")
    with disk_full_is_named(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with hidden_folder(folder) as hidden:
        yield hidden
        if hasattr(os, "sync"):
            os.sync()  # thousands of small files: one call for all of them
