"""Count a recording of any length: with one method or network, or several; with a range, and where repetitions are.

Nothing here can read a label: joints go in, and `Batch` is made without targets. A recording that a clip of the method
resolves is counted as one clip, exactly as evaluation does; a longer one in overlapping windows (`data.recording_windows`).
How long they are follows from the motion, then from the tempo that a first pass finds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Float32

from flag3d_ray.clip_counters import ClipCounter
from flag3d_ray.data.labels import density_labels
from flag3d_ray.data.recording import trunk_length
from flag3d_ray.data.recording_windows import Faded, Window, batch, kept_motion, ladder, to_raw_density, windows
from flag3d_ray.errors import DataError
from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.signals import STILL
from flag3d_ray.sample import Prediction
from flag3d_ray.segments import Readout, Rule, read_segments
from flag3d_ray.skeleton import layout

KEEPS = 0.98
"""Clips resolve a recording that they keep this share of the motion of: five frames per turn of the fastest joint.

Measured with one small network on synthetic test sequences, three or six of them joined to one recording: relative error
0.45 and 0.71 as one clip, 0.38 and 0.48 at 0.9, 0.34 and 0.26 at 0.95, 0.21 and 0.11 here, 0.22 and 0.14 at 0.99. Single
sequences stay one clip: 0.26 everywhere, 0.27 at 0.99."""
FRAMES_PER_REPETITION = 6.0
"""Windows are halved until a repetition has this many sampled frames."""
TOO_FEW = 4.0
"""Frames per repetition below which the result carries a warning."""
PHASES = 3
"""Grids of windows per network."""
WINDOWS_AT_A_TIME = 64

Told = Callable[[str, int, int], None]
"""Hears what is done, how many windows are done, how many there are."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Count:
    """What was counted in a recording.

    Attributes:
        count, low, high: median, least and largest count over grids of windows and networks; none is rounded.
        segments_K2: start and exclusive end of each repetition in raw frames, in order; empty where the count rounds to 0.
        density_T: repetitions per raw frame; sums to `count` unless it is 0 everywhere.
        fps: raw frames per second.
        window: raw frames per window; all of them where the recording was counted as one clip.
        views: how many counts `low` and `high` are taken from.
        warnings: sentences.
    """

    count: float
    low: float
    high: float
    segments_K2: Float[np.ndarray, "K 2"]
    density_T: Float[np.ndarray, " T"]
    fps: float
    window: int
    views: int
    warnings: tuple[str, ...]

    @property
    def seconds_K2(self) -> Float[np.ndarray, "K 2"]:
        """The segments in seconds."""
        return self.segments_K2 / self.fps


@dataclass(frozen=True, eq=False)
class _View:
    """One count: a network on one grid of windows. `even`: it says how many, not where. `moves`: something does."""

    density_T: Float[np.ndarray, " T"]
    covered_T: Bool[np.ndarray, " T"]
    counts_N: Float[np.ndarray, " N"]
    even: bool
    moves: bool


def count_recording(
    counters: Sequence[ClipCounter],
    joints_TVC: Float32[np.ndarray, "T V C"],
    *,
    fps: float,
    rule: Rule = "valley",
    phases: int = PHASES,
    progress: Told | None = None,
) -> Count:
    """Count the repetitions of one person.

    Args:
        counters: one or more, of one layout; several networks of different seeds widen the range.
        joints_TVC: metres, y up, in the counters' layout, where the person stood: roots are subtracted here.
        fps: raw frames per second.
        rule: how segments are read from the density (`segments`). Methods that predict no density give even segments.
        phases: grids of windows, or slightly different cuts of a recording that is one clip. With 1 and one counter the
            count of a clip is that of evaluation.
        progress: hears of each batch of windows.

    Raises:
        DataError: no frame, another number of joints or coordinates than the layout has, NaN or infinity.
    """
    shapes = counters[0].shapes
    _check(joints_TVC, fps, shapes)
    told = progress or (lambda what, done, total: None)
    window = _window_length(counters[0], joints_TVC, fps, told)
    grids = [
        (counter, windows(len(joints_TVC), window, counter.shapes.frames, phase, phases))
        for counter in counters
        for phase in range(phases)
    ]
    done, total, views = 0, sum(len(parts) for _, parts in grids), []
    for counter, parts in grids:
        views.append(_view(counter, joints_TVC, parts, partial(_shifted, told, "counting", done, total)))
        done += len(parts)
    return _together(views, rule, fps, window, shapes.frames)


