"""KNN: the median count of the nearest training clips.

Paper: FLAG3D++, Tables 3, 5 and 7, row "KNN"; distance, k and features are not specified. Original code: none.
Our modifications: joints in spine lengths, flattened, reduced to 256 principal components, Euclidean distance; k
chosen on the training set by leaving actions out, since the test actions are unseen; the training set is subsampled
to bound memory (the augmented one is 1.1 GiB at full width). Crops correlate with counts, so it partly memorises
durations: a strong KNN is a sign of leakage.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from heapq import heappush, heapreplace
from itertools import count
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float, Int

from flag3d_ray.errors import DataError
from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.signals import spine_lengths, whole_count
from flag3d_ray.metrics import mae
from flag3d_ray.skeleton import Layout, layout

if TYPE_CHECKING:
    from flag3d_ray.sample import Batch, Prediction

ACTION_KEY = 4  # a sample id opens with its action, "A001..."


@dataclass(frozen=True, kw_only=True)
class KNN:
    """Median of the k nearest clips' counts, rounded, at least 1.

    Args:
        neighbours: the k to choose from, ascending; the middle one is used where the training set has one action only.
        components: principal components kept.
        max_clips: training clips kept, a seeded choice that does not depend on their order.
    """

    neighbours: tuple[int, ...] = (1, 3, 5, 7, 9)
    components: int = 256
    max_clips: int = 8000

    name: ClassVar[str] = "knn"
    task: ClassVar[str] = "counting"
    paper: ClassVar[str] = "FLAG3D++, Tables 3, 5 and 7, row KNN"
    language: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.neighbours or min(*self.neighbours, self.components, self.max_clips) < 1:
            raise ValueError("KNN needs at least one k, and k, components and max_clips of at least 1")

    def build(self, shapes: Shapes, seed: int) -> "Neighbours":
        """An estimator to be fitted on the training clips."""
        return Neighbours(self, layout(shapes.layout), seed)


class Neighbours:
    """A `Fitted` estimator: mean and axes of the principal components, projected training clips, their counts, k."""

    def __init__(self, method: KNN, skeleton: Layout, seed: int) -> None:
        self.method, self.skeleton, self.seed = method, skeleton, seed
        self._state: dict[str, np.ndarray] = {}

    def fit(self, batches: "Iterable[Batch]") -> None:
        """Keeps a seeded subset of the clips, finds the principal axes and chooses k.

        Raises:
            DataError: there is no clip, or a batch has no counts.
        """
        clips_NF, counts_N, actions_N = self._subset(batches)
        mean_F = clips_NF.mean(axis=0)
        clips_NF -= mean_F
        axes_FD = principal_axes(clips_NF, self.method.components, self.seed)
        train_ND = clips_NF @ axes_FD
        k = choose_k(train_ND, counts_N, actions_N, self.method.neighbours)
        self._state = {
            "mean_F": mean_F,
            "axes_FD": axes_FD,
            "train_ND": train_ND,
            "count_N": counts_N,
            "k": np.array(k),
        }

    def predict(self, batch: "Batch") -> "list[Prediction]":
        """One prediction per row.

        Raises:
            DataError: neither `fit` nor `load` came before.
        """
        from flag3d_ray.sample import Prediction

        if not self._state:
            raise DataError(where="knn", rule="nothing was fitted", remedy="call fit or load before predict")
        state = self._state
        query_BD = (self._flatten(batch) - state["mean_F"]) @ state["axes_FD"]
        nearest_BK = _nearest(_squared_distances(query_BD, state["train_ND"]), int(state["k"]))
        counts_B = np.median(state["count_N"][nearest_BK], axis=1)
        return [Prediction(clip_id=i, count=whole_count(c)) for i, c in zip(batch.clip_ids, counts_B, strict=True)]

    def state(self) -> dict[str, np.ndarray]:
        """Everything `predict` needs; empty before `fit`."""
        return dict(self._state)

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Takes over a saved state."""
        self._state = dict(state)

    def _subset(
        self, batches: "Iterable[Batch]"
    ) -> tuple[Float[np.ndarray, "N F"], Float[np.ndarray, " N"], Int[np.ndarray, " N"]]:
        """The `max_clips` clips with the smallest seeded hash of their id: the order of batches does not matter."""
        kept: list[tuple[int, str, int, float, np.ndarray]] = []
        arrivals = count()
        for batch in batches:
            if batch.count_B is None:
                raise DataError(where="knn", rule="a batch has no counts", remedy="fit on a training split with labels")
            rows = zip(batch.clip_ids, batch.count_B.cpu().numpy(), self._flatten(batch), strict=True)
            for clip_id, truth, clip_F in rows:
                # The arrival number keeps the heap from comparing arrays where an id comes twice.
                entry = (-_rank(clip_id, self.seed), clip_id, next(arrivals), float(truth), clip_F.copy())
                if len(kept) < self.method.max_clips:
                    heappush(kept, entry)
                elif entry[0] > kept[0][0]:
                    heapreplace(kept, entry)
        if not kept:
            raise DataError(where="knn", rule="no training clips", remedy="fit on a split that is not empty")
        kept.sort(key=lambda entry: entry[1])
        actions_N = np.unique([entry[1][:ACTION_KEY] for entry in kept], return_inverse=True)[1]
        return np.stack([entry[-1] for entry in kept]), np.array([entry[-2] for entry in kept]), actions_N

    def _flatten(self, batch: "Batch") -> Float[np.ndarray, "B F"]:
        """T V C numbers per clip, in spine lengths, the last valid frame repeated where frames are not valid."""
        joints_BTVC, valid_BT = batch.joints_BTVC.cpu().float().numpy(), batch.valid_BT.cpu().numpy()
        flat = np.zeros((len(batch), joints_BTVC[0].size), np.float32)
        for row_F, joints_TVC, valid_T in zip(flat, joints_BTVC, valid_BT, strict=True):
            if valid_T.any():
                latest_T = np.maximum(np.cumsum(valid_T) - 1, 0)
                row_F[:] = spine_lengths(joints_TVC[valid_T], self.skeleton)[latest_T].reshape(-1)
        return flat


