"""Random draws depend on the seed and the clip, and on nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from flag3d_ray.methods.base import Fitted, Shapes
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.sample import Batch

SHAPES = Shapes(frames=4, layout="flag3d24")


def batch_of(clip_ids: list[str]) -> Batch:
    rows = len(clip_ids)
    return Batch(
        clip_ids=tuple(clip_ids),
        joints_BTVC=torch.zeros(rows, 4, 24, 3),
        valid_BT=torch.ones(rows, 4, dtype=torch.bool),
        text_BLD=torch.zeros(rows, 1, 0),
        text_valid_BL=torch.ones(rows, 1, dtype=torch.bool),
    )


def counts(batch: Batch, seed: int = 0, method: Random | None = None) -> dict[str, float]:
    method = method or Random()
    return {prediction.clip_id: prediction.count for prediction in method.build(SHAPES, seed).predict(batch)}


def test_a_clip_keeps_its_draw_in_any_batch_and_order():
    ids = [f"A001P{i:03d}#0" for i in range(20)]
    whole = counts(batch_of(ids))
    assert counts(batch_of(ids[::-1])) == whole
    assert counts(batch_of(ids[7:8])) == {ids[7]: whole[ids[7]]}
    moved = replace(batch_of(ids), joints_BTVC=torch.randn(20, 4, 24, 3))
    assert counts(moved) == whole


def test_another_seed_draws_anew():
    ids = [f"A001P{i:03d}#0" for i in range(20)]
    assert counts(batch_of(ids), seed=0) != counts(batch_of(ids), seed=1)


def test_draws_are_uniform_over_the_whole_range():
    ids = [f"A{i:03d}#{j}" for i in range(100) for j in range(64)]
    drawn = np.array(list(counts(batch_of(ids)).values()))
    frequency = np.bincount(drawn.astype(int), minlength=33)[1:]
    assert set(drawn) == set(range(1, 33))
    chi_square = ((frequency - 200) ** 2 / 200).sum()
    assert chi_square < 61.1  # the 0.999 quantile with 31 degrees of freedom


def test_the_range_is_the_methods():
    ids = [f"clip{i}" for i in range(200)]
    assert set(counts(batch_of(ids), method=Random(low=3, high=5)).values()) == {3.0, 4.0, 5.0}
    with pytest.raises(ValueError, match="low <= high"):
        Random(low=5, high=4)


def test_there_is_nothing_to_fit_or_to_save():
    estimator = Random().build(SHAPES, 0)
    assert isinstance(estimator, Fitted)
    estimator.fit([])
    assert estimator.state() == {}
