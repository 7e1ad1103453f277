"""Sequences that stand in a dataset twice, whole or in part, under whatever name.

Frames are compared bit for bit by a hash of their outer joints (hands, feet, head): where a reader estimates inner joints
over a whole recording, a part of it still has the outer ones. Of the hashes of a sequence those are kept that are the
smallest of some window of frames (winnowing: Schleimer, Wilkerson and Aiken, SIGMOD 2003): every part that two sequences
share and that is as long as a window has a kept hash in common, and only some 2 in 17 are kept.

A copy that was moved, scaled or filtered is not found.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt64

from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import Layout, layout

WINDOW = 16
APART = 8
"""Kept frames of a part lie at least that far apart: two recordings may share a pose, but not a motion."""
SHORTEST = 2 * WINDOW + APART
"""Frames of the shortest part that is found for certain."""
_SEED = 0xC0F1E5


@dataclass(frozen=True)
class Copy:
    """Frames [start, end) of sequence `part` are frames [start + shift, end + shift) of sequence `of`; `whole`: and both have
    no other frames. Sequences are numbered in the order in which they were added."""

    part: int
    of: int
    start: int
    end: int
    shift: int
    whole: bool


class Copies:
    """Finds them; keeps about 2 bytes per frame and a hash per sequence."""

    def __init__(self) -> None:
        self._first: dict[bytes, int] = {}
        self._same: list[Copy] = []
        self._lengths: list[int] = []
        self._hashes: list[UInt64[np.ndarray, " k"]] = []
        self._frames: list[Int64[np.ndarray, " k"]] = []

    def add(self, sample: Sample) -> None:
        """Take the next sequence in."""
        number, frames = len(self._lengths), sample.frames
        self._lengths.append(frames)
        digest = hashlib.sha256(repr((sample.layout, sample.joints_MTVC.shape)).encode())
        digest.update(np.ascontiguousarray(sample.joints_MTVC).data)
        first = self._first.setdefault(digest.digest(), number)
        kept_K, hashes_K = np.empty(0, np.int64), np.empty(0, np.uint64)
        if first != number:
            self._same.append(Copy(number, first, 0, frames, 0, whole=True))
        else:
            kept_K, hashes_K = _winnowed(_frame_hashes(sample.joints_MTVC, layout(sample.layout)))
        self._frames.append(kept_K)
        self._hashes.append(hashes_K)

    def found(self) -> Iterator[Copy]:
        """Whole copies first, then parts, in the order of the sequences."""
        yield from self._same
        yield from self._parts()

    def _parts(self) -> Iterator[Copy]:
        counts = [len(hashes) for hashes in self._hashes]
        if not sum(counts):
            return
        owner_K = np.repeat(np.arange(len(counts)), counts)
        hash_K, frame_K = np.concatenate(self._hashes), np.concatenate(self._frames)
        order = np.lexsort((frame_K, owner_K, hash_K))
        # Neighbours in this order are enough: of many that share a frame each is compared with the one ahead of it.
        one, two = order[:-1], order[1:]
        meets = (hash_K[one] == hash_K[two]) & (owner_K[one] != owner_K[two])
        spans: dict[tuple[int, int, int], tuple[int, int, int]] = {}
        for a, b in zip(one[meets].tolist(), two[meets].tolist(), strict=True):
            pair = (int(owner_K[b]), int(owner_K[a]), int(frame_K[a] - frame_K[b]))
            first, last, times = spans.get(pair, (int(frame_K[b]), int(frame_K[b]), 0))
            spans[pair] = (min(first, int(frame_K[b])), max(last, int(frame_K[b])), times + 1)
        for (later, earlier, shift), (first, last, times) in sorted(spans.items()):
            if times > 1 and last - first >= APART:
                yield self._copy(later, earlier, shift, first, last)

    def _copy(self, later: int, earlier: int, shift: int, first: int, last: int) -> Copy:
        """The shorter sequence is called the part."""
        if self._lengths[later] <= self._lengths[earlier]:
            return Copy(later, earlier, first, last + 1, shift, whole=False)
        return Copy(earlier, later, first + shift, last + 1 + shift, -shift, whole=False)


def _frame_hashes(joints_MTVC: Float32[np.ndarray, "M T V C"], skeleton: Layout) -> UInt64[np.ndarray, " T"]:
    """A hash of the outer joints' bits in every frame: a sum of products modulo 2^64."""
    outer = sorted(set(range(len(skeleton))) - set(skeleton.parents))
    bits_TN = np.ascontiguousarray(np.moveaxis(joints_MTVC[:, :, outer], 0, 1)).reshape(joints_MTVC.shape[1], -1)
    weights_N = np.random.default_rng(_SEED).integers(1, 2**63, bits_TN.shape[1], dtype=np.uint64) * 2 + 1
    return (bits_TN.view(np.uint32).astype(np.uint64) * weights_N).sum(axis=1, dtype=np.uint64)


def _winnowed(hash_T: UInt64[np.ndarray, " T"]) -> tuple[Int64[np.ndarray, " k"], UInt64[np.ndarray, " k"]]:
    """Frames whose hash is the smallest of a window, and the hashes; not those that repeat the one before or hold nobody."""
    changed = np.flatnonzero((hash_T != np.concatenate([[0], hash_T[:-1]]).astype(np.uint64)) & (hash_T != 0))
    hash_K = hash_T[changed]
    if len(hash_K) < WINDOW:
        return np.empty(0, np.int64), np.empty(0, np.uint64)
    windows_KW = np.lib.stride_tricks.sliding_window_view(hash_K, WINDOW)
    smallest = np.unique(windows_KW.argmin(axis=1) + np.arange(len(windows_KW)))
    return changed[smallest].astype(np.int64), hash_K[smallest]
