"""One run as a worker sees it: fit it, and leave either a model or a reason in its folder. Without Ray."""

import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from flag3d_ray.budget import BudgetSpent, is_spent
from flag3d_ray.errors import Flag3dError, RunError
from flag3d_ray.files import DiskFull
from flag3d_ray.home import Home
from flag3d_ray.lease import Holder, read_holder
from flag3d_ray.run import Resources, Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training.fit import OnEpoch, fit
from flag3d_ray.training.threads import set_threads

WAIT_SECONDS = 0.2
BUDGET = "budget"
"""The reason in the record of a run that its launch's budget stopped."""


class LeaseLost(RunError):
    """Another driver leads the run now; this worker must not write any more."""


@dataclass(frozen=True)
class Trial:
    """Everything a worker needs to do one run. Picklable. `waits_for` is the folder of the run that it starts from.

    After `deadline` (seconds since the epoch) it does not start, and stops at the end of its epoch where it has started.
    """

    run: Run
    home: Home
    folder: RunFolder
    holder: Holder
    resources: Resources
    waits_for: RunFolder | None = None
    deadline: float | None = None


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
    set_threads(trial.resources.threads)
    began, spent = time.time(), folder.record().get("seconds", 0.0)

    places = [*folder.record().get("places", []), {"machine": platform.node(), "node": node}]
    folder.write_record(status="started", running=True, reason="", places=places)
    try:
        outcome = _outcome(trial, partial(_while_ours, trial, on_epoch), fit_run or _fit_here)
    except LeaseLost:
        return folder.status
    except BaseException:
        folder.write_record(running=False, seconds=spent + time.time() - began)
        raise
    folder.write_record(**outcome, running=False, seconds=spent + time.time() - began)
    return folder.status


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


def _while_ours(trial: Trial, on_epoch: OnEpoch, event: dict[str, Any]) -> None:
    if read_holder(trial.folder.lease) != trial.holder:
        rule = "another driver took this run over"
        raise LeaseLost(where=trial.folder.key, rule=rule, remedy="nothing: it goes on there")
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
    except Flag3dError as error:
        return {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    except MemoryError:
        return {"status": "failed", "reason": "out of memory"}
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename.rsplit('/', 1)[-1]}:{last.lineno}"
        return {"status": "failed", "reason": f"{type(error).__name__}: {error} ({place})"}
    return {"status": "fitted"}


def _fit_here(trial: Trial, on_epoch: OnEpoch) -> None:
    fit(trial.run, trial.home, trial.folder, on_epoch, compile=trial.resources.compile)
