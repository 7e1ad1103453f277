"""The live view: what it says of a sweep, on a terminal and in a log."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.progress import Cell, State
from flag3d_ray.run import Run
from flag3d_ray.store import RunFolder
from flag3d_ray.viz.live import LiveBlock, LiveLines, TimeLeft, live_view, summary


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def cell(number: int, state: State, epoch: int = 0, epochs: int = 10, detail: str = "") -> Cell:
    run = Run(method=Random(), seed=number)
    return Cell(run, RunFolder(Path(f"runs/key{number:02d}")), state, epoch, epochs, detail)


def console(terminal: bool = False, width: int = 120) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None)


def written(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def drawn(cells: list[Cell], width: int = 120) -> list[str]:
    """The lines of the final block."""
    out = console(terminal=True, width=width)
    LiveBlock("table 3", out).close(cells)
    return written(out).splitlines()


def test_the_summary_counts_cached_runs_as_done():
    cells = [
        cell(0, "cached", 10),
        cell(1, "finished", 10),
        cell(2, "running", 3),
        cell(3, "failed"),
        cell(4, "waiting"),
    ]
    expected = "2 of 5 done: 1 finished, 1 cached, 1 running, 1 waiting, 1 failed; about 5 min left"
    assert summary(cells, 290.0) == expected


def test_nothing_is_left_when_every_run_has_ended():
    assert "left" not in summary([cell(0, "finished"), cell(1, "not run")], 100.0)


@pytest.mark.parametrize(
    ("seconds", "says"), [(2.0, "10 s"), (44.0, "40 s"), (89.0, "90 s"), (200.0, "3 min"), (9000.0, "2.5 h")]
)
def test_time_left_is_rounded_to_what_is_known(seconds, says):
    assert summary([cell(0, "running")], seconds).endswith(f"about {says} left")


def test_time_left_is_unknown_before_the_first_epoch():
    clock = Clock()
    left = TimeLeft(clock)
    assert left.estimate([cell(0, "waiting")]) is None
    clock.now = 50.0
    assert left.estimate([cell(0, "running")]) is None


def test_time_left_follows_the_rate_of_all_runs_together():
    clock = Clock()
    left = TimeLeft(clock)
    left.estimate([cell(0, "running", 0), cell(1, "running", 0), cell(2, "waiting", 0)])
    clock.now = 60.0
    # 6 epochs in 60 s; 24 of 30 remain.
    assert left.estimate([cell(0, "running", 4), cell(1, "running", 2), cell(2, "waiting", 0)]) == pytest.approx(240.0)


def test_time_left_ignores_what_was_done_before_this_launch():
    clock = Clock()
    left = TimeLeft(clock)
    left.estimate([cell(0, "cached", 10), cell(1, "running", 8)])
    clock.now = 10.0
    assert left.estimate([cell(0, "cached", 10), cell(1, "running", 9)]) == pytest.approx(10.0)


def test_failed_runs_are_not_waited_for():
    clock = Clock()
    left = TimeLeft(clock)
    left.estimate([cell(0, "running", 0), cell(1, "running", 0)])
    clock.now = 10.0
    assert left.estimate([cell(0, "running", 5), cell(1, "failed", 1)]) == pytest.approx(10.0)


@pytest.mark.parametrize("number", [18, 60])
def test_the_block_stays_compact_for_many_runs(number):
    states: list[State] = ["running", "failed", "following", "waiting", "cached", "finished"]
    lines = drawn([cell(i, states[i % 6], detail="x") for i in range(number)])
    assert len(lines) <= 22
    assert all(len(line) <= 120 for line in lines)


def test_the_block_shows_one_mark_per_run_and_the_epoch_of_running_ones():
    lines = drawn(
        [cell(0, "cached"), cell(1, "running", 3), cell(2, "failed", detail="loss is NaN"), cell(3, "waiting")]
    )
    assert lines[1].strip() == "■▶✗·"
    assert any("seed 1" in line and "epoch 3 of 10" in line for line in lines)
    assert any(line.strip() == "random, seed 2: failed (loss is NaN)" for line in lines)


def test_runs_that_wait_for_their_evaluation_do_not_push_running_ones_out_of_the_block():
    lines = drawn([*(cell(i, "fitted", 10) for i in range(12)), cell(12, "running", 3)])
    assert "1 running, 12 fitted" in lines[0]
    assert sum("seed" in line for line in lines) == 1
    assert any("seed 12" in line and "epoch 3 of 10" in line for line in lines)


def test_the_block_says_who_leads_a_followed_run():
    lines = drawn([cell(0, "following", 2, detail="led by pid 7 on box")])
    assert any("epoch 2 of 10, following, led by pid 7 on box" in line for line in lines)


def test_brackets_in_a_reason_are_text_and_not_markup():
    assert any("[red]oops[/red] [/]" in line for line in drawn([cell(0, "failed", detail="[red]oops[/red] [/]")]))


def test_a_block_may_be_closed_without_an_update_and_leaves_its_last_state():
    out = console(terminal=True)
    view = LiveBlock("table 3", out)
    view.update([cell(0, "running", 1)])
    view.close([cell(0, "finished", 10)])
    assert written(out).rstrip().endswith("■")
    assert "1 of 1 done" in written(out)


def lines_of(*updates: list[Cell], every: float = 1.0) -> list[str]:
    """What the log view prints for a series of updates, `every` seconds apart."""
    out, clock = console(), Clock()
    view = LiveLines("demo", out, clock)
    for cells in updates:
        view.update(cells)
        clock.now += every
    view.close(updates[-1])
    return written(out).splitlines()


def test_a_log_gets_one_line_per_change_of_state_and_none_per_epoch():
    lines = lines_of(*([cell(0, "running", epoch), cell(1, "waiting")] for epoch in range(10)))
    assert lines == [
        "demo: random, seed 0: running (epoch 0 of 10)",
        "demo: 0 of 2 done: 1 running, 1 waiting",
        "demo: 0 of 2 done: 1 running, 1 waiting",
    ]


def test_a_log_gets_a_summary_once_a_minute():
    lines = lines_of(*([cell(0, "running", epoch)] for epoch in range(10)), every=20.0)
    assert sum("done" in line for line in lines) == 5


def test_a_log_counts_cached_runs_instead_of_listing_them():
    lines = lines_of([cell(i, "cached", 10) for i in range(18)])
    assert lines == ["demo: 18 of 18 done: 18 cached"] * 2


def test_a_log_counts_runs_whose_captions_are_being_encoded():
    lines = lines_of([cell(i, "preparing") for i in range(18)], [cell(i, "waiting") for i in range(18)])
    assert lines == ["demo: 0 of 18 done: 18 preparing", "demo: 0 of 18 done: 18 waiting"]


def test_a_log_gives_the_reason_of_a_failure():
    assert "demo: random, seed 0: failed (loss is NaN)" in lines_of([cell(0, "failed", detail="loss is NaN")])


def test_runs_without_a_folder_of_their_own_are_told_apart():
    refused = [
        Cell(Run(method=Random(), seed=seed), RunFolder(Path("runs/unreachable")), "not run", detail="no weights")
        for seed in (0, 1)
    ]
    lines = lines_of(refused, refused)
    assert [line for line in lines if "no weights" in line] == [
        "demo: random, seed 0: not run (no weights)",
        "demo: random, seed 1: not run (no weights)",
    ]


def test_the_view_fits_its_output():
    assert isinstance(live_view("x", console(terminal=True)), LiveBlock)
    assert isinstance(live_view("x", console(terminal=False)), LiveLines)
