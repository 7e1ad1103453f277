"""A `Sweep` -> Ray Tune with Optuna. The study persists: typing the command again continues it.

Trials share the store with the tables: a trial whose run is finished already reports the stored result at once. What the
search minimises is the validation MAE of a run, never anything of the test set.

One process searches a study at a time, under a lease that it holds throughout; others may read the study meanwhile. Trials
that an ended search left open are closed by the next one, which tries their values first.
"""

import logging
import math
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import RDBStorage
from optuna.trial import FixedTrial, FrozenTrial, TrialState
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from flag3d_ray.board import Board, Watching
from flag3d_ray.budget import BudgetSpent, is_spent
from flag3d_ray.cluster import cluster
from flag3d_ray.costs import GRACE_EPOCHS, note_evaluation
from flag3d_ray.errors import Flag3dError, RunError
from flag3d_ray.evaluation.evaluate import error_is_the_reason, evaluate
from flag3d_ray.execution import facts
from flag3d_ray.execution_ray import FULL_DISK, FullDisk, quiet_run_config, this_node
from flag3d_ray.files import DiskFull
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.lease import Holder, Leases, leader
from flag3d_ray.preparation import prepare_texts, prepare_weights
from flag3d_ray.progress import Cell, Watcher
from flag3d_ray.provenance import keep_changes
from flag3d_ray.run import Resources, Run, Sweep
from flag3d_ray.storage import StorageLost
from flag3d_ray.store import RunFolder
from flag3d_ray.study import alone, completed_trials, open_storage, read_study, requeue_orphans
from flag3d_ray.training.fit import OnEpoch
from flag3d_ray.training.recovery import drop_damaged
from flag3d_ray.training.threads import set_threads
from flag3d_ray.training.trial import Trial, fit_trial

METRIC = "val_mae"
WORKERS_END_SECONDS = 5.0
IMPORTANCES = "PED-ANOVA"
"""How the importances are computed: what sets the best tenth of the trials apart from all. It draws no random numbers."""


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
    """Bring the study to `sweep.trials` completed trials and say what it found; fewer where trials failed.

    After `deadline` (seconds since the epoch) no trial is started, and those that train stop at the end of their epoch.

    Raises:
        DataError: the dataset is missing or damaged.
        BudgetSpent: the deadline has passed before all trials were completed.
        RunError: another process searches this study; a disk is full; or no trial at all is completed.
    """
    board = Board()
    if completed_trials(sweep, home) < sweep.trials and not is_spent(deadline):
        with alone(sweep, home):
            keep_changes(home.changes)
            with Watching(board, watchers), after_its_workers(board), cluster(resources), _quiet_after(deadline):
                _tune(sweep, home, resources, board, Limits(stop_early, deadline))
    if is_spent(deadline) and (done := completed_trials(sweep, home)) < sweep.trials:
        rule = f"the budget is used up after {done} of {sweep.trials} trials"
        raise BudgetSpent(where=f"search {sweep.name}", rule=rule, remedy="type the same command to go on")
    return replace(found(sweep, home), cells=tuple(board.cells.values()))


@contextmanager
def after_its_workers(board: Board) -> Iterator[None]:
    """Where an error or a signal ends the block, give the workers of this machine a moment to end and to write their records.

    Ray tells them to end and does not wait: what the records say then would depend on who is faster.
    """
    try:
        yield
    except BaseException:
        until = time.monotonic() + WORKERS_END_SECONDS
        while _led_here(board) and time.monotonic() < until:
            time.sleep(0.1)
        raise


def _led_here(board: Board) -> bool:
    with suppress(StorageLost):  # what ends the search is to be told
        leaders = [leader(board.cells[run].folder.lease) for run in board.open_runs()]
        return any(found is not None and found.host == socket.gethostname() for found in leaders)
    return False


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


def found(sweep: Sweep, home: Home) -> Found:
    """Read the study, which stays as it is, and sum it up.

    Raises:
        RunError: no trial is completed; with the reasons of those that failed.
    """
    with read_study(sweep, home) as study:
        trials = [] if study is None else study.get_trials()
        done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        if study is None or not done:
            rule = f"none of {len(trials)} trials is completed: {'; '.join(_reasons(sweep, home, trials)) or 'none failed'}"
            remedy = "remove the cause; the same command tries other values, a run that failed stays failed"
            raise RunError(where=f"search {sweep.name}", rule=rule, remedy=remedy)
        varied = any(trial.params != done[0].params for trial in done)
        importances = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()) if varied else {}
        value, parameters = study.best_value, study.best_params
    best = sweep.space(FixedTrial(parameters))
    stopped = sum(not home.store.folder(run_key(run, home)).metrics_path.exists() for run in _runs(sweep, done))
    return Found(best, value, parameters, dict(importances), len(done), stopped)


def _runs(sweep: Sweep, trials) -> list[Run]:
    return list(dict.fromkeys(sweep.space(FixedTrial(trial.params)) for trial in trials))


