"""Batches through Ray Data: encoded exactly, in the order of the plan, the workers' rows together the global batches."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from flag3d_ray.data.clips import open_clips
from flag3d_ray.data.order import epoch_order, global_batches
from flag3d_ray.data.stream import TASK_BATCHES, decode, encode, in_order, readers, training_stream
from flag3d_ray.run import Resources
from flag3d_ray.sample import Batch
from flag3d_ray.training.fit import clip_spec

# Ray copies its own context with options that it deprecates itself.
pytestmark = pytest.mark.filterwarnings("ignore:`use_:DeprecationWarning")


def assert_same(one: Batch, other: Batch) -> None:
    assert one.clip_ids == other.clip_ids
    for field in fields(Batch):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(ours, torch.Tensor):
            assert ours.dtype == theirs.dtype
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        else:
            assert ours == theirs


@pytest.fixture
def batch(tiny_home, tiny_run) -> Batch:
    return open_clips(clip_spec(tiny_run(), tiny_home, "train")).batch(np.arange(3))


def test_decoding_returns_the_encoded_batch(batch):
    assert_same(decode(encode(batch)), batch)


def test_a_batch_without_labels_stays_without(batch):
    assert_same(decode(encode(batch.without_labels())), batch.without_labels())


def test_a_decoded_batch_may_be_written_to(batch):
    decoded = decode(encode(batch))

    decoded.joints_BTVC.add_(1.0)

    torch.testing.assert_close(decoded.joints_BTVC, batch.joints_BTVC + 1.0)


@pytest.mark.parametrize(
    ("cpus", "world", "expected"), [(2, 1, 3), (2, 2, 2), (1, 4, 2), (16, 1, 8), (16, 4, 5)], ids=str
)
def test_a_stream_reads_in_one_process_more_than_its_share_of_the_cores(monkeypatch, cpus, world, expected):
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": float(cpus)})
    assert readers(world) == expected


@pytest.mark.slow
@pytest.mark.parametrize("world", [1, 2])
def test_streams_of_all_workers_interleave_to_the_global_batches_in_order(tiny_home, tiny_run, world):
    from flag3d_ray.cluster import cluster

    run = tiny_run(epochs=12, batch=4)
    source = clip_spec(run, tiny_home, "train")
    clips, first = open_clips(source), 2
    expected = [
        (epoch, clips.batch(rows, augment=(run.seed, epoch)))
        for epoch in range(first, 12)
        for rows in global_batches(epoch_order(len(clips), run.seed, epoch), 4)
    ]
    assert len(expected) > 3 * TASK_BATCHES  # several reading tasks, which may end in any order

    with cluster(Resources(cpus=2)):
        for rank in range(world):
            stream = training_stream(source, run, first, rank, world)
            stream.context.execution_options = in_order()
            rows = stream.take_all()
            assert [row.pop("epoch") for row in rows] == [epoch for epoch, _ in expected]
            for row, (_, whole) in zip(rows, expected, strict=True):
                assert row.pop("rows") == len(whole)
                mine = decode(row)
                assert mine.clip_ids == whole.clip_ids[rank::world]
                torch.testing.assert_close(mine.joints_BTVC, whole.joints_BTVC[rank::world], rtol=0, atol=0)
