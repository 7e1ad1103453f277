"""`ensure(runs)`: the only way a run happens.

Finished runs are skipped, runs that others start from come first, one driver leads a run (lease), a killed run continues
from its last checkpoint. Typing the same command again is how everything resumes, extends, or is shared between tables.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, nullcontext
from itertools import groupby
from typing import Any

from flag3d_ray.board import Board, Watching
from flag3d_ray.budget import is_spent
from flag3d_ray.chaos import Chaos
from flag3d_ray.costs import note_evaluation
from flag3d_ray.data.clips import captions
from flag3d_ray.errors import EncoderUnreachable, RunError
from flag3d_ray.home import Home
from flag3d_ray.identity import run_digests
from flag3d_ray.lease import Holder, Leases
from flag3d_ray.preparation import prepare_texts, prepare_weights
from flag3d_ray.progress import Cell, Watcher
from flag3d_ray.provenance import keep_changes, provenance
from flag3d_ray.rerun import is_new, rerun_reason
from flag3d_ray.run import Resources, Run, describe, run_sources, to_json
from flag3d_ray.store import RunFolder
from flag3d_ray.training.fit import clip_spec
from flag3d_ray.training.recovery import drop_damaged
from flag3d_ray.training.threads import computing_with
from flag3d_ray.training.trial import Trial, fit_trial

FOLLOW_SECONDS = 1.0
FitAll = Callable[[Sequence[Trial]], None]


def ensure(
    runs: Iterable[Run],
    home: Home,
    resources: Resources,
    watchers: Sequence[Watcher] = (),
    *,
    retry_failed: bool = False,
    deadline: float | None = None,
    chaos: Chaos | None = None,
) -> list[Cell]:
    """Make every run finished, or say why it is not. Returns one cell per distinct run, dependencies included.

    After `deadline` (seconds since the epoch) nothing is started, what trains stops at the end of its epoch, and the cells
    that have not ended are `stopped`. With `chaos` processes of runs are killed on purpose; the results are the same.

    Raises:
        DataError: a dataset is missing or damaged.
        RunError: the resources cannot run this.
    """
    if chaos is not None:
        chaos.require(resources)
    keep_changes(home.changes)
    board = plan(runs, home)
    with computing_with(resources.threads), Leases() as leases, ExitStack() as watching:
        if retry_failed:  # before anybody watches, who could have read a failure that is forgotten meanwhile
            _forget_failures(board, leases)
        watching.enter_context(Watching(board, watchers))
        board.refresh()
        while (waiting := board.open_runs()) and not is_spent(deadline):
            mine = _lead(waiting, board, leases)
            if mine:
                _write_records(mine, board, home, resources)
                _prepare(mine, board, home)
                _run_all(mine, board, home, resources, deadline, chaos)
                leases.release([board.cells[run].folder.lease for run in mine])
            else:
                time.sleep(FOLLOW_SECONDS)
            board.refresh()
        for run in board.open_runs():
            board.set(run, "stopped", "the budget is used up; the same command continues it")
    return list(board.cells.values())


def plan(runs: Iterable[Run], home: Home) -> Board:
    """Distinct runs, those that others start from first, with their folders and what is known of them."""
    folders: dict[Run, RunFolder] = {}
    refused: dict[Run, tuple[RunFolder, str]] = {}
    for run in with_dependencies(runs):
        try:
            folders[run] = home.store.folder(run.key(run_digests(run, home)))
        except EncoderUnreachable as error:
            refused[run] = (home.store.folder("unreachable"), str(error))
    board = Board.of(folders)
    for run, (folder, reason) in refused.items():
        board.refuse(run, folder, reason)
    return board


def with_dependencies(runs: Iterable[Run]) -> list[Run]:
    """Distinct runs, each after the run it starts from."""
    ordered: dict[Run, None] = {}
    for run in runs:
        if run.parent is not None:
            ordered |= dict.fromkeys(with_dependencies([run.parent]))
        ordered[run] = None
    return list(ordered)


def _forget_failures(board: Board, leases: Leases) -> None:
    """Open failed runs again that no other driver is opening or repeating already."""
    for run, cell in board.cells.items():
        if cell.folder.status == "failed" and leases.acquire(cell.folder.lease) is None:
            cell.folder.forget_failure()
            board.set(run, "waiting")


def _lead(waiting: Sequence[Run], board: Board, leases: Leases) -> list[Run]:
    """Runs whose lease is ours now; the others are followed until they end or their leader dies.

    A run whose parent another driver leads is left alone until that one has ended, so nobody waits for a stranger.
    """
    mine: list[Run] = []
    for run in waiting:
        if run.parent is not None and run.parent not in mine and not _has_ended(board, run.parent):
            continue
        other = leases.acquire(board.cells[run].folder.lease)
        if other is None:
            board.set(run, "waiting")
            mine.append(run)
        else:
            board.set(run, "following", f"led by {other}")
    return [run for run in mine if board.cells[run].folder.status != "finished"]


def _has_ended(board: Board, run: Run) -> bool:
    return board.cells[run].folder.status in ("fitted", "finished", "failed")


def _write_records(runs: Sequence[Run], board: Board, home: Home, resources: Resources) -> None:
    earlier = [folder.record() for folder in home.store] if any(is_new(board.cells[run].folder) for run in runs) else []
    for run in runs:
        folder = board.cells[run].folder
        known = {"status": "missing"} | folder.record() | facts(run, home, resources)
        known |= {"recovery": drop_damaged(folder)}
        folder.write_record(**known | ({"rerun": rerun_reason(known, earlier)} if is_new(folder) else {}))


def facts(run: Run, home: Home, resources: Resources) -> dict[str, Any]:
    """What a run's record says before it starts: the question, what it reads, and where it is answered."""
    known = {"run": to_json(run), "label": run.label, "digests": run_digests(run, home), "running": False}
    known |= {"provenance": provenance(), "resources": describe(resources), "sources": run_sources(run)}
    return known | {"captions": captions(clip_spec(run, home, "train"))}


