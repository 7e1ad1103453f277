"""A budget that a plan does not fit is refused with exit code 3 and the cheapest change; the launching verbs obey it too."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray.budget import BudgetError, parse_budget
from flag3d_ray.home import Home
from flag3d_ray.plan import planner as planners
from flag3d_ray.plan.asked import Drawn, ask_demo, ask_sweep, ask_table, drawn_runs, smaller_sweeps, smaller_tables
from flag3d_ray.plan.calibration import Calibration, Encoding, Overheads
from flag3d_ray.plan.planner import Planner
from flag3d_ray.plan.speed import Seconds, Speed, speed_key
from flag3d_ray.run import Resources, Sweep

Flag3d = Callable[..., Any]
RAY = Resources(concurrent=2, cpus=2)


@pytest.fixture(autouse=True)
def calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run takes ten milliseconds a clip, whatever it is; nothing is measured."""
    speed = Speed(
        training=Seconds(0.008, 0.01, 0.012),
        prediction=Seconds(0.004, 0.005, 0.006),
        start=1.0,
        learns=True,
        model_bytes=10**6,
        training_bytes=3 * 10**6,
        basis="calibration",
    )

    def calibrate(runs, encoders, home, resources, report) -> Calibration:
        overheads = Overheads(launch=10.0, generation=3.0, trial=0.5, row=0.05, row_bytes=1e5)
        known = {name: Encoding(2.0, 0.02) for name in encoders}
        return Calibration(overheads, {speed_key(run, resources): speed for run in runs}, known)

    monkeypatch.setattr(planners, "calibrate", calibrate)


@pytest.fixture
def make(tmp_path: Path) -> Planner:
    return Planner(Home(tmp_path / "home"), RAY, lambda what: None)


def test_the_demo_is_its_ablation_a_search_that_the_store_answers_and_table_3(make: Planner) -> None:
    plan = make(ask_demo(make.home))
    ablation, search, table = plan.asked.stages
    assert (len(ablation.runs), search.runs, search.trials) == (18, (), 18)
    assert set(ablation.runs) & set(table.runs)
    assert plan.count("to run") == len(plan.cells) == len({cell.run for cell in plan.cells})
    assert {"data", "texts", "training", "evaluation", "starts", "trials"} == plan.parts.keys()


def test_a_plan_that_fits_is_allowed_and_one_that_does_not_names_the_least_change_that_does(make: Planner) -> None:
    options: dict[str, Any] = {"preset": "demo", "seeds": (0, 1, 2)}
    three, one = make(ask_table("3", **options)), make(ask_table("3", preset="demo", seeds=(0,)))
    make.require_within(parse_budget("9h"), three, smaller_tables("3", **options))
    budget = f"{one.seconds.likely + 1:.0f}s"
    with pytest.raises(BudgetError, match=r"table 3 --preset demo --seeds 0` .*, or allow --budget \d+m"):
        make.require_within(parse_budget(budget), three, smaller_tables("3", **options))
    with pytest.raises(BudgetError) as nothing_fits:
        make.require_within(parse_budget("1s"), three, smaller_tables("3", **options))
    assert nothing_fits.value.remedy.startswith("allow --budget")


def test_smaller_tables_lose_seeds_first_then_the_preset() -> None:
    commands = [asked.command for asked in smaller_tables("6", preset="tiny", seeds=(0, 1))]
    assert commands == [
        "flag3d table 6 --preset tiny --seeds 0",
        "flag3d table 6 --preset demo --seeds 0,1",
        "flag3d table 6 --preset demo --seeds 0",
        "flag3d train hl_rac_multiplication --preset demo",
    ]


def test_smaller_searches_lose_trials(tmp_path: Path) -> None:
    options: dict[str, Any] = {"preset": "demo", "dataset": "synthetic-demo", "trials": 6}
    sizes = [len(asked.stages[0].runs) for asked in smaller_sweeps("hlrac", Home(tmp_path), **options)]
    assert sizes == [3, 1]
    assert len(ask_sweep("hlrac", Home(tmp_path), **options).stages[0].runs) == 6


def test_drawn_values_lie_in_the_space_and_are_the_same_in_every_plan(tiny_run) -> None:
    drawn = Drawn(0)
    rates = [drawn.suggest_float("rate", 1e-4, 1e-2, log=True) for _ in range(200)]
    assert min(rates) >= 1e-4
    assert max(rates) <= 1e-2
    assert sum(rate < 1e-3 for rate in rates) == pytest.approx(100, abs=30)
    assert {drawn.suggest_categorical("one", ("a", "b")) for _ in range(20)} == {"a", "b"}
    assert {drawn.suggest_int("number", 1, 3) for _ in range(50)} == {1, 2, 3}
    sweep = Sweep("seeds", lambda trial: tiny_run(seed=trial.suggest_int("seed", 0, 10**6)), 4)
    assert drawn_runs(sweep, 4) == drawn_runs(sweep, 4)


@pytest.mark.parametrize("words", [("demo",), ("table", 3, "--preset", "demo"), ("sweep", "hlrac", "--trials", 5)])
def test_a_plan_is_printed_and_a_budget_below_it_ends_with_3(
    flag3d: Flag3d, tmp_path: Path, words: tuple[object, ...]
) -> None:
    home = ("--home", tmp_path / "home")
    said = flag3d("plan", *words, *home, "--price-per-hour", 2)
    assert said.code == 0, said.err
    assert all(part in said.out for part in ("to run", "time: ", "cost: ", "disk: ", "the range: fastest"))
    refused = flag3d("plan", *words, *home, "--budget", "2s")
    assert refused.code == 3
    assert "predicted to take" in refused.err
    assert "allow --budget" in refused.err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("words", [("demo",), ("table", 3, "--preset", "demo"), ("sweep", "hlrac", "--trials", 5)])
def test_a_launching_verb_refuses_before_anything_starts(
    flag3d: Flag3d, tmp_path: Path, words: tuple[object, ...]
) -> None:
    refused = flag3d(*words, "--budget", "2s", "--no-track", "--home", tmp_path / "home")
    assert refused.code == 3
    assert not (tmp_path / "home").exists()


def test_json_says_what_the_table_says(flag3d: Flag3d, tmp_path: Path) -> None:
    words = ("plan", "table", 3, "--preset", "demo", "--seeds", 0, "--home", tmp_path)
    told = json.loads(flag3d(*words, "--json", "--price-per-hour", 3.6).out)
    assert told["cells"]["all"] == told["cells"]["to run"] == len(told["runs"])
    assert told["seconds"]["low"] < told["seconds"]["likely"] < told["seconds"]["high"]
    assert told["cost"]["likely"] == pytest.approx(told["seconds"]["likely"] / 1000)
    assert sum(part["likely"] for part in told["parts"].values()) == pytest.approx(told["seconds"]["likely"])


def test_money_without_a_price_is_refused(flag3d: Flag3d, tmp_path: Path) -> None:
    said = flag3d("plan", "demo", "--budget", "3", "--home", tmp_path)
    assert said.code == 2
    assert "--price-per-hour" in said.err
