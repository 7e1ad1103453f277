"""`flag3d data convert` and `flag3d data template`: into the open folder, from a released pickle or from nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flag3d_ray.commands.options import plain_console
from flag3d_ray.errors import DataError

if TYPE_CHECKING:
    from flag3d_ray.data.convert import Summary


def convert(
    source: Annotated[Path, typer.Argument(help="The pickle, as it was downloaded.")],
    target: Annotated[Path, typer.Argument(help="The folder to write.")],
    dataset: Annotated[
        str,
        typer.Option("--dataset", help="flag3d_2d, flag3d_3d, ntu60_2d, ntu60_3d or finegym99.", show_default="none"),
    ] = "",
    layout: Annotated[str, typer.Option("--layout", help="Joint layout.", show_default="found from the joints")] = "",
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Text file with the name of one class per line, in order.")
    ] = None,
) -> None:
    """Convert a pickle of skeletons (pyskl, mmaction2) into a folder of plain arrays and tables.

    The pickle is read by a process of its own that can build arrays, lists and texts and nothing else: one that asks for
    more is refused, and what it asked for is named. Without --dataset you fill in dataset.json yourself.

    Example: flag3d data convert ntu60_hrnet.pkl ~/data/ntu60_2d --dataset ntu60_2d
    """
    from flag3d_ray.data.convert import convert as convert_pickle
    from flag3d_ray.data.readers.open_format_tables import OpenCard
    from flag3d_ray.data.readers.pyskl import release

    console = plain_console()
    known = release(dataset) if dataset else None
    if known is not None and layout:
        remedy = "leave out --layout: the dataset has its own"
        raise DataError(where=f"--layout {layout}", rule=f"given beside --dataset {dataset}", remedy=remedy)
    card: OpenCard = known.card if known is not None else OpenCard(layout=layout)
    actions = read_labels(labels) if labels else known.actions if known is not None else ()
    try:
        with _bar(console) as told:
            summary = convert_pickle(source, target, card=card, actions=actions, progress=told)
    except KeyboardInterrupt:
        console.print("\nInterrupted: nothing was written.")
        raise SystemExit(130) from None
    _describe(console, target, summary, dataset or "open")


def template(
    folder: Annotated[Path, typer.Argument(help="The folder to write.")],
    layout: Annotated[
        str, typer.Option("--layout", help="Joint layout, such as flag3d24, ntu25 or coco17.")
    ] = "flag3d24",
) -> None:
    """Write a small example of the open folder, to be edited: the way to a dataset of your own.

    Example: flag3d data template ~/data/mine --layout ntu25
    """
    from flag3d_ray.data.readers.open_format_template import write_template

    write_template(folder, layout)
    console = plain_console()
    console.print(f"written: {folder}", soft_wrap=True, highlight=False)
    console.print("README.md in it says what to change. Then:", highlight=False)
    console.print(f"  flag3d data ingest open {folder} --name mine", soft_wrap=True, highlight=False)


def read_labels(path: Path) -> tuple[str, ...]:
    """One name per line; empty lines at the end are dropped.

    Raises:
        DataError: no such file, not UTF-8, or an empty line between names.
    """
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        remedy = "name a text file in UTF-8 with the name of one class per line"
        raise DataError(where=str(path), rule=f"cannot be read ({error})", remedy=remedy) from None
    if not all(names):
        row = names.index("") + 1 if names else 1
        raise DataError(where=f"{path}, line {row}", rule="no name", remedy="write the name of one class per line")
    return tuple(names)


def _bar(console: Console):
    """A progress bar; entering it gives the function that the converter tells its progress."""
    from contextlib import contextmanager

    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    @contextmanager
    def shown():
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            tasks = {what: bar.add_task(what, total=None) for what in ("reading", "writing")}
            yield lambda what, done, total: bar.update(tasks[what], completed=done, total=total)

    return shown()


def _describe(console: Console, target: Path, summary: "Summary", reader: str) -> None:
    lines = [
        f"{target}: {summary.sequences} sequences, {len(summary.classes)} classes, layout {summary.layout}",
        *(
            f"  split {name}: {', '.join(f'{number} {part}' for part, number in parts.items())}"
            for name, parts in summary.splits.items()
        ),
        *(f"  note: {note}" for note in summary.notes),
    ]
    if not summary.splits:
        lines.append("  no splits")
    if summary.missing:
        lines.append(f"fill in {target / 'dataset.json'} ({', '.join(summary.missing)}), then:")
    lines.append(f"  flag3d data ingest {reader} {target}")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
