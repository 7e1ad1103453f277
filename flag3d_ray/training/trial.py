"""One run as a worker sees it: fit it, and leave either a model or a reason in its folder. Without Ray."""

import platform
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from flag3d_ray.budget import BudgetSpent, is_spent
from flag3d_ray.chaos import Chaos
from flag3d_ray.errors import Flag3dError, RunError
from flag3d_ray.files import DiskFull
from flag3d_ray.home import Home
from flag3d_ray.interruption import reason_of
from flag3d_ray.lease import Holder, read_holder
from flag3d_ray.run import Resources, Run
from flag3d_ray.storage import StorageLost, is_trouble
from flag3d_ray.store import RunFolder
from flag3d_ray.training.fit import OnEpoch, fit
from flag3d_ray.training.watchdog import ended_when_stalled

WAIT_SECONDS = 0.2
BUDGET = "budget"
"""The reason in the record of a run that its launch's budget stopped."""


class LeaseLost(RunError):
    """Another driver leads the run now; this worker must not write any more."""


@dataclass(frozen=True)
class Trial:
    """Everything a worker needs to do one run. Picklable. `waits_for` is the folder of the run that it starts from.

    After `deadline` (seconds since the epoch) it does not start, and stops at the end of its epoch where it has started.
    With `chaos` its process is killed now and then.
    """

    run: Run
    home: Home
    folder: RunFolder
    holder: Holder
    resources: Resources
    waits_for: RunFolder | None = None
    deadline: float | None = None
    chaos: Chaos | None = None

    @property
    def chaos_losses(self) -> int:
        """How many processes it may lose to chaos, beside those that it loses to the machines."""
        return 0 if self.chaos is None else self.chaos.losses(self.folder.key, self.run.train.epochs)


FitRun = Callable[[Trial, OnEpoch], None]


def fit_trial(trial: Trial, on_epoch: OnEpoch, fit_run: FitRun | None = None, *, node: str = "") -> str:
    """Fit the run unless it is fitted already; returns its status. Exceptions of the run become its reason.

    Waits for the run that it starts from; where that one failed, so does this one. KeyboardInterrupt, a full disk and
    what a search raises through `on_epoch` to stop a trial pass through: the run is not failed, it continues from its
    checkpoint when somebody asks for it again. So it does after the deadline, which ends it with the reason `budget`. A run
    whose lease went to another driver is left as it is. The record lists where each attempt was made, `node` of Ray's included.
    """
    folder = trial.folder
    if folder.status in ("finished", "fitted") or not _source_is_there(trial) or is_spent(trial.deadline):
        return folder.status
    began, spent = time.perf_counter(), folder.record().get("seconds", 0.0)

    folder.write_record(status="started", running=True, reason="", places=places_with(folder, node))
    try:
        with ended_when_stalled(folder, trial.resources.stall_limit):
            outcome = _outcome(trial, partial(_while_ours, trial, on_epoch), fit_run or _fit_here)
    except LeaseLost:
        return folder.status
    except BaseException as end:
        with suppress(DiskFull, StorageLost):  # the error that ends it is to be told, not that of the record
            if _leads(trial):
                folder.write_record(running=False, reason=reason_of(end), seconds=spent + time.perf_counter() - began)
        raise
    if _leads(trial):
        folder.write_record(**outcome, running=False, seconds=spent + time.perf_counter() - began)
        if outcome["status"] == "fitted":
            folder.last_checkpoint.unlink(missing_ok=True)
    return folder.status


def places_with(folder: RunFolder, node: str = "") -> list[dict[str, str]]:
    """Where the run's attempts were made, the one that begins here included."""
    return [*folder.record().get("places", []), {"machine": platform.node(), "node": node}]


def _source_is_there(trial: Trial) -> bool:
    source = trial.waits_for
    while source is not None and source.status not in ("fitted", "finished"):
        if is_spent(trial.deadline):
            return False
        if source.status == "failed":
            reason = f"the run it starts from, {source.key}, failed: {source.record().get('reason', '')}"
            trial.folder.write_record(status="failed", running=False, reason=reason)
            return False
        if read_holder(source.lease) != trial.holder:
            return False
        time.sleep(WAIT_SECONDS)
    return True


def require_lead(trial: Trial) -> None:
    """Raise where another driver leads the run now: this worker must not write any more.

    Raises:
        LeaseLost: the lease names another holder.
    """
    if not _leads(trial):
        rule = "another driver took this run over"
        raise LeaseLost(where=trial.folder.key, rule=rule, remedy="nothing: it goes on there")


def _leads(trial: Trial) -> bool:
    return read_holder(trial.folder.lease) == trial.holder


def _while_ours(trial: Trial, on_epoch: OnEpoch, event: dict[str, Any]) -> None:
    require_lead(trial)
    on_epoch(event)
    if is_spent(trial.deadline) and event["epoch"] + 1 < trial.run.train.epochs:
        rule = "the budget is used up"
        raise BudgetSpent(where=trial.run.label, rule=rule, remedy="type the same command to go on")


def _outcome(trial: Trial, on_epoch: OnEpoch, fit_run: FitRun) -> dict[str, str]:
    try:
        fit_run(trial, on_epoch)
    except (LeaseLost, DiskFull):
        raise
    except BudgetSpent:
        return {"status": "started", "reason": BUDGET}
    except Exception as error:
        if is_trouble(error):  # says nothing of the run, which goes on when its storage is back
            raise
        return failed(error)
    return {"status": "fitted"}


def failed(error: Exception) -> dict[str, str]:
    """What the record says of a run that an error ended: the user's own errors as they are, others with their place."""
    if isinstance(error, Flag3dError):
        return {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return {"status": "failed", "reason": "out of memory"}  # torch raises a RuntimeError without a GPU
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{last.filename.rsplit('/', 1)[-1]}:{last.lineno}"
    return {"status": "failed", "reason": f"{type(error).__name__}: {error} ({place})"}


def _fit_here(trial: Trial, on_epoch: OnEpoch) -> None:
    lead = partial(require_lead, trial)
    fit(trial.run, trial.home, trial.folder, on_epoch, compile=trial.resources.compile, require_lead=lead)
