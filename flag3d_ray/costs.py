"""What runs have cost, read from the store: seconds of fitting and of evaluation, and what need not be spent again."""

from collections.abc import Iterable
from dataclasses import dataclass

from flag3d_ray.progress import Cell
from flag3d_ray.store import RunFolder

GRACE_EPOCHS = 3
"""Before which a search stops no trial."""


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time on one slot of the machine, all attempts at the run together."""

    fit: float = 0.0
    evaluation: float = 0.0

    @property
    def seconds(self) -> float:
        """Both together."""
        return self.fit + self.evaluation


@dataclass(frozen=True)
class Savings:
    """Seconds that `cached` runs took when they ran, and that the epochs which stopped runs left out would have taken."""

    cached: float = 0.0
    stopped_early: float = 0.0


def cost(folder: RunFolder) -> Cost:
    """What a run has cost so far; zero where nothing is known."""
    record = folder.record()
    return Cost(record.get("seconds", 0.0), record.get("evaluation_seconds", 0.0))


def note_evaluation(folder: RunFolder, seconds: float) -> None:
    """Add what an evaluation took to the run's record."""
    folder.write_record(evaluation_seconds=cost(folder).evaluation + seconds)


def cell_costs(cells: Iterable[Cell]) -> dict[str, list[float]]:
    """Label without its seed -> seconds of each run of it that this launch worked on."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        if cell.state not in ("cached", "not run") and (seconds := cost(cell.folder).seconds):
            found.setdefault(cell.run.label.rpartition(", seed")[0], []).append(seconds)
    return found


def savings(cells: Iterable[Cell]) -> Savings:
    """What the cached cells cost when they ran, and what those that a search stopped early did not cost."""
    cells = list(cells)
    cached = sum((cost(cell.folder).seconds for cell in cells if cell.state == "cached"), 0.0)
    early = sum((left_out(cell.folder, cell.run.train.epochs) for cell in cells if _was_cut(cell)), 0.0)
    return Savings(cached, early)


def left_out(folder: RunFolder, epochs: int) -> float:
    """Seconds that the epochs which a run did not train would have taken, at the mean of those that it did."""
    seconds = [event["seconds"] for event in folder.events() if "seconds" in event]
    return sum(seconds) / len(seconds) * max(epochs - len(seconds), 0) if seconds else 0.0


def _was_cut(cell: Cell) -> bool:
    """A search leaves runs that it stopped with epochs in their log and without an end."""
    return cell.folder.status == "started" and cell.state not in ("stopped", "following", "running")
