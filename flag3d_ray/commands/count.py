"""`flag3d count`: how many repetitions a recording holds, and where they are. It reads joints and no label."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from flag3d_ray.commands.options import HomeOption, wide_console
from flag3d_ray.errors import RunError
from flag3d_ray.home import Home

if TYPE_CHECKING:
    from flag3d_ray.clip_counters import ClipCounter
    from flag3d_ray.counting import Count
    from flag3d_ray.data.recording import Recording
    from flag3d_ray.segments import Rule

SHOWN = 12
"""Rows of the table that is printed."""
TABLE, PICTURE = "segments.csv", "count.png"


def count(
    file: Annotated[Path, typer.Argument(help="A recording of one person: .npz, .npy, .csv or .bvh.")],
    layout: Annotated[
        str, typer.Option("--layout", help="Joint layout of the file.", show_default="recognised by its joints")
    ] = "",
    fps: Annotated[
        float | None,
        typer.Option("--fps", help="Frames per second.", show_default="the file's; 120 for CMU's joints, else 30"),
    ] = None,
    unit: Annotated[str, typer.Option("--unit", help="m, cm or mm.", show_default="recognised by the trunk")] = "",
    up: Annotated[
        str, typer.Option("--up", help="The axis that points up: y, z, x, -y, -z or -x.", show_default="y")
    ] = "",
    start: Annotated[float, typer.Option("--from", help="Count from this second on.")] = 0.0,
    end: Annotated[float | None, typer.Option("--to", help="Count up to this second.", show_default="the end")] = None,
    caption: Annotated[
        str | None, typer.Option("--caption", help="What is done, in words, for networks that read language.")
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--checkpoint",
            help="A trained run's folder or key, or an exported folder; several widen the range.",
            show_default="the one that comes with this version",
        ),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", help="Count without a network: fourier, pca_peaks or wavelet.")
    ] = "",
    rule: Annotated[
        str, typer.Option("--rule", help="How repetitions are read from the density: valley, quantile or cumulative.")
    ] = "valley",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for segments.csv and count.png.", show_default="counts/FILE-DIGEST in the home"
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Count the repetitions in a recording of your own, of any length, and write where they are.

    The range is what windows at other places, and other networks, count. Recordings that a clip does not resolve are
    counted in windows; a warning says when even those have too few frames per repetition.

    Example: flag3d count squats.npz --method wavelet --out squats
    """
    place, console = Home.at(home), wide_console()
    from flag3d_ray.counting import count_recording
    from flag3d_ray.data.recording import read_recording
    from flag3d_ray.files import require_writable

    known_rule = _rule(rule)
    target = out or place.local / "counts" / own_name(file)
    require_writable(target, (TABLE, PICTURE), f"--out {target}" if out else f"--home {place.root}")
    recording = read_recording(file, layout=layout, fps=fps, unit=unit, up=up, seconds=(start, end))
    recording, counters = _counters(recording, method, checkpoint or [], caption, place)
    try:
        with _progress(console) as told:
            found = count_recording(counters, recording.joints_TVC, fps=recording.fps, rule=known_rule, progress=told)
    except KeyboardInterrupt:
        console.print("\nInterrupted: nothing was written.")
        raise SystemExit(130) from None
    _print(console, file, recording, counters, found)
    try:
        written = _write(target, file, recording, counters, found)
    except OSError as error:
        rule, remedy = f"cannot be written to ({error.strerror or error})", "name another folder with --out"
        raise RunError(where=str(target), rule=rule, remedy=remedy) from error
    for path in written:
        console.print(f"written: {path}", soft_wrap=True, highlight=False, markup=False)


def _rule(word: str) -> "Rule":
    from flag3d_ray.segments import RULES

    if word not in RULES:
        raise RunError(where=f"--rule {word}", rule="unknown", remedy=f"use {', '.join(RULES)}")
    return RULES[RULES.index(word)]


