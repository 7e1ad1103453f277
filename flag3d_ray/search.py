"""A `Sweep` -> Ray Tune with Optuna. The study persists: typing the command again continues it.

Trials share the store with the tables: a trial whose run is finished already reports the stored result at once. What the
search minimises is the validation MAE of a run, never anything of the test set.
"""

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FixedTrial, TrialState
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from flag3d_ray.board import Board, Watching
from flag3d_ray.budget import BudgetSpent, is_spent
from flag3d_ray.cluster import cluster
from flag3d_ray.costs import GRACE_EPOCHS, note_evaluation
from flag3d_ray.evaluation.evaluate import error_is_the_reason, evaluate
from flag3d_ray.execution import facts
from flag3d_ray.execution_ray import quiet_run_config, this_node
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.lease import Holder, Leases
from flag3d_ray.preparation import prepare_texts, prepare_weights
from flag3d_ray.progress import Cell, Watcher
from flag3d_ray.provenance import keep_changes
from flag3d_ray.run import Resources, Run, Sweep
from flag3d_ray.store import RunFolder
from flag3d_ray.training.fit import OnEpoch
from flag3d_ray.training.recovery import drop_damaged
from flag3d_ray.training.trial import Trial, fit_trial

METRIC = "val_mae"


@dataclass(frozen=True)
class Limits:
    """What may end trials before their last epoch: a scheduler that stops bad ones, and the launch's budget."""

    stop_early: bool = True
    deadline: float | None = None


@dataclass(frozen=True)
class Found:
    """What a search knows so far: the best run with its validation MAE, importances that sum to 1, trials by state.

    `cells` are the runs that this launch looked at.
    """

    best: Run
    value: float
    parameters: dict[str, Any]
    importances: dict[str, float]
    completed: int
    stopped_early: int
    cells: tuple[Cell, ...] = field(default=(), compare=False)


def search(
    sweep: Sweep,
    home: Home,
    resources: Resources,
    watchers: Sequence[Watcher] = (),
    *,
    stop_early: bool = True,
    deadline: float | None = None,
) -> Found:
    """Bring the study to `sweep.trials` completed trials and say what it found.

    After `deadline` (seconds since the epoch) no trial is started, and those that train stop at the end of their epoch.

    Raises:
        DataError: the dataset is missing or damaged.
        BudgetSpent: the deadline has passed before all trials were completed.
    """
    missing = sweep.trials - completed_trials(sweep, home)
    board = Board()
    if missing > 0 and not is_spent(deadline):
        keep_changes(home.changes)
        with Watching(board, watchers), cluster(resources), _quiet_after(deadline):
            _tune(sweep, home, resources, board, missing, Limits(stop_early, deadline))
    if is_spent(deadline) and (done := completed_trials(sweep, home)) < sweep.trials:
        rule = f"the budget is used up after {done} of {sweep.trials} trials"
        raise BudgetSpent(where=f"search {sweep.name}", rule=rule, remedy="type the same command to go on")
    return replace(found(sweep, home), cells=tuple(board.cells.values()))


@contextmanager
def _quiet_after(deadline: float | None) -> Iterator[None]:
    """Trials that the deadline stops are no errors, and Ray would print a traceback of each."""

    def before(record: logging.LogRecord) -> bool:
        return not is_spent(deadline)

    handlers = tuple(logging.getLogger("ray").handlers)
    for handler in handlers:
        handler.addFilter(before)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(before)


def completed_trials(sweep: Sweep, home: Home) -> int:
    """How many trials of the study are completed."""
    return len(open_study(sweep, home).get_trials(states=[TrialState.COMPLETE]))


def open_study(sweep: Sweep, home: Home) -> optuna.Study:
    """The sweep's study, created at first; trials that a killed launch left behind are closed as failed."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=_storage(home), study_name=sweep.name, direction="minimize", load_if_exists=True
    )
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def found(sweep: Sweep, home: Home) -> Found:
    """Read the study again and sum it up.

    Raises:
        ValueError: no trial has completed.
    """
    study = open_study(sweep, home)
    done = study.get_trials(states=[TrialState.COMPLETE])
    varied = {name for trial in done for name in trial.params}
    enough = len({tuple(sorted(trial.params.items())) for trial in done}) > 1
    importances = optuna.importance.get_param_importances(study) if enough and varied else {}
    best = sweep.space(FixedTrial(study.best_params))
    stopped = sum(not home.store.folder(run_key(run, home)).metrics_path.exists() for run in _runs(sweep, done))
    return Found(best, study.best_value, study.best_params, dict(importances), len(done), stopped)


def _runs(sweep: Sweep, trials) -> list[Run]:
    return list(dict.fromkeys(sweep.space(FixedTrial(trial.params)) for trial in trials))


def _storage(home: Home) -> RDBStorage:
    path = home.local / "studies.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    return RDBStorage(f"sqlite:///{path}")


class _Searcher(OptunaSearch):
    """Ray's Optuna searcher without its pickle: the study is in the home's database, and Tune is never restored."""

    deadline: float | None = None

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The values of the next trial; none after the deadline."""
        return self.FINISHED if is_spent(self.deadline) else super().suggest(trial_id)

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher for a restore that never happens, and a database connection cannot be pickled."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).write_text("the study is in studies.db", encoding="utf-8")


