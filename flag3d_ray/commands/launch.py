"""What every launching verb does: data in place, runs ensured under a live view and the MLflow view, failures named."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from flag3d_ray.budget import Budget, BudgetSpent, duration
from flag3d_ray.chaos import Chaos, announced, starts, survived
from flag3d_ray.costs import cell_costs, savings
from flag3d_ray.errors import RunError
from flag3d_ray.home import Home
from flag3d_ray.interruption import exit_code, reason_of, sigterm_raises
from flag3d_ray.progress import Cell, Watcher
from flag3d_ray.run import Resources, Run

if TYPE_CHECKING:
    from flag3d_ray.plan.estimate import Asked
    from flag3d_ray.plan.planner import Planner
    from flag3d_ray.store import RunFolder


@dataclass(frozen=True)
class Launch:
    """A launch's surroundings. With a budget it ends when that is used up, counted from `began` (seconds since the epoch).

    With `chaos` it kills processes of its runs, and says so.

    Raises:
        RunError: chaos without a process to kill.
    """

    home: Home
    resources: Resources
    console: Console
    track: bool = True
    retry_failed: bool = False
    budget: Budget | None = None
    chaos: Chaos | None = None
    began: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if self.chaos is not None:
            self.chaos.require(self.resources)

    @property
    def deadline(self) -> float | None:
        """When the budget is used up, in seconds since the epoch."""
        return None if self.budget is None else self.began + self.budget.seconds

    def require_budget(self, asked: "Asked", smaller: "Iterator[Asked]") -> None:
        """Refuse what the budget does not allow, before anything starts; without a budget nothing is planned.

        Raises:
            BudgetError: even the low end of the prediction is above the budget.
        """
        if self.budget is not None:
            from flag3d_ray.plan.planner import told

            make = planner(self.home, self.resources, self.console)
            found = make(asked)
            self.console.print(f"planned: {told(found.seconds)}, budget {self.budget.asked}", highlight=False)
            make.require_within(self.budget, found, smaller)

    def data(self, *names: str) -> None:
        """Make the synthetic datasets that are missing; others must have been ingested.

        Raises:
            DataError: one is not there, or its files and its manifest do not belong together.
        """
        from flag3d_ray.data.catalogue import SYNTHETIC, require
        from flag3d_ray.data.manifest import check

        for name in names:
            if name in SYNTHETIC and not self.home.dataset(name).exists():
                make_dataset(name, self.home, self.resources, self.console)
            require(name, self.home.dataset(name))
            check(self.home.dataset(name))

    def watchers(self, title: str, group: str) -> list[Watcher]:
        """The live view and, unless it is switched off, the MLflow view."""
        from flag3d_ray.viz.live import live_view

        views: list[Watcher] = [live_view(title, self.console)]
        if self.track:
            from flag3d_ray.tracking import EXPERIMENT, MlflowView

            views.append(MlflowView(self.home.mlflow_uri, self.home.local / "mlruns", EXPERIMENT, group))
        return views

    def ensure(self, runs: Iterable[Run], title: str, group: str) -> list[Cell]:
        """Make the runs finished and return their cells; where all are cached and shown, nothing is started for it.

        Raises:
            BudgetSpent: the budget is used up; what is done is kept.
        """
        from flag3d_ray.execution import ensure, plan, with_dependencies

        runs = list(dict.fromkeys(runs))
        self.data(*dict.fromkeys(run.data.dataset for run in with_dependencies(runs)))
        known = plan(runs, self.home)
        if not known.open_runs() and self._is_shown(group, known.cells.values()):
            if self.chaos is not None:
                self.console.print(survived({}, {}), style="bold red", highlight=False)
            return list(known.cells.values())
        with self._chaos_is_shown([cell.folder for cell in known.cells.values()]):
            cells = ensure(
                runs,
                self.home,
                self.resources,
                self.watchers(title, group),
                retry_failed=self.retry_failed,
                deadline=self.deadline,
                chaos=self.chaos,
            )
        if self.budget is not None and any(cell.state == "stopped" for cell in cells):
            print_costs(self.console, cells)
            remedy = "type the same command to go on, with the same budget again, a larger one or none"
            raise BudgetSpent(where=f"--budget {self.budget.asked}", rule=f"used up; {summary(cells)}", remedy=remedy)
        return cells

    @contextmanager
    def _chaos_is_shown(self, folders: "Sequence[RunFolder]") -> Iterator[None]:
        if self.chaos is None:
            yield
            return
        self.console.print(announced(self.chaos), style="bold red", highlight=False)
        before = starts(folders)
        yield
        self.console.print(survived(before, starts(folders)), style="bold red", highlight=False)

    def _is_shown(self, group: str, cells: Iterable[Cell]) -> bool:
        from flag3d_ray.tracking import remembered_groups

        shown = {key for known in remembered_groups(self.home.store.root) if known.name == group for key in known.keys}
        return not self.track or shown.issuperset(cell.folder.key for cell in cells if cell.state == "cached")


def make_dataset(name: str, home: Home, resources: Resources, console: Console, *, force: bool = False) -> None:
    """Generate a synthetic dataset under a progress bar, in shards on Ray unless the executor is local.

    For a home at a URL the shards are built on this machine, which the nodes of a cluster do not see.
    """
    from flag3d_ray.data.catalogue import make

    if home.is_remote and resources.address != "local":
        resources = replace(resources, executor="local")
    with home.new_dataset(name, force=force) as folder, writing(f"making {name}", resources, console) as options:
        make(name, folder, force=force, **options)


@contextmanager
def writing(title: str, resources: Resources, console: Console) -> Iterator[dict[str, Any]]:
    """A progress bar, and a cluster where the executor is Ray; gives the options `executor` and `progress` of a writer."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar, cluster_or_not(resources):
        task = bar.add_task(title, total=None)
        yield {
            "executor": "ray" if resources.executor == "ray" else "local",
            "progress": lambda done, total: bar.update(task, completed=done, total=total),
        }


