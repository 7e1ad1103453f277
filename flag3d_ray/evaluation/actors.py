"""A pool of Ray actors that predict test clips: each keeps its clips open and loads a checkpoint once."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import ray
from ray.util import ActorPool

from flag3d_ray.evaluation.evaluate import chunks, finish, predict
from flag3d_ray.home import Home
from flag3d_ray.run import Resources, Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training.threads import set_threads

Item = tuple[Run, RunFolder]


class Evaluator:
    """One member of the pool."""

    def __init__(self, home: Home, threads: int) -> None:
        set_threads(threads)
        self._home = home

    def predict(self, item: int, run: Run, folder: RunFolder, rows: range) -> tuple[int, range, pa.Table]:
        """Predictions for a range of the run's test clips."""
        return item, rows, predict(run, self._home, folder, rows)


def evaluate_with_actors(
    items: Sequence[Item], home: Home, resources: Resources, on_done: Callable[[Item], Any]
) -> None:
    """Predict and score one or more runs; `on_done` hears each as it finishes. Ray must be running."""
    pending = {index: chunks(run, home) for index, (run, _) in enumerate(items)}
    parts: dict[int, list[tuple[int, pa.Table]]] = {index: [] for index in pending}
    tasks = [(index, rows) for index, ranges in pending.items() for rows in ranges]
    size = min(resources.concurrent, resources.cpus, len(tasks))
    member: Any = ray.remote(num_cpus=1, num_gpus=min(1.0, resources.gpus / size))(Evaluator)
    actors = [member.remote(home, resources.threads) for _ in range(size)]
    try:
        results = ActorPool(actors).map_unordered(
            lambda actor, task: actor.predict.remote(task[0], *items[task[0]], task[1]),
            tasks,
        )
        for index, rows, table in results:
            parts[index].append((rows.start, table))
            if len(parts[index]) == len(pending[index]):
                ordered = [part for _, part in sorted(parts.pop(index), key=lambda pair: pair[0])]
                finish(items[index][1], pa.concat_tables(ordered))
                on_done(items[index])
    finally:
        for actor in actors:
            ray.kill(actor)
