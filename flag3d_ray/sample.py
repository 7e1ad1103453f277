"""The three nouns that data passes through: `Sample -> Batch -> Prediction`.

Shape letters, used as suffixes of array names in the whole project:

    B batch         M persons       T frames        V joints        C coordinates
    L text tokens   D text width    R repetitions   S standards     K classes or segments

Coordinates are right-handed with y up, in metres; image layouts are in pixels.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor

from flag3d_ray.errors import DataError


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """One annotated sequence: one row of a Parquet shard.

    `joints_MTVC` holds one person except in two-person datasets. `reps_R2` holds a first frame and an exclusive last
    frame per repetition, in order and without overlap. `keys_RS` holds a 0/1 key score per repetition and standard, or
    None where a dataset has no quality labels. `captions` are the three levels of Table 6: name, details, instructions.
    """

    sample_id: str
    dataset: str
    source: str  # lab, rendered, natural, procedural
    action_id: str
    action: str
    body_part: str
    subject: str
    take: int
    fps: float
    layout: str
    unit: str
    captions: tuple[str, str, str]
    standards: tuple[str, ...]
    joints_MTVC: Float32[np.ndarray, "M T V C"]
    reps_R2: Int[np.ndarray, "R 2"]
    keys_RS: Int[np.ndarray, "R S"] | None = None
    view: str = ""
    scene: str = ""
    avatar: str = ""
    image_hw: tuple[int, int] | None = None

    @property
    def count(self) -> int:
        """Number of repetitions, R."""
        return len(self.reps_R2)

    @property
    def frames(self) -> int:
        """Length of the sequence, T."""
        return self.joints_MTVC.shape[1]

    @property
    def score(self) -> float:
        """Quality score in [3, 9]: Eq. 1, with delta = 6 and g(x) = 2 x - 1.

        Raises:
            DataError: the sample has no key scores.
        """
        if self.keys_RS is None or not len(self.keys_RS):
            raise DataError(
                where=self.sample_id,
                rule="a score needs key scores",
                remedy="use a dataset with quality annotations",
            )
        return 6.0 + float((2.0 * self.keys_RS.mean(axis=0) - 1.0).sum())


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """What a method sees: B clips of equal length, on one device.

    Persons are folded into B. `valid_BT` is False on padding. `text_BLD` holds one embedding per token (L = 1: the pooled
    sentence) and has width D = 0 for methods without language. `density_BT`, `count_B` and `reps_BT` (the repetition that
    a frame belongs to: 0, 1, ..., and -1 where none) are the counting targets; they are None where labels must not be read
    (`flag3d count`).
    """

    clip_ids: tuple[str, ...]
    joints_BTVC: Float[Tensor, "B T V C"]
    valid_BT: Bool[Tensor, "B T"]
    text_BLD: Float[Tensor, "B L D"]
    text_valid_BL: Bool[Tensor, "B L"]
    density_BT: Float[Tensor, "B T"] | None = None
    count_B: Float[Tensor, " B"] | None = None
    reps_BT: Int[Tensor, "B T"] | None = None

    def __len__(self) -> int:
        return len(self.clip_ids)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Batch":
        """The same batch on `device`, floating-point tensors as `dtype` where one is given."""
        moved = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                moved[field.name] = value.to(device, dtype if value.is_floating_point() else None, non_blocking=True)
        return replace(self, **moved)

    def without_labels(self) -> "Batch":
        """The same batch with the targets removed, for prediction."""
        return replace(self, density_BT=None, count_B=None, reps_BT=None)


@dataclass(frozen=True, eq=False, kw_only=True)
class Prediction:
    """What a method claims for one clip: one row of `predictions.parquet`.

    `count` is a float and never rounded here. `density_T` (repetitions per frame) comes from methods that predict one,
    `segments_K2` (first and exclusive last frame of the clip) from those that predict segments.
    """

    clip_id: str
    count: float
    density_T: Float[np.ndarray, " T"] | None = None
    segments_K2: Int[np.ndarray, "K 2"] | None = None
