"""`flag3d demo`: the platform in one command."""

import time
from collections.abc import Iterable, Sequence

from rich.table import Table

from flag3d_ray.budget import parse_budget
from flag3d_ray.chaos import parse_chaos
from flag3d_ray.commands.launch import Launch, interruptible, print_costs, resources, summary
from flag3d_ray.commands.options import (
    AddressOption,
    BudgetOption,
    ChaosOption,
    ConcurrentOption,
    HomeOption,
    PriceOption,
    TrackOption,
    wide_console,
)
from flag3d_ray.commands.sweep import print_found, too_few
from flag3d_ray.home import Home
from flag3d_ray.progress import Cell
from flag3d_ray.run import Ablation


def demo(
    concurrent: ConcurrentOption = 0,
    address: AddressOption = "local",
    chaos: ChaosOption = "",
    budget: BudgetOption = "",
    price_per_hour: PriceOption = None,
    track: TrackOption = True,
    home: HomeOption = None,
) -> None:
    """Run the language ablation of HL-RAC on Ray, search the same space, and print Table 3's rows.

    It shows the platform, not the model's best: synthetic data, and a small network of the package to start from. A second
    call answers from the store. Where an arm or a trial failed, it goes on and ends with exit code 1.

    Example: flag3d demo
    """
    from flag3d_ray import declarations, render
    from flag3d_ray.plan.asked import ask_demo, smaller_demos
    from flag3d_ray.scoring import score
    from flag3d_ray.search import search

    console, began = wide_console(), time.monotonic()
    allowed = parse_budget(budget, price_per_hour) if budget else None
    surroundings = (Home.at(home), resources("ray", 1, concurrent, address), console, track)
    launch = Launch(*surroundings, budget=allowed, chaos=parse_chaos(chaos))
    launch.require_budget(ask_demo(launch.home), smaller_demos())
    declared = declarations.demo()
    ablation, table3 = declared.ablation(), declared.table()
    searched = (declared.sweep(), launch.home, launch.resources)
    with interruptible(console):
        console.rule("1  Ablation: fusion x text encoder x caption level, 18 arms, none stopped early")
        cells = launch.ensure(ablation.runs(), "HL-RAC's language ablation", ablation.name)
        console.print(summary(cells))
        print_costs(console, cells)
        console.print(arms_table(ablation, cells))
        console.rule("2  Optuna searches the same space; its trials answer from the store")
        found = search(*searched, stop_early=False, deadline=launch.deadline)
        print_found(console, found)
        if found.completed < declared.TRIALS:
            console.print(too_few(found, declared.TRIALS), markup=False, highlight=False)
        console.rule("3  Table 3, measured beside published")
        rows = launch.ensure(table3.runs(), "Table 3", table3.group)
        console.print(summary(rows))
        print_costs(console, rows)
        console.print(against_random({cell.run: cell for cell in [*cells, *rows]}.values()))
    scored = score(table3, launch.home)
    console.print(render.terminal(scored))
    for path in render.write(scored, launch.home):
        console.print(f"written: {path}", soft_wrap=True, highlight=False)
    console.print(f"done in {time.monotonic() - began:.0f} s; `flag3d ui` opens the runs in MLflow")
    if found.completed < declared.TRIALS or any(cell.state == "failed" for cell in (*cells, *rows)):
        raise SystemExit(1)


def arms_table(ablation: Ablation, cells: Sequence[Cell]) -> Table:
    """Every arm of the ablation with its metrics on the test clips."""
    by_run = {cell.run: cell for cell in cells}
    table = Table(title="synthetic - not comparable, demo preset, one seed", box=None, title_justify="left")
    for column in ("fusion, text encoder, caption level", "MAE ↓", "OBO@1 ↑", "OBO@Avg ↑"):
        table.add_column(column, justify="left" if "fusion" in column else "right")
    for name, run in ablation.arms:
        cell = by_run[run]
        if cell.state in ("finished", "cached"):
            metrics = cell.folder.metrics()
            table.add_row(name, *(f"{metrics[key]:.4f}" for key in ("mae", "obo/1", "obo/avg")))
        else:
            table.add_row(name, cell.state, "", "")
    return table


def against_random(cells: Iterable[Cell]) -> str:
    """Whether every learned run ends below Random in MAE, and which do not."""
    done = [cell for cell in cells if cell.state in ("finished", "cached")]
    chance = [cell.folder.metrics()["mae"] for cell in done if cell.run.method.name == "random"]
    learned = [cell for cell in done if cell.run.train.epochs]
    if not chance or not learned:
        return "Nothing to compare with Random."
    mean = sum(chance) / len(chance)
    worse = [cell.run.label for cell in learned if cell.folder.metrics()["mae"] >= mean]
    if worse:
        return f"NOT below Random (MAE {mean:.4f}, mean of {len(chance)} draws): {'; '.join(worse)}"
    return f"All {len(learned)} learned runs end below Random in MAE ({mean:.4f}, mean of {len(chance)} draws)."