def cluster_or_not(resources: Resources):
    """A Ray cluster for the block, or nothing for the local executor."""
    if resources.executor == "local":
        return nullcontext()
    from flag3d_ray.cluster import cluster

    return cluster(resources)


def resources(
    executor: str, workers: int, concurrent: int, address: str, stall_limit: float = 0.0, threads: int = 1
) -> Resources:
    """The resources of this machine, or of the running cluster, as the options ask; `stall_limit` in minutes.

    More runs at a time than a cluster has CPUs are taken at their word: it may grow.

    Raises:
        RunError: an unknown executor, several threads on Ray, or a cluster that cannot be reached.
    """
    import torch

    if executor not in ("ray", "local"):
        raise RunError(where=f"--executor {executor}", rule="unknown executor", remedy="use ray or local")
    if threads > 1 and executor == "ray":
        rule = "on Ray a run has a CPU for each of its workers"
        raise RunError(where=f"--threads {threads}", rule=rule, remedy="leave it out, or use --executor local")
    if executor == "local" or address == "local":
        cpus, gpus = os.cpu_count() or 1, torch.cuda.device_count()
    else:
        from flag3d_ray.cluster import size

        cpus, gpus = size(address)
        cpus = max(1, cpus, concurrent)
    return Resources(
        executor=executor,
        workers=workers,
        concurrent=concurrent or max(1, gpus or cpus),
        cpus=cpus,
        gpus=gpus,
        threads=threads,
        compile=gpus > 0,
        address=address,
        stall_limit=60.0 * stall_limit,
    )


@contextmanager
def interruptible(console: Console) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block with a sentence: what was done is kept, and the same command goes on.

    Exit codes 130 and 143.
    """
    try:
        with sigterm_raises():
            yield
    except KeyboardInterrupt as interruption:
        console.print(
            f"\n{reason_of(interruption).capitalize()}. What is done is kept; type the same command to go on."
        )
        raise SystemExit(exit_code(interruption)) from None


def planner(home: Home, resources: Resources, console: Console) -> "Planner":
    """Plans for this home and machine; says on the console what it measures."""
    from flag3d_ray.plan.planner import Planner

    return Planner(home, resources, lambda what: console.print(f"measuring {what} ...", style="dim", highlight=False))


def print_costs(console: Console, cells: Sequence[Cell]) -> None:
    """What each kind of cell really cost, and what caching and early stopping saved; nothing where neither is known."""
    for label, seconds in cell_costs(cells).items():
        each = f"{len(seconds)} x {duration(sum(seconds) / len(seconds))} = " if len(seconds) > 1 else ""
        console.print(f"  {label}: {each}{duration(sum(seconds))}", highlight=False, markup=False)
    saved = savings(cells)
    for what, seconds in (("cached cells", saved.cached), ("early stopping", saved.stopped_early)):
        if seconds:
            console.print(f"saved by {what}: {duration(seconds)}", highlight=False)


def summary(cells: Sequence[Cell]) -> str:
    """`18 cells: 16 finished, 2 cached`."""
    counts: dict[str, int] = {}
    for cell in cells:
        counts[cell.state] = counts.get(cell.state, 0) + 1
    return f"{len(cells)} cells: " + ", ".join(f"{number} {state}" for state, number in counts.items())
