"""What a launch shows of its runs is what the store says."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from flag3d_ray import board as board_module
from flag3d_ray.board import Board, Watching
from flag3d_ray.files import write_json
from flag3d_ray.interruption import Terminated
from flag3d_ray.lease import Holder
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.progress import Cell
from flag3d_ray.run import Run, TrainSpec
from flag3d_ray.storage import StorageLost
from flag3d_ray.store import RunFolder

RUN = Run(method=Random(), train=TrainSpec(epochs=5))


class Recorder:
    """A watcher that keeps what it was shown."""

    def __init__(self, on_update: Callable[[], None] = lambda: None) -> None:
        self.updates: list[tuple[Cell, ...]] = []
        self.closed: list[tuple[Cell, ...]] = []
        self._on_update = on_update

    def update(self, cells: Sequence[Cell]) -> None:
        self.updates.append(tuple(cells))
        self._on_update()

    def close(self, cells: Sequence[Cell]) -> None:
        self.closed.append(tuple(cells))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "0123")


def _epochs(folder: RunFolder, number: int) -> None:
    for epoch in range(number):
        folder.append_event({"epoch": epoch})


def test_a_run_that_nobody_started_waits(folder: RunFolder) -> None:
    board = Board.of({RUN: folder})
    board.refresh()
    assert (board.cells[RUN].state, board.cells[RUN].epoch) == ("waiting", 0)
    assert board.open_runs() == [RUN]


def test_a_run_that_was_finished_before_is_cached_and_stays_so(folder: RunFolder) -> None:
    write_json(folder.metrics_path, {"mae": 0.0})
    board = Board.of({RUN: folder})
    board.refresh()
    assert (board.cells[RUN].state, board.cells[RUN].epoch, board.cells[RUN].epochs) == ("cached", 5, 5)
    assert board.open_runs() == []


def test_a_run_goes_from_waiting_over_running_and_fitted_to_finished(folder: RunFolder) -> None:
    board = Board.of({RUN: folder})
    folder.write_record(status="started", running=True)
    _epochs(folder, 2)
    board.refresh()
    assert (board.cells[RUN].state, board.cells[RUN].epoch, board.cells[RUN].epochs) == ("running", 2, 5)
    folder.write_record(status="fitted", running=False)
    write_json(folder.model, {})
    board.refresh()
    assert board.cells[RUN].state == "fitted"
    write_json(folder.metrics_path, {"mae": 0.0})
    board.refresh()
    assert (board.cells[RUN].state, board.cells[RUN].epoch) == ("finished", 5)
    assert board.open_runs() == []


def test_a_run_that_was_killed_waits_with_the_epochs_it_has(folder: RunFolder) -> None:
    folder.write_record(status="started", running=False)
    _epochs(folder, 3)
    board = Board.of({RUN: folder})
    board.refresh()
    assert (board.cells[RUN].state, board.cells[RUN].epoch) == ("waiting", 3)


def test_a_run_that_is_quiet_for_far_longer_than_its_epochs_take_is_named(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, now = Board.of({RUN: folder}), [1000.0]
    monkeypatch.setattr("flag3d_ray.board.time.monotonic", lambda: now[0])
    folder.write_record(status="started", running=True)

    def after(seconds: float) -> str:
        now[0] += seconds
        board.refresh()
        return board.cells[RUN].detail

    assert [after(0), after(3600)] == ["", ""], "how long its epochs take is not known yet"
    folder.append_event({"epoch": 0, "seconds": 20.0})
    assert [after(1), after(150)] == ["", ""]
    assert after(60) == "no epoch for 3.5 min, its longest took 20 s"
    folder.append_event({"epoch": 1, "seconds": 22.0})
    assert after(1) == ""


def test_a_failed_run_says_why(folder: RunFolder) -> None:
    board = Board.of({RUN: folder})
    folder.write_record(status="failed", reason="Diverged: the loss is not finite")
    board.refresh()
    assert (board.cells[RUN].state, board.cells[RUN].detail) == ("failed", "Diverged: the loss is not finite")


def test_a_followed_run_names_its_leader_until_it_has_none(folder: RunFolder) -> None:
    board = Board.of({RUN: folder})
    me = Holder.this_process()
    folder.path.mkdir()
    write_json(folder.lease, asdict(me))
    board.set(RUN, "following")
    board.refresh()
    assert board.cells[RUN].detail == f"led by {me}"
    folder.lease.unlink()
    board.refresh()
    assert board.cells[RUN].detail == "led by nobody any more"
    assert board.open_runs() == [RUN]


def test_a_refused_run_is_not_run_and_keeps_its_reason(folder: RunFolder) -> None:
    board = Board.of({})
    board.refuse(RUN, folder, "no weights")
    board.refresh()
    assert (board.cells[RUN].state, board.cells[RUN].detail) == ("not run", "no weights")
    assert board.open_runs() == []


def test_cells_keep_the_order_in_which_they_were_asked_for(tmp_path: Path) -> None:
    runs = [Run(method=Random(), seed=seed) for seed in (3, 1, 2)]
    board = Board.of({run: RunFolder(tmp_path / str(run.seed)) for run in runs})
    board.set(runs[0], "running")
    board.refresh()
    assert list(board.cells) == runs


def test_watchers_see_changes_and_get_the_last_word(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "REFRESH_SECONDS", 0.01)
    seen = threading.Event()
    recorder = Recorder(seen.set)
    with Watching(Board.of({RUN: folder}), [recorder]):
        assert seen.wait(30)
        write_json(folder.metrics_path, {"mae": 0.0})
    assert recorder.updates[0][0].state == "waiting"
    assert [cells[0].state for cells in recorder.closed] == ["finished"]


@pytest.mark.parametrize(
    ("end", "reason"),
    [(KeyboardInterrupt(), "interrupted"), (Terminated(), "terminated"), (RuntimeError("no Ray"), "no Ray")],
    ids=["Ctrl-C", "SIGTERM", "error"],
)
def test_a_launch_that_ends_early_says_why_in_the_records_and_to_the_watchers(
    folder: RunFolder, end: BaseException, reason: str
) -> None:
    recorder = Recorder()
    folder.write_record(status="started", running=True, reason="")
    with pytest.raises(type(end)), Watching(Board.of({RUN: folder}), [recorder]):
        raise end
    assert [(cells[0].state, cells[0].detail) for cells in recorder.closed] == [
        ("stopped", f"{reason}; the same command continues it")
    ]
    assert folder.record() == {"status": "started", "running": False, "reason": reason}


def test_a_launch_that_ends_early_leaves_the_runs_of_others_as_they_are(folder: RunFolder) -> None:
    board, recorder = Board.of({RUN: folder}), Recorder()
    folder.write_record(status="started", running=True, reason="")
    write_json(folder.lease, asdict(replace(Holder.this_process(), host="elsewhere")))
    board.set(RUN, "following")
    with pytest.raises(KeyboardInterrupt), Watching(board, [recorder]):
        raise KeyboardInterrupt
    assert [cells[0].state for cells in recorder.closed] == ["following"]
    assert folder.record()["running"] is True


def test_a_run_whose_worker_has_not_ended_yet_is_stopped_with_the_launch_and_its_record_is_left_to_the_worker(
    folder: RunFolder,
) -> None:
    board, recorder = Board.of({RUN: folder}), Recorder()
    folder.write_record(status="started", running=True, reason="")
    write_json(folder.lease, asdict(replace(Holder.this_process(), host="elsewhere")))
    with pytest.raises(Terminated), Watching(board, [recorder]):
        raise Terminated
    assert [(cells[0].state, cells[0].detail) for cells in recorder.closed] == [
        ("stopped", "terminated; the same command continues it")
    ]
    assert folder.record()["running"] is True


def test_watchers_get_the_last_word_and_the_end_is_told_where_the_storage_is_away(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, recorder = Board.of({RUN: folder}), Recorder()

    def away(*_: object) -> None:
        raise StorageLost(where="s3://bucket", rule="it does not answer", remedy="type the same command again")

    def ends() -> None:
        with Watching(board, [recorder, recorder]):
            monkeypatch.setattr(RunFolder, "record", away)
            monkeypatch.setattr(board_module, "leader", away)
            raise Terminated

    with pytest.raises(Terminated):
        ends()

    assert [[cell.state for cell in cells] for cells in recorder.closed] == [["stopped"], ["stopped"]]


def test_a_view_that_breaks_ends_no_run(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(board_module, "REFRESH_SECONDS", 0.01)
    twice = threading.Event()

    def broken() -> None:
        if len(recorder.updates) > 1:
            twice.set()
        raise RuntimeError("no colour left")

    recorder = Recorder(broken)
    with caplog.at_level(logging.ERROR), Watching(Board.of({RUN: folder}), [recorder]):
        assert twice.wait(30), "the view is asked again after it broke"
    assert "the runs go on" in caplog.text
