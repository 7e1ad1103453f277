"""`flag3d ui`, `flag3d track`, `flag3d doctor`: look at what is there."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from flag3d_ray.commands.options import HomeOption, plain_console, printable
from flag3d_ray.home import Home


def doctor(home: HomeOption = None) -> None:
    """Check this machine: versions, memory, disk, encoders, datasets. Exit code 1 if something fails.

    Example: flag3d doctor
    """
    from flag3d_ray.doctor import checks

    found = checks(Home.at(home))
    table = Table(box=None, pad_edge=False)
    for title in ("", "check", "found", "what to do"):
        table.add_column(title, overflow="fold")
    colours = {"pass": "green", "warn": "yellow", "fail": "red"}
    for check in found:
        words = map(printable, (check.name, check.detail, check.remedy))
        table.add_row(Text(check.state, style=colours[check.state]), *words)
    plain_console().print(table)
    if any(check.state == "fail" for check in found):
        raise SystemExit(1)


def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 5000,
    host: Annotated[
        str,
        typer.Option(
            "--host", help="A name or IPv4 address of this machine; one that others reach asks for a password."
        ),
    ] = "127.0.0.1",
    password: Annotated[
        bool, typer.Option("--password", help="Ask for a password on this machine too, where it has other users.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Open the runs in MLflow: starts a server for this machine and prints a link that compares the newest runs.

    With --host others can open it as well. They need the password, which is generated, shown once and kept for you alone.

    Example: flag3d ui --port 5000
    """
    from flag3d_ray.ui import serve

    serve(Home.at(home), port, host, password=password)


def track(
    fill: Annotated[bool, typer.Option("--fill", help="Write every run of the store that MLflow lacks.")] = False,
    home: HomeOption = None,
) -> None:
    """Rebuild the MLflow view from the store, exactly once each run.

    Example: flag3d track --fill
    """
    from flag3d_ray.errors import RunError
    from flag3d_ray.figures import pictures_folder
    from flag3d_ray.methods.catalogue import RECORDED
    from flag3d_ray.tracking import Place, fill_view, log_figures, without_password

    if not fill:
        raise RunError(where="flag3d track", rule="nothing was asked for", remedy="type flag3d track --fill")
    console, here = plain_console(), Home.at(home)
    place = Place(here.mlflow_uri, here.local / "mlruns")
    left_out = fill_view(here.store, place, RECORDED)
    log_figures(pictures_folder(here), place)
    for line in left_out:
        console.print(f"left out: {printable(line)}", soft_wrap=True, highlight=False)
    where = without_password(here.mlflow_uri)
    console.print(f"the other runs of {here.store.root} are in {where}", soft_wrap=True, highlight=False)
