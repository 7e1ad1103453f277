"""When repetitions happen: counts and durations of a whole dataset, and the timeline of one sequence.

The dataset's marginal distributions are those that the paper prints for FLAG3D++ (Table 2): duration 33.27 +- 16.16 s
in [6.24, 153.80], count 9.71 +- 7.99 in [1, 62]. The text on capturing explains the shape of the counts: most sequences
hold eight repetitions, about a fifth were captured to span 2 to 62.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

FPS = 30.0

DURATION_RANGE_S = (6.24, 153.80)
COUNT_RANGE = (1, 62)
# A log-normal with the printed mean and deviation reaches the printed extremes at 1 in 1800 by itself.
_DURATION_S = stats.lognorm(s=np.log(1 + (16.16 / 33.27) ** 2) ** 0.5, scale=33.27 / (1 + (16.16 / 33.27) ** 2) ** 0.5)
# Shares, means and deviations solved for the printed mean and deviation after rounding and clipping.
_COUNT_DIVERSE_SHARE = 0.2
_COUNT_PROTOCOL = stats.norm(7.8, 1.5)
_COUNT_DIVERSE = stats.gamma(a=1.12, scale=15.95)
_MIN_REP_FRAMES = 3


@dataclass(frozen=True)
class Timeline:
    """The frames of every repetition of one sequence.

    `reps_R2` holds first and exclusive last frames, in order, without overlap, inside [0, T]. `rep_T` is the repetition
    a frame belongs to, -1 where the person idles or rests. `phase_T` runs from 0 to below 1 through a repetition and is
    0 outside; where the recording begins or ends in the middle of one, it begins above 0 or ends below 1.
    """

    fps: float
    reps_R2: Int[np.ndarray, "R 2"]
    rep_T: Int[np.ndarray, " T"]
    phase_T: Float[np.ndarray, " T"]

    def __len__(self) -> int:
        """Frames, T."""
        return len(self.rep_T)


@dataclass(frozen=True, kw_only=True)
class Tempo:
    """How fast, how often and how evenly one sequence repeats.

    Times other than `seconds` and `duration_s` are in units of a repetition, so they scale with the tempo.

    Attributes:
        seconds: typical seconds per repetition.
        repetitions: R, at least 1.
        duration_s: length of the whole sequence, everything is stretched to fit; None lets the parts add up.
        jitter: log-normal standard deviation of repetition durations.
        trend: bound of the linear change of duration: first and last repetition are up to this much off the mean.
        rest_clips, rest_gaps, rest_mean: share of sequences with rests, share of their gaps with one, mean length.
        idle_clips, idle_mean: share of sequences with idle time at head and tail, mean length of each.
        cut_clips: share of sequences that begin after up to half of the first repetition, and, drawn for itself, share of
            those that end before the last two fifths of the last one are over. Without idle time there.
    """

    seconds: float
    repetitions: int
    duration_s: float | None = None
    fps: float = FPS
    jitter: float = 0.18
    trend: float = 0.25
    rest_clips: float = 0.5
    rest_gaps: float = 0.25
    rest_mean: float = 0.3
    idle_clips: float = 0.5
    idle_mean: float = 0.5
    cut_clips: float = 0.0

    def __post_init__(self) -> None:
        if self.repetitions < 1 or self.seconds <= 0 or self.fps <= 0:
            raise ValueError(f"a tempo needs repetitions, seconds and fps above zero: {self}")


def draw_timeline(rng: np.random.Generator, tempo: Tempo) -> Timeline:
    """One sequence's timeline: head, repetitions with the rests after them, tail.

    Raises:
        ValueError: a repetition would last under three frames.
    """
    count = tempo.repetitions
    slope = rng.uniform(-tempo.trend, tempo.trend)
    work_R = np.exp(tempo.jitter * rng.standard_normal(count)) * (1 + slope * np.linspace(-1, 1, count))
    rested_R = (rng.random(count) < tempo.rest_gaps) & (rng.random() < tempo.rest_clips)
    rest_R = np.where(rested_R, rng.exponential(tempo.rest_mean, count), 0.0)
    rest_R[-1] = 0.0
    head, tail = rng.exponential(tempo.idle_mean, 2) * (rng.random() < tempo.idle_clips)
    begin, end = _cut(rng, count, tempo.cut_clips)
    work_R[0] *= 1 - begin
    work_R[-1] *= end
    head, tail = head * (begin == 0), tail * (end == 1)

    parts = np.concatenate([[head], np.stack([work_R, rest_R], axis=1).ravel(), [tail]])
    seconds = parts * (tempo.seconds if tempo.duration_s is None else tempo.duration_s / parts.sum())
    edges = np.rint(np.cumsum(seconds) * tempo.fps).astype(np.int64)
    reps_R2 = np.stack([edges[0:-2:2], edges[1:-1:2]], axis=1)
    return _timeline(tempo.fps, reps_R2, int(edges[-1]), begin, end)


def _cut(rng: np.random.Generator, count: int, share: float) -> tuple[float, float]:
    """Phase of the first repetition at the first frame, and of the last one at the last. A single one is cut once."""
    if not share:  # nothing is drawn, so that the activities stay what they were before recordings could be cut
        return 0.0, 1.0
    late, early = rng.random(2) < share
    begin, end = rng.uniform(0.0, 0.5), rng.uniform(0.6, 1.0)
    return begin if late else 0.0, end if early and not (late and count == 1) else 1.0


def evenly_timed(timeline: Timeline) -> Timeline:
    """As many repetitions in as many frames, all of one length up to a frame, without idle time or rests."""
    edges = np.rint(np.linspace(0, len(timeline), len(timeline.reps_R2) + 1)).astype(np.int64)
    return _timeline(timeline.fps, np.stack([edges[:-1], edges[1:]], axis=1), len(timeline))


def _timeline(
    fps: float, reps_R2: Int[np.ndarray, "R 2"], frames: int, begin: float = 0.0, end: float = 1.0
) -> Timeline:
    lengths_R = reps_R2[:, 1] - reps_R2[:, 0]
    if lengths_R.min() < _MIN_REP_FRAMES:
        raise ValueError(f"a repetition of {lengths_R.min()} frames: fewer repetitions or a longer sequence needed")
    frame_T = np.arange(frames)
    rep_T = np.searchsorted(reps_R2[:, 0], frame_T, side="right") - 1
    rep_T[frame_T >= reps_R2[rep_T, 1]] = -1
    from_R, to_R = np.zeros(len(reps_R2)), np.ones(len(reps_R2))
    from_R[0], to_R[-1] = begin, end
    passed_T = (frame_T - reps_R2[rep_T, 0]) / lengths_R[rep_T]
    phase_T = np.where(rep_T < 0, 0.0, from_R[rep_T] + (to_R - from_R)[rep_T] * passed_T)
    return Timeline(fps, reps_R2, rep_T, phase_T)


def plan_lengths(
    rng: np.random.Generator, seconds_N: Float[np.ndarray, " N"]
) -> tuple[Int[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Counts and durations in seconds of all N sequences, given each one's typical seconds per repetition.

    Both marginals are the quantiles of Table 2's distributions, so they hold at any N and any seed. What is drawn is
    which count meets which duration: a Gaussian copula, its correlation chosen so that duration over count spreads as
    widely as `seconds_N` does; the pairs then go to the sequences in the order of their tempo.
    """
    size = len(seconds_N)
    # Plotting positions that put the outermost of 1800 at the printed extremes.
    level_N = (np.arange(size) + 0.35) / (size - 0.3)
    durations_N = np.clip(_DURATION_S.ppf(level_N), *DURATION_RANGE_S)
    counts_N = _counts(size, rng)
    first_N, second_N = rng.standard_normal((2, size))
    durations_N = durations_N[_rank(first_N)]

    def paired(correlation: float) -> Int[np.ndarray, " N"]:
        return counts_N[_rank(correlation * first_N + (1 - correlation**2) ** 0.5 * second_N)]

    def misfit(correlation: float) -> float:
        return abs(float(np.log(durations_N / paired(correlation)).std() - np.log(seconds_N).std()))

    counts_N = paired(min(np.linspace(-0.9, 0.9, 73).tolist(), key=misfit))
    _swap_extremes(counts_N, durations_N, swaps=size // 30)
    by_pace = np.argsort(durations_N / counts_N)
    place = by_pace[_rank(np.log(seconds_N) + 1e-6 * rng.standard_normal(size))]
    return counts_N[place], durations_N[place]


def _rank(values_N: Float[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    return np.argsort(np.argsort(values_N))


def _swap_extremes(counts_N: Int[np.ndarray, " N"], durations_N: Float[np.ndarray, " N"], swaps: int) -> None:
    """Exchange durations of the slowest and the fastest pair, in place: the copula gives single repetitions of 60 s."""
    for _ in range(swaps):
        pace_N = durations_N / counts_N
        slow, fast = int(pace_N.argmax()), int(pace_N.argmin())
        durations_N[[slow, fast]] = durations_N[[fast, slow]]


def _counts(size: int, rng: np.random.Generator) -> Int[np.ndarray, " N"]:
    """Sorted quantiles of the mixture of protocol (eight repetitions) and diverse counts."""
    grid = np.arange(COUNT_RANGE[0], COUNT_RANGE[1] + 1)
    share = _COUNT_DIVERSE_SHARE
    below = (1 - share) * _COUNT_PROTOCOL.cdf(grid + 0.5) + share * _COUNT_DIVERSE.cdf(grid + 0.5)
    below[-1] = 1.0
    level_N = (np.arange(size) + rng.uniform(0.4, 0.6)) / size
    return grid[np.searchsorted(below, level_N)]
