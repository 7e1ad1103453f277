"""Random: a count drawn from a uniform distribution over the integers, the floor of every table.

Paper: FLAG3D++, Tables 3, 5 and 7, row "Random". Original code: none; the printed hit rates (0.0307 exact, 0.0955
within one) fit a uniform draw over about 32 integers on FLAG3D++ and about 70 on RepCountA, averaged over draws.
Our modifications: a clip's draw depends on the seed and on the clip's id alone, so that it is the same in any batch,
order or process. Average over several seeds: the paper's two tables were visibly drawn anew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from flag3d_ray.methods.base import Shapes

if TYPE_CHECKING:
    from flag3d_ray.sample import Batch, Prediction


@dataclass(frozen=True, kw_only=True)
class Random:
    """Uniform integer on [`low`, `high`], both inclusive."""

    low: int = 1
    high: int = 32

    name: ClassVar[str] = "random"
    task: ClassVar[str] = "counting"
    paper: ClassVar[str] = "FLAG3D++, Tables 3, 5 and 7, row Random"
    language: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"random counts need 0 <= low <= high, not low={self.low}, high={self.high}")

    def build(self, shapes: Shapes, seed: int) -> "Draw":
        """An estimator whose draws depend on `seed` and on clip ids."""
        return Draw(self.low, self.high, seed)


class Draw:
    """A `Fitted` estimator that reads clip ids and nothing else."""

    def __init__(self, low: int, high: int, seed: int) -> None:
        self.low, self.high, self.seed = low, high, seed

    def fit(self, batches: "Iterable[Batch]") -> None:
        """Reads nothing."""

    def predict(self, batch: "Batch") -> "list[Prediction]":
        """One draw per row."""
        from flag3d_ray.sample import Prediction

        return [Prediction(clip_id=clip_id, count=self.draw(clip_id)) for clip_id in batch.clip_ids]

    def draw(self, clip_id: str) -> float:
        """The count of one clip. 64 bits modulo the range: the bias is below 1e-17."""
        bits = blake2b(f"{self.seed}:{clip_id}".encode(), digest_size=8).digest()
        return float(self.low + int.from_bytes(bits, "big") % (self.high - self.low + 1))

    def state(self) -> dict[str, np.ndarray]:
        """Empty: range and seed are the method's and the run's."""
        return {}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Nothing to load."""
