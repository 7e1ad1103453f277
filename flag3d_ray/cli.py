"""The command line: a handful of verbs. Heavy packages are imported inside them, so that `--help` answers at once."""

import errno

import typer
from rich.text import Text

from flag3d_ray import budget, storage
from flag3d_ray.commands.count import count
from flag3d_ray.commands.data import data
from flag3d_ray.commands.demo import demo
from flag3d_ray.commands.export_checkpoint import export_checkpoint
from flag3d_ray.commands.figures import figure
from flag3d_ray.commands.import_checkpoint import import_checkpoint
from flag3d_ray.commands.options import plain_console, printable
from flag3d_ray.commands.plan import plan
from flag3d_ray.commands.submit import submit
from flag3d_ray.commands.sweep import sweep
from flag3d_ray.commands.tables import table
from flag3d_ray.commands.train import train
from flag3d_ray.commands.view import doctor, track, ui
from flag3d_ray.errors import Flag3dError, RunError

SHOWN = 80  # characters of a name that is none

app = typer.Typer(
    name="flag3d",
    help="Run, search, compare and explain the experiments of FLAG3D++ on Ray.",
    epilog="Example: flag3d doctor && flag3d demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(data, name="data")
app.add_typer(figure, name="figure")
app.add_typer(plan, name="plan")

app.command()(doctor)
app.command()(demo)
app.command()(table)
app.command()(train)
app.command()(sweep)
app.command()(count)
app.command(context_settings={"ignore_unknown_options": True})(submit)
app.command()(ui)
app.command()(track)
app.command(name="export-checkpoint")(export_checkpoint)
app.command(name="import-checkpoint")(import_checkpoint)


def main() -> None:
    """Run a verb. Errors that a user can solve are printed without a traceback, exit code 2, or 3 for a budget."""
    try:
        app()
    except Flag3dError as error:
        _print_error(error)
        raise SystemExit(budget.EXIT_CODE if isinstance(error, budget.BudgetError) else 2) from None
    except Exception as error:
        if (named := _named(error)) is None:
            raise
        _print_error(named)
        raise SystemExit(2) from None


def _named(error: Exception) -> Flag3dError | None:
    """What a user can do about an error of others, or None where nothing is known: then the traceback is shown."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        where, rule = f"{str(error.filename)[:SHOWN]}...", "too long for the name of a file"
        return RunError(where=where, rule=rule, remedy="give a path, not a text")
    if storage.is_trouble(error):
        rule, remedy = f"{type(error).__name__}: {error}", "see whether it answers, then type the same command again"
        return storage.StorageLost(where="the storage at the URL", rule=rule, remedy=remedy)
    return None


def _print_error(error: Flag3dError) -> None:
    console = plain_console(stderr=True)
    console.print(Text.assemble(("error", "red"), f" {printable(error.where)}"), soft_wrap=True)
    console.print(f"  rule    {printable(error.rule)}", soft_wrap=True, highlight=False)
    console.print(f"  remedy  {printable(error.remedy)}", soft_wrap=True, highlight=False)
