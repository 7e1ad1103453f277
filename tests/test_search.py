"""A search with Optuna: persists, continues, answers from the store, minimises the validation error."""

import gc
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from flag3d_ray.errors import RunError
from flag3d_ray.files import DiskFull, write_json
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.interruption import Terminated
from flag3d_ray.lease import Holder, started
from flag3d_ray.run import Resources, Run, Sweep
from flag3d_ray.store import RunFolder

RESOURCES = Resources(concurrent=2, cpus=2)


@pytest.fixture(scope="module")
def home(fresh_home) -> Home:
    return fresh_home()


@pytest.fixture(scope="module")
def source(tiny_run) -> Run:
    return tiny_run(epochs=1, max_clips_per_epoch=8, seed=7)


@pytest.fixture(scope="module")
def sweep(tiny_run, source):
    """Two rates by two seeds, all from one source; the space is a closure, so that it travels to the trials by value."""
    run = tiny_run(epochs=2, max_clips_per_epoch=8, init_from=source)

    def space(trial):
        from dataclasses import replace

        rate = trial.suggest_categorical("rate", [1e-3, 1e-2])
        seed = trial.suggest_categorical("seed", [0, 1])
        return replace(run, train=replace(run.train, learning_rate=rate), seed=seed)

    def make(name: str, trials: int) -> Sweep:
        return Sweep(name, space, trials)

    return make


@pytest.fixture(scope="module")
def first(home, sweep):
    from flag3d_ray.search import search

    return search(sweep("first", 5), home, RESOURCES, stop_early=False)


def written(home: Home) -> dict[str, tuple[int, int]]:
    """When each run's log and metrics were written."""
    return {
        folder.key: (folder.events_path.stat().st_mtime_ns, folder.metrics_path.stat().st_mtime_ns)
        for folder in home.store
    }


@pytest.mark.slow
def test_a_search_completes_its_trials_and_names_the_best_run(home, source, first):
    from flag3d_ray.search import best_validation

    assert (first.completed, first.stopped_early) == (5, 0)
    assert first.parameters.keys() == {"rate", "seed"}
    source_key = run_key(source, home)
    errors = {folder.key: best_validation(folder) for folder in home.store if folder.key != source_key}
    assert first.value == min(errors.values())
    assert errors[run_key(first.best, home)] == first.value
    assert sum(first.importances.values()) == pytest.approx(1.0)


@pytest.mark.slow
def test_every_run_of_the_search_and_the_one_they_start_from_is_finished_in_the_store(home, source, first):
    assert 2 <= len(list(home.store)) <= 5
    assert home.store.folder(run_key(source, home)).status == "finished"
    assert all(folder.status == "finished" for folder in home.store)


@pytest.mark.slow
def test_a_completed_search_returns_at_once(home, sweep, first, monkeypatch):
    from flag3d_ray import search

    monkeypatch.setattr(search, "cluster", lambda resources: pytest.fail("Ray was started"))

    assert search.search(sweep("first", 5), home, RESOURCES, stop_early=False) == first


@pytest.mark.slow
def test_another_search_over_the_same_space_continues_and_answers_from_the_store(home, sweep, first):
    from flag3d_ray.search import search

    before = written(home)

    more = search(sweep("first", 8), home, RESOURCES, stop_early=False)

    after = written(home)
    assert more.completed == 8
    assert more.value <= first.value
    assert {key: after[key] for key in before} == before


def test_a_search_whose_budget_is_used_up_starts_nothing_and_says_what_to_type(home, sweep, monkeypatch):
    from flag3d_ray import search
    from flag3d_ray.budget import BudgetSpent

    monkeypatch.setattr(search, "cluster", lambda resources: pytest.fail("Ray was started"))

    with pytest.raises(BudgetSpent, match=r"after 0 of 3 trials.*type the same command"):
        search.search(sweep("unpaid", 3), home, RESOURCES, deadline=1.0)


class InProcess:
    """Stands in for Tune's tuner: trials are told the value that `outcome` gives of their values, one after the other."""

    outcome: Callable[[dict], float | None]

    def __init__(self, trainable, tune_config, run_config):
        self._config = tune_config

    def fit(self):
        searcher = self._config.search_alg
        for number in range(self._config.num_samples):
            values = searcher.suggest(str(number))
            if values == searcher.FINISHED:
                break
            value = type(self).outcome(values)
            result = None if value is None else {"val_mae": value}
            searcher.on_trial_complete(str(number), result=result, error=value is None)


@pytest.fixture
def numbers(tiny_run) -> Callable[[int], Sweep]:
    """A search over a number whose runs nobody fits."""

    def space(trial):
        run = tiny_run()
        return replace(run, train=replace(run.train, learning_rate=trial.suggest_float("rate", 1e-4, 1e-2)))

    return lambda trials: Sweep("numbers", space, trials)


