"""`flag3d table`: ask for a table's runs, then print what they say."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from flag3d_ray.budget import parse_budget
from flag3d_ray.chaos import parse_chaos
from flag3d_ray.commands.exclusions import stored_exclusions
from flag3d_ray.commands.launch import Launch, interruptible, print_costs, resources, summary
from flag3d_ray.commands.options import (
    AddressOption,
    BudgetOption,
    ChaosOption,
    ConcurrentOption,
    DatasetOption,
    EncoderOption,
    ExcludeOption,
    ExecutorOption,
    HomeOption,
    PresetOption,
    PriceOption,
    RetryOption,
    SeedsOption,
    StallOption,
    TrackOption,
    WorkersOption,
    parse_seeds,
    wide_console,
)
from flag3d_ray.commands.statistics import statistics
from flag3d_ray.errors import RunError
from flag3d_ray.home import Home

if TYPE_CHECKING:
    from flag3d_ray.figures import Picture
    from flag3d_ray.progress import Cell
    from flag3d_ray.tables import Table


def table(
    name: Annotated[
        str,
        typer.Argument(help="The paper's table: 2, 3, 4, 5, 6 or 7; or one of ours: ablations, transfer, variation."),
    ],
    preset: PresetOption = "tiny",
    dataset: DatasetOption = "",
    seeds: SeedsOption = "0-2",
    text_encoder: EncoderOption = "",
    variant: Annotated[
        str, typer.Option("--variant", help="MAE formula shown: paper divides by c, released by c + 0.1.")
    ] = "paper",
    rounded: Annotated[bool, typer.Option("--rounded", help="Show metrics of rounded counts.")] = False,
    exclude: ExcludeOption = None,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Run what is missing, or only show what is there.")
    ] = True,
    budget: BudgetOption = "",
    price_per_hour: PriceOption = None,
    executor: ExecutorOption = "ray",
    workers: WorkersOption = 1,
    concurrent: ConcurrentOption = 0,
    address: AddressOption = "local",
    stall_limit: StallOption = 0.0,
    chaos: ChaosOption = "",
    retry_failed: RetryOption = False,
    track: TrackOption = True,
    home: HomeOption = None,
) -> None:
    """Run a table and print it: measured beside published. Typing it again continues it.

    Table 2 trains nothing: it describes every dataset that is here, or the one of --dataset. Rows whose data are not here are
    not run and say how to get them. The csv and html files hold every variant of the metrics, whichever is shown. With
    --exclude the sequences of a list are in no part of the split; the table says how many, and
    `flag3d data check --write-exclusions` writes such a list.

    Example: flag3d table 3 --preset tiny --seeds 0-2
    """
    if variant not in ("paper", "released"):
        raise RunError(where=f"--variant {variant}", rule="unknown formula", remedy="use paper or released")
    from flag3d_ray import render
    from flag3d_ray.scoring import score
    from flag3d_ray.tables import Variant, load_table

    console = wide_console()
    if name == "2":
        if exclude is not None:
            raise RunError(where="--exclude", rule="table 2 describes whole datasets", remedy="leave it out")
        statistics(Home.at(home), console, [dataset] if dataset else [])
        return
    options = {"preset": preset, "dataset": dataset, "seeds": parse_seeds(seeds), "text_encoder": text_encoder}
    declared = load_table(name, **options)
    allowed = parse_budget(budget, price_per_hour) if budget else None
    surroundings = (
        Home.at(home),
        resources(executor, workers, concurrent, address, stall_limit),
        console,
        track,
        retry_failed,
    )
    launch = Launch(*surroundings, budget=allowed, chaos=parse_chaos(chaos))
    if allowed is not None and run:
        from flag3d_ray.plan.asked import ask_table, smaller_tables

        launch.require_budget(ask_table(name, **options), smaller_tables(name, **options))
    if exclude is not None:
        declared = declared.excluding(stored_exclusions(launch, declared.dataset, exclude, make=run))
    cells = _run(declared, launch, dataset) if run else []
    scored = score(declared, launch.home, variant=Variant(variant, rounded))
    console.print(render.terminal(scored))
    for path in render.write(scored, launch.home, _pictures(declared, launch.home)):
        console.print(f"written: {path}", soft_wrap=True, highlight=False)
    if any(cell.state == "failed" for cell in cells):
        raise SystemExit(1)


def _run(declared: "Table", launch: Launch, dataset: str) -> "list[Cell]":
    """Run what can be run here. A dataset that was asked for by name must be here; others leave their rows out.

    Synthetic data are made only for rows whose other data are here.
    """
    from flag3d_ray.data.catalogue import SYNTHETIC
    from flag3d_ray.scoring import not_here

    with interruptible(launch.console):
        if dataset and dataset not in SYNTHETIC:
            launch.data(dataset)
        launch.data(*_synthetic(declared, launch.home))
        here = [run for run in declared.runs() if not not_here(run, launch.home)]
        if not here:
            return []
        cells = launch.ensure(
            here, f"Table {declared.name}, preset {declared.preset}, {declared.dataset}", declared.group
        )
        launch.console.print(summary(cells))
        print_costs(launch.console, cells)
    return cells


def _synthetic(declared: "Table", home: Home) -> list[str]:
    """The synthetic datasets of the runs whose other data are in this home."""
    from flag3d_ray.data.catalogue import SYNTHETIC
    from flag3d_ray.execution import with_dependencies
    from flag3d_ray.scoring import data_not_here

    needed: set[str] = set()
    for run in declared.runs():
        read = [one.data for one in with_dependencies([run])]
        if not any(data_not_here(data, home) for data in read if data.dataset not in SYNTHETIC):
            needed |= {data.dataset for data in read} & SYNTHETIC.keys()
    return sorted(needed)


def _pictures(declared: "Table", home: Home) -> "list[Picture]":
    """The figures that `flag3d figure` drew from runs of this table."""
    from flag3d_ray.errors import EncoderUnreachable
    from flag3d_ray.figures import pictures, pictures_folder
    from flag3d_ray.identity import run_key
    from flag3d_ray.scoring import not_here

    known, keys = pictures(pictures_folder(home)), set()
    for run in declared.runs() if known else ():
        with suppress(EncoderUnreachable):
            keys |= set() if not_here(run, home) else {run_key(run, home)}
    return [picture for picture in known if keys.issuperset(picture.runs)]
