"""Crop augmentation (Section 4.2) and resampling to a fixed number of frames (Section 5.1).

Original code (AndyTang15/FLAG3Dv2, inference only): per sequence and copy two numbers are drawn once. u <= 0.25 keeps the
whole sequence, u <= 0.625 the repetitions up to number p, else those after it; crops stay the same in every epoch.
Ours: p leaves at least one repetition on the kept side, so no clip has a count of zero.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

WHOLE, PREFIX = 0.25, 0.625
CROP_SEED = 3407


@dataclass(frozen=True)
class Crop:
    """The part [start, end) of a sequence, and its repetitions in frames of the crop."""

    start: int
    end: int
    reps_R2: Int[np.ndarray, "R 2"]

    def __len__(self) -> int:
        return self.end - self.start


def crop(reps_R2: Int[np.ndarray, "R 2"], frames: int, u: float, p: int) -> Crop:
    """Whole sequence, prefix up to repetition p (inclusive) or suffix after it.

    Args:
        reps_R2: repetitions in order, first and exclusive last frame.
        frames: length of the sequence.
        u: in [0, 1), chooses the kind.
        p: repetition at whose end the sequence is cut, in [0, R - 2]; ignored for the whole sequence.
    """
    if u <= WHOLE or len(reps_R2) < 2:
        return Crop(0, frames, reps_R2)
    cut = int(reps_R2[p, 1])
    if u <= PREFIX:
        return Crop(0, cut, reps_R2[: p + 1])
    return Crop(cut, frames, reps_R2[p + 1 :] - cut)


def draw_crop(sample_id: str, copy: int, reps_R2: Int[np.ndarray, "R 2"], frames: int, seed: int = CROP_SEED) -> Crop:
    """The frozen crop of a sequence's copy: it depends on (seed, sample_id, copy) alone, never on the epoch."""
    rng = np.random.default_rng((seed, zlib.crc32(sample_id.encode()), copy))
    u, p = float(rng.random()), int(rng.integers(0, max(1, len(reps_R2) - 1)))
    return crop(reps_R2, frames, u, p)


def resample_indices(length: int, frames: int) -> Int[np.ndarray, " T"]:
    """Source frame of each of `frames` clip frames.

    length >= frames: floor(i * length / frames) - 1 for i = 1..frames, the paper's interval sampling.
    length < frames: every frame once, then the last one repeated.
    """
    if length >= frames:
        return np.arange(1, frames + 1) * length // frames - 1
    return np.minimum(np.arange(frames), length - 1)