def principal_axes(centred_NF: Float[np.ndarray, "N F"], components: int, seed: int) -> Float[np.ndarray, "F D"]:
    """The first D = min(components, N, F) principal axes, by a randomised SVD with two power iterations.

    An exact decomposition of 8000 clips of 9216 numbers takes minutes; this takes seconds. `seed` fixes the sketch.
    """
    rank = min(components, *centred_NF.shape)
    sketch = min(rank + 32, *centred_NF.shape)
    start_FS = np.random.default_rng(seed).standard_normal((centred_NF.shape[1], sketch)).astype(centred_NF.dtype)
    basis_NS = np.linalg.qr(centred_NF @ start_FS)[0]
    for _ in range(2):
        basis_NS = np.linalg.qr(centred_NF @ np.linalg.qr(centred_NF.T @ basis_NS)[0])[0]
    axes_SF = np.linalg.svd(basis_NS.T @ centred_NF, full_matrices=False)[2]
    return np.ascontiguousarray(axes_SF[:rank].T)


def choose_k(
    train_ND: Float[np.ndarray, "N D"],
    count_N: Float[np.ndarray, " N"],
    actions_N: Int[np.ndarray, " N"],
    candidates: tuple[int, ...],
) -> int:
    """The k with the lowest mean relative error, each clip counted from the other actions; the smallest of equals."""
    if len(np.unique(actions_N)) < 2:
        return candidates[len(candidates) // 2]
    guess = {k: np.empty(len(count_N)) for k in candidates}
    for start in range(0, len(train_ND), 512):
        rows = slice(start, start + 512)
        distance_QN = _squared_distances(train_ND[rows], train_ND)
        distance_QN[actions_N[rows, None] == actions_N] = np.inf
        nearest_QK = _nearest(distance_QN, max(candidates))
        # Where the other actions have fewer than k clips, all of them are used.
        eligible_QK = np.isfinite(np.take_along_axis(distance_QN, nearest_QK, axis=1))
        counts_QK = np.where(eligible_QK, count_N[nearest_QK], np.nan)
        for k in candidates:
            guess[k][rows] = np.maximum(np.rint(np.nanmedian(counts_QK[:, :k], axis=1)), 1.0)
    return min(candidates, key=lambda k: (mae(guess[k], count_N), k))


def _squared_distances(query_QD: Float[np.ndarray, "Q D"], train_ND: Float[np.ndarray, "N D"]) -> np.ndarray:
    return (query_QD**2).sum(axis=1)[:, None] - 2.0 * query_QD @ train_ND.T + (train_ND**2).sum(axis=1)


def _nearest(distance_QN: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k smallest per row, nearest first. [Q, min(k, N)]"""
    k = min(k, distance_QN.shape[1])
    nearest_QK = np.argpartition(distance_QN, k - 1, axis=1)[:, :k]
    order_QK = np.take_along_axis(distance_QN, nearest_QK, axis=1).argsort(axis=1)
    return np.take_along_axis(nearest_QK, order_QK, axis=1)


def _rank(clip_id: str, seed: int) -> int:
    return int.from_bytes(blake2b(f"{seed}:{clip_id}".encode(), digest_size=8).digest(), "big")
