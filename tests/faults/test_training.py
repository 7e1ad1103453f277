"""What goes wrong inside a run: numbers that are not finite, no memory, no progress. It ends with a reason, others go on."""

import resource
import time
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch

from flag3d_ray.evaluation import evaluate
from flag3d_ray.execution import ensure
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.methods.counting.transrac import TransRAC
from flag3d_ray.run import Run
from flag3d_ray.training import loop, watchdog
from tests.faults.driver import LOCAL, ON_RAY, driver, folder_of, results, table_of
from tests.faults.mortal import Mortal


@pytest.fixture
def run(tiny_run) -> Run:
    return tiny_run(epochs=2)


@pytest.fixture
def others(tiny_run) -> list[Run]:
    return [tiny_run(Random()), tiny_run(Fourier())]


def states(cells) -> list[str]:
    return [cell.state for cell in cells]


def test_a_loss_that_is_not_finite_ends_the_run_and_no_other(home, undisturbed, run, others, monkeypatch):
    steps, loss = count(1), loop._loss

    def poisoned(module, batch):
        return loss(module, batch) * (np.nan if next(steps) == 3 else 1.0)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "_loss", poisoned)
        cells = ensure([run, *others], home, LOCAL)

    assert states(cells) == ["failed", "finished", "finished"]
    assert cells[0].detail.startswith("Diverged: epoch 1, step 0: the loss is not finite")
    assert cells[0].folder.last_checkpoint.exists()
    ensure([run], home, LOCAL, retry_failed=True)
    assert results([run, *others], home) == results([run, *others], undisturbed([run, *others]))


@pytest.mark.parametrize("wrong", [np.nan, pytest.param(np.inf, marks=pytest.mark.slow)])
def test_a_prediction_that_is_not_finite_ends_the_run_and_no_other(home, undisturbed, run, others, monkeypatch, wrong):
    claims = evaluate._claims

    def wrong_once(claimed, estimator, batch):
        predictions = claims(claimed, estimator, batch)
        if claimed == run:
            object.__setattr__(predictions[1], "count", wrong)
        return predictions

    with monkeypatch.context() as patched:
        patched.setattr(evaluate, "_claims", wrong_once)
        cells = ensure([run, *others], home, LOCAL)

    assert states(cells) == ["failed", "finished", "finished"]
    assert cells[0].detail.startswith("Diverged: test clip A005-S01#1: 1 of 8 predicted counts are not finite")
    assert not cells[0].folder.predictions.exists()
    assert not cells[0].folder.metrics_path.exists()
    assert "Diverged" in table_of([run, *others], home)
    fitted = cells[0].folder.model.stat().st_mtime_ns
    ensure([run], home, LOCAL, retry_failed=True)
    assert cells[0].folder.model.stat().st_mtime_ns == fitted, "it was evaluated again, and not trained"
    assert table_of([run, *others], home) == table_of([run, *others], undisturbed([run, *others]))


def _little_memory() -> None:
    """The process may take 3 GB of addresses more than it has now: libraries reserve some that they never use."""
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[0])
    limit = pages * resource.getpagesize() + 3 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def a_step_wants_too_much_of_torch() -> None:
    _little_memory()
    loop._loss = lambda module, batch: torch.ones(2**32).sum()


def a_step_wants_too_much_of_numpy() -> None:
    _little_memory()
    loop._loss = lambda module, batch: torch.as_tensor(np.ones(2**31)).sum()


@pytest.mark.slow
@pytest.mark.parametrize("hungry", [a_step_wants_too_much_of_torch, a_step_wants_too_much_of_numpy])
def test_a_run_that_finds_no_memory_says_so_and_no_other_ends(home, undisturbed, run, others, hungry):
    with driver([run, *others], home, before=hungry) as asked:
        assert asked.ended() == 0

    folders = [folder_of(one, home) for one in (run, *others)]
    assert [folder.status for folder in folders] == ["failed", "finished", "finished"]
    assert folders[0].record()["reason"] == "out of memory"
    ensure([run], home, LOCAL, retry_failed=True)
    assert results([run, *others], home) == results([run, *others], undisturbed([run, *others]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`use_:DeprecationWarning")
def test_a_run_whose_process_the_system_kills_each_time_says_so_and_others_are_kept(home, tiny_run, others):
    """As the kernel does it where memory runs out: SIGKILL, exit code 137."""
    mortal = tiny_run(Mortal(**vars(tiny_run().method)))
    assert isinstance(mortal.method, TransRAC)

    with driver([mortal, *others], home, ON_RAY) as asked:
        assert asked.ended() == 2

    record = folder_of(mortal, home).record()
    assert (record["status"], record["running"]) == ("started", False)
    assert record["reason"] == "its process or node was lost 4 times"
    assert len(record["places"]) == 4
    assert "its process or node was lost 4 times; the same command continues it" in asked.said()
    assert [folder_of(run, home).status for run in others] == ["fitted", "fitted"]


def a_step_hangs() -> None:
    steps, loss = count(1), loop._loss

    def hanging(module, batch):
        if next(steps) == 3:
            time.sleep(10_000)
        return loss(module, batch)

    loop._loss = hanging


@pytest.mark.slow
def test_a_run_that_hangs_is_ended_when_asked_and_goes_on_later(home, undisturbed, tiny_run):
    run = tiny_run(epochs=4)
    with driver([run], home, replace(LOCAL, stall_limit=5.0), before=a_step_hangs) as asked:
        assert asked.ended() == watchdog.EXIT_CODE

    folder = folder_of(run, home)
    assert f"{folder.key} stalled: no epoch for 5.0 s; the same command continues it" in asked.said()
    record = folder.record()
    assert (record["status"], record["running"], record["reason"]) == ("started", False, "stalled: no epoch for 5.0 s")
    assert len(folder.events()) < 4
    ensure([run], home, LOCAL)
    assert results([run], home) == results([run], undisturbed([run]))
