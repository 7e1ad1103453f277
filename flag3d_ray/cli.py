"""The command line: a handful of verbs. Heavy packages are imported inside them, so that `--help` answers at once."""

import typer
from rich.console import Console
from rich.markup import escape

from flag3d_ray.commands.count import count
from flag3d_ray.commands.data import data
from flag3d_ray.commands.demo import demo
from flag3d_ray.commands.export_checkpoint import export_checkpoint
from flag3d_ray.commands.import_checkpoint import import_checkpoint
from flag3d_ray.commands.tables import sweep, table, train
from flag3d_ray.commands.view import doctor, track, ui
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

app.command()(doctor)
app.command()(demo)
app.command()(table)
app.command()(train)
app.command()(sweep)
app.command()(count)
app.command()(ui)
app.command()(track)
app.command(name="export-checkpoint")(export_checkpoint)
app.command(name="import-checkpoint")(import_checkpoint)


def main() -> None:
    """Run a verb. Errors that a user can solve are printed without a traceback, exit code 2."""
    try:
        app()
    except Flag3dError as error:
        console = Console(stderr=True)
        console.print(f"[red]error[/] {escape(error.where)}", soft_wrap=True, highlight=False)
        console.print(f"  rule    {error.rule}", soft_wrap=True, highlight=False, markup=False)
        console.print(f"  remedy  {error.remedy}", soft_wrap=True, highlight=False, markup=False)
        raise SystemExit(2) from None
