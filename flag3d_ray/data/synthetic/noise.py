"""Smooth motion without a period."""

import numpy as np
from jaxtyping import Float32


def smooth_noise(rng: np.random.Generator, rows: int, frames: int, spacing: float) -> Float32[np.ndarray, "N T"]:
    """Rows of unit deviation: cubic B-splines over normal knots every `spacing` frames."""
    place_T = np.arange(frames, dtype=np.float32) / np.float32(spacing) + np.float32(rng.random())
    first_T = place_T.astype(np.int64)
    u = place_T - first_T
    uu = u * u
    uuu = uu * u
    weights_4T = np.stack([1 - 3 * u + 3 * uu - uuu, 4 - 6 * uu + 3 * uuu, 1 + 3 * (u + uu - uuu), uuu]) / np.float32(6)
    basis_KT = np.zeros((first_T[-1] + 4, frames), np.float32)
    basis_KT[first_T + np.arange(4)[:, None], np.arange(frames)] = weights_4T
    # The squares of the four weights sum to 0.479 on average.
    return rng.standard_normal((rows, len(basis_KT)), dtype=np.float32) @ basis_KT / np.float32(0.479**0.5)
