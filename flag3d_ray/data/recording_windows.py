"""A recording of any length as clips: whole where a clip resolves it, else in overlapping windows that are faded together.

A clip has a fixed number of frames, so a long recording in one clip has few frames per repetition: below two nothing can
count, whatever the method. Windows of fewer seconds have more. Densities of windows come back to raw frames with their
mass, and where windows overlap the one counts more whose middle is nearer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import uniform_filter1d

from flag3d_ray.data.crops import resample_indices
from flag3d_ray.sample import Batch
from flag3d_ray.segments import to_raw_frames

Joints = Float32[np.ndarray, "T V C"]

NEAR, SMOOTH = 8.0, 1.0 / 6.0
"""Seconds over which `kept_motion` takes means and smooths: a repetition or two, and less than any repetition."""


@dataclass(frozen=True, order=True)
class Window:
    """Raw frames [start, end) of a recording."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


def windows(length: int, window: int, frames: int, phase: int = 0, phases: int = 1) -> list[Window]:
    """Windows that cover a recording, in order: each begins half a window after the one before.

    Args:
        length: raw frames of the recording.
        window: raw frames of each; all of the recording where it is not shorter.
        frames: of the clip that each becomes.
        phase, phases: which of several grids: grid p begins p / `phases` of that distance later, after one more window
            at the start. For a recording in one window grid p leaves out a sampled frame: 1 the first, 2 the last one.
    """
    if window < length:
        hop = max(1, window // 2)
        starts = {0, *range(phase * hop // phases, length - window, hop), length - window}
        return [Window(start, start + window) for start in sorted(starts)]
    spare = max(1, round(length / frames)) if phase and length >= frames // 2 else 0
    return [Window(spare if phase % 2 else 0, length if phase % 2 else length - spare)]


def clip(joints_TVC: Joints, frames: int) -> Float32[np.ndarray, "N V C"]:
    """The joints as `data.clips.Clips` cuts them: resampled or padded to `frames`, each frame relative to its root."""
    sampled_TVC = joints_TVC[resample_indices(len(joints_TVC), frames)]
    return sampled_TVC - sampled_TVC[:, :1]


def batch(
    joints_TVC: Joints, parts: Sequence[Window], frames: int, text_LD: Float32[np.ndarray, "L D"] | None = None
) -> Batch:
    """Windows of a recording as clips without labels, all with the same text (none: of width 0)."""
    lengths_B = np.array([len(part) for part in parts])
    text_LD = np.zeros((1, 0), np.float32) if text_LD is None else text_LD
    text_BLD = torch.from_numpy(text_LD).expand(len(parts), *text_LD.shape)
    return Batch(
        clip_ids=tuple(f"{part.start}-{part.end}" for part in parts),
        joints_BTVC=torch.from_numpy(np.stack([clip(joints_TVC[part.start : part.end], frames) for part in parts])),
        valid_BT=torch.from_numpy(np.arange(frames) < lengths_B[:, None]),
        text_BLD=text_BLD,
        text_valid_BL=torch.ones(text_BLD.shape[:2], dtype=torch.bool),
    )


def kept_motion(joints_TVC: Joints, window: int, frames: int, fps: float) -> float:
    """How much of the motion survives the sampling of clips, in [0, 1]: 1 - residual / motion, both sums of squares.

    The motion is what joints deviate, relative to the root, from their mean over `NEAR` seconds; the residual is what
    linear interpolation between the sampled frames leaves. Both are smoothed over `SMOOTH` seconds first: sensor noise
    survives no sampling, and in movements of few centimetres it is a third of the squares. A sine that is sampled s
    times per period keeps 0.99 at s = 8, 0.95 at 4, 0.87 at 3 and nothing at 2.
    """
    near, smooth = max(2, round(NEAR * fps)), max(1, round(SMOOTH * fps))
    motion = residual = 0.0
    size = max(window, near)
    for start in range(0, len(joints_TVC), size):
        part_TVC = joints_TVC[start : start + size] - joints_TVC[start : start + size, :1]
        part_TX = uniform_filter1d(part_TVC.reshape(len(part_TVC), -1).astype(np.float64), smooth, axis=0)
        motion += sum(_squares(part_TX[first : first + near]) for first in range(0, len(part_TX), near))
        residual += sum(_residual(part_TX[first : first + window], frames) for first in range(0, len(part_TX), window))
    return max(0.0, 1.0 - residual / motion) if motion > 0.0 else 1.0


def _squares(part_TX: Float[np.ndarray, "T X"]) -> float:
    return float(((part_TX - part_TX.mean(axis=0)) ** 2).sum())


def _residual(part_TX: Float[np.ndarray, "T X"], frames: int) -> float:
    if len(part_TX) <= frames:
        return 0.0
    sampled_N, time_T = resample_indices(len(part_TX), frames), np.arange(len(part_TX))
    right_T = np.clip(np.searchsorted(sampled_N, time_T), 1, frames - 1)
    left_T, right_T = sampled_N[right_T - 1], sampled_N[right_T]
    share_T1 = np.clip((time_T - left_T) / (right_T - left_T), 0.0, 1.0)[:, None]
    drawn_TX = part_TX[left_T] * (1.0 - share_T1) + part_TX[right_T] * share_T1
    return float(((part_TX - drawn_TX) ** 2).sum())


def to_raw_density(density_N: Float[np.ndarray, " N"], length: int) -> Float[np.ndarray, " T"]:
    """A clip's density on the `length` raw frames that it was made from; the sum stays.

    Each value is spread over the frames whose label stands at its position (`segments.to_raw_frames`), the first one over
    half as many, smoothly: between positions the running sum is a monotone cubic. What a padded clip has on its padding
    goes to the last frame, which the padding repeats.
    """
    frames = len(density_N)
    if length < frames:
        return np.concatenate([density_N[: length - 1], [density_N[length - 1 :].sum()]])
    edges = to_raw_frames(np.arange(frames) + 0.5, length, frames) + 0.5
    edges[0], edges[-1] = edges[1] / 2.0, length
    running = np.concatenate([[0.0], np.cumsum(density_N)])
    return np.diff(PchipInterpolator(np.concatenate([[0.0], edges]), running)(np.arange(length + 1)))


class Faded:
    """Densities of windows on the raw frames of a recording, faded into each other where windows overlap.

    The weight of a window falls linearly from its middle to its ends; weights are scaled to sum to 1 at every frame.
    """

    def __init__(self, length: int) -> None:
        self._weighted_T = np.zeros(length)
        self._weights_T = np.zeros(length)

    def add(self, window: Window, density_T: Float[np.ndarray, " T"]) -> None:
        """Take in a window's density on its own raw frames."""
        weight_T = np.minimum(np.arange(1, len(window) + 1), np.arange(len(window), 0, -1)).astype(np.float64)
        self._weighted_T[window.start : window.end] += weight_T * density_T
        self._weights_T[window.start : window.end] += weight_T

    def density(self) -> Float[np.ndarray, " T"]:
        """Repetitions per raw frame; 0 where no window was."""
        return self._weighted_T / np.maximum(self._weights_T, 1.0)

    def covered(self) -> Bool[np.ndarray, " T"]:
        """Where a window was."""
        return self._weights_T > 0


def ladder(length: int, fps: float, frames: int) -> list[int]:
    """Window lengths to choose from, in raw frames, longest first: the whole recording, then ones that sample it more
    densely, at 1, 2, 4, 8 and 16 frames per second.

    The whole stands there where a clip has a frame for two seconds or more of it. No window is shorter than a clip, as
    padding would add nothing. Sixteen are five frames for each of the three repetitions a second of a skipping rope.
    """
    steps = [length] if length <= max(frames, 2.0 * frames * fps) else []
    for rate in (1, 2, 4, 8, 16):
        window = max(frames, round(frames * fps / rate))
        if window < min(steps, default=length):
            steps.append(window)
    return steps