@pytest.fixture
def asked(monkeypatch) -> Callable[..., list[float]]:
    """Searches without Ray and gives the values that were tried; with `killed_in`, until that trial of this launch."""
    from flag3d_ray import search

    monkeypatch.setattr(search, "cluster", lambda resources: nullcontext())
    monkeypatch.setattr(search.tune, "Tuner", InProcess)

    def ask(sweep: Sweep, home: Home, killed_in: int | None = None, fail: bool = False) -> list[float]:
        tried: list[float] = []

        def outcome(values: dict) -> float | None:
            tried.append(values["rate"])
            if len(tried) == killed_in:
                raise KeyboardInterrupt
            return None if fail else values["rate"]

        monkeypatch.setattr(InProcess, "outcome", staticmethod(outcome), raising=False)
        if killed_in is None:
            search.search(sweep, home, RESOURCES)
        else:
            with pytest.raises(KeyboardInterrupt):
                search.search(sweep, home, RESOURCES)
        return tried

    return ask


def states(home: Home, sweep: Sweep) -> list[str]:
    """The states of a study's trials, read past the module under test."""
    import optuna

    storage = optuna.storages.RDBStorage(f"sqlite:///{home.local / 'studies.db'}")
    try:
        study = optuna.load_study(study_name=sweep.name, storage=storage)
        return [trial.state.name for trial in study.get_trials()]
    finally:
        storage.engine.dispose()


def searched_by(pid: int, sweep: Sweep, home: Home) -> None:
    """Another living process holds the lease of a study."""
    from flag3d_ray.study import study_lease

    write_json(study_lease(sweep, home), asdict(Holder(socket.gethostname(), pid, started(psutil.Process(pid)))))


def test_who_reads_a_study_leaves_the_running_trials_of_a_search_alone(fresh_home, numbers, asked):
    from flag3d_ray.search import found
    from flag3d_ray.study import completed_trials

    home, sweep = fresh_home(), numbers(5)
    asked(sweep, home, killed_in=3)

    assert completed_trials(sweep, home) == 2
    assert found(sweep, home).completed == 2

    assert states(home, sweep) == ["COMPLETE", "COMPLETE", "RUNNING"]


def test_who_reads_a_study_that_nobody_began_begins_none(fresh_home, numbers, asked):
    from flag3d_ray.study import completed_trials

    home, other = fresh_home(), replace(numbers(3), name="other")

    assert completed_trials(other, home) == 0
    assert not (home.local / "studies.db").exists()

    asked(numbers(1), home)

    assert completed_trials(other, home) == 0
    with pytest.raises(KeyError):
        states(home, other)


def test_a_study_that_another_process_searches_is_refused_and_left_alone(fresh_home, numbers, asked):
    home, sweep = fresh_home(), numbers(5)
    asked(sweep, home, killed_in=3)
    searched_by(os.getppid(), sweep, home)

    with pytest.raises(
        RunError, match=rf"search numbers: pid {os.getppid()} on .* is searching.*wait until it has ended"
    ):
        asked(sweep, home)

    assert states(home, sweep) == ["COMPLETE", "COMPLETE", "RUNNING"]


def test_while_it_searches_a_process_holds_the_lease_and_gives_it_back(fresh_home, numbers, asked, monkeypatch):
    from flag3d_ray import search
    from flag3d_ray.lease import leader
    from flag3d_ray.study import study_lease

    home, sweep, holders = fresh_home(), numbers(1), []
    lease = study_lease(sweep, home)
    monkeypatch.setattr(search, "cluster", lambda resources: nullcontext(holders.append(leader(lease))))

    asked(sweep, home)

    assert holders == [Holder.this_process()]
    assert leader(lease) is None


def test_a_search_that_is_ended_waits_until_the_workers_that_lead_its_runs_have_ended(tmp_path, tiny_run):
    from flag3d_ray.board import Board
    from flag3d_ray.search import after_its_workers

    folder = RunFolder(tmp_path / "run")
    worker = subprocess.Popen(["sleep", "60"])
    holder = Holder(socket.gethostname(), worker.pid, started(psutil.Process(worker.pid)))
    folder.path.mkdir()
    write_json(folder.lease, asdict(holder))
    threading.Timer(0.5, lambda: (worker.kill(), worker.wait())).start()

    with pytest.raises(Terminated), after_its_workers(Board.of({tiny_run(): folder})):
        raise Terminated

    assert worker.returncode == -signal.SIGKILL


