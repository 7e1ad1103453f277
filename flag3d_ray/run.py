"""A `Run` says what is asked: method, data, training, seed, and the run it starts from. `Resources` says where and how.

A run's key is the hash of its canonical JSON, of the digests of what it reads (dataset, split, text encoder) and of the
source it depends on. Everything that may change a number is in the key; nothing that may not is.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, cast

from flag3d_ray.errors import RunError
from flag3d_ray.methods.base import Method
from flag3d_ray.source import source_digests

Json = dict[str, Any]

OBJECT_STORE_BYTES = 512 * 2**20  # of a local Ray; batches in flight are all that it holds


@dataclass(frozen=True, kw_only=True)
class Text:
    """The language a method reads: encoder, caption level (1 name, 2 details, 3 instructions), pooled or token outputs.

    `caption` `shuffled` gives every action the caption of another one of its side of the split (`data.caption_order`).
    """

    encoder: str = "bert"
    caption_level: Literal[1, 2, 3] = 1
    tokens: bool = False
    caption: Literal["true", "shuffled"] = "true"

    def __post_init__(self) -> None:
        if self.caption_level not in (1, 2, 3):
            raise RunError(
                where="Text", rule=f"caption level {self.caption_level} is none of 1, 2, 3", remedy="choose one"
            )


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Which clips a run trains and is judged on.

    `crops` and `test_crops` are the copies per sequence of Section 4.2's augmentation (1: whole sequences only). With
    `test_windows` `counts` copy k of a validation or test sequence is a window of k + 1 repetitions instead
    (`data.count_windows`).
    `labels` and `pad_labels` choose the density construction; the released values are `assign` and `stretched`.
    `turn` (radians), `noise` (metres) and `mirror` are training-time augmentation beyond the paper, off by default: a random
    heading, sensor noise, and half of the clips with left and right exchanged, drawn anew for each seed, epoch and clip.
    `exclude` is the digest of an exclusion list stored with the dataset (`data.exclusions`), whose sequences stand in no part;
    empty for none.
    """

    dataset: str = "synthetic"
    split: str = "by_action"
    frames: int = 128
    crops: int = 10
    test_crops: int = 10
    test_windows: Literal["crops", "counts"] = "crops"
    text: Text | None = None
    labels: Literal["accumulate", "assign"] = "accumulate"
    pad_labels: Literal["aligned", "stretched"] = "aligned"
    turn: float = 0.0
    noise: float = 0.0
    mirror: bool = False
    exclude: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """How a learned method trains. Fitted methods ignore it.

    `batch` is the global batch, whatever the number of workers. `recipe` is `ours` (decoupled weight decay, one-cycle to
    `learning_rate`) or `released` (Adam, constant rate, times `gamma` at the start of each of the epochs `milestones`).
    `max_clips_per_epoch` bounds an epoch; 0 means all clips.
    `keep` chooses the weights that a run leaves: those of the epoch with the lowest validation MAE, or the last ones, for
    runs that others start from: a network that has learned nothing yet and always predicts few repetitions has a
    validation MAE near 0.65, which one that has begun to count needs thousands of clips to reach.
    """

    epochs: int = 25
    batch: int = 64
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    recipe: Literal["ours", "released"] = "ours"
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    max_clips_per_epoch: int = 0
    max_validation_clips: int = 0
    keep: Literal["best", "last"] = "best"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A checkpoint file that a run starts from, whatever made it: its SHA-256, by which a home keeps it (`Home.weights`).

    Raises:
        RunError: not 64 hexadecimal digits.
    """

    sha256: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise RunError(
                where=f"Weights {self.sha256!r}", rule="not a SHA-256", remedy="store the file with `Home.keep_weights`"
            )

    @property
    def label(self) -> str:
        """A short name for people."""
        return f"weights {self.sha256[:8]}"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One cell's question. Frozen, comparable, and exactly serialisable.

    `init_from` is what it starts from: the weights of another run, or those of a file. `init_parts` names the top-level
    modules of which they are taken (`encoder`), and is empty for all. With no epochs nothing is trained: the other model,
    judged on this run's data.
    """

    method: Method
    data: DataSpec = field(default_factory=DataSpec)
    train: TrainSpec = field(default_factory=TrainSpec)
    seed: int = 0
    init_from: "Run | Weights | None" = None
    init_parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.init_parts and self.init_from is None:
            rule = f"init_parts {', '.join(self.init_parts)} and no run to start from"
            raise RunError(where="Run", rule=rule, remedy="give init_from, or leave init_parts out")
        canonical_json(self)

    @property
    def parent(self) -> "Run | None":
        """The run that must be there first: the one it starts from. A file is there already."""
        return self.init_from if isinstance(self.init_from, Run) else None

    @property
    def is_transfer(self) -> bool:
        """Whether it is a model that was trained elsewhere, on other data: started from it and trained for no epoch."""
        return self.init_from is not None and not self.train.epochs

    def with_seed(self, seed: int) -> "Run":
        """The same question with another seed, the run it starts from included."""
        start = self.init_from if self.parent is None else self.parent.with_seed(seed)
        return replace(self, seed=seed, init_from=start)

    def excluding(self, dataset: str, exclude: str) -> "Run":
        """The same question without a list's sequences, wherever it reads that dataset; the run it starts from included."""
        start = self.init_from if self.parent is None else self.parent.excluding(dataset, exclude)
        data = replace(self.data, exclude=exclude) if self.data.dataset == dataset else self.data
        return replace(self, data=data, init_from=start)

    @property
    def label(self) -> str:
        """A short name for people: method, fusion, text, whether others start from it or what it was trained on, seed."""
        text, fusion = self.data.text, getattr(self.method, "fusion", None)
        words = [self.method.name if fusion is None else f"{self.method.name}_{fusion}"]
        if self.method.language and text is not None:
            words += [text.encoder, f"level {text.caption_level}"]
            words += ["shuffled captions"] if text.caption == "shuffled" else []
        words += ["warm start"] if self.train.keep == "last" else []
        if self.is_transfer and self.init_from is not None:
            origin = self.init_from.label if self.parent is None else self.parent.data.dataset
            words += [f"from {origin} to {self.data.dataset}"]
        return ", ".join([*words, f"seed {self.seed}"])

    def key(self, digests: Mapping[str, str]) -> str:
        """Identity as 20 hexadecimal digits. `digests` names what the run reads, see `Home.digests`."""
        payload = {"run": to_json(self), "digests": dict(sorted(digests.items())), "source": run_sources(self)}
        text = json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Where and how runs happen; never part of their identity.

    `workers` above 1 trains each run on that many Ray Train workers; `concurrent` runs go on at a time, each with
    `threads` threads (a fixed number: sums in another order would round differently). `executor` `local` uses no Ray.
    A run that finishes no epoch for `stall_limit` seconds is ended with that reason; 0 waits for ever.
    """

    executor: Literal["ray", "local"] = "ray"
    workers: int = 1
    concurrent: int = 2
    cpus: int = 2
    gpus: int = 0
    threads: int = 1
    compile: bool = False
    address: str = "local"
    stall_limit: float = 0.0

    def __post_init__(self) -> None:
        for name in ("workers", "concurrent", "cpus", "threads"):
            if getattr(self, name) < 1:
                raise RunError(
                    where="Resources", rule=f"{name} is {getattr(self, name)}", remedy=f"set {name} to 1 or more"
                )


@dataclass(frozen=True)
class Ablation:
    """A closed list: every arm runs, once per seed, and nothing is stopped early."""

    name: str
    arms: tuple[tuple[str, Run], ...]
    seeds: tuple[int, ...] = (0,)

    def runs(self) -> tuple[Run, ...]:
        """Every arm with every seed, arms first."""
        return tuple(run.with_seed(seed) for seed in self.seeds for _, run in self.arms)


@dataclass(frozen=True)
class Sweep:
    """A search: `space(trial)` suggests the values that a searcher chooses and returns the run they make."""

    name: str
    space: Callable[[Any], Run]
    trials: int
    seed: int = 0


def to_json(value: Any) -> Any:
    """Plain JSON of a nested frozen dataclass, with the class's name under `type`.

    Raises:
        RunError: a value that JSON cannot carry exactly (a set, an array, a function, NaN or an infinity).
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__} | {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    kind = type(value).__name__
    rule = f"a value of type {kind} cannot be written exactly: {value!r}"
    raise RunError(where="run", rule=rule, remedy="use numbers, strings, tuples and frozen dataclasses")


def canonical_json(run: Run) -> str:
    """Sorted, compact JSON: equal runs give equal text."""
    return json.dumps(to_json(run), sort_keys=True, separators=(",", ":"), allow_nan=False)


def run_from_json(data: Json, methods: Sequence[type]) -> Run:
    """The run that `to_json` wrote; `methods` are the classes its method may have (`methods.catalogue.RECORDED`).

    Raises:
        RunError: an unknown type or field, as after an upgrade that renamed one.
    """
    kinds = {kind.__name__: kind for kind in (Run, Weights, DataSpec, TrainSpec, Text, *methods)}
    return cast(Run, _from_json(data, kinds))


def _from_json(value: Any, kinds: Mapping[str, type]) -> Any:
    if isinstance(value, list):
        return tuple(_from_json(item, kinds) for item in value)
    if not isinstance(value, dict):
        return value
    name = value.get("type", "")
    if name not in kinds:
        raise RunError(where="run record", rule=f"unknown type {name!r}", remedy="run it again with this version")
    arguments = {key: _from_json(item, kinds) for key, item in value.items() if key != "type"}
    try:
        return kinds[name](**arguments)
    except TypeError as error:
        raise RunError(where=f"run record, {name}", rule=str(error), remedy="run it again with this version") from error


def run_sources(run: Run) -> dict[str, str]:
    """Digest of every module of the package that a run's numbers depend on: method, training and clips."""
    roots = (type(run.method).__module__, "flag3d_ray.training.fit", "flag3d_ray.data.clips")
    return source_digests(roots)


def parameters(run: Run) -> dict[str, str]:
    """Flat names and values for a tracker: `method.fusion`, `data.text.encoder`, `train.epochs`, `seed`."""
    flat: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(f"{prefix}.{key}" if prefix else key, item)
        elif value not in (None, "", []):
            flat[prefix] = str(value)

    walk("", {k: v for k, v in to_json(run).items() if k not in ("type", "init_from")})
    return flat


def describe(resources: Resources) -> Json:
    """Resources as JSON, for the record's provenance."""
    return asdict(resources)
