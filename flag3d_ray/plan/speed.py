"""How fast runs of one kind go: seconds per clip, with the spread of the measurements, and the bytes that they leave."""

import hashlib
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flag3d_ray.run import Resources, Run, run_sources, to_json


@dataclass(frozen=True)
class Seconds:
    """A prediction or a measurement: the likely value between a low and a high one."""

    low: float = 0.0
    likely: float = 0.0
    high: float = 0.0

    @classmethod
    def exactly(cls, seconds: float) -> "Seconds":
        """What was measured once."""
        return cls(seconds, seconds, seconds)

    @classmethod
    def of(cls, measured: Sequence[float]) -> "Seconds":
        """The median of some measurements between the fastest and the slowest.

        Quartiles are too narrow: what neighbours and views cost lasts as long as the launch, and no sum evens it out.
        """
        return cls(min(measured), statistics.median(measured), max(measured))

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def __mul__(self, factor: float | int) -> "Seconds":
        return Seconds(self.low * factor, self.likely * factor, self.high * factor)


ZERO = Seconds()


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Of runs of one kind: seconds per trained (or fitted) and per predicted clip, and the start of a run.

    `learns` tells networks from methods that are fitted in one pass. `training_bytes` is the checkpoint that a run needs
    while it trains. `basis` says where the numbers come from.
    """

    training: Seconds
    prediction: Seconds
    start: float
    learns: bool
    model_bytes: int
    training_bytes: int
    basis: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Speed":
        """What `to_json` wrote."""
        parts = {name: Seconds(**data[name]) for name in ("training", "prediction")}
        return cls(**{**data, **parts})


def kind(run: Run) -> str:
    """Runs of one kind take equally long per clip: the same method, shapes, batch, precision and augmentation."""
    data, text = run.data, run.data.text if run.method.language else None
    shapes = [data.dataset, data.frames, bool(data.turn), bool(data.noise), data.mirror, data.labels, data.pad_labels]
    words = None if text is None else [text.encoder, text.tokens]
    training = [run.train.batch, run.train.precision] if run.train.epochs else []
    return json.dumps([to_json(run.method), shapes, words, training], sort_keys=True)


def machine(resources: Resources) -> str:
    """What a measurement holds for: this host, and as many runs at a time with as many threads."""
    shared = [resources.executor, resources.workers, resources.concurrent, resources.threads, resources.gpus]
    return json.dumps([platform.node(), os.cpu_count(), *shared, resources.compile, resources.address])


def places(resources: Resources) -> int:
    """How many runs go on at a time."""
    if resources.executor == "local" or resources.workers > 1:
        return 1
    return min(resources.concurrent, resources.cpus)


def digest(*parts: Any) -> str:
    """A short name for JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def speed_key(run: Run, resources: Resources) -> str:
    """Under which a run's speed is kept: another source or machine measures again."""
    return digest(kind(run), machine(resources), run_sources(run))
