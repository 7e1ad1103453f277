"""The state of every run of a launch, read from the store, and the thread that shows it to watchers."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from flag3d_ray.lease import leader
from flag3d_ray.progress import ENDED, Cell, Watcher
from flag3d_ray.run import Run
from flag3d_ray.store import RunFolder

REFRESH_SECONDS = 1.0
_log = logging.getLogger(__name__)


@dataclass
class Board:
    """Cells by run, in the order they were asked for. The store is asked again at each `refresh`."""

    cells: dict[Run, Cell] = field(default_factory=dict)

    @classmethod
    def of(cls, folders: dict[Run, RunFolder]) -> "Board":
        """A board of runs as the store knows them now: finished ones are cached."""
        board = cls({run: Cell(run, folder, "waiting") for run, folder in folders.items()})
        for run, cell in board.cells.items():
            if cell.folder.status == "finished":
                board.cells[run] = replace(cell, state="cached", epoch=run.train.epochs, epochs=run.train.epochs)
        return board

    def refuse(self, run: Run, folder: RunFolder, reason: str) -> None:
        """A run that cannot start here (its encoder is not reachable) is shown as not run."""
        self.cells[run] = Cell(run, folder, "not run", detail=reason)

    def set(self, run: Run, state, detail: str = "") -> None:
        """Change a cell's state."""
        self.cells[run] = replace(self.cells[run], state=state, detail=detail)

    def open_runs(self) -> list[Run]:
        """Runs that have not ended."""
        return [run for run, cell in self.cells.items() if cell.state not in ENDED]

    def refresh(self) -> None:
        """Read the open runs' records and events again."""
        for run in self.open_runs():
            self.cells[run] = _seen(self.cells[run])


def _seen(cell: Cell) -> Cell:
    folder, status = cell.folder, cell.folder.status
    if status == "finished":
        return replace(cell, state="finished", epoch=cell.epochs, detail="")
    if status == "failed":
        return replace(cell, state="failed", detail=folder.record().get("reason", ""))
    epochs = cell.run.train.epochs
    epoch = len(folder.events()) if folder.events_path.exists() else 0
    if cell.state == "following":
        return replace(cell, epoch=epoch, epochs=epochs, detail=f"led by {leader(folder.lease) or 'nobody any more'}")
    if status == "fitted":
        return replace(cell, state="fitted", epoch=epochs, epochs=epochs)
    if folder.record().get("running"):
        return replace(cell, state="running", epoch=epoch, epochs=epochs)
    return replace(cell, epoch=epoch, epochs=epochs)


class Watching:
    """A context that keeps the watchers informed from a thread; the last word is theirs at the end."""

    def __init__(self, board: Board, watchers: Sequence[Watcher]) -> None:
        self._board, self._watchers = board, watchers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="watchers")

    def __enter__(self) -> "Watching":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._board.refresh()
        for watcher in self._watchers:
            watcher.close(tuple(self._board.cells.values()))

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self._board.refresh()
                for watcher in self._watchers:
                    watcher.update(tuple(self._board.cells.values()))
            except Exception:
                _log.exception("a view failed; the runs go on")
            self._stop.wait(REFRESH_SECONDS)
