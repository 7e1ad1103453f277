"""`flag3d ui`, `flag3d track`, `flag3d doctor`: look at what is there."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flag3d_ray.commands.options import HomeOption
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
        table.add_row(f"[{colours[check.state]}]{check.state}[/]", check.name, check.detail, check.remedy)
    Console().print(table)
    if any(check.state == "fail" for check in found):
        raise SystemExit(1)


def ui(
    port: Annotated[int, typer.Option("--port", help="Port on 127.0.0.1.")] = 5000,
    home: HomeOption = None,
) -> None:
    """Open the runs in MLflow: starts a server on the loopback address and prints a link that compares the newest runs.

    Example: flag3d ui --port 5000
    """
    from flag3d_ray.ui import serve

    serve(Home.at(home), port)


def track(
    fill: Annotated[bool, typer.Option("--fill", help="Write every run of the store that MLflow lacks.")] = False,
    home: HomeOption = None,
) -> None:
    """Rebuild the MLflow view from the store, exactly once each run.

    Example: flag3d track --fill
    """
    from flag3d_ray.errors import RunError
    from flag3d_ray.methods.catalogue import RECORDED
    from flag3d_ray.tracking import Place, fill_view

    if not fill:
        raise RunError(where="flag3d track", rule="nothing was asked for", remedy="type flag3d track --fill")
    console, here = Console(), Home.at(home)
    left_out = fill_view(here.store, Place(here.mlflow_uri, here.root / "mlruns"), RECORDED)
    for line in left_out:
        console.print(f"left out: {line}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"the other runs of {here.store.root} are in {here.mlflow_uri}", soft_wrap=True, highlight=False)
