"""One run on several Ray Train workers: Ray Data streams each worker its rows of every global batch."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from flag3d_ray.data.clips import open_clips
from flag3d_ray.data.stream import decode, training_stream
from flag3d_ray.errors import RunError
from flag3d_ray.sample import Batch
from flag3d_ray.training.context import Streams
from flag3d_ray.training.fit import LocalStreams, OnEpoch, Place, build, clip_spec, fit_module
from flag3d_ray.training.threads import set_threads
from flag3d_ray.training.trial import Trial

# ruff: isort: split
import ray.train
from ray.train import DataConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

DATA_CPUS = 0.5  # of one core, for the tasks that read and crop: without a share left for them a stream waits for ever


def fit_with_workers(trial: Trial, on_epoch: OnEpoch) -> None:
    """Train the run on `resources.workers` workers. Blocks; the worker with rank 0 writes the run's folder.

    Raises:
        RunError: the workers failed more often than `max_failures`.
    """
    run, resources = trial.run, trial.resources
    source = clip_spec(run, trial.home, "train")
    clips = open_clips(source)
    if not isinstance(build(run, trial.home, clips.shapes), nn.Module):
        raise RunError(where=run.label, rule="a fitted method has no workers to share", remedy="use --workers 1")
    limit = run.train.max_clips_per_epoch
    in_epoch = min(len(clips), limit) if limit else len(clips)
    first = _next_epoch(trial)
    streams = {
        stream_name(rank): training_stream(source, run, first, rank, resources.workers)
        for rank in range(resources.workers)
    }
    cpus = (resources.cpus - DATA_CPUS) / resources.workers
    with tempfile.TemporaryDirectory(prefix="flag3d-train-") as scratch:
        trainer = TorchTrainer(
            _work,
            train_loop_config={"trial": trial, "clips": in_epoch, "on_epoch": on_epoch},
            scaling_config=ScalingConfig(
                num_workers=resources.workers,
                use_gpu=resources.gpus > 0,
                resources_per_worker={"CPU": min(1.0, cpus)} | ({"GPU": 1} if resources.gpus else {}),
            ),
            datasets=streams,
            dataset_config=DataConfig(datasets_to_split=[]),
            run_config=RunConfig(name="flag3d", storage_path=scratch, failure_config=FailureConfig(max_failures=3)),
        )
        result = trainer.fit()
    if result.error is not None:
        raise RunError(where="Ray Train", rule=str(result.error), remedy="type the same command again to continue")


def stream_name(rank: int) -> str:
    """Every worker has a dataset of its own, so that its rows come in the order that `data.order` fixes."""
    return f"worker{rank}"


def _next_epoch(trial: Trial) -> int:
    from flag3d_ray.training.checkpoint import load_tensors

    last = trial.folder.last_checkpoint
    return int(load_tensors(last)[1]["epoch"]) if last.exists() else 0


def _work(config: dict[str, Any]) -> None:
    trial: Trial = config["trial"]
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    set_threads(trial.resources.threads)
    run = trial.run
    training = open_clips(clip_spec(run, trial.home, "train"))
    validation = LocalStreams(run, training, open_clips(clip_spec(run, trial.home, "valid")), rank, world)
    streams = ShardStreams(ray.train.get_dataset_shard(stream_name(rank)), config["clips"], validation)
    module = build(run, trial.home, training.shapes)
    assert isinstance(module, nn.Module)
    device = ray.train.torch.get_device() if trial.resources.gpus else torch.device("cpu")
    place = Place(rank, world, device, trial.resources.compile)
    fit_module(run, module, trial.folder, streams, config["on_epoch"], place)
    ray.train.report({"done": 1})


@dataclass(frozen=True)
class ShardStreams:
    """`Streams` of a Ray Train worker: training batches from its Ray Data shard, validation clips read locally."""

    shard: Any
    clips: int
    held_out: Streams

    def train(self, first_epoch: int) -> Iterator[tuple[int, int, Batch]]:
        """Batches as they come; the plan starts at the epoch the launch found, a later checkpoint skips ahead."""
        for table in self.shard.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=4):
            (row,) = table.to_pylist()
            epoch, rows = row.pop("epoch"), row.pop("rows")
            if epoch >= first_epoch:
                yield epoch, rows, decode(row)

    def validation(self) -> Iterator[Batch]:
        """The worker's share of the validation clips."""
        yield from self.held_out.validation()
