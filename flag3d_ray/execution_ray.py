"""Runs on Ray: as trials of Ray Tune in reused actors, or each on several Ray Train workers.

A TorchTrainer takes 30 s to start on two cores, a reused trial actor 0.2 s (18 trials of three epochs: 13 s). Runs on one
worker are therefore fitted inline in the trial; the losses are the same either way (tests/training/test_parity.py).
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ray import tune

from flag3d_ray.cluster import cluster
from flag3d_ray.errors import RunError
from flag3d_ray.run import Resources
from flag3d_ray.training.ray_train import fit_with_workers
from flag3d_ray.training.trial import Trial, fit_trial

FitAll = Callable[[Sequence[Trial]], None]


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
    with tempfile.TemporaryDirectory(prefix="flag3d-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(tune_trial, share),
            param_space={"trial": tune.grid_search(list(trials))},
            tune_config=tune.TuneConfig(max_concurrent_trials=resources.concurrent, reuse_actors=True),
            run_config=quiet_run_config(Path(scratch), fail_fast=True),
        )
        results = tuner.fit()
    if results.errors:
        raise RunError(where="Ray Tune", rule=str(results.errors[0]), remedy="type the same command again to continue")


def quiet_run_config(scratch: Path, *, fail_fast: bool = False) -> tune.RunConfig:
    """Tune's own bookkeeping goes to a scratch folder and is thrown away: the store is the truth.

    `fail_fast` ends the launch at the first exception that passes through a trial (a full disk); failed runs raise none.
    """
    failures = tune.FailureConfig(fail_fast=fail_fast)
    return tune.RunConfig(name="flag3d", storage_path=str(scratch), verbose=0, failure_config=failures)


def tune_trial(config: dict) -> None:
    """A function trainable: fit the run, report each epoch, and report the end once more."""
    trial: Trial = config["trial"]
    status = fit_trial(trial, lambda event: tune.report({"epoch": event["epoch"], "val_mae": event["val_mae"]}))
    tune.report({"status": status, "done_key": trial.folder.key})


def _fit_distributed(trials: Sequence[Trial]) -> None:
    for trial in trials:
        fit_trial(trial, lambda event: None, fit_with_workers)
