"""What the training loop may ask of the world around it. The same loop runs with and without Ray."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed as dist

from flag3d_ray.sample import Batch
from flag3d_ray.storage import StorePath


@runtime_checkable
class Streams(Protocol):
    """The batches of one worker."""

    @property
    def clips(self) -> int:
        """Clips in an epoch, over all workers."""
        ...

    def train(self, first_epoch: int) -> Iterator[tuple[int, int, Batch]]:
        """(epoch, rows of the global batch, this worker's rows of it), from `first_epoch` to the end of the run."""
        ...

    def validation(self) -> Iterator[Batch]:
        """This worker's share of the validation clips, the same in every epoch."""
        ...


@runtime_checkable
class Journal(Protocol):
    """Where a run's events and checkpoints go."""

    @property
    def last(self) -> StorePath: ...

    @property
    def model(self) -> StorePath: ...

    def log(self, event: dict[str, Any]) -> None:
        """Record one epoch, before its checkpoint: a run killed in between repeats the epoch, and the log has no hole.

        Raises where another driver leads the run, so that nothing of it is overwritten.
        """
        ...

    def saved(self, event: dict[str, Any]) -> None:
        """The epoch's checkpoint is there. May raise to end the run (the budget is used up, the search stops it)."""
        ...


@dataclass(frozen=True)
class Context:
    """One worker's place in a run."""

    streams: Streams
    journal: Journal
    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    compile: bool = False

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sum over the workers, elementwise."""
        if self.world == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Add the workers' gradients: each worker's loss is already weighted by its share of the global batch."""
        if self.world == 1:
            return
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)

    def barrier(self) -> None:
        """Wait for the other workers."""
        if self.world > 1:
            dist.barrier()
