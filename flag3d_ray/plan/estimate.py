"""From runs and speeds to a plan: what is cached, how long the rest takes on so many places, what it leaves on the disk.

Nothing here measures or starts anything: the same runs, store and calibration give the same plan.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import groupby
from typing import Literal

from flag3d_ray.costs import cost
from flag3d_ray.data.catalogue import SYNTHETIC
from flag3d_ray.data.ingest import RANGE_ROWS
from flag3d_ray.data.synthetic.motion import ACTIVITIES
from flag3d_ray.data.text import is_reachable
from flag3d_ray.errors import DataError
from flag3d_ray.execution import depth, with_dependencies
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.plan.amounts import amounts, is_made
from flag3d_ray.plan.calibration import Calibration
from flag3d_ray.plan.speed import ZERO, Seconds, Speed, kind, places, speed_key
from flag3d_ray.run import Resources, Run

State = Literal["cached", "to run", "failed", "not run"]
# Of `predictions.parquet`: 432 bytes a clip of 128 frames and 224 of 64, in files of 600 and 3000 clips.
PREDICTED_FRAME_BYTES = 3.5


@dataclass(frozen=True)
class Stage:
    """A launch: runs, or a search with `trials` of which all others than `runs` answer from the store.

    `shortest` is the epoch at which a search may stop a trial; 0 where nothing is stopped early.
    """

    runs: tuple[Run, ...]
    trials: int = 0
    shortest: int = 0


@dataclass(frozen=True)
class Asked:
    """What a command would do: `command` is what is typed."""

    command: str
    stages: tuple[Stage, ...]

    @property
    def runs(self) -> list[Run]:
        """Every run of it once, after the run that it starts from."""
        return with_dependencies(run for stage in self.stages for run in stage.runs)


@dataclass(frozen=True)
class Cell:
    """One run as the plan sees it: why it is not run, its seconds on one place, where those come from, and its bytes."""

    run: Run
    state: State
    why: str = ""
    fit: Seconds = ZERO
    evaluation: Seconds = ZERO
    shortest: Seconds = ZERO
    basis: str = ""
    bytes: int = 0


@dataclass(frozen=True)
class Plan:
    """What a command would cost. `parts` add up to `seconds`, of wall time; `saved` is what its cached runs took once."""

    asked: Asked
    cells: tuple[Cell, ...]
    parts: Mapping[str, Seconds] = field(default_factory=dict)
    bytes: int = 0
    saved: float = 0.0

    @property
    def reason(self) -> str:
        """Where the speeds come from, and what the range is."""
        runs = sorted({cell.basis for cell in self.cells if cell.basis})
        early = any(stage.shortest for stage in self.asked.stages)
        search = "; a search may stop trials early" if early else ""
        return f"fastest and slowest seconds per clip of {', '.join(runs) or 'no run'}{search}"

    @property
    def seconds(self) -> Seconds:
        """The whole command."""
        return sum(self.parts.values(), ZERO)

    def count(self, state: State) -> int:
        """Cells in a state."""
        return sum(cell.state == state for cell in self.cells)


@dataclass(frozen=True)
class Standing:
    """A run in a home before the launch: its state, why it cannot run, epochs that it has, and what it has cost."""

    state: State
    why: str = ""
    epochs: int = 0
    spent: float = 0.0


def standing(run: Run, home: Home) -> Standing:
    """Whether a run is finished, failed, or has what it needs; runs on a dataset that is going to be made are to run."""
    name, text = run.data.dataset, run.data.text
    if text is not None and not is_reachable(text.encoder):
        return Standing("not run", f"the text encoder {text.encoder} is not reachable")
    lineage = with_dependencies([run])
    if any(not is_made(home.dataset(one.data.dataset)) and one.data.dataset in SYNTHETIC for one in lineage):
        return Standing("to run")
    try:
        folder = home.store.folder(run_key(run, home))
    except DataError as error:
        return Standing("not run", f"{name}: {error.rule}")
    if folder.status == "failed":
        return Standing("failed", folder.record().get("reason", ""))
    spent = cost(folder).seconds
    if folder.status == "finished":
        return Standing("cached", spent=spent)
    done = len(folder.events()) if folder.last_checkpoint.exists() or folder.status == "fitted" else 0
    return Standing("to run", epochs=done, spent=spent)


def make_plan(
    asked: Asked, home: Home, resources: Resources, measured: Calibration, finished: Mapping[str, Speed]
) -> Plan:
    """The plan of a command.

    Args:
        finished: speeds of finished runs by kind, which go before those of the calibration.
    """
    known = {run: standing(run, home) for run in asked.runs}
    speeds = {run: finished.get(kind(run)) or measured.speeds.get(speed_key(run, resources)) for run in known}
    shortest = {run: stage.shortest for stage in asked.stages for run in stage.runs}
    cells = {run: _cell(run, known[run], speed, home, shortest.get(run, 0)) for run, speed in speeds.items()}
    todo = [cell for cell in cells.values() if cell.state == "to run"]
    parts = {"data": _data(todo, home, resources, measured), "texts": _texts(todo, home, measured)}
    parts |= _stages(asked, cells, resources, measured)
    made = sum(len(SYNTHETIC[name]) for name in _missing_data(todo, home))
    while_training = sorted(
        speed.training_bytes for run, speed in speeds.items() if speed and cells[run].state == "to run"
    )
    kept = sum(cell.bytes for cell in todo) + int(made * measured.overheads.row_bytes)
    return Plan(
        asked=asked,
        cells=tuple(cells.values()),
        parts={name: part for name, part in parts.items() if part.high},
        bytes=kept + sum(while_training[-places(resources) :]),
        saved=sum((known[run].spent for run, cell in cells.items() if cell.state == "cached"), 0.0),
    )


def _cell(run: Run, known: Standing, speed: Speed | None, home: Home, shortest: int) -> Cell:
    if known.state != "to run" or speed is None:
        return Cell(run, known.state, known.why)
    read = amounts(run, home)
    epoch = speed.training * read.training + speed.prediction * read.validation
    start, fits = Seconds.exactly(speed.start), run.init_from is None
    if speed.learns:
        fit = start + epoch * max(run.train.epochs - known.epochs, 0)
    else:
        fit = start + speed.training * (read.training if fits else 0)
    return Cell(
        run,
        "to run",
        fit=fit,
        evaluation=speed.prediction * read.test,
        shortest=start + epoch * min(shortest, run.train.epochs) if shortest and speed.learns else fit,
        basis=speed.basis,
        bytes=speed.model_bytes + int(read.test * run.data.frames * PREDICTED_FRAME_BYTES),
    )


def _stages(asked: Asked, cells: Mapping[Run, Cell], resources: Resources, measured: Calibration) -> dict[str, Seconds]:
    """Wall time of the launches and searches, in order; what one has run, the next finds cached."""
    left = {run: cell for run, cell in cells.items() if cell.state == "to run"}
    found = {"starts": ZERO, "training": ZERO, "evaluation": ZERO, "trials": ZERO}
    slots, beside = places(resources), measured.overheads
    for stage in asked.stages:
        mine = [left.pop(run) for run in with_dependencies(stage.runs) if run in left]
        if not mine and not stage.trials:
            continue
        generations = len({depth(cell.run) for cell in mine})
        found["starts"] += Seconds.exactly(beside.launch + beside.generation * max(generations - 1, 0))
        found["trials"] += Seconds.exactly(beside.trial / slots * (len(mine) + stage.trials))
        found["training"] += _training(mine, resources, beside.launch)
        evaluations = sum((cell.evaluation for cell in mine), ZERO)
        longest = max((cell.evaluation.likely for cell in mine), default=0.0)
        share = max(1 / slots, longest / evaluations.likely) if evaluations.likely else 0.0
        found["evaluation"] += evaluations * share
    return found


def _training(cells: Sequence[Cell], resources: Resources, launch: float) -> Seconds:
    """Generation by generation, as the executors do it; a run on several workers has the machine for itself."""
    if resources.workers > 1 and resources.executor == "ray":
        work = sum((cell.fit for cell in cells), ZERO)
        return work * (1 / resources.workers) + Seconds.exactly(launch * len(cells))
    total, slots = ZERO, places(resources)
    for _, generation in groupby(sorted(cells, key=lambda cell: depth(cell.run)), key=lambda cell: depth(cell.run)):
        members = list(generation)
        total += Seconds(
            makespan([cell.shortest.low for cell in members], slots),
            makespan([(cell.shortest.likely + cell.fit.likely) / 2 for cell in members], slots),
            makespan([cell.fit.high for cell in members], slots),
        )
    return total


def makespan(seconds: Iterable[float], slots: int) -> float:
    """When the last job ends, if each takes the place that is free first."""
    ends = [0.0] * slots
    heapify(ends)
    for job in seconds:
        heappush(ends, heappop(ends) + job)
    return max(ends)


def _missing_data(cells: Iterable[Cell], home: Home) -> list[str]:
    names = {run.data.dataset for cell in cells for run in with_dependencies([cell.run])}
    return sorted(name for name in names & SYNTHETIC.keys() if not is_made(home.dataset(name)))


def _data(cells: Sequence[Cell], home: Home, resources: Resources, measured: Calibration) -> Seconds:
    """Synthetic datasets that are made first, range by range, each in a cluster of its own."""
    beside, on_ray = measured.overheads, resources.executor == "ray"
    total = 0.0
    for name in _missing_data(cells, home):
        rows = len(SYNTHETIC[name])
        ranges = [min(RANGE_ROWS, rows - first) * beside.row for first in range(0, rows, RANGE_ROWS)]
        total += makespan(ranges, resources.cpus if on_ray else 1) + beside.launch * on_ray
    return Seconds.exactly(total)


def _texts(cells: Sequence[Cell], home: Home, measured: Calibration) -> Seconds:
    """Captions that are encoded first: one an action, level and encoder, less those that the cache holds."""
    wanted: dict[str, set[tuple[str, int]]] = {}
    for cell in cells:
        if (text := cell.run.data.text) is not None:
            wanted.setdefault(text.encoder, set()).add((cell.run.data.dataset, text.caption_level))
    total = 0.0
    for name, levels in wanted.items():
        cached = len(list(home.text.glob(f"{name}-*/*.safetensors")))
        texts = max(len(ACTIVITIES) * len(levels) - cached, 0)
        total += measured.encoders[name].load + texts * measured.encoders[name].text if texts else 0.0
    return Seconds.exactly(total)