def _shifted(told: Told, what: str, before: int, total: int, done: int) -> None:
    told(what, before + done, total)


def _check(joints_TVC: Float32[np.ndarray, "T V C"], fps: float, shapes: Shapes) -> None:
    skeleton = layout(shapes.layout)
    wanted, found = (len(skeleton), shapes.channels), joints_TVC.shape
    if len(found) != 3 or found[1:] != wanted or not len(joints_TVC):
        rule = f"joints must be [T, {wanted[0]}, {wanted[1]}] for {skeleton.name} with a frame or more, found {list(found)}"
        raise DataError(where="recording", rule=rule, remedy="give one person's joints in the layout of the method")
    if not 0.0 < fps < 1e5:
        raise DataError(
            where="recording", rule=f"{fps} frames per second", remedy="give the frame rate of the recording"
        )
    bad_TV = ~np.isfinite(joints_TVC).all(axis=2)
    if bad_TV.any():
        frame, joint = np.argwhere(bad_TV)[0]
        rule = f"NaN or infinity at joint {skeleton.joints[joint]} ({len(set(np.nonzero(bad_TV)[0]))} frames hold any)"
        raise DataError(
            where=f"recording, frame {frame}", rule=rule, remedy="fill the gap, or count the part without it"
        )


def _window_length(counter: ClipCounter, joints_TVC: Float32[np.ndarray, "T V C"], fps: float, told: Told) -> int:
    """The longest window that keeps the motion and leaves `FRAMES_PER_REPETITION`; else the shortest of the ladder."""
    frames = counter.shapes.frames
    steps = ladder(len(joints_TVC), fps, frames)
    while len(steps) > 1 and kept_motion(joints_TVC, steps[0], frames, fps) < KEEPS:
        steps.pop(0)
    while len(steps) > 1:
        parts = windows(len(joints_TVC), steps[0], frames)
        view = _view(counter, joints_TVC, parts, partial(_shifted, told, "looking for the tempo", 0, len(parts)))
        if _frames_per_repetition(view, frames) >= FRAMES_PER_REPETITION:
            break
        steps.pop(0)
    return steps[0]


def _view(
    counter: ClipCounter, joints_TVC: Float32[np.ndarray, "T V C"], parts: Sequence[Window], done: Callable[[int], None]
) -> _View:
    faded, counts, even, moving = Faded(len(joints_TVC)), [], False, False
    still = STILL * trunk_length(joints_TVC, layout(counter.shapes.layout))
    for first in range(0, len(parts), WINDOWS_AT_A_TIME):
        some = parts[first : first + WINDOWS_AT_A_TIME]
        clips = batch(joints_TVC, some, counter.shapes.frames, counter.text_LD)
        moves_B = (clips.joints_BTVC.std(dim=1, correction=0) >= still).flatten(1).any(dim=1).tolist()
        for part, moves, claim in zip(some, moves_B, counter.predict(clips), strict=True):
            even = even or (claim.density_T is None and claim.segments_K2 is None)
            moving = moving or moves
            density_T = _raw_density(claim, len(part), counter.shapes.frames) if moves else np.zeros(len(part))
            counts.append(float(density_T.sum()))
            faded.add(part, density_T)
        done(first + len(some))
    return _View(faded.density(), faded.covered(), np.array(counts), even, moving)


