"""A search with Optuna: persists, continues, answers from the store, minimises the validation error."""

import pytest

from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.run import Resources, Run, Sweep

RESOURCES = Resources(concurrent=2, cpus=2)
pytestmark = pytest.mark.slow


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


def test_a_search_completes_its_trials_and_names_the_best_run(home, source, first):
    from flag3d_ray.search import best_validation

    assert (first.completed, first.stopped_early) == (5, 0)
    assert first.parameters.keys() == {"rate", "seed"}
    source_key = run_key(source, home)
    errors = {folder.key: best_validation(folder) for folder in home.store if folder.key != source_key}
    assert first.value == min(errors.values())
    assert errors[run_key(first.best, home)] == first.value
    assert sum(first.importances.values()) == pytest.approx(1.0)


def test_every_run_of_the_search_and_the_one_they_start_from_is_finished_in_the_store(home, source, first):
    assert 2 <= len(list(home.store)) <= 5
    assert home.store.folder(run_key(source, home)).status == "finished"
    assert all(folder.status == "finished" for folder in home.store)


def test_a_completed_search_returns_at_once(home, sweep, first, monkeypatch):
    from flag3d_ray import search

    monkeypatch.setattr(search, "cluster", lambda resources: pytest.fail("Ray was started"))

    assert search.search(sweep("first", 5), home, RESOURCES, stop_early=False) == first


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
