"""The one interface of every method: a frozen dataclass of hyper-parameters that builds something that predicts.

Declaring a method must stay cheap (experiment files load in under a second), so nothing here imports torch at run time;
`build` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from flag3d_ray.sample import Batch, Prediction


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """What a method must know of its input to be built: clip length, skeleton layout, text width (0 without language)."""

    frames: int
    layout: str
    text_width: int = 0
    channels: int = 3


@runtime_checkable
class Trained(Protocol):
    """A `torch.nn.Module` that learns by gradient descent."""

    def loss(self, batch: Batch) -> Tensor:
        """Scalar: mean over the rows of the batch of the training loss."""
        ...

    def predict(self, batch: Batch) -> list[Prediction]:
        """One prediction per row, in order; reads no label."""
        ...


@runtime_checkable
class LanguageGuided(Protocol):
    """A `Trained` module that can start from the weights of the same network without language."""

    def start_without_text(self) -> None:
        """Make the output that of the network without language, whose weights it holds; text is learned from there."""
        ...


@runtime_checkable
class Fitted(Protocol):
    """An estimator fitted in one pass over the training clips; its state is a flat mapping of arrays."""

    def fit(self, batches: Iterable[Batch]) -> None: ...

    def predict(self, batch: Batch) -> list[Prediction]: ...

    def state(self) -> dict[str, np.ndarray]: ...

    def load(self, state: Mapping[str, np.ndarray]) -> None: ...


@runtime_checkable
class Method(Protocol):
    """A frozen dataclass; its fields are its hyper-parameters and part of a run's identity.

    `name` is the id used by tables and the command line, `paper` the citation with the rows it fills, `language` whether
    it reads the text of a batch.
    """

    name: ClassVar[str]
    task: ClassVar[str]
    paper: ClassVar[str]
    language: ClassVar[bool]

    def build(self, shapes: Shapes, seed: int) -> Trained | Fitted:
        """A fresh estimator or module. Weights are drawn from `seed` alone, whatever ran before in the process."""
        ...