def _reasons(sweep: Sweep, home: Home, trials: Sequence[FrozenTrial]) -> list[str]:
    """Why trials failed, each reason once."""
    reasons = dict[str, None]()
    for trial in trials:
        if trial.state == TrialState.FAIL:
            try:
                record = home.store.folder(run_key(sweep.space(FixedTrial(trial.params)), home)).record()
            except (Flag3dError, ValueError) as error:  # it has no key here, or was ended before it had all its values
                reasons[str(error)] = None
            else:
                reasons[record.get("reason") or "the run did not end"] = None
    return list(reasons)


class _Searcher(OptunaSearch):
    """Ray's Optuna searcher without its pickle: the study is in the home's database, and Tune is never restored."""

    deadline: float | None = None
    full_disk: FullDisk | None = None

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The values of the next trial; none after the deadline."""
        return self.FINISHED if is_spent(self.deadline) else super().suggest(trial_id)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Note an epoch; the report of a full disk is none, and the study may lie on that disk."""
        if FULL_DISK not in result:
            super().on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Note a trial's end, but leave those open that the deadline or a full disk ended: the next search queues them."""
        disk_is_full = self.full_disk is not None and self.full_disk.stop_all()
        if not disk_is_full and not (error and is_spent(self.deadline)):
            super().on_trial_complete(trial_id, result, error)

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher for a restore that never happens, and a database connection cannot be pickled."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).write_text("the study is in studies.db", encoding="utf-8")


def _suggest(sweep: Sweep, trial: Any) -> None:
    """Optuna's define-by-run wants a function that returns nothing."""
    sweep.space(trial)


def _tune(sweep: Sweep, home: Home, resources: Resources, board: Board, limits: Limits) -> None:
    full_disk = FullDisk()
    with open_storage(home) as storage, tempfile.TemporaryDirectory(prefix="flag3d-search-") as scratch:
        study = optuna.create_study(storage=storage, study_name=sweep.name, direction="minimize", load_if_exists=True)
        requeue_orphans(study)
        missing = sweep.trials - len(study.get_trials(states=[TrialState.COMPLETE]))
        if missing <= 0:  # another process has searched since the caller looked
            return
        searcher = _searcher(sweep, study, storage)
        searcher.deadline, searcher.full_disk = limits.deadline, full_disk
        scheduler = None
        if limits.stop_early:
            scheduler = ASHAScheduler(
                time_attr="epoch", metric=METRIC, mode="min", grace_period=GRACE_EPOCHS, max_t=10**6
            )
        share = {"CPU": 1.0, "GPU": resources.gpus / resources.concurrent if resources.gpus else 0.0}
        trainable = tune.with_parameters(
            search_trial, sweep=sweep, home=home, resources=resources, deadline=limits.deadline
        )
        run_config = quiet_run_config(Path(scratch), full_disk)
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
    if full_disk.reason:
        remedy = "free some space and type the same command again"
        raise RunError(where=f"search {sweep.name}", rule=full_disk.reason, remedy=remedy)


def _searcher(sweep: Sweep, study: optuna.Study, storage: RDBStorage) -> _Searcher:
    """Its random numbers follow from the sweep's seed plus the number of the study's trials so far.

    With the sweep's seed alone a search that goes on would suggest again what it began with.
    """
    seed = sweep.seed + len(study.get_trials(deepcopy=False))
    return _Searcher(
        partial(_suggest, sweep),
        metric=METRIC,
        mode="min",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=8),
        study_name=sweep.name,
        storage=storage,
    )


def search_trial(
    config: dict[str, Any], sweep: Sweep, home: Home, resources: Resources, deadline: float | None
) -> None:
    """A function trainable: rebuild the run from the suggested values; answer from the store or fit it here.

    A full disk is reported, not raised: Tune would try the trial again.
    """
    set_threads(resources.threads)
    try:
        run = sweep.space(FixedTrial(config))
        folder = _answered(run, home, resources, _report_epoch, deadline)
    except DiskFull as error:
        tune.report({METRIC: math.inf, "epoch": 0, FULL_DISK: str(error)})
    else:
        tune.report({METRIC: best_validation(folder), "epoch": run.train.epochs})


def _report_epoch(event: dict[str, Any]) -> None:
    tune.report({METRIC: event["val_mae"], "epoch": event["epoch"] + 1})


def _answered(
    run: Run, home: Home, resources: Resources, on_epoch: OnEpoch, deadline: float | None = None
) -> RunFolder:
    """The folder of a finished run, after the run that it starts from. Waits while another process leads it.

    Raises:
        RuntimeError: the run failed, now or earlier, or the deadline stopped it.
        DiskFull: the run is not failed.
    """
    source = None if run.parent is None else _answered(run.parent, home, resources, _ignore, deadline)
    folder = home.store.folder(run_key(run, home))
    with Leases() as leases:
        while folder.status != "finished" and leases.acquire(folder.lease) is not None and not is_spent(deadline):
            time.sleep(1.0)
        if folder.status not in ("finished", "failed") and not is_spent(deadline):
            folder.write_record(**facts(run, home, resources), recovery=drop_damaged(folder))
            prepare_weights([run], home)
            prepare_texts([run], home)
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