def _raw_density(claim: Prediction, length: int, frames: int) -> Float[np.ndarray, " T"]:
    """A claim on its raw frames. Segments become the density that they would have as labels; a count alone is spread evenly."""
    if claim.density_T is not None:
        return to_raw_density(claim.density_T.astype(np.float64), length)
    if claim.segments_K2 is None:
        return np.full(length, claim.count / length)
    density_N = np.zeros(frames)
    for first, end in claim.segments_K2.tolist():  # one by one: they may overlap, which labels may not
        span_12 = np.array([[min(first, frames - 1), min(max(end, first + 1), frames)]])
        density_N += density_labels(span_12, frames, frames)
    return to_raw_density(density_N, length)


def _frames_per_repetition(view: _View, sampled: int) -> float:
    """Sampled frames that a repetition has in windows that are fuller than nine in ten of those with any."""
    some = view.counts_N[view.counts_N > 0.5]
    return sampled / float(np.quantile(some, 0.9)) if len(some) else float("inf")


def _even(density_T: Float[np.ndarray, " T"], count: float) -> Readout:
    """Segments of equal mass from the first frame to the last: the share of frame f lies between f and f + 1."""
    running = np.concatenate([[0.0], np.cumsum(density_T)])
    number = max(1, round(count))
    borders = np.interp(np.linspace(0.0, running[-1], number + 1), running, np.arange(len(running)))
    return Readout(np.stack([borders[:-1], borders[1:]], axis=1), incomplete=False)


def _shallow(density_T: Float[np.ndarray, " T"], segments_K2: Float[np.ndarray, "K 2"]) -> bool:
    """Whether the density at the ends of most segments is above half its peak in them; where it is right it is near 0."""
    shares = []
    for start, end in segments_K2.round().astype(int).clip(0, len(density_T) - 1):
        peak = max(float(density_T[start : end + 1].max()), 1e-12)
        shares += [density_T[start] / peak, density_T[end] / peak]
    return float(np.median(shares)) > 0.5


def _together(views: Sequence[_View], rule: Rule, fps: float, window: int, frames: int) -> Count:
    counts = [float(view.density_T.sum()) for view in views]
    count = float(np.median(counts))
    density_T = np.sum([view.density_T for view in views], axis=0)
    density_T /= np.maximum(np.sum([view.covered_T for view in views], axis=0), 1)
    if count > 0.0 and density_T.sum() > 0.0:
        density_T *= count / density_T.sum()
    even = any(view.even for view in views)
    readout = _even(density_T, count) if even else read_segments(density_T, count, rule, max(1.0, window / frames))
    warnings = _about_counts(views, counts, min(window, frames))
    if round(count) > 0:
        warnings += _about_segments(density_T, readout, count, even=even)
    return Count(
        count=count,
        low=min(counts),
        high=max(counts),
        segments_K2=readout.segments_K2 if round(count) > 0 else np.empty((0, 2)),
        density_T=density_T,
        fps=fps,
        window=window,
        views=len(views),
        warnings=tuple(warnings),
    )


def _about_counts(views: Sequence[_View], counts: Sequence[float], sampled: int) -> list[str]:
    found = []
    if not any(view.moves for view in views):
        found.append(f"nothing moves more than sensors err, in {len(views[0].density_T)} frames: nothing is counted")
    if (each := _frames_per_repetition(views[0], sampled)) < TOO_FEW:
        found.append(
            f"{sampled / each:.0f} repetitions in {sampled} frames are {each:.1f} frames each: too few to be counted "
            "reliably; record more frames per second"
        )
    if max(counts) - min(counts) > max(1.0, 0.2 * float(np.median(counts))):
        found.append(f"windows or networks disagree: counts from {min(counts):.1f} to {max(counts):.1f}")
    return found


def _about_segments(density_T: Float[np.ndarray, " T"], readout: Readout, count: float, *, even: bool) -> list[str]:
    if even:
        return ["the method says how many, not where: segments are spaced evenly"]
    found = []
    if readout.incomplete:
        found.append(f"{len(readout.segments_K2)} segments for a count of {count:.1f}: the others were not found")
    if round(count) > 1 and _shallow(density_T, readout.segments_K2):
        found.append("the density hardly falls between repetitions: where they begin and end is a guess")
    return found
