"""`flag3d plan`: what a launching verb would cost, before it starts anything."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flag3d_ray.budget import parse_budget
from flag3d_ray.commands.launch import planner, resources
from flag3d_ray.commands.options import (
    BudgetOption,
    ConcurrentOption,
    DatasetOption,
    EncoderOption,
    ExecutorOption,
    HomeOption,
    PresetOption,
    PriceOption,
    SeedsOption,
    WorkersOption,
    parse_seeds,
    plain_console,
    wide_console,
)
from flag3d_ray.home import Home
from flag3d_ray.run import Resources

if TYPE_CHECKING:
    from flag3d_ray.plan.estimate import Asked

plan = typer.Typer(
    help="Predict cells, time, cost and disk of demo, table or sweep, without starting them.",
    epilog="Example: flag3d plan table 3 --preset tiny",
    no_args_is_help=True,
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")]


@plan.command("demo")
def plan_demo(
    budget: BudgetOption = "",
    price_per_hour: PriceOption = None,
    concurrent: ConcurrentOption = 0,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Plan `flag3d demo`.

    What nobody has measured on this machine is measured first: half a minute, kept in the home.

    Example: flag3d plan demo --budget 8m
    """
    from flag3d_ray.plan.asked import ask_demo, smaller_demos

    at = Home.at(home)
    shown = Shown(at, resources("ray", 1, concurrent, "local"), budget, price_per_hour, as_json)
    shown.plan(ask_demo(at), smaller_demos())


@plan.command("table")
def plan_table(
    name: Annotated[
        str,
        typer.Argument(help="The paper's table: 3, 4, 5, 6 or 7; or one of ours: ablations, transfer, variation."),
    ],
    preset: PresetOption = "tiny",
    dataset: DatasetOption = "",
    seeds: SeedsOption = "0-2",
    text_encoder: EncoderOption = "",
    budget: BudgetOption = "",
    price_per_hour: PriceOption = None,
    executor: ExecutorOption = "ray",
    workers: WorkersOption = 1,
    concurrent: ConcurrentOption = 0,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Plan `flag3d table`.

    Example: flag3d plan table 3 --preset tiny --seeds 0-2 --price-per-hour 0.4
    """
    from flag3d_ray.plan.asked import ask_table, smaller_tables

    options: dict[str, Any] = {"preset": preset, "seeds": parse_seeds(seeds)}
    options |= {"dataset": dataset, "text_encoder": text_encoder}
    asked = ask_table(name, **options)
    shown = Shown(Home.at(home), resources(executor, workers, concurrent, "local"), budget, price_per_hour, as_json)
    shown.plan(asked, smaller_tables(name, **options))


@plan.command("sweep")
def plan_sweep(
    name: Annotated[str, typer.Argument(help="A search declared in experiments: hlrac.")] = "hlrac",
    preset: PresetOption = "demo",
    dataset: DatasetOption = "",
    trials: Annotated[int, typer.Option("--trials", help="Completed trials to reach.")] = 24,
    budget: BudgetOption = "",
    price_per_hour: PriceOption = None,
    concurrent: ConcurrentOption = 0,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Plan `flag3d sweep`: its range goes from all trials stopped as early as may be to none stopped.

    Example: flag3d plan sweep hlrac --preset demo --trials 30
    """
    from flag3d_ray import declarations
    from flag3d_ray.plan.asked import ask_sweep, smaller_sweeps

    at = Home.at(home)
    options: dict[str, Any] = {
        "preset": preset,
        "dataset": dataset or declarations.default_dataset(preset),
        "trials": trials,
    }
    asked = ask_sweep(name, at, **options)
    shown = Shown(at, resources("ray", 1, concurrent, "local"), budget, price_per_hour, as_json)
    shown.plan(asked, smaller_sweeps(name, at, **options))


@dataclass(frozen=True)
class Shown:
    """Where and how a plan is made, printed, and held against a budget."""

    home: Home
    resources: Resources
    budget: str
    price_per_hour: float | None
    as_json: bool

    def plan(self, asked: "Asked", smaller: "Iterator[Asked]") -> None:
        """Print the plan.

        Raises:
            BudgetError: it does not fit the budget.
        """
        from flag3d_ray.plan.report import plan_json, print_plan

        allowed = parse_budget(self.budget, self.price_per_hour) if self.budget else None
        make = planner(self.home, self.resources, plain_console(stderr=True))
        found, free = make(asked), _free_bytes(self.home)
        if self.as_json:
            typer.echo(json.dumps(plan_json(found, self.price_per_hour, free), indent=1))
        else:
            print_plan(wide_console(), found, self.price_per_hour, free)
        if allowed is not None:
            make.require_within(allowed, found, smaller)


def _free_bytes(home: Home) -> int:
    """Free space where the home lies or will lie."""
    return shutil.disk_usage(next(path for path in (home.local, *home.local.parents) if path.exists())).free
