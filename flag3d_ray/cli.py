"""The command line: a handful of verbs. Heavy packages are imported inside them, so that `--help` answers at once."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flag3d_ray.commands.data import data
from flag3d_ray.errors import Flag3dError

app = typer.Typer(
    name="flag3d",
    help="Run, search, compare and explain the experiments of FLAG3D++ on Ray.",
    epilog="Start with: flag3d doctor && flag3d demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(data, name="data")

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Where data, runs and tables lie.", envvar="FLAG3D_HOME", show_default=".flag3d")
]
