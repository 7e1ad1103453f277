"""The wavelet ridge follows the tempo where one frequency cannot, and gates frames at rest."""

import numpy as np
import pytest
import torch

from flag3d_ray.methods.base import Fitted, Shapes
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.methods.counting.wavelet import Wavelet, motion_signals
from flag3d_ray.sample import Batch
from flag3d_ray.skeleton import COCO17, FLAG3D24

FRAMES = 128


def waving(wave_T: np.ndarray, seed: int = 0) -> np.ndarray:
    """A skeleton whose left arm follows `wave_T`, with 3 mm of noise. [T, 24, 3], metres, root at the origin."""
    rng = np.random.default_rng(seed)
    joints = np.tile(rng.normal(scale=0.4, size=(24, 3)), (len(wave_T), 1, 1))
    joints[:, FLAG3D24.root] = 0.0
    arm = [FLAG3D24.index("left_elbow"), FLAG3D24.index("left_wrist")]
    joints[:, arm] += 0.2 * wave_T[:, None, None] * rng.normal(size=(2, 3))
    return joints + rng.normal(scale=0.003, size=joints.shape)


def jittered(count: int, seed: int) -> np.ndarray:
    """Repetitions whose durations differ by up to 30 % either way."""
    durations = np.random.default_rng(seed).uniform(0.7, 1.3, size=count)
    edges = np.concatenate([[0], np.cumsum(durations)]) / durations.sum() * FRAMES
    return waving(np.cos(2 * np.pi * np.interp(np.arange(FRAMES), edges, np.arange(count + 1))), seed)


def counted(method: Wavelet | Fourier, clips: list[np.ndarray], valid: list[int] | None = None) -> np.ndarray:
    joints = torch.from_numpy(np.stack(clips)).float()
    lengths = torch.tensor(valid or [FRAMES] * len(clips))
    batch = Batch(
        clip_ids=tuple(f"A001P{i:03d}#0" for i in range(len(clips))),
        joints_BTVC=joints,
        valid_BT=torch.arange(FRAMES) < lengths[:, None],
        text_BLD=torch.zeros(len(clips), 1, 0),
        text_valid_BL=torch.ones(len(clips), 1, dtype=torch.bool),
    )
    estimator = method.build(Shapes(frames=FRAMES, layout="flag3d24"), seed=0)
    return np.array([prediction.count for prediction in estimator.predict(batch)])


@pytest.mark.parametrize("count", [2, 5, 12, 24, 40])
def test_a_steady_tempo_is_counted_within_half_a_repetition(count):
    clip = waving(np.cos(2 * np.pi * np.arange(FRAMES) / FRAMES * count))
    assert counted(Wavelet(), [clip])[0] == pytest.approx(count, abs=0.5)


def test_the_ridge_stays_within_one_under_a_jittered_tempo_where_fourier_does_not():
    truth = np.random.default_rng(0).integers(4, 25, size=24)
    clips = [jittered(int(count), seed) for seed, count in enumerate(truth)]
    ridge = np.abs(counted(Wavelet(), clips) - truth)
    single_frequency = np.abs(counted(Fourier(), clips) - truth)
    assert ridge.max() <= 1.0
    assert single_frequency.mean() > ridge.mean()


def test_the_ridge_equals_a_direct_convolution_with_the_morlet_wavelet():
    signal = np.cos(2 * np.pi * np.arange(FRAMES) / FRAMES * 10)[:, None]
    frequency, power = Wavelet().ridge(signal)
    padded = np.pad(signal[:, 0], FRAMES // 2, mode="reflect")
    time = np.arange(len(padded)) - FRAMES // 2
    middle = FRAMES // 2
    best = (0.0, 0.0)
    for cycles in np.arange(1.0, 64.0 + 1e-9, 0.25):
        scaled = (time - middle) / (FRAMES / cycles)
        wavelet = np.exp(-(scaled**2) / 1.5) * np.exp(2j * np.pi * scaled) / np.sqrt(np.pi * 1.5)
        best = max(best, (abs((padded * wavelet.conj()).sum() * cycles / FRAMES) ** 2, cycles))
    assert frequency[0, middle] == best[1]
    assert power[0, middle] == pytest.approx(best[0], rel=1e-3)


def test_gating_takes_frames_at_rest_out_of_the_count():
    moving = np.cos(2 * np.pi * np.arange(90) / 90 * 10)
    signal = np.concatenate([moving, np.full(FRAMES - 90, moving[-1])])
    signal = ((signal - signal.mean()) / signal.std())[:, None]
    gated, open_ = Wavelet().count(signal), Wavelet(gate=0.0).count(signal)
    assert abs(gated - 10) < abs(open_ - 10)


def test_the_smoothest_of_the_strong_signals_is_counted():
    time = np.arange(FRAMES) / FRAMES
    clean = np.cos(2 * np.pi * 9 * time)
    noise = np.random.default_rng(0).normal(size=(FRAMES, 2))
    signals = np.column_stack([noise[:, 0], clean, noise[:, 1]])
    assert Wavelet().count(signals) == pytest.approx(9.0, abs=0.3)


def test_counts_are_real_and_follow_their_rows():
    clips = [jittered(count, count) for count in (4, 9, 17)]
    counts = counted(Wavelet(), clips)
    np.testing.assert_array_equal(counted(Wavelet(), clips[::-1]), counts[::-1])
    assert (counts != np.rint(counts)).any()


def test_frames_that_are_not_valid_are_not_read():
    clip = waving(np.cos(2 * np.pi * np.arange(FRAMES) / 80 * 6))
    spoilt = clip.copy()
    spoilt[80:] = np.random.default_rng(1).normal(size=(FRAMES - 80, 24, 3))
    counts = counted(Wavelet(), [clip, spoilt], valid=[80, 80])
    assert counts[0] == counts[1] == pytest.approx(6.0, abs=0.5)


def test_a_still_clip_and_a_padded_row_count_zero():
    still = np.tile(np.random.default_rng(0).normal(size=(24, 3)), (FRAMES, 1, 1))
    assert counted(Wavelet(), [still, np.zeros_like(still), still, still], [FRAMES, 2, 0, 1]).tolist() == [0.0] * 4


def test_two_dimensional_layouts_move_in_a_plane():
    flat = np.random.default_rng(0).normal(size=(17, 2)) + np.zeros((FRAMES, 1, 1))
    flat[:, COCO17.index("left_wrist"), 0] += np.cos(2 * np.pi * np.arange(FRAMES) / FRAMES * 7)
    assert Wavelet().count(motion_signals(flat, COCO17)) == pytest.approx(7.0, abs=0.5)


def test_there_is_nothing_to_save_and_wrong_settings_are_refused():
    estimator = Wavelet().build(Shapes(frames=FRAMES, layout="flag3d24"), seed=0)
    assert isinstance(estimator, Fitted)
    assert estimator.state() == {}
    with pytest.raises(ValueError, match="bandwidth"):
        Wavelet(bandwidth=0.0)