def _counters(
    recording: "Recording", method: str, checkpoints: Sequence[str], caption: str | None, home: Home
) -> "tuple[Recording, list[ClipCounter]]":
    """What counts, and the recording in its layout."""
    from flag3d_ray.checkpoints import packaged
    from flag3d_ray.clip_counters import common_layout, in_layout, trained, untrained
    from flag3d_ray.training.packaged import find_checkpoint, load_checkpoint, what_to_name

    if method:
        for option, given in (("--checkpoint", bool(checkpoints)), ("--caption", caption is not None)):
            if given:
                rule = f"--method {method} needs neither a network nor words"
                raise RunError(where=option, rule=rule, remedy=f"leave out {option} or --method")
        recording = in_layout(recording)
        return recording, [untrained(method, recording.layout)]
    folders = [find_checkpoint(word, home) for word in checkpoints]
    if not folders:
        if (ours := packaged()) is None:
            remedy = f"{what_to_name(home)}; or count without one: --method wavelet"
            raise RunError(where="flag3d count", rule="no network comes with this version", remedy=remedy)
        folders = [ours]
    counters = [trained(load_checkpoint(folder), caption) for folder in folders]
    return in_layout(recording, common_layout(counters)), counters


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, nothing in a log."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("counting", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _print(
    console: Console, file: Path, recording: "Recording", counters: "Sequence[ClipCounter]", found: "Count"
) -> None:
    frames = len(recording.joints_TVC)
    lines = [
        f"{file.name}: {frames} frames at {recording.fps:g} per second, {frames / recording.fps:.1f} s, {recording.layout}",
        *(f"  note: {note}" for note in recording.notes),
        f"counted by {', '.join(counter.name for counter in counters)}, {_how(found)}",
        f"{headline(found)}{_each(found)}",
        *(f"  warning: {warning}" for warning in found.warnings),
    ]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if not len(found.segments_K2):
        return
    grid = Table(box=None, pad_edge=False)
    for head in ("repetition", "start s", "end s", "seconds"):
        grid.add_column(head, justify="right")
    for number, first, last, *_ in rows(found, recording)[:SHOWN]:
        grid.add_row(str(number), f"{first:.2f}", f"{last:.2f}", f"{last - first:.2f}")
    console.print(grid)
    if (more := len(found.segments_K2) - SHOWN) > 0:
        console.print(f"and {more} more in {TABLE}", highlight=False)


def own_name(file: Path) -> str:
    """Name of the folder for a recording's result: no two files share one, and a file counted again has the same."""
    digest = hashlib.sha256(os.fsencode(file.resolve())).hexdigest()[:8]
    return f"{file.stem[:40]}-{digest}"


def headline(found: "Count") -> str:
    """`12 repetitions (11.6 to 12.3)`, with the range of all views."""
    number = max(0, round(found.count))
    low, high = (f"{max(0.0, bound):.1f}" for bound in (found.low, found.high))
    return f"{number} repetition{'' if number == 1 else 's'} ({low if low == high else f'{low} to {high}'})"


def rows(found: "Count", recording: "Recording") -> list[tuple[int, float, float, int, int]]:
    """Per repetition: its number from 1, start and end in seconds, start and exclusive end frame; all of the file."""
    segments_K2 = found.segments_K2 + recording.first
    return [
        (number, start / found.fps, end / found.fps, round(start), round(end))
        for number, (start, end) in enumerate(segments_K2.tolist(), start=1)
    ]


def _each(found: "Count") -> str:
    seconds_K = found.seconds_K2[:, 1] - found.seconds_K2[:, 0]
    return f", {seconds_K.mean():.2f} s each ({seconds_K.min():.2f} to {seconds_K.max():.2f})" if len(seconds_K) else ""


def _how(found: "Count") -> str:
    if found.window >= len(found.density_T):
        return f"as one clip, {found.views} counts"
    return f"in windows of {found.window / found.fps:.1f} s, {found.views} counts"


def _write(
    target: Path, file: Path, recording: "Recording", counters: "Sequence[ClipCounter]", found: "Count"
) -> list[Path]:
    """segments.csv and count.png, both or neither."""
    from flag3d_ray.files import atomic_path
    from flag3d_ray.skeleton import layout
    from flag3d_ray.viz.count_plot import Shown, count_figure

    shown = Shown(
        count=found,
        joints_TVC=recording.joints_TVC,
        skeleton=layout(recording.layout),
        title=headline(found),
        subtitle=f"{file.name}{_each(found)}; {', '.join(counter.name for counter in counters)}, {_how(found)}",
        first_s=recording.first / recording.fps,
    )
    figure = count_figure(shown)
    table, picture = target / TABLE, target / PICTURE
    with atomic_path(table) as csv_part, atomic_path(picture) as png_part:
        lines = ["repetition,start_s,end_s,start_frame,end_frame"]
        lines += [f"{n},{a:.3f},{b:.3f},{first},{end}" for n, a, b, first, end in rows(found, recording)]
        csv_part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        figure.savefig(png_part, format="png", dpi=110)
    return [table, picture]