def test_a_killed_search_goes_on_with_the_trial_that_it_left_and_then_tries_new_values(fresh_home, numbers, asked):
    home, sweep = fresh_home(), numbers(6)

    before = asked(sweep, home, killed_in=3)
    after = asked(sweep, home)

    assert after[0] == before[-1]
    assert len(after) == 4
    assert not set(after[1:]) & set(before)
    assert states(home, sweep) == ["COMPLETE"] * 2 + ["FAIL"] + ["COMPLETE"] * 4


def test_a_search_that_is_killed_twice_still_tries_what_it_left_at_first(fresh_home, numbers, asked):
    home, sweep = fresh_home(), numbers(4)

    left = asked(sweep, home, killed_in=2)[-1]
    assert asked(sweep, home, killed_in=1) == [left]

    assert asked(sweep, home)[0] == left


def test_searches_of_the_same_history_try_the_same_values(fresh_home, numbers, asked):
    one, other = fresh_home(), fresh_home()
    for home in (one, other):
        asked(numbers(3), home, killed_in=2)

    assert asked(numbers(6), one) == asked(numbers(6), other)


def test_a_search_without_any_completed_trial_names_the_reasons_of_its_runs(fresh_home, numbers, asked):
    home, sweep = fresh_home(), numbers(2)

    def space(trial):
        run = numbers(2).space(trial)
        home.store.folder(run_key(run, home)).write_record(status="failed", reason="Diverged: loss: not finite")
        return run

    with pytest.raises(RunError, match=r"none of 2 trials is completed: Diverged: loss: not finite\. Remedy: remove"):
        asked(replace(sweep, space=space), home, fail=True)


def test_a_study_without_trials_is_named_too(fresh_home, numbers):
    from flag3d_ray.search import found

    with pytest.raises(RunError, match="none of 0 trials is completed"):
        found(numbers(2), fresh_home())


def test_importances_are_those_of_the_named_evaluator_every_time(fresh_home, numbers, asked, monkeypatch):
    import optuna

    from flag3d_ray import search

    home, sweep, used = fresh_home(), numbers(12), []

    def importances(study, *, evaluator=None):
        used.append(type(evaluator))
        return optuna.importance.get_param_importances(study, evaluator=evaluator)

    asked(sweep, home)
    monkeypatch.setattr(search, "get_param_importances", importances)

    assert search.found(sweep, home) == search.found(sweep, home)
    assert used == [optuna.importance.PedAnovaImportanceEvaluator] * 2
    assert search.IMPORTANCES == "PED-ANOVA"


def test_no_connection_to_the_studies_stays_open(fresh_home, numbers, asked):
    from flag3d_ray.search import found
    from flag3d_ray.study import completed_trials

    home, sweep = fresh_home(), numbers(2)
    gc.disable()
    try:
        asked(sweep, home)
        completed_trials(sweep, home)
        found(sweep, home)
        assert [file.path for file in psutil.Process().open_files() if "studies.db" in file.path] == []
    finally:
        gc.enable()


def test_a_trial_that_the_budget_stopped_is_tried_first_by_the_next_search(fresh_home, numbers, asked, monkeypatch):
    from flag3d_ray import search
    from flag3d_ray.budget import BudgetSpent

    home, sweep, tried, spent = fresh_home(), numbers(3), [], []
    monkeypatch.setattr(search, "is_spent", lambda deadline: deadline is not None and bool(spent))
    asked(numbers(1), home)

    def outcome(values):
        tried.append(values["rate"])
        spent.append(True)

    monkeypatch.setattr(InProcess, "outcome", staticmethod(outcome))
    with pytest.raises(BudgetSpent, match="after 1 of 3 trials"):
        search.search(sweep, home, RESOURCES, deadline=2.0)

    assert len(tried) == 1
    assert asked(sweep, home)[0] == tried[0]


@pytest.mark.slow
def test_a_full_disk_ends_the_search_at_the_first_try_and_the_trial_stays_open(fresh_home, tiny_run, tmp_path: Path):
    from flag3d_ray.search import search

    tries, run, driver = tmp_path / "tries", tiny_run(), os.getpid()
    tries.touch()

    def space(trial):
        seed = trial.suggest_categorical("seed", [0, 1, 2, 3])
        if os.getpid() != driver:
            with tries.open("a") as file:
                file.write("x")
            raise DiskFull(where="last.safetensors", rule="no space left on the disk", remedy="free some space")
        return replace(run, seed=seed)

    home, sweep = fresh_home(), Sweep("full", space, 3)
    with pytest.raises(RunError, match=r"search full: last.safetensors: no space left.*type the same command"):
        search(sweep, home, Resources(concurrent=1, cpus=2))

    assert tries.read_text() == "x"
    assert "COMPLETE" not in states(home, sweep)
    assert "FAIL" not in states(home, sweep)
