"""The state of every run of a launch, read from the store, and the thread that shows it to watchers."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from flag3d_ray.budget import duration
from flag3d_ray.files import DiskFull
from flag3d_ray.interruption import reason_of
from flag3d_ray.lease import Holder, leader
from flag3d_ray.progress import ENDED, Cell, Watcher
from flag3d_ray.run import Run
from flag3d_ray.storage import StorageLost
from flag3d_ray.store import RunFolder

REFRESH_SECONDS = 1.0
STALL_SECONDS, STALL_EPOCHS = 60.0, 10  # a run that is quiet for both, in seconds and in its longest epochs, is named
_log = logging.getLogger(__name__)


@dataclass
class Board:
    """Cells by run, in the order they were asked for. The store is asked again at each `refresh`."""

    cells: dict[Run, Cell] = field(default_factory=dict)
    _epochs: dict[Run, tuple[int, float]] = field(default_factory=dict)  # of running ones, and since when

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

    def stop(self, reason: str) -> None:
        """The launch ends before its runs did: their records say why, and they are shown as stopped.

        A followed run goes on where it is led. The record of any run that somebody else leads by now is left to them.
        """
        me = Holder.this_process()
        for run in self.open_runs():
            folder, said = self.cells[run].folder, reason
            with suppress(DiskFull, StorageLost):  # perhaps that is why it ends; the next launch corrects the record
                led_by_another = leader(folder.lease) not in (None, me)
                if led_by_another and self.cells[run].state == "following":
                    continue
                record = folder.record()
                if not record.get("running"):
                    said = record.get("reason") or reason
                elif not led_by_another:
                    folder.write_record(running=False, reason=reason)
            self.set(run, "stopped", f"{said}; the same command continues it")

    def open_runs(self) -> list[Run]:
        """Runs that have not ended."""
        return [run for run, cell in self.cells.items() if cell.state not in ENDED]

    def refresh(self) -> None:
        """Read the open runs' records and events again."""
        for run in self.open_runs():
            before = self.cells[run]
            seen = self._named_if_stalled(_seen(before))
            if self.cells[run] is before:  # what the launch said while the store was read is newer
                self.cells[run] = seen

    def _named_if_stalled(self, cell: Cell) -> Cell:
        now = time.monotonic()  # the time of day may be set
        epoch, since = self._epochs.get(cell.run, (-1, now))
        if cell.state != "running" or epoch != cell.epoch:
            self._epochs[cell.run] = (cell.epoch, now)
            return cell
        quiet = now - since
        if quiet < STALL_SECONDS:
            return cell
        longest = max((event.get("seconds", 0.0) for event in cell.folder.events()), default=0.0)
        if quiet < STALL_EPOCHS * longest or not longest:
            return cell
        return replace(cell, detail=f"no epoch for {duration(quiet)}, its longest took {duration(longest)}")


def _seen(cell: Cell) -> Cell:
    folder, status = cell.folder, cell.folder.status
    if status == "finished":
        return replace(cell, state="finished", epoch=cell.epochs, detail="")
    if status == "failed":
        return replace(cell, state="failed", detail=folder.record().get("reason", ""))
    epochs = cell.run.train.epochs
    epoch, record = len(folder.events()), folder.record()
    if cell.state == "following":
        return replace(cell, epoch=epoch, epochs=epochs, detail=f"led by {leader(folder.lease) or 'nobody any more'}")
    if status == "fitted":
        return replace(cell, state="fitted", epoch=epochs, epochs=epochs)
    if record.get("running"):
        return replace(cell, state="running", epoch=epoch, epochs=epochs, detail=_why_from_the_beginning(record))
    return replace(cell, epoch=epoch, epochs=epochs)


def _why_from_the_beginning(record: Mapping[str, Any]) -> str:
    return "; ".join(text for text in (record.get("rerun"), record.get("recovery")) if text)


class Watching:
    """A context that keeps the watchers informed from a thread; the last word is theirs at the end."""

    def __init__(self, board: Board, watchers: Sequence[Watcher]) -> None:
        self._board, self._watchers = board, watchers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="watchers")

    def __enter__(self) -> "Watching":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, end: BaseException | None, trace: object) -> None:
        self._stop.set()
        self._thread.join()
        with ExitStack() as closing:
            for watcher in reversed(self._watchers):
                closing.callback(self._close, watcher)
            # What ends the launch is to be told, and not that a storage does not answer after it.
            with suppress(*(() if end is None else (DiskFull, StorageLost))):
                self._board.refresh()
            if end is not None:
                self._board.stop(reason_of(end))

    def _close(self, watcher: Watcher) -> None:
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
