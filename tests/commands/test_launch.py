"""What every launching verb does before and after the runs."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from flag3d_ray.commands.launch import Launch, interruptible, resources, summary, writing
from flag3d_ray.errors import DataError, RunError
from flag3d_ray.home import Home
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.progress import Cell, State
from flag3d_ray.run import Resources, Run
from flag3d_ray.store import RunFolder

TinyRun = Callable[..., Run]


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100)


def _printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def launch(tmp_path: Path, write_tiny: Callable[[Path], None], console: Console) -> Launch:
    home = Home(tmp_path)
    write_tiny(home.dataset("tiny"))
    return Launch(home, Resources(executor="local"), console, track=False)


def test_resources_take_what_is_asked_and_fill_in_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    asked = resources("ray", 2, 3, "local")
    assert (asked.workers, asked.concurrent, asked.cpus, asked.gpus, asked.compile) == (2, 3, 6, 0, False)
    assert resources("local", 1, 0, "local").concurrent == 6
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with_gpus = resources("ray", 1, 0, "local")
    assert (with_gpus.concurrent, with_gpus.gpus, with_gpus.compile) == (2, 2, True)


def test_an_unknown_executor_is_refused() -> None:
    with pytest.raises(RunError, match="use ray or local"):
        resources("slurm", 1, 0, "local")


def test_a_dataset_that_can_be_made_says_how_and_others_say_so_too(launch: Launch) -> None:
    launch.data("tiny")
    with pytest.raises(DataError, match="flag3d data ingest ui_prmd"):
        launch.data("tiny", "ui_prmd")


def test_a_missing_synthetic_dataset_is_made(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr("flag3d_ray.commands.launch.make_dataset", lambda name, *rest: made.append(name))
    with pytest.raises(DataError, match="flag3d data make synthetic-demo"):
        launch.data("synthetic-demo")
    assert made == ["synthetic-demo"]


def test_runs_are_ensured_once_and_cached_after_that(launch: Launch, tiny_run: TinyRun) -> None:
    run = tiny_run(Fourier())
    assert [cell.state for cell in launch.ensure([run, run], "title", "group")] == ["finished"]
    assert [cell.state for cell in launch.ensure([run], "title", "group")] == ["cached"]


def test_damaged_data_stops_a_launch_before_anything_is_recorded(launch: Launch, tiny_run: TinyRun) -> None:
    (launch.home.dataset("tiny") / "shard-00000.parquet").unlink()
    with pytest.raises(DataError, match=r"shard-00000\.parquet is missing"):
        launch.ensure([tiny_run(Fourier())], "title", "group")
    assert not launch.home.store.root.exists()


def test_a_path_with_brackets_stands_in_the_progress_as_it_is(console: Console) -> None:
    with writing("reading takes[red]/[/x]", Resources(executor="local"), console) as options:
        options["progress"](1, 2)
    assert "reading takes[red]/[/x]" in _printed(console)


def test_an_interruption_ends_with_130_and_says_how_to_go_on(console: Console) -> None:
    with pytest.raises(SystemExit) as end, interruptible(console):
        raise KeyboardInterrupt
    assert end.value.code == 130
    assert "type the same command to go on" in _printed(console)


def test_a_summary_counts_cells_by_state(tmp_path: Path, tiny_run: TinyRun) -> None:
    states: tuple[State, ...] = ("finished", "cached", "finished", "failed")
    cells = [Cell(tiny_run(), RunFolder(tmp_path), state) for state in states]
    assert summary(cells) == "4 cells: 2 finished, 1 cached, 1 failed"
