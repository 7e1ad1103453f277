"""What a sweep looks like from outside: one `Cell` per run, handed to watchers (the live view, the MLflow view)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from flag3d_ray.run import Run
from flag3d_ray.store import RunFolder

State = Literal[
    "waiting", "preparing", "running", "fitted", "finished", "cached", "following", "failed", "not run", "stopped"
]
ENDED: frozenset[State] = frozenset({"finished", "cached", "failed", "not run", "stopped"})


@dataclass(frozen=True)
class Cell:
    """One run of a sweep or table, as the driver sees it now.

    `preparing` runs wait for their captions to be encoded, `fitted` ones for their evaluation or its end.
    `stopped` ones had not ended when the launch's budget was used up, or when it was interrupted or failed.
    `epoch` of `epochs` is what the run's event log says; `detail` is the reason of a failure or who leads it.
    """

    run: Run
    folder: RunFolder
    state: State
    epoch: int = 0
    epochs: int = 0
    detail: str = ""


@runtime_checkable
class Watcher(Protocol):
    """Something that shows a sweep. It must return quickly and never raise: training does not wait for a view."""

    def update(self, cells: Sequence[Cell]) -> None:
        """Called every second or two while runs go on."""
        ...

    def close(self, cells: Sequence[Cell]) -> None:
        """Called once at the end with the final cells, also after Ctrl-C."""
        ...
