"""One run, in this process: open its clips, build its method, train or fit it, leave a model in its folder."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from flag3d_ray.data.clips import Clips, ClipSpec, Part, open_clips
from flag3d_ray.data.order import epoch_order, global_batches, worker_rows
from flag3d_ray.errors import RunError
from flag3d_ray.home import Home
from flag3d_ray.methods.base import Fitted, LanguageGuided, Shapes
from flag3d_ray.run import Run
from flag3d_ray.sample import Batch
from flag3d_ray.storage import StorePath
from flag3d_ray.store import RunFolder
from flag3d_ray.training.checkpoint import load_tensors, save_tensors
from flag3d_ray.training.context import Context, Streams
from flag3d_ray.training.loop import train

EVALUATION_BATCH = 64
OnEpoch = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class FolderJournal:
    """Events and checkpoints of a run in its folder.

    `require_lead` raises where another driver leads the run. `on_epoch` hears each epoch and may raise to end the run.
    """

    folder: RunFolder
    on_epoch: OnEpoch
    require_lead: Callable[[], None]

    @property
    def last(self):
        return self.folder.last_checkpoint

    @property
    def model(self):
        return self.folder.model

    def log(self, event: dict[str, Any]) -> None:
        self.require_lead()
        self.folder.forget_events_from(event["epoch"])
        self.folder.append_event(event)

    def saved(self, event: dict[str, Any]) -> None:
        self.on_epoch(event)


@dataclass(frozen=True)
class LocalStreams:
    """Batches read in this process, in the order that `data.order` fixes."""

    run: Run
    training: Clips
    held_out: Clips
    rank: int = 0
    world: int = 1

    @property
    def clips(self) -> int:
        limit = self.run.train.max_clips_per_epoch
        return min(len(self.training), limit) if limit else len(self.training)

    def train(self, first_epoch: int) -> Iterator[tuple[int, int, Batch]]:
        spec = self.run.train
        for epoch in range(first_epoch, spec.epochs):
            order = epoch_order(len(self.training), self.run.seed, epoch, spec.max_clips_per_epoch)
            for rows in global_batches(order, spec.batch):
                mine = worker_rows(rows, self.rank, self.world)
                yield epoch, len(rows), self.training.batch(mine, augment=(self.run.seed, epoch))

    def validation(self) -> Iterator[Batch]:
        yield from batches_of(
            self.held_out, worker_rows(validation_rows(self.run, self.held_out), self.rank, self.world)
        )


def validation_rows(run: Run, clips: Clips) -> np.ndarray:
    """The validation clips that are looked at after each epoch: all, or evenly spaced ones up to the run's limit."""
    limit = run.train.max_validation_clips or len(clips)
    return np.unique(np.linspace(0, len(clips) - 1, min(limit, len(clips))).astype(int))


def batches_of(clips: Clips, rows: np.ndarray) -> Iterator[Batch]:
    """The given clips in order, in batches for evaluation."""
    for start in range(0, len(rows), EVALUATION_BATCH):
        yield clips.batch(rows[start : start + EVALUATION_BATCH])


def clip_spec(run: Run, home: Home, part: Part) -> ClipSpec:
    """Where the clips of a part of the run's split come from."""
    return ClipSpec(folder=home.dataset(run.data.dataset), text_cache=home.text, part=part, data=run.data)


def _nobody_else() -> None:
    """Outside a launch no other driver can take the run over."""


def fit(
    run: Run,
    home: Home,
    folder: RunFolder,
    on_epoch: OnEpoch,
    *,
    compile: bool = False,
    require_lead: Callable[[], None] = _nobody_else,
) -> None:
    """Train or fit on one device without Ray; continues from the folder's last checkpoint.

    A run of no epochs leaves the weights that it was built with; a fitted method that starts from a run is not fitted again.
    `require_lead` is asked before anything of an epoch is written, and raises where another driver leads the run.
    """
    training = open_clips(clip_spec(run, home, "train"))
    estimator = build(run, home, folder, training.shapes)
    if isinstance(estimator, nn.Module) and not run.train.epochs:
        save_tensors(folder.model, estimator.state_dict())
        return
    if isinstance(estimator, nn.Module):
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        place = Place(device=device, compile=compile, require_lead=require_lead)
        streams = LocalStreams(run, training, open_clips(clip_spec(run, home, "valid")))
        fit_module(run, estimator, folder, streams, on_epoch, place)
        return
    folder.write_record(device="cpu")
    if run.init_from is None:
        estimator.fit(batches_of(training, np.arange(len(training))))
    state = {name: torch.from_numpy(np.array(array)) for name, array in estimator.state().items()}
    save_tensors(folder.model, state)


