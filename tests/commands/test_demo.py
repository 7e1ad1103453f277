"""What the demo says of its own result."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from flag3d_ray.commands.demo import against_random, arms_table
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
