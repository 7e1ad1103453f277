"""FLAG3D++ (Tang et al.): counting and quality annotations beside motion capture, in the folders of the authors' loader.

    train_rac/NAME.csv, test_rac/NAME.csv   one row per repetition: Sta, End (exclusive) [, Key1, Key2, Key3]
    skeleton/NAME.npy                       floating point [T, 24, 3], joints of flag3d24

The first four characters of NAME are the activity, A001 to A060. What follows is not published: P and digits are read as
the performer, R and digits as the take (`A001P003R02`), and where there are none the performer is `unknown`.
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int8

from flag3d_ray.data import lexicon
from flag3d_ray.data.manifest import Card
from flag3d_ray.data.reader import Reader
from flag3d_ray.data.readers.files_in import csv_rows, integer, intervals, listed, load_npy, normal, stems, to_joints
from flag3d_ray.data.recognition_splits import UNKNOWN
from flag3d_ray.data.splits import Split, split_by_action, split_by_person
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import FLAG3D24

TRAIN, TEST, SKELETONS = "train_rac", "test_rac", "skeleton"
START, END = "Sta", "End"
KEYS = ("Key1", "Key2", "Key3")
"""Columns of the key scores. Their released names are not known: a table with other names is read as one without scores."""
FPS = 30.0
"""Assumed: the release states no frame rate. The paper's 30 is that of the videos rendered from this motion."""
VALID_SHARE = 0.1
"""Of the training activities, held out to select: five of fifty."""

CARD = Card(
    description="FLAG3D++ (Tang et al.): 60 fitness activities, motion capture, every repetition marked by people.",
    limits="The frame rate, 30, is assumed. Three key scores per repetition only where the tables have columns Key1 to Key3. "
    "Performers are known only where names carry them. Descriptions and standards are this project's, not the dataset's.",
    licence="the dataset's own agreement (License_FLAG3D.pdf in its repository): research",
    unit="m",
    fps="30",
    axes="right-handed, y up (the release is left-handed: its third coordinate is negated)",
    citation="Tang et al.: FLAG3D++: A Benchmark for 3D Fitness Activity Comprehension with Language Instruction",
)