def _prepare(runs: Sequence[Run], board: Board, home: Home) -> None:
    prepare_weights(runs, home)
    reading = [run for run in runs if run.data.text is not None]
    for run in reading:
        board.set(run, "preparing")
    prepare_texts(reading, home)
    for run in reading:
        board.set(run, "waiting")


def _run_all(
    runs: Sequence[Run],
    board: Board,
    home: Home,
    resources: Resources,
    deadline: float | None,
    chaos: Chaos | None,
) -> None:
    me, folders = Holder.this_process(), {run: cell.folder for run, cell in board.cells.items()}
    trials = [
        Trial(
            run=run,
            home=home,
            folder=folders[run],
            holder=me,
            resources=resources,
            waits_for=folders[run.parent] if run.parent else None,
            deadline=deadline,
            chaos=chaos,
        )
        for run in sorted(runs, key=depth)
        if folders[run].status not in ("fitted", "failed")
    ]
    with _ray_or_not(resources) as fit_all:
        for _, generation in groupby(trials, key=lambda trial: depth(trial.run)):
            fit_all(list(generation))
        items = [(run, folders[run]) for run in runs if folders[run].status == "fitted"]
        if items and not is_spent(deadline):
            _evaluate(items, home, resources)


def depth(run: Run) -> int:
    """Number of runs it descends from.

    Parents are fitted before their children are started: a child that waits would hold the place that a parent needs which
    lost its node.
    """
    return 0 if run.parent is None else 1 + depth(run.parent)


def _ray_or_not(resources: Resources):
    if resources.executor == "local":
        return nullcontext(_fit_in_turn)
    from flag3d_ray.execution_ray import ray_executor

    return ray_executor(resources)


def _fit_in_turn(trials: Sequence[Trial]) -> None:
    for trial in trials:
        fit_trial(trial, lambda event: None)


def _evaluate(items: Sequence[tuple[Run, RunFolder]], home: Home, resources: Resources) -> None:
    if resources.executor == "local":
        from flag3d_ray.evaluation.evaluate import error_is_the_reason, evaluate

        for run, folder in items:
            began = time.perf_counter()
            with error_is_the_reason(folder):
                evaluate(run, home, folder)
            note_evaluation(folder, time.perf_counter() - began)
        return
    from flag3d_ray.evaluation.actors import evaluate_with_actors

    evaluate_with_actors(items, home, resources, lambda item, seconds: note_evaluation(item[1], seconds))


def failures(cells: Iterable[Cell]) -> list[str]:
    """One sentence per failed run."""
    return [f"{cell.run.label}: {cell.detail}" for cell in cells if cell.state == "failed"]


def require_finished(cells: Iterable[Cell]) -> None:
    """Raise if a run failed.

    Raises:
        RunError: names every failed run with its reason.
    """
    if failed := failures(cells):
        remedy = "solve it and type the command with --retry-failed"
        raise RunError(where=f"{len(failed)} failed runs", rule="; ".join(failed), remedy=remedy)
