"""`flag3d submit`: a verb as a job on a running Ray cluster; and the other end, where the job runs the verb."""

import os
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from typer.main import get_command

from flag3d_ray.commands.options import plain_console
from flag3d_ray.errors import RunError
from flag3d_ray.home import VARIABLE

if TYPE_CHECKING:
    from flag3d_ray.jobs import JobSubmissionClient

VERBS = ("demo", "table", "sweep")  # one file in jobs/ each
_KEYS = 130  # what a shell reports after Ctrl-C


def submit(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="demo, table or sweep, with its own words and options.", metavar="WORDS"),
    ] = None,
    address: Annotated[
        str, typer.Option("--address", help="The cluster's job server: http on this machine, or https.")
    ] = "http://127.0.0.1:8265",
    home: Annotated[
        str, typer.Option("--home", help="A folder that every node sees.", show_default="the cluster's FLAG3D_HOME")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Print the job's output until it ends.")] = True,
    stop: Annotated[str, typer.Option("--stop", help="End the job of this identifier.", metavar="ID")] = "",
    list_jobs: Annotated[bool, typer.Option("--list", help="List the jobs of the cluster.")] = False,
) -> None:
    """Run a verb on a running Ray cluster. Ctrl-C leaves it running; the same command attaches to it again.

    Uploaded are the package, the experiments and the jobs, with the commit and the uncommitted changes. Data, runs and tables
    are in the cluster's home.

    Example: flag3d submit table 3 --preset tiny --address http://127.0.0.1:8265
    """
    if (bool(words), bool(stop), list_jobs).count(True) != 1:
        rule = "asks for one thing: a verb, --stop or --list"
        raise RunError(where="flag3d submit", rule=rule, remedy="type flag3d submit demo, or see flag3d submit --help")
    if words:
        _require_typable(words)
    from flag3d_ray import jobs

    console, client = plain_console(), jobs.connect(address)
    if list_jobs:
        for known in jobs.jobs(client):
            console.print(f"{known.submission_id}  {known.status}  {known.entrypoint}", soft_wrap=True, highlight=False)
    elif stop:
        console.print(f"{stop}: {'stopped' if jobs.stop(client, stop) else 'had ended already'}", highlight=False)
    else:
        _launch(client, console, words or [], home, follow)


def _require_typable(words: list[str]) -> None:
    """Refuse here what the verb would refuse on the cluster, minutes later."""
    from flag3d_ray.cli import app

    if words[0] not in VERBS:
        raise RunError(where=words[0], rule="no such job", remedy=f"choose one of {', '.join(VERBS)}")
    verb = get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    verb.make_context(f"flag3d {words[0]}", words[1:])


def _launch(client: "JobSubmissionClient", console: Console, words: list[str], home: str, follow: bool) -> None:
    from flag3d_ray import jobs

    command = ("python", "-m", f"jobs.{words[0]}", *words[1:])
    job = jobs.Job(name=words[0], command=command, variables={VARIABLE: home} if home else {})
    with jobs.upload_folder() as upload:
        size = jobs.size_of(upload)
        submitted = jobs.submit(client, job, upload)
    if submitted.attached:
        console.print(f"{submitted.id} runs already; attached to it", highlight=False)
    else:
        console.print(f"{submitted.id} submitted, {size / 2**20:.1f} MiB uploaded", highlight=False)
    at = f"--address {client.get_address()}"
    again = f"flag3d submit {shlex.join(words)} {at}{f' --home {shlex.quote(home)}' if home else ''}"
    ways = f"attach: {again}\nstop:   flag3d submit --stop {submitted.id} {at}"
    if not follow:
        console.print(ways, soft_wrap=True, highlight=False, markup=False)
        return
    try:
        status = jobs.follow(client, submitted.id, _write)
    except KeyboardInterrupt:
        console.print(f"\nDetached; the job goes on.\n{ways}", soft_wrap=True, highlight=False, markup=False)
        raise SystemExit(_KEYS) from None
    if status != "SUCCEEDED":
        rule = client.get_job_info(submitted.id).message or "no reason is known"
        remedy = "solve it and submit again: what is finished is kept"
        raise RunError(where=f"{submitted.id}, {status}", rule=rule, remedy=remedy)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def run_as_job(verb: str) -> None:
    """In a job, on the cluster that runs it: the verb with the job's words. Called by the files in `jobs`."""
    from flag3d_ray.cli import main

    if not os.environ.get(VARIABLE):
        raise SystemExit(
            f"{VARIABLE} is not set on this cluster, and what lies in a job's own folder is deleted after it: "
            "submit with --home FOLDER, a folder that every node sees"
        )
    sys.argv = ["flag3d", verb, *sys.argv[1:], "--address", "auto"]
    main()
