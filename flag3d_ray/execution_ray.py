"""Runs on Ray: as trials of Ray Tune in reused actors, or each on several Ray Train workers.

A TorchTrainer takes 30 s to start on two cores, a reused trial actor 0.2 s (18 trials of three epochs: 13 s). Runs on one
worker are therefore fitted inline in the trial; the losses are the same either way (tests/training/test_parity.py).

A run that loses its node, or its process, is started again from its checkpoint on a node that is left.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune

from flag3d_ray.chaos import strike
from flag3d_ray.cluster import cluster
from flag3d_ray.errors import RunError
from flag3d_ray.files import DiskFull
from flag3d_ray.lease import read_holder
from flag3d_ray.run import Resources
from flag3d_ray.training.ray_train import fit_with_workers
from flag3d_ray.training.threads import set_threads
from flag3d_ray.training.trial import Trial, fit_trial

FitAll = Callable[[Sequence[Trial]], None]

LOSSES = 3  # nodes or processes that a run may lose in one launch; then it is not the machines but the run
LOST = f"its process or node was lost {LOSSES + 1} times"
"""The reason in the record of such a run. A process that the system ends for want of memory (exit code 137) looks so."""
FULL_DISK = "full_disk"


@contextmanager
def ray_executor(resources: Resources) -> Iterator[FitAll]:
    """A function that fits trials on a Ray cluster which lives as long as the block.

    Raises:
        RunError: the cluster has too few CPUs for the runs and their data tasks.
    """
    if resources.workers > resources.cpus:
        rule = f"{resources.workers} workers need as many CPUs, the cluster has {resources.cpus}"
        raise RunError(where="resources", rule=rule, remedy=f"use --workers {resources.cpus} or fewer")
    with cluster(resources):
        yield _fit_trials if resources.workers == 1 else _fit_distributed


def _fit_trials(trials: Sequence[Trial]) -> None:
    if not trials:
        return
    resources = trials[0].resources
    share = {"CPU": 1.0, "GPU": resources.gpus / resources.concurrent if resources.gpus else 0.0}
    full_disk = FullDisk()
    with tempfile.TemporaryDirectory(prefix="flag3d-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(tune_trial, share),
            param_space={"trial": tune.grid_search(list(trials))},
            tune_config=tune.TuneConfig(max_concurrent_trials=resources.concurrent, reuse_actors=True),
            run_config=quiet_run_config(Path(scratch), full_disk, max(trial.chaos_losses for trial in trials)),
        )
        results = tuner.fit()
    if full_disk.reason:
        raise RunError(
            where="Ray Tune", rule=full_disk.reason, remedy="free some space and type the same command again"
        )
    if lost := [result.config["trial"] for result in results if result.error and result.config]:
        _note_lost(lost)
        rule = f"{LOST}: {'; '.join(trial.run.label for trial in lost)}. The first error: {results.errors[0]}"
        remedy = (
            "see whether the memory suffices for --concurrent runs; the same command goes on from their checkpoints"
        )
        raise RunError(where="Ray Tune", rule=rule, remedy=remedy)


def _note_lost(trials: Sequence[Trial]) -> None:
    """Say in the records why the runs did not end; nobody else was left to do it."""
    for trial in trials:
        if read_holder(trial.folder.lease) == trial.holder:
            said = trial.folder.record().get("reason")  # that it stalled, each time
            trial.folder.write_record(running=False, reason=said or LOST)


def quiet_run_config(scratch: Path, stop: tune.Stopper | None = None, chaos_losses: int = 0) -> tune.RunConfig:
    """Tune's own bookkeeping goes to a scratch folder and is thrown away: the store is the truth.

    A trial whose node or process is lost is started again, at most `LOSSES` times, and as often as chaos takes one on purpose;
    failed runs raise nothing.
    """
    failures = tune.FailureConfig(max_failures=LOSSES + chaos_losses)
    return tune.RunConfig(name="flag3d", storage_path=str(scratch), verbose=0, failure_config=failures, stop=stop)


class FullDisk(tune.Stopper):
    """Ends the launch when a trial reports a full disk: every other one would meet it too, an epoch later."""

    reason = ""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self.reason = result.get(FULL_DISK, self.reason)
        return False

    def stop_all(self) -> bool:
        return bool(self.reason)


def tune_trial(config: dict) -> None:
    """A function trainable: fit the run, report each epoch, and report the end once more."""
    trial: Trial = config["trial"]
    set_threads(trial.resources.threads)
    try:
        status = fit_trial(trial, partial(_report_epoch, trial), node=this_node())
    except DiskFull as error:
        tune.report({FULL_DISK: str(error)})
    else:
        tune.report({"status": status, "done_key": trial.folder.key})


def _report_epoch(trial: Trial, event: dict[str, Any]) -> None:
    tune.report({"epoch": event["epoch"], "val_mae": event["val_mae"]})
    strike(trial.chaos, trial.folder, event)


def this_node() -> str:
    """The Ray node of this process, for the record of a run."""
    return ray.get_runtime_context().get_node_id()


def _fit_distributed(trials: Sequence[Trial]) -> None:
    for trial in trials:
        fit_trial(trial, partial(strike, trial.chaos, trial.folder), fit_with_workers)