@dataclass(frozen=True)
class Place:
    """Which worker this is, on what it computes, and what it asks before it writes."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    compile: bool = False
    require_lead: Callable[[], None] = _nobody_else


def fit_module(
    run: Run, module: nn.Module, folder: RunFolder, streams: Streams, on_epoch: OnEpoch, place: Place
) -> None:
    """Train one worker's copy of the network. The last checkpoint stays until the record says that the run is fitted.

    The record names the device of the first worker: `cpu`, or the model of the GPU.
    """
    if place.rank == 0:
        folder.write_record(device=torch.cuda.get_device_name(place.device) if place.device.type == "cuda" else "cpu")
    journal = FolderJournal(folder, on_epoch, place.require_lead)
    train(run, module, Context(streams, journal, place.rank, place.world, place.device, place.compile))


def build(run: Run, home: Home, folder: RunFolder, shapes: Shapes) -> nn.Module | Fitted:
    """The run's method with fresh weights, or with those that its folder's record says it starts from.

    Raises:
        RunError: the weights it should start from do not fit, or the parts that it names are not there.
    """
    estimator = cast("nn.Module | Fitted", run.method.build(shapes, run.seed))
    if run.init_from is not None:
        digest = folder.record()["digests"]["init_from"]
        source = home.weights(digest) if run.parent is None else home.store.folder(digest).model
        if isinstance(estimator, nn.Module):
            load_into(estimator, source, run.init_parts, where=f"init_from {digest}")
        else:
            _take_over(estimator, source)
    return estimator


def load_into(module: nn.Module, model: StorePath, parts: Sequence[str] = (), *, where: str = "init_from") -> None:
    """Copy the weights of a file, all or those of its top-level modules `parts`.

    Each of the copied tensors must have its place, and each part must hold one. What the file lacks stays as drawn; a
    network that reads text starts from one that does not with its output.

    Raises:
        RunError: a tensor has no place of its shape, or the file has no such part.
    """
    tensors, _ = load_tensors(model)
    without_text = not any(name.startswith("text.") for name in tensors)
    if parts:
        found = {name.partition(".")[0] for name in tensors}
        if missing := sorted(set(parts) - found):
            rule, known = f"it has no part {', '.join(missing)}", ", ".join(sorted(found))
            raise RunError(where=where, rule=rule, remedy=f"take of its parts: {known}")
        tensors = {name: tensor for name, tensor in tensors.items() if name.partition(".")[0] in parts}
    own = module.state_dict()
    wrong = [name for name, tensor in tensors.items() if name not in own or own[name].shape != tensor.shape]
    if wrong:
        rule = f"{len(wrong)} of its {len(tensors)} tensors do not fit, the first is {wrong[0]!r}"
        raise RunError(where=where, rule=rule, remedy="start from a network with the same sizes")
    module.load_state_dict(tensors, strict=False)
    if without_text and isinstance(module, LanguageGuided):
        module.start_without_text()


def _take_over(estimator: Fitted, model: StorePath) -> None:
    """Give a fitted method the state that a run left."""
    tensors, _ = load_tensors(model)
    estimator.load({name: tensor.numpy() for name, tensor in tensors.items()})


def load_estimator(run: Run, folder: RunFolder, shapes: Shapes) -> nn.Module | Fitted:
    """The trained or fitted method of a run, ready to predict."""
    estimator = cast("nn.Module | Fitted", run.method.build(shapes, run.seed))
    if isinstance(estimator, nn.Module):
        estimator.load_state_dict(load_tensors(folder.model)[0], strict=True)
        return estimator.eval()
    _take_over(estimator, folder.model)
    return estimator
