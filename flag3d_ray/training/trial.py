"""One run as a worker sees it: fit it, and leave either a model or a reason in its folder. Without Ray."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flag3d_ray.errors import Flag3dError, RunError
from flag3d_ray.home import Home
from flag3d_ray.lease import Holder, read_holder
from flag3d_ray.run import Resources, Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training.fit import OnEpoch, fit
from flag3d_ray.training.threads import set_threads


class LeaseLost(RunError):
    """Another driver leads the run now; this worker must not write any more."""


@dataclass(frozen=True)
class Trial:
    """Everything a worker needs to do one run. Picklable."""

    run: Run
    home: Home
    folder: RunFolder
    holder: Holder
    resources: Resources


def fit_trial(trial: Trial, on_epoch: OnEpoch, fit_run: Callable[[Trial, OnEpoch], None] | None = None) -> str:
    """Fit the run unless it is fitted already; returns its status. Exceptions of the run become its reason.

    KeyboardInterrupt and what a search raises through `on_epoch` to stop a trial pass through: the run is not failed,
    it continues from its checkpoint when somebody asks for it again.
    """
    folder = trial.folder
    if folder.status in ("finished", "fitted"):
        return folder.status
    set_threads(trial.resources.threads)
    began, spent = time.time(), folder.record().get("seconds", 0.0)

    def guarded(event: dict[str, Any]) -> None:
        if read_holder(folder.lease) != trial.holder:
            raise LeaseLost(where=folder.key, rule="another driver took this run over", remedy="nothing: it goes on there")
        on_epoch(event)

    folder.write_record(status="started", running=True, reason="")
    try:
        (fit_run or _fit_here)(trial, guarded)
    except LeaseLost:
        raise
    except Flag3dError as error:
        folder.write_record(status="failed", running=False, reason=f"{type(error).__name__}: {error}")
    except MemoryError:
        folder.write_record(status="failed", running=False, reason="out of memory")
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({last.filename.rsplit('/', 1)[-1]}:{last.lineno})"
        folder.write_record(status="failed", running=False, reason=reason)
    else:
        folder.write_record(status="fitted", running=False)
    finally:
        folder.write_record(running=False, seconds=spent + time.time() - began)
    return folder.status


def _fit_here(trial: Trial, on_epoch: OnEpoch) -> None:
    fit(trial.run, trial.home, trial.folder, on_epoch, compile=trial.resources.compile)
