"""`flag3d table`, `flag3d train`, `flag3d sweep`: ask for runs, then read what they say."""

import os
import shlex
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

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
from flag3d_ray.home import VARIABLE, Home

if TYPE_CHECKING:
    from flag3d_ray.figures import Picture
    from flag3d_ray.progress import Cell
    from flag3d_ray.run import Weights
    from flag3d_ray.store import RunFolder
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


def train(
    method: Annotated[
        str, typer.Argument(help="A row's id of Table 3, as hl_rac_multiplication, transrac or fourier.")
    ],
    preset: PresetOption = "tiny",
    dataset: DatasetOption = "",
    seed: Annotated[int, typer.Option("--seed", help="Seed of weights, order and augmentation.")] = 0,
    text_encoder: EncoderOption = "",
    caption_level: Annotated[
        int, typer.Option("--caption-level", min=1, max=3, help="1 name, 2 details, 3 instructions.")
    ] = 1,
    init_from: Annotated[
        str,
        typer.Option(
            "--init-from",
            help="Weights to start from: a safetensors file, an exported folder, or the key of a run here.",
            show_default="the preset's warm start",
        ),
    ] = "",
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=0, help="0 judges the weights of --init-from.", show_default="the preset's"),
    ] = None,
    recipe: Annotated[
        Literal["ours", "published"],
        typer.Option(
            "--recipe", help="published: optimiser, rate, batch and epochs of the method's authors, no warm start."
        ),
    ] = "ours",
    exclude: ExcludeOption = None,
    executor: ExecutorOption = "local",
    workers: WorkersOption = 1,
    address: AddressOption = "local",
    stall_limit: StallOption = 0.0,
    chaos: ChaosOption = "",
    retry_failed: RetryOption = False,
    track: TrackOption = True,
    home: HomeOption = None,
) -> None:
    """Train one method with one seed, and print its metrics on the test clips.

    Example: flag3d train hl_rac_multiplication --preset demo --caption-level 2
    """
    from flag3d_ray.data.text_encoders import encoder
    from flag3d_ray.execution import require_finished
    from flag3d_ray.tables import load_table

    console = wide_console()
    dataset = dataset or default_dataset(preset)
    options = {"preset": preset, "dataset": dataset, "text_encoder": text_encoder}
    rows = load_table("3", **options, seeds=(seed,), recipe=recipe).rows
    runs = {row.method: row.runs[0] for row in rows if row.runs}
    if method not in runs:
        raise RunError(
            where=f"method {method!r}", rule="not a method that runs", remedy=f"choose one of {', '.join(runs)}"
        )
    run = runs[method].with_seed(seed)
    if run.data.text is not None:
        encoder(run.data.text.encoder)  # a table shows `not run` and goes on, here there is nothing to go on with
        text = replace(run.data.text, caption_level=caption_level)
        run = replace(run, data=replace(run.data, text=text))
    if epochs is not None:
        run = replace(run, train=replace(run.train, epochs=epochs))
    if init_from:
        run = replace(run, init_from=_kept(init_from, Home.at(home)))
    executor = "ray" if workers > 1 else executor
    surroundings = (Home.at(home), resources(executor, workers, 1, address, stall_limit), console, track, retry_failed)
    launch = Launch(*surroundings, chaos=parse_chaos(chaos))
    without = ""
    if exclude is not None:
        run = run.excluding(dataset, stored_exclusions(launch, dataset, exclude))
        without = f"-without-{run.data.exclude}"
    with interruptible(console):
        cells = launch.ensure([run], run.label, f"train-{preset}-{dataset}{without}")
    require_finished(cells)
    said = f", without the sequences of list {run.data.exclude}" if without else ""
    console.print(f"{run.label}: test clips of {dataset}, split {run.data.split}, preset {preset}{said}")
    for name, value in cells[-1].folder.metrics().items():
        console.print(f"  {name:18} {value:.4f}", highlight=False)
    _print_next(console, cells[-1].folder, "" if home is None else str(home))


def _print_next(console: Console, folder: "RunFolder", home: str) -> None:
    """The key of a finished run, where its model lies, and what to type next; `home` is empty for the default one."""
    there = f" --home {shlex.quote(home)}" if home != os.environ.get(VARIABLE, "") else ""
    key = folder.key[:8]
    for line in (
        f"run    {folder.key}",
        f"model  {folder.model}",
        f"count  flag3d count RECORDING --checkpoint {key}{there}",
        f'export flag3d export-checkpoint {key} --out FOLDER --licence "LICENCE"{there}',
    ):
        console.print(line, soft_wrap=True, highlight=False)


def _kept(word: str, home: Home) -> "Weights":
    """The weights that `--init-from` names, stored in the home."""
    from flag3d_ray.preparation import keep_weights
    from flag3d_ray.training.packaged import find_model

    return keep_weights(find_model(word, home), home)


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

    Example: flag3d sweep hlrac --preset demo --trials 30
    """
    from flag3d_ray.declarations import load_sweep

    console = wide_console()
    dataset = dataset or default_dataset(preset)
    declared = load_sweep(name, preset=preset, dataset=dataset, trials=trials)
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


def print_found(console: Console, found) -> None:
    """What a search found, in three lines."""
    parameters = ", ".join(f"{name} {value}" for name, value in found.parameters.items())
    console.print(f"{found.completed} trials completed, {found.stopped_early} of them stopped early")
    console.print(f"best arm: {parameters} (validation MAE {found.value:.4f}, held-out actions of the training side)")
    shares = ", ".join(f"{name} {share:.2f}" for name, share in found.importances.items())
    console.print(f"importance of the parameters (fANOVA, sums to 1): {shares or 'too few different trials'}")


def default_dataset(preset: str) -> str:
    """The synthetic dataset of a preset's size."""
    return "synthetic-demo" if preset == "demo" else "synthetic"
