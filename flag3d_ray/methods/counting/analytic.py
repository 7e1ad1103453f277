"""The estimator of the methods that learn nothing: one function from a clip's joints to its count."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from flag3d_ray.methods.counting.signals import Motion, spine_lengths
from flag3d_ray.sample import Batch, Prediction
from flag3d_ray.skeleton import Layout


class Analytic:
    """A `Fitted` estimator with nothing to fit: applies `count` to the valid frames of each clip, in spine lengths.

    Clips with fewer than two valid frames, such as the padding rows of a batch, get the count `empty`.
    """

    def __init__(self, count: Callable[[Motion], float], skeleton: Layout, empty: float) -> None:
        self.count, self.skeleton, self.empty = count, skeleton, empty

    def fit(self, batches: Iterable[Batch]) -> None:
        """Reads nothing."""

    def predict(self, batch: Batch) -> list[Prediction]:
        """One prediction per row; a row's count depends on its own valid frames only."""
        joints_BTVC, valid_BT = batch.joints_BTVC.cpu().double().numpy(), batch.valid_BT.cpu().numpy()
        return [
            Prediction(clip_id=clip_id, count=self._count(joints_TVC[valid_T]))
            for clip_id, joints_TVC, valid_T in zip(batch.clip_ids, joints_BTVC, valid_BT, strict=True)
        ]

    def state(self) -> dict[str, np.ndarray]:
        """Empty."""
        return {}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Nothing to load."""

    def _count(self, joints_TVC: Motion) -> float:
        return self.count(spine_lengths(joints_TVC, self.skeleton)) if len(joints_TVC) > 1 else self.empty
