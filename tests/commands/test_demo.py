"""What the demo says of its own result."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flag3d_ray.commands.demo import against_random, arms_table
from flag3d_ray.commands.launch import Launch
from flag3d_ray.files import write_json
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.methods.counting.transrac import TransRAC
from flag3d_ray.progress import Cell
from flag3d_ray.run import Ablation, Run
from flag3d_ray.store import RunFolder

TinyRun = Callable[..., Run]


@pytest.fixture
def cell(tmp_path: Path) -> Callable[[Run, float], Cell]:
    def made(run: Run, mae: float) -> Cell:
        folder = RunFolder(tmp_path / f"{run.method.name}-{run.seed}-{mae}")
        write_json(folder.metrics_path, {"mae": mae, "obo/1": 0.5, "obo/avg": 0.25})
        return Cell(run, folder, "finished")

    return made


def _draws(tiny_run: TinyRun, cell: Callable[[Run, float], Cell], errors: Sequence[float]) -> list[Cell]:
    return [cell(tiny_run(Random(), seed=seed, epochs=0), error) for seed, error in enumerate(errors)]


def test_learned_runs_below_the_mean_of_randoms_draws_are_counted(tiny_run: TinyRun, cell) -> None:
    learned = [cell(tiny_run(TransRAC(), seed=seed), 0.5 + seed) for seed in (0, 1)]
    said = against_random([*learned, *_draws(tiny_run, cell, (2.0, 4.0))])
    assert said == "All 2 learned runs end below Random in MAE (3.0000, mean of 2 draws)."


def test_a_learned_run_that_is_not_below_random_is_named(tiny_run: TinyRun, cell) -> None:
    learned = [cell(tiny_run(TransRAC(), seed=0), 0.5), cell(tiny_run(TransRAC(), seed=1), 3.5)]
    said = against_random([*learned, *_draws(tiny_run, cell, (2.0, 4.0))])
    assert said.startswith("NOT below Random")
    assert "transrac, seed 1" in said
    assert "seed 0" not in said


def test_an_arm_that_failed_stands_in_the_table_without_numbers(tiny_run: TinyRun, cell, tmp_path: Path) -> None:
    done, failed = tiny_run(TransRAC(), seed=0), tiny_run(TransRAC(), seed=1)
    cells = [cell(done, 0.5), Cell(failed, RunFolder(tmp_path / "failed"), "failed", detail="Diverged")]
    console = Console(width=100, record=True)
    console.print(arms_table(Ablation("two", (("first", done), ("second", failed))), cells))
    printed = console.export_text()
    assert "first" in printed
    assert "0.5000" in printed
    assert "failed" in printed
    assert "not comparable" in printed


@pytest.fixture
def demonstrated(flag3d, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """The demo without its work: every cell of the ablation, or of Table 3, is in one state, and the search is as told."""

    def run(arms: str = "finished", rows: str = "finished", completed: int = 18) -> Any:
        from experiments import demo
        from flag3d_ray import render, scoring, search

        def ensure(launch: Launch, runs: Any, title: str, group: str) -> list[Cell]:
            folder = RunFolder(tmp_path / "run")
            write_json(folder.metrics_path, {"mae": 1.0, "obo/1": 0.5, "obo/avg": 0.25})
            state: Any = rows if group == demo.table().group else arms
            return [Cell(run, folder, state, detail="too hot") for run in runs]

        found = search.Found(demo.ablation().runs()[0], 0.5, {"fusion": "addition"}, {}, completed, 0)
        monkeypatch.setattr(Launch, "ensure", ensure)
        monkeypatch.setattr(search, "search", lambda *words, **options: found)
        monkeypatch.setattr(scoring, "score", lambda *words: None)
        monkeypatch.setattr(render, "terminal", lambda scored: "the table")
        monkeypatch.setattr(render, "write", lambda *words: [])
        return flag3d("demo", "--no-track", "--home", tmp_path / "home")

    return run


def test_a_demo_whose_runs_are_all_done_ends_with_0(demonstrated: Callable[..., Any]) -> None:
    assert demonstrated().code == 0


@pytest.mark.parametrize("stage", ["arms", "rows"])
def test_a_demo_with_failed_runs_prints_its_table_and_ends_with_1(demonstrated: Callable[..., Any], stage: str) -> None:
    said = demonstrated(**{stage: "failed"})
    assert said.code == 1
    assert "the table" in said.out


def test_a_demo_whose_search_lacks_trials_says_so_and_ends_with_1(demonstrated: Callable[..., Any]) -> None:
    said = demonstrated(completed=15)
    assert said.code == 1
    assert "3 of 18 trials did not complete" in said.out
    assert "the table" in said.out
