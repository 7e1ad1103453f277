"""Segments of a clip on the unit interval: as centre and width or as start and end, and how much they overlap."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

_TINY = 1e-6  # in denominators: two segments of no width have no union


def to_bounds(segments: Float[Tensor, "*N 2"]) -> Float[Tensor, "*N 2"]:
    """Start and end in [0, 1] of segments given as centre and width."""
    centre, half = segments[..., 0], segments[..., 1] / 2
    return torch.stack([centre - half, centre + half], dim=-1).clamp(0.0, 1.0)


def to_centres(bounds: Float[Tensor, "*N 2"]) -> Float[Tensor, "*N 2"]:
    """Centre and width of segments given as start and end."""
    return torch.stack([bounds.mean(dim=-1), bounds[..., 1] - bounds[..., 0]], dim=-1)


def overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union in [0, 1], and its generalised form in [-1, 1], of starts and ends [..., 2].

    The generalised form (Rezatofighi et al. 2019) subtracts the share of the hull that neither segment covers, so that
    segments apart from each other still have a gradient. The leading axes are broadcast.
    """
    start, end = torch.maximum(one[..., 0], other[..., 0]), torch.minimum(one[..., 1], other[..., 1])
    shared = (end - start).clamp(min=0.0)
    union = (one[..., 1] - one[..., 0]) + (other[..., 1] - other[..., 0]) - shared
    hull = torch.maximum(one[..., 1], other[..., 1]) - torch.minimum(one[..., 0], other[..., 0])
    ratio = shared / (union + _TINY)
    return ratio, ratio - (hull - union) / (hull + _TINY)


def soft_nms(
    bounds_N2: Float[np.ndarray, "N 2"], scores_N: Float[np.ndarray, " N"], *, sigma: float, keep: int, least: float
) -> tuple[Int[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Gaussian soft non-maximum suppression (Bodla et al. 2017): indices of the segments kept and their decayed scores.

    The best segment is kept, the scores of all others are multiplied by exp(-IoU^2 / sigma), and so on, until `keep` are
    kept or no score reaches `least`.
    """
    scores_N = scores_N.astype(np.float64)
    open_N = scores_N >= least
    kept: list[int] = []
    while open_N.any() and len(kept) < keep:
        best = int(np.where(open_N, scores_N, -np.inf).argmax())
        kept.append(best)
        open_N[best] = False
        start_N, end_N = bounds_N2[:, 0], bounds_N2[:, 1]
        shared_N = (np.minimum(end_N, end_N[best]) - np.maximum(start_N, start_N[best])).clip(min=0.0)
        union_N = (end_N - start_N) + (end_N[best] - start_N[best]) - shared_N
        ratio_N = shared_N / np.maximum(union_N, _TINY)
        scores_N = np.where(open_N, scores_N * np.exp(-(ratio_N**2) / sigma), scores_N)
        open_N &= scores_N >= least
    return np.array(kept, dtype=np.int64), scores_N[kept]
