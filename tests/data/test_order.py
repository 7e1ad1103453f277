"""The order of clips is a function of seed and epoch; workers partition its global batches."""

import numpy as np
import pytest

from flag3d_ray.data.order import epoch_order, global_batches, steps_per_epoch, worker_rows


def test_every_epoch_holds_every_clip_once():
    for epoch in range(5):
        assert sorted(epoch_order(101, 3, epoch)) == list(range(101))


def test_the_order_differs_between_epochs_and_seeds_and_repeats_for_the_same():
    order = epoch_order(101, 3, 0).tolist()

    assert order == epoch_order(101, 3, 0).tolist()
    assert order != epoch_order(101, 3, 1).tolist()
    assert order != epoch_order(101, 4, 0).tolist()


def test_a_limit_takes_other_clips_in_every_epoch():
    first, second = (epoch_order(101, 3, epoch, limit=20) for epoch in (0, 1))

    assert len(first) == len(second) == 20
    assert len(set(first)) == 20
    assert set(first) != set(second)


def test_a_limit_above_the_number_of_clips_changes_nothing():
    np.testing.assert_array_equal(epoch_order(10, 0, 0, limit=50), epoch_order(10, 0, 0))


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_the_workers_rows_partition_each_global_batch(world):
    for batch in global_batches(epoch_order(101, 0, 0), 16):
        shares = [worker_rows(batch, rank, world) for rank in range(world)]

        assert sorted(np.concatenate(shares)) == sorted(batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_row_r_of_a_batch_goes_to_worker_r_modulo_the_number_of_workers():
    batch = np.arange(100, 110)

    assert worker_rows(batch, 1, 3).tolist() == [101, 104, 107]


def test_batches_hold_the_epochs_clips_in_order():
    order = epoch_order(101, 0, 0)

    np.testing.assert_array_equal(np.concatenate(list(global_batches(order, 16))), order)


@pytest.mark.parametrize(
    ("clips", "sizes"),
    [
        (32, [16, 16]),
        (35, [16, 19]),  # three are under a quarter of sixteen
        (36, [16, 16, 4]),
        (47, [16, 16, 15]),
        (3, [3]),  # the only batch, however small
        (17, [17]),
    ],
)
def test_a_remainder_under_a_quarter_batch_joins_the_last_batch(clips, sizes):
    assert [len(batch) for batch in global_batches(np.arange(clips), 16)] == sizes


@pytest.mark.parametrize("clips", range(1, 70))
@pytest.mark.parametrize("limit", [0, 10, 33])
def test_the_number_of_steps_is_that_of_the_batches(clips, limit):
    batches = list(global_batches(epoch_order(clips, 0, 0, limit), 16))

    assert steps_per_epoch(clips, 16, limit) == len(batches)
