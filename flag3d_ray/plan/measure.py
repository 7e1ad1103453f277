"""One kind of run, measured: a few steps of the real training loop and a few predictions, on clips that lie at hand.

Time is this process's CPU time on its fixed number of threads, so that what else the machine does does not count; on a GPU
it is wall time. Texts are random vectors of the encoder's width.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from flag3d_ray.data.clips import Clips, ClipSpec, open_clips
from flag3d_ray.data.text import encoder
from flag3d_ray.methods.base import Fitted
from flag3d_ray.plan.speed import Seconds, Speed
from flag3d_ray.run import Run
from flag3d_ray.sample import Batch
from flag3d_ray.training.context import Context
from flag3d_ray.training.fit import EVALUATION_BATCH
from flag3d_ray.training.loop import train
from flag3d_ray.training.threads import computing_with

STEPS, PREDICTIONS = 9, 5  # the first of each warms up and is not counted
ENOUGH_SECONDS = 4.0  # of steps, and again of predictions: large networks get fewer
TOKENS = 32  # of a caption, where a method reads tokens


@dataclass(frozen=True)
class Measured:
    """What to measure, and where the clips are: any sequences of the layout, trained on with any split."""

    run: Run
    folder: Path
    split: str
    part: Any
    threads: int


def measure(asked: Measured) -> Speed:
    """The speed of one kind of run on this machine. A few seconds; of networks of the paper's size some more."""
    with computing_with(asked.threads):
        return _measure(asked)


def _measure(asked: Measured) -> Speed:
    run = asked.run
    data = replace(run.data, split=asked.split, text=None, exclude="")
    clips = open_clips(ClipSpec(folder=asked.folder, text_cache=asked.folder, part=asked.part, data=data))
    width = encoder(run.data.text.encoder).width if run.data.text is not None else 0
    run = replace(run, train=replace(run.train, epochs=1), init_from=None, init_parts=())
    began = _now()
    estimator = run.method.build(replace(clips.shapes, text_width=width), run.seed)
    streams = TimedStreams(run, clips, width, began=_now())
    if isinstance(estimator, nn.Module):
        return _learned(run, estimator, streams, _now() - began)
    return _fitted(cast(Fitted, estimator), streams, _now() - began)


@dataclass
class TimedStreams:
    """`Streams` of a few batches that note the time whenever the loop asks for the next one."""

    run: Run
    source: Clips
    width: int
    began: float
    training: list[tuple[int, float]] = field(default_factory=list)
    predicted: list[tuple[int, float]] = field(default_factory=list)

    @property
    def clips(self) -> int:
        return STEPS * self.run.train.batch

    def train(self, first_epoch: int) -> Iterator[tuple[int, int, Batch]]:
        for batch in self._timed(self.training, STEPS, self.run.train.batch):
            yield first_epoch, len(batch), batch

    def validation(self) -> Iterator[Batch]:
        yield from self._timed(self.predicted, PREDICTIONS, EVALUATION_BATCH)

    def fitting(self) -> Iterator[Batch]:
        """Batches for a method that is fitted in one pass."""
        yield from self._timed(self.training, STEPS, EVALUATION_BATCH)

    def _timed(self, marks: list[tuple[int, float]], most: int, size: int) -> Iterator[Batch]:
        """Batches until there are enough; marks hold (clips so far, time). The first is small and tells how large the others
        may be."""
        began, given, rng = _now(), 0, np.random.default_rng(0)
        for number in range(most):
            if number == 1:
                per_clip = (_now() - began) / given
                size = int(np.clip(ENOUGH_SECONDS / 4 / max(per_clip, 1e-9), 2, size))
            elif number > 2 and _now() - began > ENOUGH_SECONDS:
                break
            rows = rng.choice(len(self.source), min(8 if number == 0 else size, len(self.source)), replace=False)
            marks.append((given, _now()))
            yield self._batch(rows)
            given += len(rows)
        marks.append((given, _now()))

    def _batch(self, rows: np.ndarray) -> Batch:
        batch, text = self.source.batch(rows, augment=(0, 0)), self.run.data.text
        if text is None:
            return batch
        tokens = TOKENS if text.tokens else 1
        text_BLD = torch.randn(len(rows), tokens, self.width)
        return replace(batch, text_BLD=text_BLD, text_valid_BL=torch.ones(len(rows), tokens, dtype=torch.bool))


@dataclass(frozen=True)
class _Journal:
    """Checkpoints in a scratch folder, events nowhere."""

    folder: Path

    @property
    def last(self) -> Path:
        return self.folder / "last.safetensors"

    @property
    def model(self) -> Path:
        return self.folder / "model.safetensors"

    def log(self, event: dict[str, Any]) -> None:
        """Nothing to record."""

    def saved(self, event: dict[str, Any]) -> None:
        """Nobody to tell."""


def _learned(run: Run, module: nn.Module, streams: TimedStreams, start: float) -> Speed:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory(prefix="flag3d-plan-") as scratch:
        journal = _Journal(Path(scratch))
        train(run, module, Context(streams, journal, device=device))
        sizes = journal.model.stat().st_size, journal.last.stat().st_size
    return _speed(streams, start, learns=True, model_bytes=sizes[0], training_bytes=sizes[1])


def _fitted(estimator: Fitted, streams: TimedStreams, start: float) -> Speed:
    began = _now()
    estimator.fit(streams.fitting())
    # What is computed after the last batch counts too, so that there is one measurement: all of it.
    clips = max(streams.training[-1][0], 1) if streams.training else 1
    streams.training = [(0, began), (clips, _now())]
    for batch in streams.validation():
        estimator.predict(batch.without_labels())
    left = sum(np.asarray(array).nbytes for array in estimator.state().values())
    return _speed(streams, start, learns=False, model_bytes=left, training_bytes=0)


def _speed(streams: TimedStreams, start: float, **facts: Any) -> Speed:
    return Speed(
        training=Seconds.of(_per_clip(streams.training)),
        prediction=Seconds.of(_per_clip(streams.predicted)),
        start=start,
        basis="calibration",
        **facts,
    )


def _per_clip(marks: list[tuple[int, float]]) -> list[float]:
    """Seconds per clip of every batch but the first, which also loads and allocates; of that one where there is no other."""
    pairs = list(pairwise(marks))
    return [(end - begin) / (after - before) for (before, begin), (after, end) in pairs[1:] or pairs]


def _now() -> float:
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()
