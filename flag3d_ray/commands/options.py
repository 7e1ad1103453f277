"""Options that several verbs share."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flag3d_ray.errors import RunError

HomeOption = Annotated[
    str | None,
    typer.Option(
        "--home",
        help="Where data, runs and tables lie: a folder, or a URL as s3://bucket/prefix.",
        envvar="FLAG3D_HOME",
        show_default=".flag3d",
    ),
]
PresetOption = Annotated[str, typer.Option("--preset", help="Size of everything: demo, tiny, counter or paper.")]
DatasetOption = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="synthetic, synthetic-demo, synthetic-mixed, procedural, procedural-plain, procedural-no-GROUP, flag3d, ui_prmd, "
        "repcount_a or cmu_exercise.",
        show_default="synthetic of the preset",
    ),
]
SeedsOption = Annotated[str, typer.Option("--seeds", help="Seeds, as 0-2 or 0,3,7.")]
EncoderOption = Annotated[
    str, typer.Option("--text-encoder", help="minilm, lexical, bert or clip.", show_default="the preset's")
]
WorkersOption = Annotated[
    int, typer.Option("--workers", help="Ray Train workers per run; the result does not depend on it.")
]
ConcurrentOption = Annotated[int, typer.Option("--concurrent", help="Runs at a time.", show_default="one per CPU")]
ExecutorOption = Annotated[
    str, typer.Option("--executor", help="ray, or local for one run after the other without Ray.")
]
AddressOption = Annotated[
    str, typer.Option("--address", help="A running Ray cluster; local starts one for this command.")
]
ExcludeOption = Annotated[
    Path | None,
    typer.Option(
        "--exclude", help="A csv file (sample_id, reason) of sequences to leave out of every part.", show_default="none"
    ),
]
BudgetOption = Annotated[
    str,
    typer.Option(
        "--budget",
        help="Most that it may take, as 90s, 5m or 1h30m, or money with --price-per-hour. Exit code 3 where it takes more.",
        show_default="none",
    ),
]
PriceOption = Annotated[
    float | None,
    typer.Option(
        "--price-per-hour", min=0.0, help="What the machine costs per hour, in any currency.", show_default="none"
    ),
]
ChaosOption = Annotated[
    str,
    typer.Option(
        "--chaos",
        help="Kill processes of runs on purpose, with this probability per epoch, as kill=0.1: the results are the same.",
        show_default="none",
    ),
]
StallOption = Annotated[
    float,
    typer.Option(
        "--stall-limit",
        min=0.0,
        help="Minutes without an epoch after which a run is ended with that reason, to go on from its checkpoint; 0: never.",
    ),
]
RetryOption = Annotated[
    bool,
    typer.Option(
        "--retry-failed", help="Run failed cells again, from the beginning of what failed: training, evaluation."
    ),
]
TrackOption = Annotated[bool, typer.Option("--track/--no-track", help="Write the runs to MLflow while they go on.")]


def plain_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A console that prints text as it is: names of files, actions and datasets hold no markup and no emoji codes."""
    return Console(stderr=stderr, width=width, markup=False, emoji=False)


def wide_console() -> Console:
    """The terminal as it is; 120 columns for a log or a pipe, where Rich would assume 80 and cut the tables."""
    return plain_console(width=None if sys.stdout.isatty() else 120)


def printable(text: str) -> str:
    """Text from outside without the control characters that could steer a terminal; line breaks stay."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def parse_seeds(text: str) -> tuple[int, ...]:
    """`0-2` -> (0, 1, 2); `0,3` -> (0, 3).

    Raises:
        RunError: the text is neither.
    """
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.strip().partition("-")
            seeds.extend(range(int(first), int(last if dash else first) + 1))
    except ValueError as error:
        raise RunError(where=f"--seeds {text}", rule="not a list of seeds", remedy="write 0-2 or 0,3,7") from error
    if not seeds or len(set(seeds)) < len(seeds):
        raise RunError(where=f"--seeds {text}", rule="empty or repeated seeds", remedy="write 0-2 or 0,3,7")
    return tuple(seeds)
