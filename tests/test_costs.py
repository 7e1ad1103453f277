"""What runs have cost is read from the store, and so is what caching and early stopping saved."""

import io

import pytest
from rich.console import Console

from flag3d_ray.budget import parse_budget
from flag3d_ray.commands.launch import Launch, print_costs
from flag3d_ray.costs import Cost, Savings, cell_costs, cost, note_evaluation, savings
from flag3d_ray.errors import Flag3dError
from flag3d_ray.execution import ensure
from flag3d_ray.progress import Cell, State
from flag3d_ray.run import Resources
from flag3d_ray.store import RunFolder

LOCAL = Resources(executor="local")


@pytest.fixture
def cell(tmp_path, tiny_run):
    def made(state: State, seed: int, seconds: float, status: str = "fitted", epochs: int = 0) -> Cell:
        folder = RunFolder(tmp_path / f"{state}-{seed}")
        folder.write_record(status=status, seconds=seconds)
        for epoch in range(epochs):
            folder.append_event({"epoch": epoch, "seconds": 2.0})
        return Cell(tiny_run(seed=seed, epochs=10), folder, state)

    return made


def test_a_finished_run_knows_its_fit_and_its_evaluation(fresh_home, tiny_run):
    (done,) = ensure([tiny_run(epochs=1)], fresh_home(), LOCAL)
    spent = cost(done.folder)
    assert spent.fit > 0
    assert spent.evaluation > 0
    assert spent.seconds == spent.fit + spent.evaluation


def test_attempts_add_up(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert cost(folder) == Cost()
    note_evaluation(folder, 1.0)
    note_evaluation(folder, 2.5)
    assert cost(folder) == Cost(evaluation=3.5)


def test_cells_of_one_label_stand_together_without_those_that_were_cached(cell):
    cells = [cell("finished", 0, 3.0), cell("finished", 1, 5.0), cell("cached", 2, 7.0), cell("not run", 3, 0.0)]
    assert cell_costs(cells) == {"transrac": [3.0, 5.0]}


def test_caching_saves_what_the_runs_took_and_early_stopping_the_epochs_that_were_left(cell):
    cells = [cell("cached", 0, 7.0), cell("waiting", 1, 6.0, status="started", epochs=3)]
    assert savings(cells) == Savings(cached=7.0, stopped_early=7 * 2.0)
    assert savings([cell("stopped", 2, 6.0, status="started", epochs=3)]) == Savings()


def test_costs_are_told_and_nothing_is_said_of_savings_that_are_none(cell):
    console = Console(file=io.StringIO(), width=100)
    print_costs(console, [cell("finished", 0, 3.0), cell("finished", 1, 5.0)])
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().strip() == "transrac: 2 x 4.0 s = 8.0 s"
    print_costs(console, [cell("cached", 2, 7.0)])
    assert console.file.getvalue().splitlines()[-1] == "saved by cached cells: 7.0 s"


def test_a_launch_whose_budget_is_used_up_says_what_to_type(fresh_home, tiny_run):
    console = Console(file=io.StringIO(), width=100)
    launch = Launch(fresh_home(), LOCAL, console, track=False, budget=parse_budget("1s"), began=0.0)
    with pytest.raises(Flag3dError, match=r"used up; 1 cells: 1 stopped.*type the same command to go on"):
        launch.ensure([tiny_run()], "title", "group")
