"""`flag3d train`: one method, one seed."""

import os
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from flag3d_ray.chaos import parse_chaos
from flag3d_ray.commands.exclusions import stored_exclusions
from flag3d_ray.commands.launch import Launch, interruptible, resources
from flag3d_ray.commands.options import (
    AddressOption,
    ChaosOption,
    DatasetOption,
    EncoderOption,
    ExcludeOption,
    ExecutorOption,
    HomeOption,
    PresetOption,
    RetryOption,
    StallOption,
    TrackOption,
    WorkersOption,
    wide_console,
)
from flag3d_ray.errors import RunError
from flag3d_ray.home import VARIABLE, Home

if TYPE_CHECKING:
    from flag3d_ray.run import Run, Weights
    from flag3d_ray.store import RunFolder


def train(
    method: Annotated[
        str, typer.Argument(help="A row's id of Table 3, as hl_rac_multiplication, transrac or fourier.")
    ],
    preset: PresetOption = "tiny",
    dataset: DatasetOption = "",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of weights, order and augmentation.")] = 0,
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
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", help="Peak of the schedule, above 0 and up to 1.", show_default="the preset's"),
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
    threads: Annotated[
        int,
        typer.Option("--threads", min=1, help="Threads to compute with; with another number sums round differently."),
    ] = 1,
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
    from flag3d_ray import declarations
    from flag3d_ray.data.text_encoders import encoder
    from flag3d_ray.execution import require_finished
    from flag3d_ray.tables import load_table

    console = wide_console()
    dataset = dataset or declarations.default_dataset(preset)
    options = {"preset": preset, "dataset": dataset, "text_encoder": text_encoder}
    rows = load_table("3", **options, seeds=(seed,), recipe=recipe).rows
    runs = {row.method: row.runs[0] for row in rows if row.runs}
    if method not in runs:
        raise RunError(
            where=f"method {method!r}", rule="not a method that runs", remedy=f"choose one of {', '.join(runs)}"
        )
    run = runs[method].with_seed(seed)
    _require_trained(
        run, method, {"--init-from": init_from or None, "--epochs": epochs, "--learning-rate": learning_rate}
    )
    if init_from and recipe == "published":
        rule = "published recipes start from random weights"
        raise RunError(where=f"--init-from {init_from}", rule=rule, remedy="leave it out")
    if run.data.text is not None:
        encoder(run.data.text.encoder)  # a table shows `not run` and goes on, here there is nothing to go on with
        text = replace(run.data.text, caption_level=caption_level)
        run = replace(run, data=replace(run.data, text=text))
    if epochs is not None:
        run = replace(run, train=replace(run.train, epochs=epochs))
    if learning_rate is not None:
        run = replace(run, train=replace(run.train, learning_rate=_allowed(learning_rate)))
    if init_from:
        run = replace(run, init_from=_kept(init_from, Home.at(home)))
    executor = "ray" if workers > 1 else executor
    used = resources(executor, workers, 1, address, stall_limit, threads)
    surroundings = (Home.at(home), used, console, track, retry_failed)
    launch = Launch(*surroundings, chaos=parse_chaos(chaos))
    without = ""
    if exclude is not None:
        run = run.excluding(dataset, stored_exclusions(launch, dataset, exclude))
        without = f"-without-{run.data.exclude}"
    with interruptible(console):
        cells = launch.ensure([run], "Training", f"train-{preset}-{dataset}{without}")
    require_finished(cells)
    said = f", without the sequences of list {run.data.exclude}" if without else ""
    console.print(f"{run.label}: test clips of {dataset}, split {run.data.split}, preset {preset}{said}")
    for name, value in cells[-1].folder.metrics().items():
        console.print(f"  {name:20} {value:.4f}", highlight=False)
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


def _require_trained(run: "Run", method: str, options: dict[str, object]) -> None:
    """A method that is fitted takes no option of training, which would only give the same result another key."""
    for name, value in options.items():
        if value is not None and not run.train.epochs:
            raise RunError(where=f"{name} {value}", rule=f"{method} has no weights to train", remedy="leave it out")


def _allowed(learning_rate: float) -> float:
    """The rate as it is; a typing error would cost a whole training."""
    if not 0 < learning_rate <= 1:
        where, rule = f"--learning-rate {learning_rate:g}", "not above 0 and up to 1"
        raise RunError(where=where, rule=rule, remedy="1e-3 is the rate of the counter preset")
    return learning_rate


def _kept(word: str, home: Home) -> "Weights":
    """The weights that `--init-from` names, stored in the home."""
    from flag3d_ray.preparation import keep_weights
    from flag3d_ray.training.packaged import find_model

    return keep_weights(find_model(word, home), home)
