"""CMU Graphics Lab motion capture, exercises: continuous trials with counted intervals of one exercise each.

    counts.csv              trial, action, start_s, end_s, count, confidence [, ...]: one row per interval
    TRIAL.npz               `positions` floating point [T, 31, 3] (metres, y up, 120 Hz), `names` [31], `labels` [N]
                            (exercise of every 0.1 s)
    or TRIAL.amc, SUBJECT.asf   as CMU releases them: 13_29.amc and 13.asf

What is known is how often an exercise is done in an interval, not where one repetition ends and the next begins. Each
interval with a count of high confidence becomes a sequence of its own, whose repetitions are spaced evenly.
"""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int32

from flag3d_ray.data import lexicon
from flag3d_ray.data.manifest import Card
from flag3d_ray.data.reader import Reader
from flag3d_ray.data.readers.asf_amc import read_amc, read_asf
from flag3d_ray.data.readers.files_in import csv_rows, inside, integer, listed, load_npz, stems, to_joints
from flag3d_ray.data.splits import Split, split_all_test
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import layout

TABLE = "counts.csv"
LAYOUT = "cmu31"
FPS = 120.0
LABELS_PER_SECOND = 10
INCH_M = 0.0254
"""The unit of CMU's skeletons is an inch over their `length`, 0.45: 56.4 mm."""
CONFIDENCE = "high"
"""Counts of any other confidence are no truth and left out."""
NAMES = (
    *("root", "lhipjoint", "lfemur", "ltibia", "lfoot", "ltoes", "rhipjoint", "rfemur", "rtibia", "rfoot", "rtoes"),
    *("lowerback", "upperback", "thorax", "lowerneck", "upperneck", "head"),
    *("lclavicle", "lhumerus", "lradius", "lwrist", "lhand", "lfingers", "lthumb"),
    *("rclavicle", "rhumerus", "rradius", "rwrist", "rhand", "rfingers", "rthumb"),
)
"""CMU's bones in the order of the layout cmu31. A joint is the far end of the bone: `lfemur` is the left knee."""
EXERCISES: Mapping[str, int] = {
    "JumpJack": 1,
    "Jog": 2,
    "Squat": 3,
    "KneeRaise": 4,
    "ArmCircle": 5,
    "Twist": 6,
    "SideReach": 7,
    "Box": 8,
    "UpDown": 9,
    "ToeTouch1": 10,
    "SideBend": 11,
    "ToeTouch2": 12,
}
"""Exercise in the table -> number in the labels, which is its place in `lexicon.cmu_exercise_ids` too."""

CARD = Card(
    description="CMU Graphics Lab motion capture: intervals of one exercise each, cut from continuous trials and counted "
    "by eye.",
    limits="Counts are truth, borders are not: the repetitions of an interval are spaced evenly, so test whole sequences "
    "(test_crops 1) and train on none. Only counts of high confidence are read. Few sequences of one person. Captions "
    "and standards are this project's own words.",
    licence="CMU's terms: free for research and products, no resale of the data; labels BSD-2-Clause (M. Hughes)",
    unit="m",
    fps="120",
    axes="right-handed, y up",
    citation="The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from "
    "NSF EIA-0196217.",
)

