"""The card and the tables of an open folder: `dataset.json`, `sequences.csv`, `repetitions.csv`, `captions.csv`,
`splits.csv`. Every error names the file, the row as a spreadsheet numbers it (the header is row 1), the rule and what to
do.
"""

import csv
import io
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from flag3d_ray.data.manifest import Card
from flag3d_ray.data.readers.files_in import MOST_TABLE_BYTES, text
from flag3d_ray.data.readers.open_format_joints import TURNS, UNITS, is_image
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import layout

FORMAT = "flag3d-open/1"
CARD, SEQUENCES, REPETITIONS = "dataset.json", "sequences.csv", "repetitions.csv"
CAPTIONS, SPLITS, JOINTS = "captions.csv", "splits.csv", "joints"
SOURCES = ("lab", "rendered", "natural", "procedural")
HANDS = ("right", "left")
LEVELS = ("name", "details", "instructions")

_CARD_BYTES = 1 << 20
_IDENTITY = ("sample_id", "action_id", "action", "subject")
_MORE = ("source", "view", "scene", "avatar", "body_part", "take", "fps", "image_height", "image_width")
SEQUENCE_COLUMNS = (*_IDENTITY, *_MORE)
"""Columns of sequences.csv; the first four are required."""


@dataclass(frozen=True, kw_only=True)
class OpenCard:
    """`dataset.json`: what cannot be guessed from numbers. `fps` may be None where every row of sequences.csv has its own.

    `up` is the axis that points up (y, z, x, -y, -z, -x) and `handedness` right or left; both are empty in pixels, where x
    points right and y down. An empty text is something that still has to be filled in: such a card can be written, so that
    a person completes it, and is refused by the reader.
    """

    name: str = ""
    description: str = ""
    limits: str = ""
    licence: str = ""
    citation: str = ""
    layout: str = ""
    unit: str = ""
    up: str = ""
    handedness: str = ""
    fps: float | None = None

    def manifest_card(self) -> Card:
        """The card of the dataset that the reader makes: metres and y up, or pixels."""
        image = self.unit == "px"
        return Card(
            description=self.description,
            limits=self.limits,
            licence=self.licence,
            citation=self.citation,
            unit="px" if image else "m",
            fps=f"{self.fps:g}" if self.fps else "per sequence",
            axes="x right, y down" if image else "right-handed, y up",
        )

    def missing(self) -> list[str]:
        """Names of what a reader needs and this card leaves empty (fps apart, see above)."""
        spatial = () if self.unit == "px" else ("up", "handedness")
        required = ("name", "description", "limits", "licence", "layout", "unit", *spatial)
        return [key for key in required if not getattr(self, key)]

    def text(self) -> str:
        """The content of `dataset.json`, in the order in which a person fills it in."""
        values = {"format": FORMAT, **asdict(self)}
        if self.unit == "px":
            del values["up"], values["handedness"]
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of sequences.csv."""

    sample_id: str
    action_id: str
    action: str
    subject: str
    source: str = "lab"
    view: str = ""
    scene: str = ""
    avatar: str = ""
    body_part: str = ""
    take: int = 1
    fps: float | None = None
    image_hw: tuple[int, int] | None = None

    def cells(self) -> list[str]:
        """In the order of `SEQUENCE_COLUMNS`."""
        size = ("", "") if self.image_hw is None else tuple(map(str, self.image_hw))
        texts = [getattr(self, name) for name in (*_IDENTITY, "source", "view", "scene", "avatar", "body_part")]
        return [*texts, str(self.take), "" if self.fps is None else repr(self.fps), *size]


@dataclass(frozen=True)
class Repetition:
    """One row of repetitions.csv: where it stands, first and exclusive last frame, key scores (empty: none)."""

    row: int
    start: int
    end: int
    keys: tuple[int, ...]


@dataclass(frozen=True)
class Texts:
    """One row of captions.csv: the three levels of captions and the standards that key scores refer to."""

    captions: tuple[str, str, str]
    standards: tuple[str, ...]


def read_card(path: Path) -> OpenCard:
    """Read and check `dataset.json`.

    Raises:
        DataError: absent, no JSON, keys missing, unknown or of the wrong kind; the message lists all that are missing.
    """
    remedy = "fill it in as docs/data.md says (the open folder); `flag3d data template` writes an example"
    if not path.is_file():
        raise DataError(where=str(path), rule="no such file: without it nothing is known of the numbers", remedy=remedy)
    try:
        if (size := path.stat().st_size) > _CARD_BYTES:
            raise DataError(where=str(path), rule=f"{size} bytes: not a card", remedy=remedy)
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(where=str(path), rule=f"not valid JSON ({error})", remedy="correct the place named") from None
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise DataError(where=str(path), rule=f'"format" is not "{FORMAT}"', remedy=remedy)
    known = {field.name for field in fields(OpenCard)}
    if strange := sorted(set(values) - known):
        rule = f"unknown: {', '.join(map(repr, strange[:5]))}"
        raise DataError(where=str(path), rule=rule, remedy=f"the keys are {', '.join(sorted(known))}")
    wrong = [key for key, value in values.items() if not _fits(key, value)]
    fps = values.get("fps")
    told = {key: value for key, value in values.items() if key not in ("fps", *wrong)}
    card = OpenCard(**told, fps=float(fps) if fps and "fps" not in wrong else None)
    if missing := card.missing():
        raise DataError(where=str(path), rule=f"missing or no text: {', '.join(missing)}", remedy=remedy)
    if wrong:
        raise DataError(where=str(path), rule=f"{wrong[0]} is {values[wrong[0]]!r}", remedy=remedy)
    _check_axes(path, card)
    return card


def _fits(key: str, value: Any) -> bool:
    if key != "fps":
        return isinstance(value, str)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and math.isfinite(value) and value > 0)


def _check_axes(path: Path, card: OpenCard) -> None:
    image = is_image(layout(card.layout))
    units = ["px"] if image else [unit for unit in UNITS if unit != "px"]
    choices = [("unit", card.unit, units)]
    if not image:
        choices += [("up", card.up, list(TURNS)), ("handedness", card.handedness, list(HANDS))]
    for key, value, allowed in choices:
        if value not in allowed:
            rule = f"{key} is {value!r}, layout {card.layout} has {' or '.join(allowed)}"
            raise DataError(where=str(path), rule=rule, remedy="correct the card")


def read_sequences(path: Path, card: OpenCard) -> list[Row]:
    """The rows of sequences.csv, sorted by sample id.

    Raises:
        DataError: absent, empty, columns missing or unknown, an empty required cell, a name that is no file name, twice
            the same name (upper and lower case are not told apart: some disks do not), a number that is none.
    """
    found: dict[str, Row] = {}
    for where, cells in rows(path, _IDENTITY, _MORE):
        row = _row(where, cells, card)
        if row.sample_id.casefold() in found:
            raise _wrong(where, f"sample_id {row.sample_id!r} occurs twice", "give every sequence a name of its own")
        found[row.sample_id.casefold()] = row
    if not found:
        raise _wrong(str(path), "no sequences", "write one row per file of the folder joints")
    return sorted(found.values(), key=lambda row: row.sample_id)


def _row(where: str, cells: Mapping[str, str], card: OpenCard) -> Row:
    for name in _IDENTITY:
        if not cells[name]:
            raise _wrong(where, f"{name} is empty", "fill the cell; write `unknown` where you do not know")
    check_name(cells["sample_id"], where)
    source = cells.get("source") or "lab"
    if source not in SOURCES:
        raise _wrong(where, f"source is {source!r}", f"write one of {', '.join(SOURCES)}")
    fps = _number(where, cells, "fps", float)
    if fps is None and card.fps is None:
        raise _wrong(where, "no fps here and none in dataset.json", "write the frames per second in one of the two")
    size = (_number(where, cells, "image_height", int), _number(where, cells, "image_width", int))
    if card.unit == "px" and None in size:
        raise _wrong(where, "pixels without image_height and image_width", "write the size of the image in pixels")
    texts = {name: cells.get(name, "") for name in ("view", "scene", "avatar", "body_part")}
    return Row(
        **{name: cells[name] for name in _IDENTITY},
        **texts,
        source=source,
        take=_number(where, cells, "take", int) or 1,
        fps=fps,
        image_hw=None if size[0] is None or size[1] is None else (size[0], size[1]),
    )


def read_repetitions(path: Path, sample_ids: Collection[str]) -> tuple[dict[str, list[Repetition]], int]:
    """Repetitions per sample id in the order of the table, and the number of key scores per repetition.

    Raises:
        DataError: a sequence that does not exist, a frame that is no number, a key score other than 0, 1 or empty.
    """
    found: dict[str, list[Repetition]] = {}
    keys = 0
    for where, cells in rows(path, ("sample_id", "start", "end"), numbered="key"):
        if cells["sample_id"] not in sample_ids:
            raise _wrong(where, f"{cells['sample_id']!r} is not in {SEQUENCES}", "correct the name or remove the row")
        scores = [text for name, text in cells.items() if name.startswith("key")]
        keys = len(scores)
        if not all(text in ("0", "1") for text in scores) and any(scores):
            raise _wrong(
                where, f"key scores {', '.join(map(repr, scores))}", "write 0 or 1, or leave all of them empty"
            )
        start, end = _frame(where, cells, "start"), _frame(where, cells, "end")
        repetition = Repetition(_row_number(where), start, end, tuple(int(text) for text in scores if text))
        found.setdefault(cells["sample_id"], []).append(repetition)
    return found, keys


def read_captions(path: Path) -> dict[str, Texts]:
    """Texts per action id.

    Raises:
        DataError: an action twice, a level of the captions or a standard that is empty.
    """
    found: dict[str, Texts] = {}
    for where, cells in rows(path, ("action_id", *LEVELS), numbered="standard"):
        if cells["action_id"] in found:
            raise _wrong(where, f"action_id {cells['action_id']!r} occurs twice", "keep one of the rows")
        if empty := [name for name, text in cells.items() if not text]:
            raise _wrong(where, f"{', '.join(empty)} is empty", "fill the cell; levels may repeat the name")
        name, details, instructions = (cells[level] for level in LEVELS)
        standards = tuple(text for column, text in cells.items() if column.startswith("standard"))
        found[cells["action_id"]] = Texts((name, details, instructions), standards)
    return found


def read_splits(path: Path) -> dict[str, list[tuple[str, str, str]]]:
    """Per split: (where, sample id, part) of every row.

    Raises:
        DataError: a part other than train, valid and test, or a split whose name is no file name.
    """
    found: dict[str, list[tuple[str, str, str]]] = {}
    for where, cells in rows(path, ("sample_id", "split", "part")):
        if cells["part"] not in ("train", "valid", "test"):
            raise _wrong(where, f"part is {cells['part']!r}", "write train, valid or test")
        if cells["split"] not in found:
            check_name(cells["split"], where)
        found.setdefault(cells["split"], []).append((where, cells["sample_id"], cells["part"]))
    return found


def rows(
    path: Path, required: Sequence[str], optional: Sequence[str] = (), numbered: str = ""
) -> Iterator[tuple[str, dict[str, str]]]:
    """(file and row, cells by column) of a table with a header; spaces around cells and empty rows are dropped.

    `numbered` admits columns key1, key2, ... in that order. A byte order mark and any line ends are fine.

    Raises:
        DataError: absent, too large, not UTF-8, separated by something else than commas, columns missing, unknown or
            twice, a row of another length.
    """
    if not path.is_file():
        raise _wrong(str(path), "no such file", "write it as docs/data.md says (the open folder)")
    lines = csv.reader(io.StringIO(text(path, MOST_TABLE_BYTES), newline=""), strict=True)
    number = 0
    try:
        header = [name.strip() for name in next(lines, [])]
        _check_header(path, header, required, optional, numbered)
        for number, cells in enumerate(lines, start=2):
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{path}, row {number}"
            if len(cells) != len(header):
                rule, remedy = f"{len(cells)} cells, the header has {len(header)}", "quote texts that hold commas"
                raise _wrong(where, rule, remedy)
            yield where, dict(zip(header, (cell.strip() for cell in cells), strict=True))
    except csv.Error as error:
        raise _wrong(f"{path}, row {number + 1}", f"not a row of a table ({error})", "correct the quotes") from None


def _check_header(
    path: Path, header: Sequence[str], required: Sequence[str], optional: Sequence[str], numbered: str
) -> None:
    many = [name for name in header if numbered and name.removeprefix(numbered).isdecimal()]
    absent = [name for name in required if name not in header]
    strange = [name for name in header if name not in {*required, *optional, *many}]
    if absent and len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise _wrong(str(path), "columns are not separated by commas", "save it as CSV separated by commas")
    if absent:
        raise _wrong(f"{path}, row 1", f"missing column {', '.join(absent)}", "add it; docs/data.md lists the columns")
    if strange or len(set(header)) < len(header):
        rule = f"unknown column {', '.join(map(repr, strange))}" if strange else "a column stands there twice"
        known = ", ".join([*required, *optional, *([f"{numbered}1, {numbered}2, ..."] if numbered else [])])
        raise _wrong(f"{path}, row 1", rule, f"remove or rename it; the columns are {known}")
    if many != [f"{numbered}{number}" for number in range(1, len(many) + 1)]:
        raise _wrong(
            f"{path}, row 1", f"columns {', '.join(many)}", f"number them {numbered}1, {numbered}2, ... in order"
        )


def check_name(name: str, where: str) -> None:
    """Raise unless the name can be the name of a file on any disk, spaces and letters of any script allowed.

    Raises:
        DataError: it cannot.
    """
    plain = all(letter.isprintable() and letter not in '/\\:*?"<>|' for letter in name)
    if not plain or not name or name != name.strip(" .") or len(name.encode()) > 200:
        shown = "".join(letter if letter.isprintable() else "?" for letter in name[:60])
        rule = f"{shown!r} cannot be the name of a file"
        raise _wrong(where, rule, 'use at most 200 letters, digits, spaces, - and _; none of / \\ : * ? " < > |')


def _number(where: str, cells: Mapping[str, str], column: str, kind: type[int] | type[float]) -> Any:
    """A positive number, or None where the cell is empty or the column absent."""
    text = cells.get(column, "")
    if not text:
        return None
    try:
        number = kind(text)
    except ValueError:
        number = None
    if number is None or not math.isfinite(number) or not 0 < number < 1e6:
        raise _wrong(where, f"{column} is {text!r}", "write a positive number, with a point and not a comma")
    return number


def _frame(where: str, cells: Mapping[str, str], column: str) -> int:
    try:
        return int(cells[column])
    except ValueError:
        raise _wrong(where, f"{column} is {cells[column]!r}", "write a frame number, counted from 0") from None


def _row_number(where: str) -> int:
    return int(where.rpartition(" ")[2])


def _wrong(where: str, rule: str, remedy: str) -> DataError:
    return DataError(where=where, rule=rule, remedy=remedy)
