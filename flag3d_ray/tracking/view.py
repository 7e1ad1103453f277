"""A watcher that shows a sweep in MLflow, and the rebuilding of that view from the store."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flag3d_ray.errors import RunError
from flag3d_ray.files import DiskFull
from flag3d_ray.progress import Cell
from flag3d_ray.storage import StorageLost
from flag3d_ray.store import Store
from flag3d_ray.tracking.connect import Place, connect, without_password
from flag3d_ray.tracking.content import Group, stored_cell, stored_groups
from flag3d_ray.tracking.session import Session

EXPERIMENT = "flag3d counting"
_PASS_SECONDS = 2.0
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_CLOSING_WAIT = 0.5


class MlflowView:
    """Shows a sweep in MLflow. No method waits for MLflow but `close`, which waits `patience` seconds at most."""

    def __init__(
        self,
        uri: str,
        artifacts: Path,
        experiment: str,
        group: str,
        parent_parameters: Mapping[str, str] | None = None,
        *,
        patience: float = 30.0,
        say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
    ) -> None:
        _check_name(group)
        self._place = Place(uri, artifacts)
        self._group = Group(group, experiment, dict(parent_parameters or {}))
        self._patience, self._say = patience, say
        self._changed, self._remembering = threading.Condition(), threading.Lock()
        self._newest: tuple[Cell, ...] | None = None
        self._closing = self._given_up = False
        self._away_since: float | None = None
        self._problem = ""
        self._thread = threading.Thread(target=self._write, daemon=True, name="mlflow-view")
        self._thread.start()

    @property
    def away_since(self) -> float | None:
        """The time (seconds of the epoch) since when MLflow does not answer, or None while it does."""
        return self._away_since

    @property
    def problem(self) -> str:
        """The last error, empty while all is well."""
        return self._problem

    def update(self, cells: Sequence[Cell]) -> None:
        """Hand over the newest cells; older ones that were not written yet are forgotten."""
        with self._changed:
            self._newest = tuple(cells)
            self._changed.notify()

    def close(self, cells: Sequence[Cell]) -> None:
        """Write the final cells and end the runs; after `patience` seconds say how to do it later."""
        with self._changed:
            self._newest, self._closing = tuple(cells), True
            self._changed.notify()
        # The thread may hang in a request until the process ends, and `flag3d track --fill` needs the keys.
        with contextlib.suppress(OSError, DiskFull, StorageLost):  # said by the runs, which write more
            if cells:
                self._remember(cells)
        self._thread.join(self._patience)
        if self._thread.is_alive():
            self._given_up = True
            reason = f" ({self._problem})" if self._problem else ""
            since = "" if self._away_since is None else f", away since {_clock(self._away_since)}"
            told = f"MLflow is not complete{since}{reason}"
            self._say(f"{told}. All results are in the store; fill it in: flag3d track --fill")

    def _write(self) -> None:
        session, wait = None, _FIRST_WAIT
        while True:
            cells, closing = self._take()
            try:
                if cells:
                    store = self._remember(cells)
                    session = session or Session.open(self._place, self._group, store, cells)
                    session.write(cells, closing=closing)
            except Exception as error:
                session, wait = None, self._after_failure(error, cells, wait)
            else:
                if self._away_since is not None:
                    self._say("MLflow answers again; what it missed is written")
                self._away_since, self._problem, wait = None, "", _FIRST_WAIT
            if self._given_up or (closing and not self._problem):
                return
            self._pause(_PASS_SECONDS)

    def _remember(self, cells: Sequence[Cell]) -> Store:
        store = Store(cells[0].folder.path.parent)
        with self._remembering:
            self._group.remember(store.root, cells)
        return store

    def _take(self) -> tuple[tuple[Cell, ...], bool]:
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None)
            cells, self._newest = self._newest or (), None
            return cells, self._closing

    def _after_failure(self, error: Exception, cells: tuple[Cell, ...], wait: float) -> float:
        self._problem = without_password(" ".join(str(error).split()))[:200]
        if self._away_since is None:
            self._away_since = time.time()
            later = "The runs go on, and are written when it answers again, or by: flag3d track --fill"
            self._say(f"MLflow is away since {_clock(self._away_since)} ({self._problem}). {later}")
        with self._changed:
            self._newest = self._newest or cells
        time.sleep(_CLOSING_WAIT) if self._closing else self._pause(wait)
        return min(2 * wait, _LONGEST_WAIT)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)


def fill_view(store: Store, place: Place, methods: Sequence[type], experiment: str = EXPERIMENT) -> list[str]:
    """Write all runs of the store into MLflow, those that are there already included; returns what had to be left out.

    `methods` are the classes that a run's method may have (`methods.catalogue.COUNTING`).

    Raises:
        RunError: MLflow does not answer.
    """
    left_out: list[str] = []
    try:
        connect(place)
        for group in stored_groups(store, experiment):
            cells = _stored_cells(group, store, methods, left_out)
            Session.open(place, group, store, cells).write(cells, closing=True)
    except RunError:
        raise
    except Exception as error:
        remedy = "start the server or check MLFLOW_TRACKING_URI, then type the command again"
        where, rule = (without_password(text) for text in (f"MLflow at {place.uri}", " ".join(str(error).split())))
        raise RunError(where=where, rule=rule, remedy=remedy) from error
    return left_out


def _stored_cells(group: Group, store: Store, methods: Sequence[type], left_out: list[str]) -> list[Cell]:
    cells = []
    for key in group.keys:
        folder = store.folder(key)
        try:
            if folder.record_path.exists():
                cells.append(stored_cell(folder, methods))
        except RunError as error:
            left_out.append(f"{key}: {error}")
    return cells


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _check_name(group: str) -> None:
    if not group or "'" in group or "`" in group:
        raise RunError(
            where="group", rule=f"{group!r} cannot be searched for in MLflow", remedy="use letters and digits"
        )
