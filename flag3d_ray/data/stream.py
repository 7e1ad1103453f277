"""Shards -> clips -> one worker's batches, through Ray Data, in the order that `data.order` fixes.

Ray Data's own splitting between workers hands blocks out as they come and loses or unbalances rows. So each worker has a
dataset of its own: a plan with one row per global batch, mapped by tasks that find this worker's clips, read the shards,
crop, resample and label. Batches travel as Arrow binary, which decodes 4 to 20 times faster than tensor columns.
"""

from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
import torch

from flag3d_ray.data.clips import ClipSpec, open_clips, open_clips_beside_others
from flag3d_ray.data.order import epoch_order, global_batch, steps_per_epoch, worker_rows
from flag3d_ray.run import Run
from flag3d_ray.sample import Batch

READ_CPUS = 0.25  # several reading tasks share a core with the workers
MOST_READERS = 8  # tasks of a stream at a time: of 180,000 clips each takes half a GiB
TASK_BATCHES = 8  # global batches per reading task: the first is there soon, and the reading of a run is spread
MOST_TASKS = 2000  # of a stream: Ray keeps a record of each


def training_stream(source: ClipSpec, run: Run, first_epoch: int, rank: int, world: int) -> ray.data.Dataset:
    """The batches of one worker from `first_epoch` to the run's last epoch, lazily. Read it with `in_order()`.

    The plan holds the numbers of the batches alone; a task works out which clips they are, so that a stream takes the same
    memory for a thousand clips and for a million.
    """
    spec = run.train
    steps = steps_per_epoch(len(open_clips(source)), spec.batch, spec.max_clips_per_epoch)
    batches = steps * max(spec.epochs - first_epoch, 0)
    size = max(TASK_BATCHES, -(-batches // MOST_TASKS))
    starts = range(0, batches, size) or [0]
    # Not `ray.data.range`, whose own tasks take a whole core each and would wait for ever beside the workers.
    parts = [pa.table({"number": pa.array(range(start, min(start + size, batches)), pa.int64())}) for start in starts]
    return ray.data.from_arrow(parts).map_batches(
        _read,  # pyright: ignore[reportArgumentType]
        fn_kwargs={"source": source, "run": run, "first": (first_epoch, steps), "worker": (rank, world)},
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=READ_CPUS,
        compute=ray.data.TaskPoolStrategy(readers(world)),
    )


def readers(world: int) -> int:
    """One more than a worker's share of the cores: two cores read no faster with four, which take 4 GiB at 180,000 clips."""
    return max(2, min(MOST_READERS, int(ray.cluster_resources().get("CPU", 0)) // world + 1))


def in_order() -> ray.data.ExecutionOptions:
    """Options under which batches come in the order of the plan, not as their tasks end."""
    return ray.data.ExecutionOptions(preserve_order=True)


def _read(plan: pa.Table, source: ClipSpec, run: Run, first: tuple[int, int], worker: tuple[int, int]) -> pa.Table:
    """The one batch whose number the plan holds. `first`: first epoch, steps per epoch; `worker`: rank, world."""
    (number,) = plan["number"].to_pylist()
    first_epoch, steps = first
    epoch, step = first_epoch + number // steps, number % steps
    clips, spec = open_clips_beside_others(source), run.train
    rows = global_batch(_order(len(clips), run.seed, epoch, spec.max_clips_per_epoch), spec.batch, step)
    batch = clips.batch(worker_rows(rows, *worker), augment=(run.seed, epoch))
    return pa.Table.from_pylist([{"epoch": epoch, "rows": len(rows)} | encode(batch)])


_order = lru_cache(maxsize=2)(epoch_order)  # one task reads batches of one epoch, sometimes of two


def encode(batch: Batch) -> dict[str, Any]:
    """A batch as bytes, shapes and dtypes."""
    row: dict[str, Any] = {"clip_ids": list(batch.clip_ids)}
    for field in fields(Batch):
        value = getattr(batch, field.name)
        if isinstance(value, torch.Tensor):
            array = value.numpy()
            row[field.name] = {"data": array.tobytes(), "shape": list(array.shape), "dtype": array.dtype.str}
    return row


def decode(row: dict[str, Any]) -> Batch:
    """The batch that `encode` wrote."""
    tensors = {}
    for name, value in row.items():
        if isinstance(value, dict):
            array = np.frombuffer(value["data"], dtype=value["dtype"]).reshape(value["shape"])
            tensors[name] = torch.from_numpy(array.copy())
    return Batch(clip_ids=tuple(row["clip_ids"]), **tensors)
