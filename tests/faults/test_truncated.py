"""Files that are cut short between two launches: what can be computed again is, with the reason; nothing is silently wrong."""

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from flag3d_ray.errors import RunError
from flag3d_ray.evaluation import evaluate
from flag3d_ray.execution import ensure
from flag3d_ray.progress import Cell
from flag3d_ray.run import Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training import checkpoint
from tests.faults.driver import LOCAL, folder_of, here, mostly_slow, results, table_of

LAST, MODEL, LOG = "checkpoint/last.safetensors", "checkpoint/model.safetensors", "events.jsonl"


@pytest.fixture
def run(tiny_run) -> Run:
    return tiny_run(epochs=4)


def cut(bytes_left: Callable[[int], int]) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, bytes_left(path.stat().st_size))


def cut_last_line(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


DAMAGE = {
    "checkpoint, empty": (LAST, cut(lambda size: 0), "last.safetensors was damaged"),
    "checkpoint, half": (LAST, cut(lambda size: size // 2), "last.safetensors was damaged"),
    "checkpoint, a byte": (LAST, cut(lambda size: size - 1), "last.safetensors was damaged"),
    "best weights, half": (MODEL, cut(lambda size: size // 2), "model.safetensors was damaged"),
    "best weights, gone": (MODEL, Path.unlink, "model.safetensors was gone"),
    "log, half a line": (LOG, cut(lambda size: size - 5), "events.jsonl lacks epoch 1, which its checkpoint has"),
    "log, a line": (LOG, cut_last_line, "events.jsonl lacks epoch 1, which its checkpoint has"),
    "log, gone": (LOG, Path.unlink, "events.jsonl lacks epoch 0, which its checkpoint has"),
}


class Shown:
    """Remembers what was shown of running cells."""

    def __init__(self) -> None:
        self.details: set[str] = set()

    def update(self, cells: Sequence[Cell]) -> None:
        self.details |= {cell.detail for cell in cells if cell.state == "running"}

    def close(self, cells: Sequence[Cell]) -> None:
        pass


@pytest.mark.parametrize("damage", mostly_slow(DAMAGE, "checkpoint, half", "log, a line"))
def test_a_run_whose_state_is_damaged_starts_from_its_beginning_and_says_why(
    home, undisturbed, interrupted, run, damage, monkeypatch
):
    name, destroy, reason = DAMAGE[damage]
    folder, shown = interrupted(run, home), Shown()
    assert len(folder.events()) == 2
    destroy(here(folder.path) / name)
    monkeypatch.setattr("flag3d_ray.board.REFRESH_SECONDS", 0.001)

    (cell,) = ensure([run], home, LOCAL, [shown])

    assert cell.state == "finished"
    assert folder.record()["recovery"] == f"{reason}; started from its beginning"
    assert folder.record()["recovery"] in shown.details
    assert [event["epoch"] for event in folder.events()] == [0, 1, 2, 3]
    assert results([run], home) == results([run], undisturbed([run]))


def test_a_line_of_the_log_that_is_torn_after_the_checkpoint_costs_nothing(home, undisturbed, interrupted, run):
    folder = interrupted(run, home)
    began = folder.events()[0]["time"]
    with folder.events_path.open("a") as log:
        log.write('{"epoch": 2, "lo')

    ensure([run], home, LOCAL)

    assert folder.record()["recovery"] == ""
    assert folder.events()[0]["time"] == began, "the first epochs were not repeated"
    assert [event["epoch"] for event in folder.events()] == [0, 1, 2, 3]
    assert results([run], home) == results([run], undisturbed([run]))


def without_metrics(run: Run, home) -> RunFolder:
    """A run that was killed between its predictions and its metrics."""
    ensure([run], home, LOCAL)
    folder = folder_of(run, home)
    folder.metrics_path.unlink()
    evaluate._loaded.cache_clear()
    return folder


def test_a_checkpoint_that_cannot_be_read_today_is_kept_and_the_run_goes_on_from_it_later(
    home, undisturbed, interrupted, run, monkeypatch
):
    folder = interrupted(run, home)
    kept = folder.last_checkpoint.read_bytes()

    def stale(path):
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "local_copy", stale)
        with pytest.raises(RunError, match="Stale file handle"):
            ensure([run], home, LOCAL)
    assert folder.last_checkpoint.read_bytes() == kept

    ensure([run], home, LOCAL)

    assert folder.record()["recovery"] == ""
    assert results([run], home) == results([run], undisturbed([run]))


@pytest.mark.slow
def test_weights_that_are_damaged_before_they_were_evaluated_are_trained_again(home, undisturbed, run):
    folder = without_metrics(run, home)
    os.truncate(here(folder.model), 100)

    ensure([run], home, LOCAL)

    assert folder.record()["recovery"] == "model.safetensors was damaged; started from its beginning"
    assert results([run], home) == results([run], undisturbed([run]))


@pytest.mark.slow
def test_predictions_that_are_damaged_before_they_were_scored_are_made_again(home, undisturbed, run):
    folder = without_metrics(run, home)
    os.truncate(here(folder.predictions), folder.predictions.stat().st_size // 2)

    ensure([run], home, LOCAL)

    assert folder.record()["recovery"] == ""
    assert results([run], home) == results([run], undisturbed([run]))


@pytest.mark.slow
def test_a_table_refuses_damaged_predictions_and_its_remedy_helps(home, undisturbed, run):
    ensure([run], home, LOCAL)
    folder = folder_of(run, home)
    os.truncate(here(folder.predictions), folder.predictions.stat().st_size // 2)

    with pytest.raises(RunError, match=r"predictions are missing or damaged.*delete metrics\.json beside it"):
        table_of([run], home)
    folder.metrics_path.unlink()
    ensure([run], home, LOCAL)

    assert table_of([run], home) == table_of([run], undisturbed([run]))


@pytest.mark.slow
def test_a_run_that_starts_from_damaged_weights_fails_and_the_remedy_helps(home, undisturbed, run, tiny_run):
    child = tiny_run(epochs=1, seed=1, init_from=run)
    ensure([run], home, LOCAL)
    parent = folder_of(run, home)
    os.truncate(here(parent.model), 100)

    (_, cell) = ensure([child], home, LOCAL)

    assert cell.state == "failed"
    assert str(parent.model) in cell.detail
    assert "delete the run's folder" in cell.detail
    parent.clear()
    ensure([child], home, LOCAL, retry_failed=True)
    assert results([run, child], home) == results([run, child], undisturbed([child]) and undisturbed([run, child]))
