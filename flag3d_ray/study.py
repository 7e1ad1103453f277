"""A sweep's study on disk: who searches it, its trials so far, and those that an ended search left open."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from flag3d_ray.errors import RunError
from flag3d_ray.home import Home
from flag3d_ray.lease import Leases
from flag3d_ray.run import Sweep


@contextmanager
def alone(sweep: Sweep, home: Home) -> Iterator[None]:
    """Hold the study's lease: without it, trials that another process has running would be taken for left behind.

    Raises:
        RunError: another process holds it.
    """
    with Leases() as leases:
        holder = leases.acquire(study_lease(sweep, home))
        if holder is not None:
            remedy = "wait until it has ended or end it, then type the same command: it continues the study"
            raise RunError(where=f"search {sweep.name}", rule=f"{holder} is searching already", remedy=remedy)
        yield


def study_lease(sweep: Sweep, home: Home) -> Path:
    """The file that names who searches a study now."""
    return home.local / "searches" / f"{sweep.name}.json"


def completed_trials(sweep: Sweep, home: Home) -> int:
    """How many trials of the study are completed. The study is only read, also where another process searches it."""
    with read_study(sweep, home) as study:
        return 0 if study is None else len(study.get_trials(states=[TrialState.COMPLETE]))


def _studies(home: Home) -> Path:
    return home.local / "studies.db"


@contextmanager
def open_storage(home: Home) -> Iterator[RDBStorage]:
    """The database of the studies, created at first; its connections are closed at the end of the block."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = _studies(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = RDBStorage(f"sqlite:///{path}")
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def read_study(sweep: Sweep, home: Home) -> Iterator[optuna.Study | None]:
    """The sweep's study to look at, or None where none was begun."""
    if not _studies(home).exists():
        yield None
        return
    with open_storage(home) as storage:
        study = None
        with suppress(KeyError):
            study = optuna.load_study(study_name=sweep.name, storage=storage)
        yield study


def requeue_orphans(study: optuna.Study) -> None:
    """Close trials that an ended search left open, and queue their values, so that half-trained runs are finished first.

    Only under the study's lease. Queued before they are closed: killed in between, a run is looked up twice rather than lost.
    """
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        if values := trial.system_attrs.get("fixed_params", {}) | trial.params:
            study.enqueue_trial(values)
        study.tell(trial.number, state=TrialState.FAIL)