def _suggest(sweep: Sweep, trial: Any) -> None:
    """Optuna's define-by-run wants a function that returns nothing."""
    sweep.space(trial)


def _tune(sweep: Sweep, home: Home, resources: Resources, board: Board, missing: int, limits: Limits) -> None:
    searcher = _Searcher(
        partial(_suggest, sweep),
        metric=METRIC,
        mode="min",
        sampler=optuna.samplers.TPESampler(seed=sweep.seed, n_startup_trials=8),
        study_name=sweep.name,
        storage=_storage(home),
    )
    searcher.deadline = limits.deadline
    scheduler = None
    if limits.stop_early:
        scheduler = ASHAScheduler(time_attr="epoch", metric=METRIC, mode="min", grace_period=GRACE_EPOCHS, max_t=10**6)
    share = {"CPU": 1.0, "GPU": resources.gpus / resources.concurrent if resources.gpus else 0.0}
    trainable = tune.with_parameters(
        search_trial, sweep=sweep, home=home, resources=resources, deadline=limits.deadline
    )
    with tempfile.TemporaryDirectory(prefix="flag3d-search-") as scratch:
        run_config = quiet_run_config(Path(scratch))
        run_config.callbacks = [_Show(sweep, home, board)]
        tune.Tuner(
            tune.with_resources(trainable, share),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=missing,
                max_concurrent_trials=resources.concurrent,
                reuse_actors=True,
            ),
            run_config=run_config,
        ).fit()


def search_trial(
    config: dict[str, Any], sweep: Sweep, home: Home, resources: Resources, deadline: float | None
) -> None:
    """A function trainable: rebuild the run from the suggested values; answer from the store or fit it here."""
    run = sweep.space(FixedTrial(config))
    folder = _answered(run, home, resources, _report_epoch, deadline)
    tune.report({METRIC: best_validation(folder), "epoch": run.train.epochs})


def _report_epoch(event: dict[str, Any]) -> None:
    tune.report({METRIC: event["val_mae"], "epoch": event["epoch"] + 1})


def _answered(
    run: Run, home: Home, resources: Resources, on_epoch: OnEpoch, deadline: float | None = None
) -> RunFolder:
    """The folder of a finished run, after the run that it starts from. Waits while another process leads it.

    Raises:
        RuntimeError: the run failed, now or earlier, or the deadline stopped it.
    """
    source = None if run.parent is None else _answered(run.parent, home, resources, _ignore, deadline)
    folder = home.store.folder(run_key(run, home))
    with Leases() as leases:
        while folder.status != "finished" and leases.acquire(folder.lease) is not None and not is_spent(deadline):
            time.sleep(1.0)
        if folder.status not in ("finished", "failed") and not is_spent(deadline):
            folder.write_record(**facts(run, home, resources), recovery=drop_damaged(folder))
            prepare_weights([run], home)
            prepare_texts([run], home, resources.threads)
            trial = Trial(run, home, folder, Holder.this_process(), resources, source, deadline)
            if fit_trial(trial, on_epoch, node=this_node()) == "fitted":
                began = time.perf_counter()
                with error_is_the_reason(folder):
                    evaluate(run, home, folder)
                note_evaluation(folder, time.perf_counter() - began)
    if folder.status != "finished":
        raise RuntimeError(folder.record().get("reason", "the run did not finish"))
    return folder


def _ignore(event: dict[str, Any]) -> None:
    """A run that others start from is not stopped early."""


def best_validation(folder: RunFolder) -> float:
    """The lowest validation MAE in a run's log: that of the epoch whose weights were kept."""
    return min(event["val_mae"] for event in folder.events() if "val_mae" in event)


class _Show(tune.Callback):
    """Puts the runs of trials on the board as Tune starts them."""

    def __init__(self, sweep: Sweep, home: Home, board: Board) -> None:
        self._sweep, self._home, self._board = sweep, home, board

    def on_trial_start(self, iteration, trials, trial, **info) -> None:
        run = self._sweep.space(FixedTrial(trial.config))
        folder = self._home.store.folder(run_key(run, self._home))
        self._board.cells |= Board.of({run: folder}).cells if run not in self._board.cells else {}