_NAMED = {name: re.compile(rf"(?<![A-Za-z]){name}(\d{{1,3}})(?!\d)") for name in "PR"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One sequence: the file of its joints, which may be absent, its table, and that of the same name on the other side."""

    path: Path
    table: Path
    twin: Path | None


def find(root: Path) -> Sequence[Item]:
    """The sequences that have a table, by name.

    Raises:
        DataError: no folder, no table, or a file that is a link out of the folder.
    """
    tables = [table for folder in (TRAIN, TEST) for table in listed(root, f"{folder}/*.csv")]
    if not tables:
        rule = f"neither {TRAIN} nor {TEST} holds a .csv file"
        raise DataError(where=str(root), rule=rule, remedy="point at the release's folder processed_data")
    joints = stems(listed(root, f"{SKELETONS}/*.npy"))
    if spare := set(joints) - {normal(table.stem) for table in tables}:
        _log.info("%s: %d files of %s have no table and are left out", root, len(spare), SKELETONS)
    sides: dict[str, list[Path]] = {}
    for table in tables:
        sides.setdefault(normal(table.stem), []).append(table)
    return [
        Item(
            path=joints.get(normal(table.stem), root / SKELETONS / f"{table.stem}.npy"),
            table=table,
            twin=next((other for other in sides[normal(table.stem)] if other is not table), None),
        )
        for table in sorted(tables, key=lambda table: (table.stem, table.parent.name))
    ]


def load(item: Item) -> Sample:
    """One sequence: layout flag3d24, metres, right-handed.

    Raises:
        DataError: the sequence has a table on both sides, the activity is unknown, the joints are missing or break a
            rule, the table has no row or one that breaks a rule.
    """
    name = item.table.stem
    action_id = name[:4]
    if item.twin is not None:
        rule = f"{name} has a table in {item.twin.parent.name} too: a leak between training and test"
        raise DataError(where=str(item.table), rule=rule, remedy="move one of the two tables out of the folder")
    if action_id not in lexicon.activity_ids():
        rule = f"the name begins with {action_id!r}, which is no activity"
        raise DataError(where=str(item.table), rule=rule, remedy="names begin with A001 to A060, as A001P003R02")
    if not item.path.is_file():
        remedy = "put it there, or move the table out of the folder"
        raise DataError(where=str(item.table), rule=f"there is no {SKELETONS}/{item.path.name}", remedy=remedy)
    released_TVC = load_npy(item.path, ("T", len(FLAG3D24), FLAG3D24.channels))
    joints_TVC = to_joints(item.path, released_TVC, FLAG3D24)
    rows = csv_rows(item.table, (START, END))
    places = [f"{item.table}, row {number}" for number, _ in rows]
    bounds = [
        (where, integer(where, cells, START), integer(where, cells, END))
        for where, (_, cells) in zip(places, rows, strict=True)
    ]
    if not bounds:
        remedy = "annotate it, or move the table out of the folder"
        raise DataError(where=str(item.table), rule="no repetition: the table has no row", remedy=remedy)
    subject, take = _named(name)
    captions = lexicon.captions(action_id)
    return Sample(
        sample_id=name,
        dataset="flag3dpp",
        source="lab",
        action_id=action_id,
        action=captions[0],
        body_part=lexicon.body_part(action_id),
        subject=subject,
        take=take,
        fps=FPS,
        layout=FLAG3D24.name,
        unit="m",
        captions=captions,
        standards=tuple(standard.text for standard in lexicon.standards(action_id)),
        joints_MTVC=(joints_TVC * np.array([1, 1, -1], np.float32))[None],
        reps_R2=intervals(bounds, len(joints_TVC)),
        keys_RS=_keys(places, [cells for _, cells in rows]),
    )


def splits(root: Path, index: pa.Table) -> Sequence[Split]:
    """`released`, and `by_action` and `by_person` where the copy has the activities or people that they need."""
    body_parts = dict(zip(index["action_id"].to_pylist(), index["body_part"].to_pylist(), strict=True))
    people = index["subject"].to_pylist()
    draws: list[Callable[[], Split]] = [lambda: split_by_action(body_parts)]
    if UNKNOWN not in people:
        draws.append(lambda: split_by_person(people))
    found = [released(root, index)]
    for draw in draws:
        try:
            found.append(draw())
        except DataError as error:
            _log.warning("no %s: %s", error.where, error.rule)
    return found


def released(root: Path, index: pa.Table, seed: int = 0) -> Split:
    """The authors' folders: train_rac trains, test_rac tests; a tenth of the training activities, drawn, selects."""
    known = set(index["sample_id"].to_pylist())
    train, test = (
        [table.stem for table in listed(root, f"{folder}/*.csv") if table.stem in known] for folder in (TRAIN, TEST)
    )
    actions = sorted({name[:4] for name in train})
    drawn = np.random.default_rng((seed, 0xF3)).permutation(len(actions))
    number = max(1, round(VALID_SHARE * len(actions))) if len(actions) > 1 else 0
    held = sorted(actions[int(place)] for place in drawn[:number])
    return Split(
        name="released",
        by="sample_id",
        rule=f"{TRAIN} trains, {TEST} tests; activities {', '.join(held) or 'none'} of the training side for validation",
        seed=seed,
        train=tuple(name for name in train if name[:4] not in held),
        valid=tuple(name for name in train if name[:4] in held),
        test=tuple(test),
    )


def _named(name: str) -> tuple[str, int]:
    """Performer and take, `unknown` and 1 where the name has none."""
    person, take = (pattern.search(name[4:]) for pattern in _NAMED.values())
    return f"P{int(person[1]):03d}" if person else UNKNOWN, int(take[1]) if take else 1


def _keys(places: Sequence[str], rows: Sequence[dict[str, str]]) -> Int8[np.ndarray, "R S"] | None:
    """Key scores; None where the table has no columns for them or all of them are empty."""
    names = [name for name in KEYS if name in rows[0]]
    if not any(cells[name] for cells in rows for name in names):
        return None
    if len(names) < len(KEYS):
        rule, remedy = f"columns {', '.join(names)} without the other key scores", "add the column, or remove these"
        raise DataError(where=places[0], rule=rule, remedy=remedy)
    for where, cells in zip(places, rows, strict=True):
        if not all(cells[name] in ("0", "1") for name in KEYS):
            rule = f"key scores {', '.join(repr(cells[name][:20]) for name in KEYS)}"
            raise DataError(where=where, rule=rule, remedy="write 0 or 1, in every row or in none")
    return np.array([[int(cells[name]) for name in KEYS] for cells in rows], np.int8)


READER = Reader(card=CARD, layout=FLAG3D24.name, find=find, load=load, splits=splits)
