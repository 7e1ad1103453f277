"""What `flag3d sweep` says at its end, and its exit code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray.commands.launch import Launch
from flag3d_ray.progress import Cell
from flag3d_ray.run import Run
from flag3d_ray.store import RunFolder


@pytest.fixture
def swept(
    flag3d: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_run: Callable[..., Run]
) -> Callable[..., Any]:
    """A sweep of five trials without its work: so many are completed, and the runs that failed have these reasons."""
    from flag3d_ray import search

    def run(completed: int, *reasons: str) -> Any:
        best = tiny_run()
        failed = tuple(Cell(best, RunFolder(tmp_path), "failed", detail=reason) for reason in reasons)
        found = search.Found(best, 0.5, {"rate": 0.1}, {"rate": 1.0}, completed, 2, failed)
        monkeypatch.setattr(Launch, "data", lambda launch, *names: None)
        monkeypatch.setattr(search, "search", lambda *words, **options: found)
        return flag3d("sweep", "hlrac", "--trials", 5, "--no-track", "--home", tmp_path / "home")

    return run


def test_a_search_with_all_its_trials_names_the_best_and_ends_with_0(swept: Callable[..., Any]) -> None:
    said = swept(5)
    assert said.code == 0
    assert "5 trials completed, 2 of them stopped early" in said.out
    assert "best arm: rate 0.1" in said.out
    assert "did not complete" not in said.out


def test_the_evaluator_of_the_importances_is_named_as_it_is(swept: Callable[..., Any]) -> None:
    assert "importance of the parameters (PED-ANOVA, sums to 1): rate 1.00" in swept(5).out


def test_more_trials_than_asked_for_are_no_failure(swept: Callable[..., Any]) -> None:
    assert swept(7).code == 0


def test_a_search_that_lacks_trials_says_why_and_ends_with_1(swept: Callable[..., Any]) -> None:
    said = swept(3, "Diverged: loss [red]nan[/red]", "out of memory", "out of memory")
    assert said.code == 1
    assert "2 of 5 trials did not complete: Diverged: loss [red]nan[/red]; out of memory. Type" in said.out


def test_a_search_without_reasons_ends_with_1_too(swept: Callable[..., Any]) -> None:
    said = swept(3)
    assert said.code == 1
    assert "2 of 5 trials did not complete. Type the same command" in said.out


def test_a_search_without_any_completed_trial_ends_with_2_and_no_traceback(
    flag3d: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from flag3d_ray import search

    monkeypatch.setattr(Launch, "data", lambda launch, *names: None)
    monkeypatch.setattr(search, "search", lambda sweep, home, *words, **options: search.found(sweep, home))

    said = flag3d("sweep", "hlrac", "--no-track", "--home", tmp_path / "home")

    assert said.code == 2
    assert "none of 0 trials is completed" in said.err
