"""What it costs to start a trial: `ensure` beside bare Ray Tune and beside a TorchTrainer per trial, in one run.

    python -m benchmarks.overhead
    python -m benchmarks.overhead --all --rounds 3

Trains 18 trials of one tiny network, a seed each, two at a time, on a dataset made for it. All ways train with
`training.fit` on the same clips in the same batches; if their losses differ, no time is printed.

    ensure         ours, with leases, records and the store; afterwards it predicts and scores the test clips
    Tune, reused   a function trainable that fits and reports, `reuse_actors` on
    Tune, fresh    the same, each trial in an actor of its own
    TorchTrainer   a function trainable that starts a TorchTrainer with one worker, as Ray's documentation combines the two

Each launch has a Ray of its own, whose start is left out. A few TorchTrainers are timed and the rest is added at the pace
of all but the first two; `--all` times every one. `ensure` is launched before them and after them, and the load of the
machine is printed with each launch: a ratio of launches under different loads says little. A trial starts when its place
becomes free: at the launch's begin, or with the last epoch of the trial before it. Training is what the loop's log calls
the seconds of an epoch: steps and validation.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import flag3d_ray  # noqa: F401 (its environment must stand before Ray is imported)

# isort: split
import ray.train
from ray import tune
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from flag3d_ray.cluster import cluster
from flag3d_ray.data.synthetic.generate import Synthetic, make_synthetic
from flag3d_ray.execution import ensure, require_finished
from flag3d_ray.execution_ray import quiet_run_config
from flag3d_ray.home import Home
from flag3d_ray.methods.counting.transrac import TransRAC
from flag3d_ray.run import DataSpec, Resources, Run, TrainSpec
from flag3d_ray.store import RunFolder
from flag3d_ray.training.fit import OnEpoch, fit
from flag3d_ray.training.threads import set_threads

TRIALS, PLACES = 18, 2
RESOURCES = Resources(cpus=PLACES, concurrent=PLACES)
# A TorchTrainer's worker leaves the hundredth that the trial which started it holds.
WORKER_CPU, DRIVER_CPU = 0.95, 0.01
OURS = "ensure"
TRAINERS = "TorchTrainer"
Way = Callable[[Sequence[Run], Home, Path], Sequence[RunFolder]]


@dataclass(frozen=True)
class Fitted:
    """When a trial made its first step and ended its last epoch (seconds since the launch's begin), and trained between."""

    first_s: float
    last_s: float
    training_s: float
    losses: tuple[float, ...] = ()


@dataclass(frozen=True)
class Timing:
    """One launch of `trials` trials; `waits_s` are from a free place to the first step."""

    wall_s: float
    waits_s: tuple[float, ...]
    training_s: float

    @property
    def idle_share(self) -> float:
        """Share of the places' wall time in which nothing was trained."""
        return 1 - self.training_s / (PLACES * self.wall_s)


def tiny_runs(trials: int) -> list[Run]:
    """Runs of the smallest TransRAC, two epochs of two batches."""
    method = TransRAC(
        widths=(4, 4),
        similarity_heads=2,
        similarity_width=4,
        conv_channels=4,
        model_width=8,
        attention_heads=2,
        feed_forward=8,
        layers=1,
        density_widths=(8, 8),
    )
    data = DataSpec(dataset="tiny", frames=32, crops=1, test_crops=1)
    spec = TrainSpec(epochs=2, batch=8, max_clips_per_epoch=16, max_validation_clips=8)
    return [Run(method=method, data=data, train=spec, seed=seed) for seed in range(trials)]


def ours(runs: Sequence[Run], home: Home, scratch: Path) -> Sequence[RunFolder]:
    """The runs as every table has them computed."""
    cells = ensure(runs, home, RESOURCES)
    require_finished(cells)
    return [cell.folder for cell in cells]


def bare_tune(runs: Sequence[Run], home: Home, scratch: Path, *, reuse: bool) -> Sequence[RunFolder]:
    """One trial of Tune per run, fitted in its actor."""
    return _tuned(tune.with_resources(_tune_trial, {"CPU": 1.0}), runs, home, scratch, reuse=reuse)


def trainer_per_trial(runs: Sequence[Run], home: Home, scratch: Path) -> Sequence[RunFolder]:
    """One trial of Tune per run, which has a TorchTrainer fit it."""
    return _tuned(tune.with_resources(_trainer_trial, {"CPU": DRIVER_CPU}), runs, home, scratch, reuse=False)


def _tuned(trainable: Any, runs: Sequence[Run], home: Home, scratch: Path, *, reuse: bool) -> Sequence[RunFolder]:
    folders = [RunFolder(scratch / f"seed-{run.seed}") for run in runs]
    jobs = [(run, home, folder) for run, folder in zip(runs, folders, strict=True)]
    results = tune.Tuner(
        trainable,
        param_space={"job": tune.grid_search(jobs)},
        tune_config=tune.TuneConfig(max_concurrent_trials=PLACES, reuse_actors=reuse),
        run_config=quiet_run_config(scratch / "tune"),
    ).fit()
    if results.errors:
        raise SystemExit(f"a trial failed, no time is reported: {results.errors[0]}")
    return folders


def _tune_trial(config: dict[str, Any]) -> None:
    _fit(config, lambda event: tune.report({"val_mae": event["val_mae"]}))


def _trainer_trial(config: dict[str, Any]) -> None:
    _, _, folder = config["job"]
    TorchTrainer(
        _train_work,
        train_loop_config=config,
        scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": WORKER_CPU}),
        run_config=ray.train.RunConfig(
            name=f"train-{folder.key}", storage_path=str(folder.path.parent), callbacks=[TuneReportCallback()]
        ),
    ).fit()


def _train_work(config: dict[str, Any]) -> None:
    _fit(config, lambda event: ray.train.report({"val_mae": event["val_mae"]}))


def _fit(config: dict[str, Any], on_epoch: OnEpoch) -> None:
    run, home, folder = config["job"]
    set_threads(RESOURCES.threads)
    fit(run, home, folder, on_epoch)


def launched(way: Way, runs: Sequence[Run], data: Path) -> tuple[Timing, list[Fitted]]:
    """One launch in a home of its own, on a Ray of its own; the timing, and the trials in the order of the runs."""
    with tempfile.TemporaryDirectory(prefix="flag3d-overhead-") as root:
        home, scratch = Home(Path(root) / "home"), Path(root) / "scratch"
        scratch.mkdir()
        home.data.mkdir(parents=True)
        home.dataset(data.name).symlink_to(data)
        with cluster(RESOURCES):
            began = time.time()
            folders = way(runs, home, scratch)
            wall_s = time.time() - began
        trials = [_fitted(folder, began) for folder in folders]
    return Timing(wall_s, waits(trials), sum(trial.training_s for trial in trials)), trials


def _fitted(folder: RunFolder, began: float) -> Fitted:
    """An epoch is logged when it has ended, with the seconds since its first batch was there."""
    events = folder.events()
    return Fitted(
        first_s=events[0]["time"] - events[0]["seconds"] - began,
        last_s=events[-1]["time"] - began,
        training_s=sum(event["seconds"] for event in events),
        losses=tuple(event["loss"] for event in events),
    )


def waits(trials: Sequence[Fitted]) -> tuple[float, ...]:
    """Seconds from a free place to each first step: places are free at the begin, and again when a trial has ended."""
    free_s = [0.0] * PLACES + sorted(trial.last_s for trial in trials)
    return tuple(
        first_s - free for first_s, free in zip(sorted(trial.first_s for trial in trials), free_s, strict=False)
    )


def scaled(timing: Timing, trials: Sequence[Fitted], total: int) -> Timing:
    """The launch had it gone on to `total` trials, at the pace of all but the first ones, which wait for Tune to start too."""
    if len(trials) == total:
        return timing
    ends_s = sorted(trial.last_s for trial in trials)
    pace_s = (ends_s[-1] - ends_s[PLACES - 1]) / (len(trials) - PLACES)
    more = total - len(trials)
    return Timing(timing.wall_s + more * pace_s, timing.waits_s, timing.training_s * total / len(trials))


def check_losses(found: dict[str, list[Fitted]]) -> None:
    """All ways did the same work.

    Raises:
        SystemExit: the losses of a trial differ from ours.
    """
    for name, trials in found.items():
        if any(trial.losses != our.losses for trial, our in zip(trials, found[OURS], strict=False)):
            raise SystemExit(f"{name} trains to other losses than {OURS}: no time is reported")


def show(timings: dict[str, list[Timing]], notes: dict[str, str]) -> None:
    """Print medians over the rounds; waits of all rounds together."""
    walls_s = {name: statistics.median(one.wall_s for one in launches) for name, launches in timings.items()}
    print(f"\n{TRIALS} trials        wall s   x {OURS}   to the first step: median s   worst s   not training")
    for name, launches in timings.items():
        waits_s = [wait for one in launches for wait in one.waits_s]
        idle = statistics.median(one.idle_share for one in launches)
        print(
            f"{name:13}{walls_s[name]:10.1f}{walls_s[name] / walls_s[OURS]:11.1f}"
            f"{statistics.median(waits_s):28.2f}{max(waits_s):10.1f}{idle:14.1%}{notes.get(name, '')}"
        )


def compare(data: Path, rounds: int, trainers: int) -> None:
    """Launch the short ways in turns, the TorchTrainers once, ours once more, and print the comparison."""
    short: dict[str, Way] = {
        OURS: ours,
        "Tune, reused": partial(bare_tune, reuse=True),
        "Tune, fresh": partial(bare_tune, reuse=False),
    }
    plan = [(name, way, TRIALS) for _ in range(rounds) for name, way in short.items()]
    timings: dict[str, list[Timing]] = {name: [] for name in short}
    found: dict[str, list[Fitted]] = {}
    for name, way, trials in [*plan, (TRAINERS, trainer_per_trial, trainers), (OURS, ours, TRIALS)]:
        print(f"{name}: {trials} trials ...", end=" ", flush=True)
        timing, found[name] = launched(way, tiny_runs(trials), data)
        check_losses(found)
        print(f"{timing.wall_s:.1f} s, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        timings.setdefault(name, []).append(scaled(timing, found[name], TRIALS))
    notes = (
        {}
        if trainers == TRIALS
        else {TRAINERS: f"   ({trainers} measured, the other {TRIALS - trainers} at their pace)"}
    )
    show(timings, notes)


def main() -> None:
    """Parse the arguments, make the dataset and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="of all but the TorchTrainers, which are launched once")
    parser.add_argument("--all", action="store_true", help=f"time all {TRIALS} TorchTrainers instead of 4: 10 minutes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flag3d-overhead-data-") as root:
        data = Path(root) / "tiny"
        make_synthetic(data, Synthetic(takes_per_action=1, frames=64))
        compare(data, options.rounds, TRIALS if options.all else 2 * PLACES)


if __name__ == "__main__":
    main()
