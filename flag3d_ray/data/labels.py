"""Ground truth of a clip's frames, from annotated first and exclusive last frames: the density of repetitions, and which
repetition a frame belongs to.

In the density each repetition becomes a Gaussian that spans it at three standard deviations to either side of its
middle, integrated over the unit bin of each frame (TransRAC's construction). Two choices differ from the released code
and have a `released` value:

* `construction`: "accumulate" (default) adds the Gaussians and gives each repetition a mass of exactly 1. The
  released "assign" overwrites the frame that neighbouring repetitions share: 62 contiguous repetitions in 128 frames
  sum to 58.1.
* `pad_labels`: "aligned" (default) keeps label index = frame index in clips that were padded at the end. The released
  "stretched" spreads the labels over all positions although the frames are not stretched, so labels and frames
  disagree.

The true count of a clip is its number of repetitions, never the rounded sum of a density.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import erf, sqrt
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Int, Int32, Integer

from flag3d_ray.errors import DataError

Construction = Literal["accumulate", "assign"]
PadLabels = Literal["aligned", "stretched"]


def density_labels(
    reps_R2: Integer[np.ndarray, "R 2"],
    length: int,
    frames: int,
    construction: Construction = "accumulate",
    pad_labels: PadLabels = "aligned",
) -> Float32[np.ndarray, " T"]:
    """Density of one clip; arguments as in `density_batch`."""
    return density_batch([reps_R2], np.array([length]), frames, construction, pad_labels)[0]


def density_batch(
    reps: Sequence[Integer[np.ndarray, "_ 2"]],
    lengths_B: Integer[np.ndarray, " B"],
    frames: int,
    construction: Construction = "accumulate",
    pad_labels: PadLabels = "aligned",
) -> Float32[np.ndarray, "B T"]:
    """Densities of B clips, resampled or padded to T = `frames`.

    Args:
        reps: per clip, the first and the exclusive last raw frame of each repetition; 0 <= s < e <= s' < e' ... <=
            length. A clip may have none.
        lengths_B: raw frames of each clip, after cropping.
        frames: T, the length that clips are brought to.
        construction: "accumulate": each row sums to its number of repetitions; "assign": the released code.
        pad_labels: "aligned" or the released "stretched"; concerns clips with fewer than T raw frames only.

    Raises:
        DataError: repetitions are empty, overlap, are out of order or leave the clip.
    """
    reps_N2, clip_N, _ = _flat(reps, lengths_B)
    span_N2 = label_index(reps_N2, np.asarray(lengths_B)[clip_N, None], frames, pad_labels)
    first_N, width_N = span_N2[:, 0], span_N2[:, 1] - span_N2[:, 0]
    rep_E, offset_E = _entries(width_N + 1)
    cell_E = clip_N[rep_E] * frames + first_N[rep_E] + offset_E
    mass_E = _profiles(frames, construction == "accumulate")[width_N[rep_E], offset_E]
    cells = len(reps) * frames
    if construction == "accumulate":
        density = np.bincount(cell_E, weights=mass_E, minlength=cells)
    else:
        density = np.zeros(cells)
        density[cell_E] = mass_E
    return density.astype(np.float32).reshape(len(reps), frames)


def repetition_batch(
    reps: Sequence[Integer[np.ndarray, "_ 2"]],
    lengths_B: Integer[np.ndarray, " B"],
    frames: int,
    pad_labels: PadLabels = "aligned",
) -> Int32[np.ndarray, "B T"]:
    """The repetition that each frame of B clips belongs to, counted from 0, and -1 where none; arguments and errors as
    in `density_batch`.

    A repetition [s, e) has the frames from ceil(s N / F) up to, not including, ceil(e N / F): a frame on the boundary of
    two belongs to the later one. One too short to have a frame takes that of its start, unless a later one starts there
    too; a clip then shows fewer repetitions than it has.
    """
    reps_N2, clip_N, number_N = _flat(reps, lengths_B)
    length_N = np.asarray(lengths_B)[clip_N]
    first_N = label_index(reps_N2[:, 0], length_N, frames, pad_labels)
    end_N = np.maximum(_position(reps_N2[:, 1], length_N, frames, pad_labels), first_N + 1)
    rep_E, offset_E = _entries(end_N - first_N)
    reps_BT = np.full((len(reps), frames), -1, np.int32)
    # Where entries share a frame the last one stays, which is the later repetition.
    reps_BT[clip_N[rep_E], first_N[rep_E] + offset_E] = number_N[rep_E]
    return reps_BT


def label_index(
    frame: Int[np.ndarray, "*shape"],
    length: Int[np.ndarray, "*#shape"],
    frames: int,
    pad_labels: PadLabels = "aligned",
) -> Int[np.ndarray, "*shape"]:
    """Position of raw frames in a clip of `frames` positions: ceil(t N / F), held below N; t itself in padded clips.

    Integer arithmetic: in floating point ceil(t / F * N) lands one frame late where t N is a multiple of F.
    """
    last = frames - 1 if pad_labels == "stretched" else np.minimum(length, frames) - 1
    return np.minimum(_position(frame, length, frames, pad_labels), last)


def _position(
    frame: Int[np.ndarray, "*shape"], length: Int[np.ndarray, "*#shape"], frames: int, pad_labels: PadLabels
) -> Int[np.ndarray, "*shape"]:
    """`label_index` without its bound: the end of a clip has the position behind its last frame."""
    resampled = -(-frame * frames // length)
    return resampled if pad_labels == "stretched" else np.where(length < frames, frame, resampled)


def _flat(
    reps: Sequence[Integer[np.ndarray, "_ 2"]], lengths_B: Integer[np.ndarray, " B"]
) -> tuple[Int[np.ndarray, "N 2"], Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """All repetitions of a batch in one array, checked; the clip of each and its number within the clip."""
    counts_B = np.array([len(reps_R2) for reps_R2 in reps], np.int64)
    clip_N = np.repeat(np.arange(len(reps)), counts_B)
    reps_N2 = np.concatenate([np.empty((0, 2), np.int64), *reps]).astype(np.int64)
    _check(reps_N2, clip_N, lengths_B)
    return reps_N2, clip_N, _entries(counts_B)[1]


def _entries(widths_N: Int[np.ndarray, " N"]) -> tuple[Int[np.ndarray, " E"], Int[np.ndarray, " E"]]:
    """One flat entry per repetition and frame it covers: the repetition, and 0, 1, ... within it.

    A clip is covered about once, so there are few.
    """
    ends_N = np.cumsum(widths_N)
    rep_E = np.repeat(np.arange(len(widths_N)), widths_N)
    return rep_E, np.arange(len(rep_E)) - (ends_N - widths_N)[rep_E]


@lru_cache(maxsize=8)
def _profiles(frames: int, normalise: bool) -> Float[np.ndarray, "T T"]:
    """Row w: the mass in each of the w + 1 bins of a repetition that spans w frames (mean w/2, deviation w/6)."""
    profiles_TT = np.zeros((frames, frames))
    profiles_TT[0, 0] = 1.0
    for width in range(1, frames):
        deviation = width / 6.0
        below = [0.5 * erf((edge - 0.5 - width / 2.0) / (deviation * sqrt(2.0))) for edge in range(width + 2)]
        profiles_TT[width, : width + 1] = np.diff(below)
    return profiles_TT / profiles_TT.sum(axis=1, keepdims=True) if normalise else profiles_TT


def _check(
    reps_N2: Int[np.ndarray, "N 2"], clip_N: Int[np.ndarray, " N"], lengths_B: Integer[np.ndarray, " B"]
) -> None:
    first_N, last_N = reps_N2[:, 0], reps_N2[:, 1]
    overlap_N = np.zeros(len(reps_N2), bool)
    overlap_N[1:] = (clip_N[1:] == clip_N[:-1]) & (first_N[1:] < last_N[:-1])
    wrong_N = (first_N >= last_N) | (first_N < 0) | (last_N > np.asarray(lengths_B)[clip_N]) | overlap_N
    if wrong_N.any():
        index = int(wrong_N.argmax())
        clip = int(clip_N[index])
        raise DataError(
            where=f"clip {clip} of the batch, repetition [{first_N[index]}, {last_N[index]}), {lengths_B[clip]} frames",
            rule="repetitions must not be empty, overlap, be out of order or leave the clip",
            remedy="check the sample's reps_R2 with `flag3d data check`",
        )