_TRIAL = re.compile(r"(?P<subject>\d{1,3})_(?P<number>\d{1,3})")
_COLUMNS = ("trial", "action", "start_s", "end_s", "count", "confidence")
_CORRECT = f"correct the row of {TABLE}, or remove it"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One counted interval: what its row says, as text, the file of its trial, and the skeleton of a .amc file.

    `number` counts the intervals of the trial from 1.
    """

    path: Path
    skeleton: Path | None
    where: str
    trial: str
    number: int
    cells: tuple[tuple[str, str], ...]


def find(root: Path) -> Sequence[Item]:
    """The intervals with a count of high confidence, in the order of the table.

    Raises:
        DataError: no folder, no table or a broken one, a trial without a file, a link out of the folder, no interval.
    """
    trials = stems([*listed(root, "*.npz"), *listed(root, "*.amc")])
    skeletons = stems(listed(root, "*.asf"))
    table = inside(root, TABLE)
    found: list[Item] = []
    seen: dict[str, int] = {}
    rows = csv_rows(table, _COLUMNS)
    for row, cells in rows:
        where, trial = f"{table}, row {row}", cells["trial"]
        seen[trial] = seen.get(trial, 0) + 1
        if cells["confidence"].lower() != CONFIDENCE:
            continue
        if trial not in trials:
            rule = f"there is no {trial[:40]!r}.npz or .amc"
            raise DataError(where=where, rule=rule, remedy="put the trial into the folder, or remove its rows")
        skeleton = skeletons.get(trial.partition("_")[0])
        if trials[trial].suffix == ".amc" and skeleton is None:
            rule = f"{trial}.amc has no skeleton {trial.partition('_')[0]}.asf"
            raise DataError(where=where, rule=rule, remedy="put the subject's .asf file beside it")
        wanted = tuple((name, cells[name]) for name in _COLUMNS)
        found.append(Item(trials[trial], skeleton, where, trial, seen[trial], wanted))
    if not found:
        rule = f"no row of {CONFIDENCE} confidence among {len(rows)}"
        raise DataError(where=str(table), rule=rule, remedy="count intervals of which you are sure")
    if len(found) < len(rows):
        _log.info(
            "%s: %d of %d intervals are of lower confidence and left out", table, len(rows) - len(found), len(rows)
        )
    return found


def load(item: Item) -> Sample:
    """One interval: layout cmu31, metres, y up, where the subject stood and faced.

    Raises:
        DataError: the row names no exercise, no whole count or no interval of the trial, the trial's labels say another
            exercise, or its arrays or files break a rule.
    """
    cells = dict(item.cells)
    named = _TRIAL.fullmatch(item.trial)
    if named is None or cells["action"] not in EXERCISES:
        rule = f"trial {item.trial[:40]!r}, action {cells['action'][:40]!r}"
        remedy = f"trials are called like 13_29, and actions {', '.join(EXERCISES)}"
        raise DataError(where=item.where, rule=rule, remedy=remedy)
    number = EXERCISES[cells["action"]]
    action_id = lexicon.cmu_exercise_ids()[number - 1]
    captions = lexicon.captions(action_id)
    positions_TVC = _positions(item, number, cells)
    start, end = _frames(item, cells, len(positions_TVC))
    count = integer(item.where, cells, "count", least=1)
    return Sample(
        sample_id=f"{item.trial}_{item.number:02d}",
        dataset="cmu_exercise",
        source="lab",
        action_id=action_id,
        action=captions[0],
        body_part="",
        subject=f"S{int(named['subject']):03d}",
        take=int(named["number"]),
        fps=FPS,
        layout=LAYOUT,
        unit="m",
        captions=captions,
        standards=tuple(standard.text for standard in lexicon.standards(action_id)),
        joints_MTVC=to_joints(item.path, positions_TVC, layout(LAYOUT))[None, start:end],
        reps_R2=evenly(item.where, count, end - start),
    )


def evenly(where: str, count: int, frames: int) -> Int32[np.ndarray, "R 2"]:
    """`count` repetitions of equal length that fill the sequence.

    Raises:
        DataError: there are more repetitions than frames.
    """
    if count > frames:
        raise DataError(where=where, rule=f"{count} repetitions in {frames} frames", remedy=_CORRECT)
    borders = np.round(np.linspace(0, frames, count + 1)).astype(np.int32)
    return np.stack([borders[:-1], borders[1:]], axis=1)


def splits(root: Path, index: pa.Table) -> Sequence[Split]:
    """Everything is tested: one person, and borders of repetitions that nobody marked."""
    return [split_all_test(index["action_id"].to_pylist())]


def _positions(item: Item, number: int, cells: Mapping[str, str]) -> Float[np.ndarray, "T 31 3"]:
    """The whole trial in metres; where it has labels the interval's must be the exercise of that number."""
    if item.skeleton is not None and item.path.suffix == ".amc":
        skeleton = read_asf(item.skeleton)
        _check_names(item.skeleton, skeleton.joints)
        if skeleton.unit_length <= 0:
            rule = f"length {skeleton.unit_length:g} among its units"
            raise DataError(where=str(item.skeleton), rule=rule, remedy="copy the subject's .asf file again")
        return read_amc(item.path, skeleton) * (INCH_M / skeleton.unit_length)
    wanted = {"positions": (("T", len(NAMES), 3), "f"), "names": ((len(NAMES),), "U"), "labels": (("N",), "iu")}
    arrays = load_npz(item.path, wanted)
    _check_names(item.path, arrays["names"].tolist())
    start, end = (round(_seconds(item, cells, name) * LABELS_PER_SECOND) for name in ("start_s", "end_s"))
    if others := sorted({int(label) for label in arrays["labels"][start:end]} - {number}):
        rule = f"{cells['action']} is label {number}, but {item.path.name} has {', '.join(map(str, others))} in there"
        raise DataError(where=item.where, rule=rule, remedy=_CORRECT)
    return arrays["positions"]


def _check_names(path: Path, names: Sequence[str]) -> None:
    if tuple(names) != NAMES:
        wrong = next((name for name, known in zip(names, NAMES, strict=False) if name != known), "another number")
        rule = f"its bones are not the 31 of CMU's skeleton in their order: {wrong[:40]!r}"
        raise DataError(where=str(path), rule=rule, remedy="use the files of CMU's database as they are")


def _frames(item: Item, cells: Mapping[str, str], frames: int) -> tuple[int, int]:
    """First and exclusive last frame; the last label may reach beyond the trial by less than its length."""
    start, end = (round(_seconds(item, cells, name) * FPS) for name in ("start_s", "end_s"))
    if not 0 <= start < min(end, frames) or end - frames >= FPS / LABELS_PER_SECOND:
        rule = f"{cells['start_s']} to {cells['end_s']} s is no interval of the trial's {frames / FPS:g} s"
        raise DataError(where=item.where, rule=rule, remedy=_CORRECT)
    return start, min(end, frames)


def _seconds(item: Item, cells: Mapping[str, str], column: str) -> float:
    try:
        seconds = float(cells[column])
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < 1e6:
        raise DataError(where=item.where, rule=f"{column} is {cells[column][:40]!r}", remedy="write seconds, as 16.5")
    return seconds


READER = Reader(card=CARD, layout=LAYOUT, find=find, load=load, splits=splits)
