"""Fourier analysis is exact where its assumptions hold, and wrong in the known direction where they do not."""

import numpy as np
import pytest
import torch

from flag3d_ray.methods.base import Fitted, Shapes
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.sample import Batch
from flag3d_ray.skeleton import FLAG3D24

FRAMES = 128


def waving(wave_T: np.ndarray, seed: int = 0) -> np.ndarray:
    """A skeleton whose left arm follows `wave_T`, with 3 mm of noise. [T, 24, 3], metres, root at the origin."""
    rng = np.random.default_rng(seed)
    joints = np.tile(rng.normal(scale=0.4, size=(24, 3)), (len(wave_T), 1, 1))
    joints[:, FLAG3D24.root] = 0.0
    arm = [FLAG3D24.index("left_elbow"), FLAG3D24.index("left_wrist")]
    joints[:, arm] += 0.2 * wave_T[:, None, None] * rng.normal(size=(2, 3))
    return joints + rng.normal(scale=0.003, size=joints.shape)


def batch_of(clips: list[np.ndarray], valid: list[int] | None = None) -> Batch:
    joints = torch.from_numpy(np.stack(clips)).float()
    lengths = torch.tensor(valid or [joints.shape[1]] * len(clips))
    return Batch(
        clip_ids=tuple(f"A001P{i:03d}#0" for i in range(len(clips))),
        joints_BTVC=joints,
        valid_BT=torch.arange(joints.shape[1]) < lengths[:, None],
        text_BLD=torch.zeros(len(clips), 1, 0),
        text_valid_BL=torch.ones(len(clips), 1, dtype=torch.bool),
    )


def counted(batch: Batch, method: Fourier | None = None) -> list[float]:
    estimator = (method or Fourier()).build(Shapes(frames=FRAMES, layout="flag3d24"), seed=0)
    return [prediction.count for prediction in estimator.predict(batch)]


@pytest.mark.parametrize("count", [2, 3, 7, 12, 24, 40, 62])
def test_a_steady_tempo_is_counted_exactly(count):
    phase = np.arange(FRAMES) / FRAMES * count
    assert counted(batch_of([waving(np.cos(2 * np.pi * phase))])) == [float(count)]


def test_frequency_and_count_agree_with_a_direct_sum():
    clip = waving(np.cos(2 * np.pi * np.arange(FRAMES) / FRAMES * 9.6))
    flat = clip.reshape(FRAMES, -1)
    time = np.arange(FRAMES)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (time + 1) / (FRAMES + 1))
    power = np.zeros(505)
    for column in flat.T:
        residual = column - np.polyval(np.polyfit(time, column, 1), time)
        residual = (residual - residual.mean()) / max(residual.std(), 0.02) * hann
        for i in range(505):
            power[i] += abs((residual * np.exp(-2j * np.pi * (1 + i / 8) * time / FRAMES)).sum()) ** 2
    np.testing.assert_allclose(Fourier().spectrum(clip), power, rtol=1e-6, atol=1e-6)
    assert 1 + power.argmax() / 8 == pytest.approx(9.6, abs=0.13)


def test_a_rest_makes_it_count_too_many():
    moving = np.cos(2 * np.pi * np.arange(90) / 90 * 10)
    clip = waving(np.concatenate([moving, np.full(FRAMES - 90, moving[-1])]))
    assert counted(batch_of([clip]))[0] >= 12.0


def test_the_harmonic_product_finds_a_fundamental_weaker_than_its_double():
    phase = 2 * np.pi * np.arange(FRAMES) / FRAMES * 8
    clip = waving(0.5 * np.cos(phase) + np.cos(2 * phase))
    assert counted(batch_of([clip])) == [16.0]
    assert counted(batch_of([clip]), Fourier(harmonics=2)) == [8.0]


def test_counts_do_not_depend_on_size_or_on_other_rows_of_the_batch():
    clips = [waving(np.cos(2 * np.pi * np.arange(FRAMES) / FRAMES * c), seed=c) for c in (3, 9, 17)]
    forward = counted(batch_of(clips))
    assert forward == [3.0, 9.0, 17.0]
    assert counted(batch_of(clips[::-1])) == forward[::-1]
    assert counted(batch_of([clip * 1.7 for clip in clips])) == forward


def test_frames_that_are_not_valid_are_not_read():
    clip = waving(np.cos(2 * np.pi * np.arange(FRAMES) / 80 * 6))
    spoilt = clip.copy()
    spoilt[80:] = np.random.default_rng(1).normal(size=(FRAMES - 80, 24, 3))
    assert counted(batch_of([clip, spoilt], valid=[80, 80])) == [6.0, 6.0]


def test_a_still_clip_and_a_padded_row_count_one():
    still = np.tile(np.random.default_rng(0).normal(size=(24, 3)), (FRAMES, 1, 1))
    assert counted(batch_of([still, np.zeros_like(still), still, still], valid=[FRAMES, FRAMES, 0, 1])) == [1.0] * 4


def test_there_is_nothing_to_save():
    estimator = Fourier().build(Shapes(frames=FRAMES, layout="flag3d24"), seed=0)
    assert isinstance(estimator, Fitted)
    estimator.fit([])
    estimator.load(estimator.state())
    assert estimator.state() == {}
    with pytest.raises(ValueError, match="at least 1"):
        Fourier(harmonics=0)
