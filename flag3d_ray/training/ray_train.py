"""One run on several Ray Train workers: Ray Data streams each worker its rows of every global batch."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray.train
import torch
from ray.train import DataConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchTrainer, get_device
from torch import nn

from flag3d_ray.data.clips import ClipSpec, open_clips
from flag3d_ray.data.order import epoch_order, global_batches
from flag3d_ray.data.stream import decode, in_order, training_stream
from flag3d_ray.errors import Flag3dError, RunError
from flag3d_ray.interruption import own_signals
from flag3d_ray.run import Run
from flag3d_ray.sample import Batch
from flag3d_ray.training.checkpoint import load_tensors
from flag3d_ray.training.context import Streams
from flag3d_ray.training.fit import LocalStreams, OnEpoch, Place, build, clip_spec, fit, fit_module
from flag3d_ray.training.threads import set_threads
from flag3d_ray.training.trial import Trial, places_with, require_lead

DATA_CPUS = 0.5  # of one core, for the tasks that read and crop: without a share left for them a stream waits for ever
ATTEMPTS = 4  # a lost worker costs one; what chaos takes on purpose comes on top


def fit_with_workers(trial: Trial, on_epoch: OnEpoch) -> None:
    """Train the run on `resources.workers` workers. Blocks; the worker with rank 0 writes the run's folder.

    A fitted method, and a run of no epochs, have no gradient to share: they are fitted here.

    Raises:
        RunError: workers were lost more than three times, or a global batch has fewer clips than there are workers.
    """
    run, source = trial.run, clip_spec(trial.run, trial.home, "train")
    if not run.train.epochs or not isinstance(run.method.build(open_clips(source).shapes, run.seed), nn.Module):
        fit(run, trial.home, trial.folder, on_epoch)
        return
    _check_batches(run, source, trial.resources.workers)
    attempts = ATTEMPTS + trial.chaos_losses
    for attempt in range(attempts):
        if attempt:
            trial.folder.write_record(places=places_with(trial.folder))
        try:
            with own_signals():
                _train(trial, source, on_epoch)
        except SystemExit as end:  # how Ray Train's handler of Ctrl-C ends the driver, once it has ended the workers
            raise KeyboardInterrupt from end
        except TrainingFailedError as error:
            failure: Exception = error
            _raise_ours(error)
        else:
            return
    remedy = "see the reason, then type the same command with --retry-failed"
    raise RunError(where="Ray Train", rule=f"{attempts} attempts failed, the last: {failure}", remedy=remedy)


def _check_batches(run: Run, source: ClipSpec, workers: int) -> None:
    order = epoch_order(len(open_clips(source)), run.seed, 0, run.train.max_clips_per_epoch)
    smallest = min(map(len, global_batches(order, run.train.batch)))
    if smallest < workers:
        rule = f"a global batch of {smallest} clips cannot be shared by {workers} workers"
        raise RunError(where=run.label, rule=rule, remedy="use fewer --workers or a larger batch")


def _raise_ours(error: TrainingFailedError) -> None:
    """What the run itself raised (it diverged, it was taken over) is not tried again."""
    for failure in getattr(error, "worker_failures", {}).values():
        if isinstance(failure, Flag3dError):
            raise failure from error


def _train(trial: Trial, source: ClipSpec, on_epoch: OnEpoch) -> None:
    """One attempt, from the last checkpoint on."""
    last, resources = trial.folder.last_checkpoint, trial.resources
    first = int(load_tensors(last)[1]["epoch"]) if last.exists() else 0
    if first >= trial.run.train.epochs:
        last.unlink()
        return
    streams: dict[str, Any] = {
        stream_name(rank): training_stream(source, trial.run, first, rank, resources.workers)
        for rank in range(resources.workers)
    }
    cpus = (resources.cpus - DATA_CPUS) / resources.workers
    with tempfile.TemporaryDirectory(prefix="flag3d-train-") as scratch:
        TorchTrainer(
            _work,
            train_loop_config={"trial": trial, "on_epoch": on_epoch},
            scaling_config=ScalingConfig(
                num_workers=resources.workers,
                use_gpu=resources.gpus > 0,
                resources_per_worker={"CPU": min(1.0, cpus)} | ({"GPU": 1} if resources.gpus else {}),
            ),
            datasets=streams,
            dataset_config=DataConfig(datasets_to_split=[], execution_options=in_order()),
            run_config=RunConfig(name="flag3d", storage_path=scratch),
        ).fit()


def stream_name(rank: int) -> str:
    """Every worker has a dataset of its own, so that its rows come in the order that `data.order` fixes."""
    return f"worker{rank}"


def _work(config: dict[str, Any]) -> None:
    trial: Trial = config["trial"]
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    set_threads(trial.resources.threads)
    run = trial.run
    training = open_clips(clip_spec(run, trial.home, "train"))
    local = LocalStreams(run, training, open_clips(clip_spec(run, trial.home, "valid")), rank, world)
    streams = ShardStreams(ray.train.get_dataset_shard(stream_name(rank)), local)
    module = build(run, trial.home, trial.folder, training.shapes)
    assert isinstance(module, nn.Module)
    device = get_device() if trial.resources.gpus else torch.device("cpu")
    place = Place(rank, world, device, trial.resources.compile, partial(require_lead, trial))
    fit_module(run, module, trial.folder, streams, config["on_epoch"], place)
    ray.train.report({"done": 1})


@dataclass(frozen=True)
class ShardStreams:
    """`Streams` of a Ray Train worker: training batches from its Ray Data shard, validation clips read locally."""

    shard: Any
    local: Streams

    @property
    def clips(self) -> int:
        """Clips in an epoch, over all workers."""
        return self.local.clips

    def train(self, first_epoch: int) -> Iterator[tuple[int, int, Batch]]:
        """Batches as they come; the plan of the stream starts at `first_epoch`."""
        for table in self.shard.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=4):
            (row,) = table.to_pylist()
            yield row.pop("epoch"), row.pop("rows"), decode(row)

    def validation(self) -> Iterator[Batch]:
        """The worker's share of the validation clips."""
        yield from self.local.validation()
