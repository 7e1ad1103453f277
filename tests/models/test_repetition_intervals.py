from dataclasses import replace

import numpy as np
import pytest
import torch

from flag3d_ray.data.labels import repetition_batch
from flag3d_ray.models.repetition_intervals import clip_intervals, repetition_intervals
from flag3d_ray.sample import Batch


def _intervals(reps: list[int], count: int) -> list[list[int]]:
    return clip_intervals(np.array(reps, dtype=np.int32), count).tolist()


def test_a_repetition_reaches_from_its_first_frame_to_behind_its_last():
    assert _intervals([-1, 0, 0, 1, 1, 1, -1, 2], 3) == [[1, 3], [3, 6], [7, 8]]


def test_a_lost_repetition_is_empty_and_lies_where_the_next_one_begins():
    assert _intervals([-1, 1, 1, 3, 3, -1], 4) == [[1, 1], [1, 3], [3, 3], [3, 5]]


def test_lost_ones_at_the_end_lie_where_the_last_one_ends():
    assert _intervals([0, 0, -1, -1], 3) == [[0, 2], [2, 2], [2, 2]]


def test_a_clip_without_frames_of_repetitions_still_has_its_count():
    assert _intervals([-1, -1], 2) == [[0, 0], [0, 0]]
    assert _intervals([-1, -1], 0) == []


def test_sixty_two_repetitions_in_128_frames_are_sixty_two_intervals_in_order():
    edges = np.round(np.linspace(0, 500, 63)).astype(int)
    reps = repetition_batch([np.stack([edges[:-1], edges[1:]], axis=1)], np.array([500]), 128)
    intervals = clip_intervals(reps[0], 62)
    assert intervals.shape == (62, 2)
    assert (np.diff(intervals[:, 0]) >= 0).all()
    assert (intervals[:, 1] >= intervals[:, 0]).all()
    assert intervals[-1, 1] == 128


def test_a_batch_gives_one_array_per_clip_and_needs_its_labels():
    batch = Batch(
        clip_ids=("a", "b"),
        joints_BTVC=torch.zeros(2, 4, 1, 3),
        valid_BT=torch.ones(2, 4, dtype=torch.bool),
        text_BLD=torch.zeros(2, 1, 0),
        text_valid_BL=torch.ones(2, 1, dtype=torch.bool),
        count_B=torch.tensor([1.0, 2.0]),
        reps_BT=torch.tensor([[0, 0, -1, -1], [-1, 0, 1, 1]]),
    )
    assert [reps.tolist() for reps in repetition_intervals(batch)] == [[[0, 2]], [[1, 2], [2, 4]]]
    with pytest.raises(ValueError, match="reps_BT"):
        repetition_intervals(replace(batch, reps_BT=None))
