"""Drivers in processes of their own, which a test may kill. They are forked from a process that has torch loaded already."""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray import render
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.run import Resources, Run
from flag3d_ray.scoring import score
from flag3d_ray.storage import StorePath
from flag3d_ray.store import RunFolder
from flag3d_ray.tables import Row, Table

LOCAL = Resources(executor="local")
ON_RAY = Resources(executor="ray", concurrent=2, cpus=2)
SECONDS = 500.0  # of patience; a minute on two idle cores

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    ["pytest", "flag3d_ray.execution", "flag3d_ray.commands.launch", "flag3d_ray.scoring"]
)


def nothing() -> None:
    """A driver that nobody tampers with."""


@dataclass(frozen=True)
class Driver:
    """A process that makes runs finished, as the command line does it."""

    process: BaseProcess
    log: Path

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def ended(self) -> int:
        """The exit code; negative, and the signal's number, where a signal ended it."""
        self.process.join(SECONDS)
        assert self.process.exitcode is not None, f"it goes on after {SECONDS:.0f} s: {self.said()}"
        return self.process.exitcode

    def said(self) -> str:
        """All that it has printed."""
        return self.log.read_text(encoding="utf-8")


@contextmanager
def driver(
    runs: Sequence[Run],
    home: Home,
    resources: Resources = LOCAL,
    *,
    before: Callable[[], None] = nothing,
    track: bool = False,
) -> Iterator[Driver]:
    """Ask for runs in another process, which calls `before` first: a function of a module, so that it can be sent."""
    home.local.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=home.local, suffix=".log", delete=False) as log:
        path = Path(log.name)
    process = _processes.Process(target=_drive, args=(tuple(runs), home, resources, before, track, path))
    process.start()
    try:
        yield Driver(process, path)
    finally:
        process.kill()
        process.join()


def _drive(
    runs: Sequence[Run], home: Home, resources: Resources, before: Callable[[], None], track: bool, log: Path
) -> None:
    from rich.console import Console

    from flag3d_ray.commands.launch import Launch, interruptible, summary
    from flag3d_ray.errors import Flag3dError
    from flag3d_ray.execution import ensure

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts pytest in the background ignores it
    output = log.open("w", encoding="utf-8", buffering=1)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    sys.stdout = sys.stderr = output
    console = Console(file=output, width=200)
    before()
    try:
        with interruptible(console):
            watchers = Launch(home, resources, console, track).watchers("faults", "faults")
            console.print(summary(ensure(runs, home, resources, watchers)))
    except Flag3dError as error:
        console.print(str(error), soft_wrap=True)
        raise SystemExit(2) from None


def folder_of(run: Run, home: Home) -> RunFolder:
    """Where a run lies."""
    return home.store.folder(run_key(run, home))


def here(path: StorePath) -> Path:
    """A path of these tests' homes, which lie on this disk."""
    assert isinstance(path, Path)
    return path


def files_of(folder: RunFolder) -> dict[str, bytes]:
    """All files of a run."""
    return {str(path): path.read_bytes() for path in here(folder.path).rglob("*") if path.is_file()}


def results(runs: Sequence[Run], home: Home) -> list[tuple[bytes, dict[str, float]]]:
    """What the runs predicted, byte for byte, and their metrics."""
    return [(folder_of(run, home).predictions.read_bytes(), folder_of(run, home).metrics()) for run in runs]


def table_of(runs: Sequence[Run], home: Home) -> str:
    """The rendered table of runs, from what a home holds."""
    rows = tuple(Row(method=f"run{number}", label=f"run {number}", runs=(run,)) for number, run in enumerate(runs))
    declared = Table(name="ablations", title="Faults", dataset="tiny", preset="tiny", rows=rows)
    return render.markdown(score(declared, home))


def mostly_slow(names: Iterable[str], *fast: str) -> list[Any]:
    """The names as parameters of a test, of which `make test-fast` takes a few."""
    return [pytest.param(name, marks=() if name in fast else pytest.mark.slow) for name in names]


def wait_for(condition: Callable[[], Any], leader: Driver | None = None) -> Any:
    """What the condition gives once it gives something. Fails at once where the driver that is to bring it about has ended."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if found := condition():
            return found
        if leader is not None and not leader.process.is_alive():
            pytest.fail(f"the driver ended with {leader.process.exitcode}: {leader.said()}")
        time.sleep(0.02)
    pytest.fail(f"waited {SECONDS:.0f} s: {leader.said() if leader else ''}")
