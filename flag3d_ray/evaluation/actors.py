"""A pool of Ray actors that predict test clips: each keeps its clips open and loads a checkpoint once.

The pool is not Ray's `ActorPool`, which ends with the first actor that is lost.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import RayActorError

from flag3d_ray.evaluation.evaluate import chunks, error_is_the_reason, finish, predict
from flag3d_ray.home import Home
from flag3d_ray.run import Resources, Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training.threads import set_threads

Item = tuple[Run, RunFolder]
Task = tuple[int, range]

LOSSES = 3  # actors that one task may lose before it is the task that is to blame


class Evaluator:
    """One member of the pool."""

    def __init__(self, home: Home, threads: int) -> None:
        set_threads(threads)
        self._home = home

    def predict(self, item: int, run: Run, folder: RunFolder, rows: range) -> tuple[int, range, pa.Table | None, float]:
        """Predictions for a range of the run's test clips, and the seconds that they took; none where the run has failed."""
        began, table = time.perf_counter(), None
        with error_is_the_reason(folder):
            table = predict(run, self._home, folder, rows)
        return item, rows, table, time.perf_counter() - began


def evaluate_with_actors(
    items: Sequence[Item], home: Home, resources: Resources, on_done: Callable[[Item, float], Any]
) -> None:
    """Predict and score one or more runs; `on_done` hears each as it finishes, with the seconds of all its actors together.

    Ray must be running.
    """
    pending = {index: chunks(run, home) for index, (run, _) in enumerate(items)}
    parts: dict[int, list[tuple[int, pa.Table]]] = {index: [] for index in pending}
    spent = dict.fromkeys(pending, 0.0)
    tasks = [(index, rows) for index, ranges in pending.items() for rows in ranges]
    size = min(resources.concurrent, resources.cpus, len(tasks))
    member: Any = ray.remote(num_cpus=1, num_gpus=min(1.0, resources.gpus / size))(Evaluator)
    results = _in_pool(
        tasks,
        size,
        start=lambda: member.remote(home, resources.threads),
        submit=lambda actor, task: actor.predict.remote(task[0], *items[task[0]], task[1]),
    )
    for index, rows, table, seconds in results:
        spent[index] += seconds
        if table is None:
            continue  # its other parts are in vain, and it is never finished
        parts[index].append((rows.start, table))
        if len(parts[index]) == len(pending[index]):
            ordered = [part for _, part in sorted(parts.pop(index), key=lambda pair: pair[0])]
            with error_is_the_reason(items[index][1]):
                finish(items[index][1], pa.concat_tables(ordered))
            on_done(items[index], spent[index])


def _in_pool(
    tasks: Sequence[Task], size: int, start: Callable[[], Any], submit: Callable[[Any, Task], Any]
) -> Iterator[Any]:
    """Results of the tasks as they come. A task whose actor is lost, with its node, goes to another actor.

    Actors with nothing left to do are ended at once: one that was started for a lost one may wait for their room.
    """
    waiting, losses = deque(tasks), Counter[Task]()
    idle: list[Any] = [start() for _ in range(size)]
    busy: dict[Any, tuple[Any, Task]] = {}
    try:
        while waiting or busy:
            while waiting and idle:
                actor, task = idle.pop(), waiting.popleft()
                busy[submit(actor, task)] = (actor, task)
            while idle:
                ray.kill(idle.pop())
            (done,), _ = ray.wait(list(busy), num_returns=1)
            actor, task = busy.pop(done)
            try:
                result = ray.get(done)
            except RayActorError:
                losses[task] += 1
                if losses[task] > LOSSES:
                    raise
                waiting.append(task)
                actor = start()
            else:
                yield result
            idle.append(actor)
    finally:
        for actor in [*idle, *(actor for actor, _ in busy.values())]:
            ray.kill(actor)
