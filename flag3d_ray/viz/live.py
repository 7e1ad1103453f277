"""One live view of a sweep or table: what is done, running, cached, followed and failed, and how long it will take.

On a terminal a block of lines is redrawn in place; elsewhere (a log, a pipe) each change of a run's state is one line.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flag3d_ray.progress import ENDED, Cell, State
from flag3d_ray.run import Run

SHOWN = 8  # running, followed or failed runs listed one by one; the rest is a number
SUMMARY_SECONDS = 60.0
_MARKS: dict[State, tuple[str, str]] = {
    "finished": ("■", "green"),
    "cached": ("■", "blue"),
    "fitted": ("◆", "yellow"),
    "running": ("▶", "yellow"),
    "following": ("▷", "magenta"),
    "waiting": ("·", "dim"),
    "preparing": ("◇", "dim"),
    "failed": ("✗", "red"),
    "not run": ("-", "dim"),
    "stopped": ("□", "yellow"),
}
_SILENT: frozenset[State] = frozenset({"cached", "preparing", "waiting"})  # no line of their own in a log
_ORDER: tuple[State, ...] = (
    "finished",
    "cached",
    "running",
    "fitted",
    "following",
    "preparing",
    "waiting",
    "failed",
    "not run",
    "stopped",
)


def live_view(title: str, console: Console | None = None) -> "LiveBlock | LiveLines":
    """The `Watcher` that fits the output: redrawn in place on a terminal, lines elsewhere."""
    console = console or Console()
    return LiveBlock(title, console) if console.is_terminal else LiveLines(title, console)


@dataclass
class TimeLeft:
    """Seconds to go, from the epochs that finished since this view began; unknown before the first.

    What was done before (cached runs, epochs before a resume) tells nothing of the speed now and is not counted.
    """

    clock: Callable[[], float] = time.monotonic
    _began: float | None = None
    _first: dict[Run, int] = field(default_factory=dict)

    def estimate(self, cells: Sequence[Cell]) -> float | None:
        """Seconds until the last epoch at the present rate, all runs that go on at a time together."""
        if self._began is None and any(cell.state == "running" for cell in cells):
            self._began = self.clock()
        counted = [cell for cell in cells if cell.state not in ("cached", "not run", "failed")]
        for cell in counted:
            self._first.setdefault(cell.run, cell.epoch)
        done = sum(cell.epoch - self._first[cell.run] for cell in counted)
        left = sum(cell.epochs - cell.epoch for cell in counted if cell.state not in ENDED)
        if self._began is None or done <= 0:
            return None
        return left * (self.clock() - self._began) / done


def summary(cells: Sequence[Cell], seconds_left: float | None) -> str:
    """`12 of 18 done: 7 finished, 5 cached, 2 running, 4 waiting; about 3 min left`."""
    counts = Counter(cell.state for cell in cells)
    done = counts["finished"] + counts["cached"]
    parts = [f"{counts[state]} {state}" for state in _ORDER if counts[state]]
    left = "" if seconds_left is None or all(cell.state in ENDED for cell in cells) else f"; {_duration(seconds_left)}"
    return f"{done} of {len(cells)} done: {', '.join(parts)}{left}"


class LiveBlock:
    """The view on a terminal: a summary, one mark per run, and the runs that need a look."""

    def __init__(self, title: str, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._title = title
        self._time_left = TimeLeft(clock)
        # Redrawn only by `update`: a refresh thread of its own would draw while other output is written.
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._console = console

    def update(self, cells: Sequence[Cell]) -> None:
        """Draw the block again."""
        self._live.start()
        self._live.update(block(self._title, cells, self._time_left.estimate(cells)), refresh=True)

    def close(self, cells: Sequence[Cell]) -> None:
        """Replace the block by its last state, which stays."""
        self._live.stop()
        self._console.print(block(self._title, cells, None))


class LiveLines:
    """The view in a log: a line when a run changes its state, and a summary once a minute."""

    def __init__(self, title: str, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._title, self._console, self._clock = title, console, clock
        self._time_left = TimeLeft(clock)
        self._states: dict[Run, State] = {}
        self._summed_up: float | None = None

    def update(self, cells: Sequence[Cell]) -> None:
        """Print what changed since the last call."""
        for cell in cells:
            if self._states.get(cell.run, "waiting") != cell.state and cell.state not in _SILENT:
                self._print(_sentence(cell))
            self._states[cell.run] = cell.state
        left = self._time_left.estimate(cells)
        if self._summed_up is None or self._clock() - self._summed_up >= SUMMARY_SECONDS:
            self._summed_up = self._clock()
            self._print(summary(cells, left))

    def close(self, cells: Sequence[Cell]) -> None:
        """Print the last changes and the final summary."""
        self._summed_up = self._clock()
        self.update(cells)
        self._print(summary(cells, None))

    def _print(self, line: str) -> None:
        self._console.print(Text(f"{self._title}: {line}"), soft_wrap=True)


def block(title: str, cells: Sequence[Cell], seconds_left: float | None) -> Group:
    """What the terminal shows: lines in proportion to the runs that go on, not to all."""
    marks = Text.assemble(*(_MARKS[cell.state] for cell in cells), overflow="fold")
    parts: list[RenderableType] = [Text.assemble((title, "bold"), f"  {summary(cells, seconds_left)}"), marks]
    running = [cell for cell in cells if cell.state in ("running", "following")]
    if running:
        grid = Table.grid(padding=(0, 2))
        for cell in running[:SHOWN]:
            grid.add_row(Text(cell.run.label), _bar(cell), Text(_progress(cell), style="dim"))
        parts.append(grid)
        parts += _more(len(running) - SHOWN, "running")
    ended_badly = [cell for cell in cells if cell.state in ("failed", "not run")]
    parts += [Text(_sentence(cell), style=_MARKS[cell.state][1]) for cell in ended_badly[:SHOWN]]
    parts += _more(len(ended_badly) - SHOWN, "failed or not run")
    return Group(*parts)


def _bar(cell: Cell) -> ProgressBar:
    return ProgressBar(total=max(cell.epochs, 1), completed=cell.epoch, width=20)


def _progress(cell: Cell) -> str:
    epochs = f"epoch {cell.epoch} of {cell.epochs}" if cell.epochs else ""
    extra = "" if cell.state == "running" else cell.state
    return ", ".join(part for part in (epochs, extra, cell.detail) if part)


def _sentence(cell: Cell) -> str:
    progress = _progress(cell) if cell.state in ("running", "following") else cell.detail
    head = f"{cell.run.label}: {cell.state}"
    return f"{head} ({progress})" if progress else head


def _more(number: int, what: str) -> list[Text]:
    return [Text(f"and {number} more {what}", style="dim")] if number > 0 else []


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(round(seconds / 10), 1) * 10} s left"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min left"
    return f"about {seconds / 3600:.1f} h left"
