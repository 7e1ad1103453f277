"""Readouts: where each repetition starts and ends, from a density (repetitions per frame) and its count.

The paper does not say how the clips C_1 ... C_K of Eq. 12 follow from the density map. Three rules, all ours: `valley`
(default), `quantile` and `cumulative`. Clean densities are read best by quantiles, noisy ones and those with rests by
valleys (`tests/test_segments.py` measures them on label-model densities).

Positions are those of the labels (`data.labels`): frame j is the point j, and its bin of the density reaches from
j - 1/2 to j + 1/2. A segment is a first position and an exclusive last one, both real numbers in [0, T].
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Real
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import linear_sum_assignment
from scipy.signal import find_peaks

Rule = Literal["valley", "quantile", "cumulative"]
RULES: tuple[Rule, ...] = get_args(Rule)

Density = Float[np.ndarray, " T"]
Segments = Float[np.ndarray, "K 2"]

FOOT = 0.05
"""A repetition ends where the smoothed density falls below this fraction of its peak."""
ONE_SIGMA = 0.15865525393145707
"""Mass of a Gaussian below one standard deviation under its mean."""
# A repetition of w frames is a Gaussian of deviation w / 6. K of them have (sum d)^2 / sum d^2 = K w sqrt(pi) / 3.
_ACTIVE = 3.0 / np.sqrt(np.pi)


@dataclass(frozen=True, eq=False)
class Readout:
    """Segments in order, without overlap. `incomplete`: they are fewer than the rounded count."""

    segments_K2: Segments
    incomplete: bool


def read_segments(
    density_T: Density, count: float | int | None = None, rule: Rule = "valley", sampled: float = 1.0
) -> Readout:
    """The segments of one clip or recording.

    Args:
        density_T: repetitions per frame, T >= 1; negative values are read as 0.
        count: how many there are, rounded to a whole number here; the sum of the density without.
        rule: see `valley`, `quantile` and `cumulative`.
        sampled: frames that one predicted value was spread over; 1 in a clip.

    A count that rounds to 0, or a density without any mass, gives one segment: everything, so that quality assessment
    has something to judge.

    Raises:
        ValueError: the density is empty, or it or the count is not finite.
    """
    count = float(density_T.sum()) if count is None else count
    if not len(density_T) or not np.isfinite(density_T).all() or not np.isfinite(count):
        raise ValueError(f"segments need a finite density of a frame or more and a finite count, not {count}")
    number = max(0, round(count))
    density_T = np.maximum(density_T, 0.0)
    if number == 0 or density_T.sum() <= 0.0:
        return Readout(np.array([[0.0, len(density_T)]]), incomplete=number > 1)
    if rule == "valley":
        segments_K2 = valley(density_T, number, sampled)
    else:
        segments_K2 = (quantile if rule == "quantile" else cumulative)(density_T, number)
    return Readout(segments_K2, incomplete=len(segments_K2) < number)


def valley(density_T: Density, number: int, sampled: float = 1.0) -> Segments:
    """From each of the `number` most prominent peaks outward to the valley to its neighbour, or to its foot.

    The density is smoothed with a Gaussian of a twelfth of the mean repetition, half a sampled frame at least. The mean
    repetition is the active length (`active_frames`) over `number`: with T over `number` rests would widen it, which
    cost 0.03 of the mean IoU at 8 repetitions with rests. The foot is where the smoothed density falls below `FOOT` of
    the peak. Fewer peaks give fewer segments.
    """
    deviation = max(0.5 * sampled, active_frames(density_T) / (12 * number))
    # Zeros around make peaks of what rises up to the border.
    padded_T = np.pad(gaussian_filter1d(density_T, deviation, mode="constant"), 1)
    peaks_P, about = find_peaks(padded_T, prominence=0.0)
    kept_K = np.sort(peaks_P[np.argsort(-about["prominences"], kind="stable")[:number]])
    valleys = [int(left + padded_T[left:right].argmin()) for left, right in pairwise(kept_K)]
    borders = [1, *valleys, len(padded_T) - 1]
    segments = []
    for peak, (first, last) in zip(kept_K, pairwise(borders), strict=True):
        low = FOOT * padded_T[peak]
        before, after = np.flatnonzero(padded_T[first:peak] < low), np.flatnonzero(padded_T[peak:last] < low)
        segments.append((first + before[-1] if len(before) else first, peak + after[0] if len(after) else last))
    return np.array(segments, dtype=np.float64).reshape(-1, 2) - 1.0


def quantile(density_T: Density, number: int) -> Segments:
    """Three deviations to either side of each centre; what two segments share is halved between them.

    With the mass scaled to `number`, repetition i has its centre where the running sum is i - 1/2, and its deviation
    from where it is one Gaussian deviation below and above.
    """
    below_K, centre_K, above_K = (
        _position(density_T, number, np.arange(number) + mass) for mass in (ONE_SIGMA, 0.5, 1.0 - ONE_SIGMA)
    )
    reach_K = 1.5 * (above_K - below_K)
    first_K, last_K = np.maximum(centre_K - reach_K, 0.0), np.minimum(centre_K + reach_K, len(density_T))
    middle = np.clip((last_K[:-1] + first_K[1:]) / 2.0, centre_K[:-1], centre_K[1:])
    first_K[1:], last_K[:-1] = np.maximum(first_K[1:], middle), np.minimum(last_K[:-1], middle)
    return np.stack([first_K, last_K], axis=1)


def cumulative(density_T: Density, number: int) -> Segments:
    """Cuts where the running sum, scaled to `number`, crosses the whole numbers. One segment ends where the next starts."""
    cuts = _position(density_T, number, np.arange(number + 1.0))
    return np.stack([cuts[:-1], cuts[1:]], axis=1)


def active_frames(density_T: Density) -> float:
    """Frames that repetitions take, rests left out; in [1, T]. Equal to T where repetitions of one length fill it."""
    squares = float((density_T**2).sum())
    return float(np.clip(_ACTIVE * density_T.sum() ** 2 / squares, 1.0, len(density_T))) if squares > 0.0 else 1.0


def to_raw_frames(positions: Float[np.ndarray, "*shape"], length: int, frames: int) -> Float[np.ndarray, "*shape"]:
    """From positions of a clip to raw frames: the mean of the frames that `data.labels.label_index` puts there.

    Labels put raw frame t at ceil(t T / F), so position a is given to the frames in ((a - 1) F / T, a F / T]: their
    mean is a F / T - (F / T - 1) / 2 within a frame. The upper end alone, a F / T, would be half a sampled frame late:
    mean IoU of 24 contiguous repetitions 0.83 instead of 0.89. Sampling is another mapping, up to a sampled frame later.

    Args:
        positions: in [0, `frames`], such as segments [K, 2].
        length: F, raw frames that the clip was made from. With fewer than `frames` it was padded: positions are frames.
        frames: T of the clip.

    Returns:
        Raw frames, real numbers in [0, `length`]; 0 stays 0 and `frames` becomes `length`.
    """
    if length < frames:
        return np.minimum(positions, length)
    step = length / frames
    between = np.array([1.0, frames - 1.0])
    known = np.concatenate([[0.0], between * step - (step - 1.0) / 2.0, [length]])
    return np.interp(positions, np.concatenate([[0.0], between, [frames]]), known)


@dataclass(frozen=True)
class SegmentScores:
    """Precision and recall of segments at an overlap, and the mean over true repetitions of the best overlap; in [0, 1]."""

    precision: float
    recall: float
    mean_iou: float


def segment_scores(
    predicted_K2: Real[np.ndarray, "K 2"], true_R2: Real[np.ndarray, "R 2"], iou: float = 0.5
) -> SegmentScores:
    """Judge segments against annotated repetitions, both half-open.

    Pairs that overlap by `iou` or more are matched one to one so that as many as possible are (Hungarian algorithm).
    Segments without overlap among themselves can be matched in one way only where `iou` is above 1/2. Precision is the
    share of segments that are matched, recall that of repetitions. Nothing predicted has precision 0, nothing to find
    recall 0 and mean IoU 0; where neither is there all three are 1.

    Raises:
        ValueError: `iou` is not in (0, 1].
    """
    if not 0.0 < iou <= 1.0:
        raise ValueError(f"an overlap is in (0, 1], not {iou}")
    if not len(predicted_K2) or not len(true_R2):
        both = float(len(predicted_K2) == len(true_R2))
        return SegmentScores(both, both, both)
    overlap_RK = _overlaps(np.asarray(true_R2, np.float64), np.asarray(predicted_K2, np.float64))
    hits_RK = overlap_RK >= iou
    matched = int(hits_RK[linear_sum_assignment(hits_RK, maximize=True)].sum())
    return SegmentScores(matched / len(predicted_K2), matched / len(true_R2), float(overlap_RK.max(axis=1).mean()))


def _overlaps(true_R2: Float[np.ndarray, "R 2"], predicted_K2: Float[np.ndarray, "K 2"]) -> Float[np.ndarray, "R K"]:
    """Intersection over union of each pair."""
    first_RK = np.maximum(true_R2[:, None, 0], predicted_K2[None, :, 0])
    last_RK = np.minimum(true_R2[:, None, 1], predicted_K2[None, :, 1])
    shared_RK = np.maximum(last_RK - first_RK, 0.0)
    union_RK = np.diff(true_R2, axis=1) + np.diff(predicted_K2, axis=1).T - shared_RK
    return shared_RK / np.maximum(union_RK, 1e-12)


def _position(density_T: Density, number: int, mass_K: Float[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
    """Where the running sum of the density, scaled to `number`, reaches each mass; in [0, T]."""
    running = np.concatenate([[0.0], np.cumsum(density_T)])
    edges = np.arange(len(density_T) + 1) - 0.5
    return np.clip(np.interp(mass_K, running * (number / running[-1]), edges), 0.0, len(density_T))
