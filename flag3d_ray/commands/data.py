"""`flag3d data`: make, ingest and check datasets, and look at the sixty motions."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from flag3d_ray.commands.data_check import check, describe
from flag3d_ray.commands.data_convert import convert, template
from flag3d_ray.commands.data_layouts import layouts
from flag3d_ray.commands.data_splits import splits
from flag3d_ray.commands.options import ExecutorOption, HomeOption, plain_console
from flag3d_ray.errors import DataError
from flag3d_ray.home import Home

data = typer.Typer(
    help="Make, ingest and check datasets.",
    epilog="Example: flag3d data ingest ui_prmd ~/data/ui_prmd",
    no_args_is_help=True,
)

_UNCUT = 10_000  # columns
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a dataset of that name.")]


@data.command()
def make(
    name: Annotated[
        str, typer.Argument(help="synthetic (1800 sequences), synthetic-demo, synthetic-mixed, procedural, ...")
    ],
    force: ForceOption = False,
    executor: ExecutorOption = "ray",
    home: HomeOption = None,
) -> None:
    """Generate a synthetic dataset in shards on Ray.

    Example: flag3d data make synthetic
    """
    from flag3d_ray.commands.launch import interruptible, make_dataset, resources
    from flag3d_ray.data.catalogue import SYNTHETIC

    console, place = plain_console(), Home.at(home)
    if name not in SYNTHETIC:
        remedy = f"make one of {', '.join(SYNTHETIC)}"
        raise DataError(where=f"dataset {name!r}", rule="not a synthetic dataset", remedy=remedy)
    if place.dataset(name).exists() and not force:
        raise DataError(where=str(place.dataset(name)), rule="exists already", remedy="add --force to replace it")
    with interruptible(console):
        make_dataset(name, place, resources(executor, 1, 0, "local"), console, force=force)
    console.print(describe(place.dataset(name)), soft_wrap=True, highlight=False)


@data.command()
def ingest(
    reader: Annotated[
        str, typer.Argument(help="The reader, as ui_prmd, ntu60 or open; flag3d data readers lists them.")
    ],
    root: Annotated[Path, typer.Argument(help="Your copy of the dataset.")],
    name: Annotated[
        str, typer.Option("--name", help="What to call the dataset here.", show_default="the reader's name")
    ] = "",
    layout: Annotated[
        str,
        typer.Option(
            "--layout",
            help="Convert the joints to this layout; flag3d data layouts says what becomes what.",
            show_default="the reader's",
        ),
    ] = "",
    force: ForceOption = False,
    executor: ExecutorOption = "local",
    home: HomeOption = None,
) -> None:
    """Read a dataset in its released format, convert and check it, and write it as shards.

    With --executor ray the recordings are read on all cores. Killed or interrupted, the same command goes on where it was.

    Example: flag3d data ingest ui_prmd ~/data/ui_prmd
    """
    from flag3d_ray.commands.launch import interruptible, resources, writing
    from flag3d_ray.data.catalogue import OF_FOLDER, READERS, SYNTHETIC, read_in, require_reader

    console, place = plain_console(), Home.at(home)
    require_reader(reader, root)
    name = name or reader
    if name != reader and name in {*SYNTHETIC, *READERS, *OF_FOLDER}:
        rule = "the name of other data: tables would take these for them"
        raise DataError(where=f"--name {name}", rule=rule, remedy="choose a name of your own")
    with (
        interruptible(console),
        place.new_dataset(name, force=force) as folder,
        writing(f"reading {root}", resources(executor, 1, 0, "local"), console) as options,
    ):
        read_in(reader, root, folder, layout_name=layout, force=force, **options)
    console.print(describe(place.dataset(name)), soft_wrap=True, highlight=False)


@data.command()
def readers() -> None:
    """List the datasets that can be read, each with its joint layout and licence.

    Example: flag3d data readers
    """
    from rich.table import Table

    from flag3d_ray.data.catalogue import OPEN, READERS
    from flag3d_ray.data.readers.repcount_a import DESCRIPTION

    grid = Table(box=None, pad_edge=False)
    for head in ("reader", "layout", "licence", "what it reads"):
        grid.add_column(head, overflow="fold")
    for name, known in READERS.items():
        grid.add_row(name, known.layout, known.card.licence, known.card.description)
    grid.add_row("repcount_a", "any", "its own", DESCRIPTION)
    grid.add_row(
        OPEN, "any", "yours", "An open folder of tables and arrays: flag3d data template FOLDER writes an example."
    )
    # The terminal's width, but no lines of a pipe are cut: whoever reads them may search for a licence.
    plain_console(width=None if sys.stdout.isatty() else _UNCUT).print(grid)


@data.command()
def gallery(
    path: Annotated[Path, typer.Argument(help="The PNG to write.")] = Path("gallery.png"),
) -> None:
    """Draw the sixty synthetic motions as filmstrips.

    Example: flag3d data gallery gallery.png
    """
    from flag3d_ray.data.synthetic.gallery import gallery as draw

    plain_console().print(f"written: {draw(path)}", soft_wrap=True, highlight=False)


for command in (check, splits, convert, template, layouts):
    data.command()(command)
