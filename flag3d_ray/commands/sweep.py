"""`flag3d sweep`: search with Ray Tune and Optuna."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flag3d_ray.budget import parse_budget
from flag3d_ray.commands.launch import Launch, interruptible, print_costs, resources
from flag3d_ray.commands.options import (
    AddressOption,
    BudgetOption,
    ConcurrentOption,
    DatasetOption,
    HomeOption,
    PresetOption,
    PriceOption,
    StallOption,
    TrackOption,
    wide_console,
)
from flag3d_ray.home import Home

if TYPE_CHECKING:
    from flag3d_ray.search import Found


def sweep(
    name: Annotated[str, typer.Argument(help="A search declared in experiments: hlrac.")] = "hlrac",
    preset: PresetOption = "demo",
    dataset: DatasetOption = "",
    trials: Annotated[
        int, typer.Option("--trials", help="Completed trials to reach, earlier launches counted in.")
    ] = 24,
    budget: BudgetOption = "",
    price_per_hour: PriceOption = None,
    concurrent: ConcurrentOption = 0,
    address: AddressOption = "local",
    stall_limit: StallOption = 0.0,
    track: TrackOption = True,
    home: HomeOption = None,
) -> None:
    """Search with Ray Tune and Optuna; typing it again continues the study. Bad trials are stopped early.

    One process searches a study at a time. Where fewer trials than asked for are completed, the exit code is 1.

    Example: flag3d sweep hlrac --preset demo --trials 30
    """
    from flag3d_ray import declarations

    console = wide_console()
    dataset = dataset or declarations.default_dataset(preset)
    declared = declarations.load_sweep(name, preset=preset, dataset=dataset, trials=trials)
    allowed = parse_budget(budget, price_per_hour) if budget else None
    launch = Launch(
        Home.at(home), resources("ray", 1, concurrent, address, stall_limit), console, track, budget=allowed
    )
    if allowed is not None:
        from flag3d_ray.plan.asked import ask_sweep, smaller_sweeps

        options = {"preset": preset, "dataset": dataset, "trials": trials}
        launch.require_budget(ask_sweep(name, launch.home, **options), smaller_sweeps(name, launch.home, **options))
    from flag3d_ray.search import search  # Ray and Optuna take seconds to load, a wrong word is answered before

    with interruptible(console):
        launch.data(dataset)
        title = f"Search {declared.name}"
        views = launch.watchers(title, declared.name)
        found = search(declared, launch.home, launch.resources, views, deadline=launch.deadline)
    print_found(console, found)
    print_costs(console, found.cells)
    if found.completed < trials:
        console.print(too_few(found, trials), markup=False, highlight=False)
        raise SystemExit(1)


def print_found(console: Console, found: "Found") -> None:
    """What a search found, in three lines."""
    from flag3d_ray.search import IMPORTANCES

    parameters = ", ".join(f"{name} {value}" for name, value in found.parameters.items())
    console.print(f"{found.completed} trials completed, {found.stopped_early} of them stopped early")
    console.print(f"best arm: {parameters} (validation MAE {found.value:.4f}, held-out actions of the training side)")
    shares = ", ".join(f"{name} {share:.2f}" for name, share in found.importances.items())
    console.print(f"importance of the parameters ({IMPORTANCES}, sums to 1): {shares or 'too few different trials'}")


def too_few(found: "Found", asked: int) -> str:
    """How many of the trials asked for are missing, why trials of this launch failed, and what to type."""
    reasons = "; ".join(dict.fromkeys(cell.detail for cell in found.cells if cell.state == "failed" and cell.detail))
    because = f": {reasons}" if reasons else ""
    return (
        f"{asked - found.completed} of {asked} trials did not complete{because}. Type the same command to try others."
    )
