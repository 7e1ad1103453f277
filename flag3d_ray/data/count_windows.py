"""Windows of a given number of repetitions: test clips whose counts are spread evenly, where every recording has the same.

Ours; the paper's crops (`data.crops`) leave a quarter of the clips whole. UI-PRMD's recordings all count ten, so that its
crops would count ten in a quarter of the clips and the rest by chance; one window of each count weighs all counts alike.
"""

import zlib

import numpy as np
from jaxtyping import Integer

from flag3d_ray.data.crops import CROP_SEED, Crop


def draw_window(sample_id: str, count: int, reps_R2: Integer[np.ndarray, "R 2"], seed: int = CROP_SEED) -> Crop:
    """`count` repetitions in a row, from the start of the first to the end of the last; all of them where there are fewer.

    Which is the first depends on (seed, sample_id, count) alone.

    Raises:
        ValueError: `count` is below 1 or the sequence has no repetition.
    """
    if count < 1 or not len(reps_R2):
        raise ValueError(f"a window of {count} of {len(reps_R2)} repetitions")
    number = min(count, len(reps_R2))
    rng = np.random.default_rng((seed, zlib.crc32(sample_id.encode()), count))
    first = int(rng.integers(0, len(reps_R2) - number + 1))
    reps_N2 = reps_R2[first : first + number]
    start = int(reps_N2[0, 0])
    return Crop(start, int(reps_N2[-1, 1]), reps_N2 - start)
