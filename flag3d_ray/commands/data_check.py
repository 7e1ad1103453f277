"""`flag3d data check`: everything that is wrong, doubtful or remarkable in a dataset or in a copy of one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flag3d_ray.commands.options import HomeOption, plain_console, wide_console
from flag3d_ray.errors import DataError
from flag3d_ray.home import Home

if TYPE_CHECKING:
    from flag3d_ray.data.doctor.examine import Report
    from flag3d_ray.data.findings import Finding, Severity

FORMATS = ("table", "csv", "json")
Examine = Callable[[Callable[[int, int], None]], "Report"]


def check(
    name: Annotated[str, typer.Argument(help="The dataset's name; with --reader the folder of your copy.")],
    reader: Annotated[
        str, typer.Option("--reader", help="Check a copy as this reader reads it, before it is ingested.")
    ] = "",
    form: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    severity: Annotated[
        str, typer.Option("--severity", help="Least severity to list: error, warning or note.")
    ] = "note",
    write_exclusions: Annotated[
        Path | None,
        typer.Option(
            "--write-exclusions", help="Write the sequences with errors as a list for --exclude.", show_default="none"
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Check every file and every sequence, and list what was found with its place and remedy.

    Errors break a rule, warnings are doubtful, notes are worth knowing. It ends with 2 where there are errors, else with 0.

    Example: flag3d data check ~/data/ui_prmd --reader ui_prmd --severity warning
    """
    from flag3d_ray.data.findings import SEVERITIES, ordered, to_csv, to_json

    _require(form, FORMATS, "--format")
    _require(severity, SEVERITIES, "--severity")
    if write_exclusions is not None and write_exclusions.exists():
        remedy = "name another file, or remove it"
        raise DataError(where=str(write_exclusions), rule="exists already", remedy=remedy)
    console = wide_console()
    if not reader and "/" in name:
        rule = "not a name for a dataset of this home"
        remedy = "a copy of a dataset has a reader: add --reader NAME (flag3d data readers lists them)"
        raise DataError(where=f"dataset {name!r}", rule=rule, remedy=remedy)
    target, examine = _of_copy(Path(name), reader) if reader else _of_dataset(name, Home.at(home))
    with _progress(f"checking {target}", console if form == "table" else plain_console(stderr=True)) as told:
        report = examine(told)
    findings = ordered(report.findings, _severity(severity))
    if form == "table":
        _print(console, target, report, findings)
    else:
        typer.echo((to_csv if form == "csv" else to_json)(findings).rstrip("\n"))
    if write_exclusions is not None:
        _write(write_exclusions, report, plain_console(stderr=True))
    if any(finding.severity == "error" for finding in report.findings):
        raise SystemExit(2)


def describe(folder: Path) -> str:
    """`NAME: 1800 sequences, 17478 repetitions, 1796000 frames in 8 shards, digest 0123456789ab`.

    Raises:
        DataError: the folder has no readable manifest.
    """
    from flag3d_ray.data.manifest import load_manifest

    manifest = load_manifest(folder)
    shards = f"{len(manifest.shards)} shard{'s' if len(manifest.shards) != 1 else ''}"
    return (
        f"{folder.name}: {manifest.samples} sequences, {manifest.repetitions} repetitions, {manifest.frames} frames "
        f"in {shards}, digest {manifest.digest[:12]}"
    )


def _of_copy(root: Path, name: str) -> tuple[Path, Examine]:
    from flag3d_ray.data.catalogue import OF_FOLDER, READERS, require_reader
    from flag3d_ray.data.doctor.raw import examine_copy, refused_copy
    from flag3d_ray.data.readers.files_in import check_root

    if name in (*READERS, *OF_FOLDER):
        check_root(root)
    try:
        reader = require_reader(name, root)
    except DataError as error:
        if name not in OF_FOLDER:
            raise
        report = refused_copy(error, root)  # the card, which stands in the folder, is a finding like the rest of it
        return root, lambda told: report
    return root, lambda told: examine_copy(reader, root, told)


def _of_dataset(name: str, home: Home) -> tuple[Path, Examine]:
    from flag3d_ray.data.catalogue import require
    from flag3d_ray.data.doctor.ingested import examine_dataset

    folder = home.dataset(name)
    require(name, folder)
    return folder, lambda told: examine_dataset(folder, told)


@contextmanager
def _progress(title: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(console: Console, target: Path, report: "Report", findings: Sequence["Finding"]) -> None:
    from flag3d_ray.data.findings import summary, to_table

    console.print(_heading(target, report), soft_wrap=True, highlight=False, markup=False)
    if findings:
        console.print(to_table(findings))
    console.print(summary(report.findings), highlight=False)


def _heading(target: Path, report: "Report") -> str:
    """What an ingested dataset is, or how much of a copy could be read."""
    if report.sequences and (target / "manifest.json").is_file():
        return describe(target)
    return f"{target}: {report.sequences} sequences, {report.repetitions} repetitions, {report.frames} frames read"


def _write(path: Path, report: "Report", console: Console) -> None:
    """Sequences with errors, each with its first one; errors that no sequence can be named for stay."""
    from flag3d_ray.data.exclusions import Exclusions, write_exclusions
    from flag3d_ray.data.findings import ordered

    errors = ordered(report.findings, "error")
    found = Exclusions.of((finding.sample, finding.rule) for finding in errors if finding.sample)
    if found.rows:
        write_exclusions(path, found)
        console.print(f"written: {path}, sequences: {len(found)}", soft_wrap=True, highlight=False, markup=False)
    if left := sum(not finding.sample for finding in errors):
        console.print(f"errors about no readable sequence, which --exclude cannot mend: {left}", soft_wrap=True)
    elif not found.rows:
        console.print("no errors: no list was written")


def _require(word: str, known: Sequence[str], option: str) -> None:
    if word not in known:
        raise DataError(where=f"{option} {word}", rule="unknown", remedy=f"use {', '.join(known)}")


def _severity(word: str) -> "Severity":
    from flag3d_ray.data.findings import SEVERITIES

    return next(one for one in SEVERITIES if one == word)
