"""Which clip goes into which global batch, and to which worker: a function of seed and epoch alone.

Global batch k of an epoch is fixed by seed and epoch; its row r goes to worker r mod W. So any number of workers sees the
same batches, every clip stands in an epoch exactly once, and a resumed epoch repeats its order.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

Rows = Int[np.ndarray, " _"]


def epoch_order(clips: int, seed: int, epoch: int, limit: int = 0) -> Rows:
    """A permutation of the clips; the first `limit` of it where a limit is set."""
    order = np.random.default_rng((seed, epoch, 0x0DE)).permutation(clips)
    return order[:limit] if limit else order


def global_batches(order: Rows, batch: int) -> Iterator[Rows]:
    """All global batches of an epoch, in order."""
    return (global_batch(order, batch, step) for step in range(steps_per_epoch(len(order), batch)))


def global_batch(order: Rows, batch: int, step: int) -> Rows:
    """Global batch `step` of an epoch.

    A remainder under a quarter batch joins the last one: BatchNorm over a few clips is noise.
    """
    last = step == steps_per_epoch(len(order), batch) - 1
    return order[step * batch : None if last else (step + 1) * batch]


def worker_rows(rows: Rows, rank: int, world: int) -> Rows:
    """The rows of a global batch that go to one worker."""
    return rows[rank::world]


def steps_per_epoch(clips: int, batch: int, limit: int = 0) -> int:
    """Number of global batches in an epoch."""
    full, rest = divmod(min(clips, limit) if limit else clips, batch)
    return full + (4 * rest >= batch or (rest > 0 and not full))
