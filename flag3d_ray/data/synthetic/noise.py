"""Smooth motion without a period."""

import numpy as np
from jaxtyping import Float32


def smooth_noise(rng: np.random.Generator, rows: int, frames: int, spacing: float) -> Float32[np.ndarray, "N T"]:
    """Rows of unit deviation: cubic B-splines over normal knots every `spacing` frames."""
    place_T = np.arange(frames, dtype=np.float32) / np.float32(spacing) + np.float32(rng.random())
    first_T = place_T.astype(np.int64)
    u = place_T - first_T.astype(np.float32)
    uu = u * u
    uuu = uu * u
    weights_4T = np.stack([1 - 3 * u + 3 * uu - uuu, 4 - 6 * uu + 3 * uuu, 1 + 3 * (u + uu - uuu), uuu]) / np.float32(6)
    # The squares of the four weights sum to 0.479 on average.
    knots_NK = rng.standard_normal((rows, int(first_T[-1]) + 4), dtype=np.float32) / np.float32(0.479**0.5)
    # No matrix product: the last bits of BLAS depend on its number of threads, and a seed must give one digest.
    noise_NT = weights_4T[0] * knots_NK[:, first_T]
    for step in range(1, 4):
        noise_NT += weights_4T[step] * knots_NK[:, first_T + step]
    return noise_NT
