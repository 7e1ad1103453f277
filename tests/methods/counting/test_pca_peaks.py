"""Peak counting survives rests and tempo changes, and does not depend on the sign of a principal component."""

import numpy as np
import pytest
import torch

from flag3d_ray.methods.base import Fitted, Shapes
from flag3d_ray.methods.counting.pca_peaks import PCAPeaks
from flag3d_ray.sample import Batch
from flag3d_ray.skeleton import FLAG3D24

FRAMES = 128


def waving(wave_T: np.ndarray, seed: int = 0) -> np.ndarray:
    """A skeleton whose left arm follows `wave_T`, with 3 mm of noise. [T, 24, 3], metres, root at the origin."""
    rng = np.random.default_rng(seed)
    joints = np.tile(rng.normal(scale=0.4, size=(24, 3)), (len(wave_T), 1, 1))
    arm = [FLAG3D24.index("left_elbow"), FLAG3D24.index("left_wrist")]
    joints[:, arm] += 0.2 * wave_T[:, None, None] * rng.normal(size=(2, 3))
    return joints + rng.normal(scale=0.003, size=joints.shape)


def counted(clips: list[np.ndarray], valid: list[int] | None = None) -> list[float]:
    joints = torch.from_numpy(np.stack(clips)).float()
    lengths = torch.tensor(valid or [FRAMES] * len(clips))
    batch = Batch(
        clip_ids=tuple(f"A001P{i:03d}#0" for i in range(len(clips))),
        joints_BTVC=joints,
        valid_BT=torch.arange(FRAMES) < lengths[:, None],
        text_BLD=torch.zeros(len(clips), 1, 0),
        text_valid_BL=torch.ones(len(clips), 1, dtype=torch.bool),
    )
    return [p.count for p in PCAPeaks().build(Shapes(frames=FRAMES, layout="flag3d24"), seed=0).predict(batch)]


def bumps(phase: np.ndarray) -> np.ndarray:
    """One peak in the middle of each repetition; still where the phase stands."""
    return (1 - np.cos(2 * np.pi * phase)) / 2


@pytest.mark.parametrize("count", [2, 5, 11])
def test_one_peak_per_repetition_is_counted_with_and_without_a_rest(count):
    steady = np.linspace(0, count, FRAMES)
    halt = count // 2 / count
    rested = count * np.interp(np.linspace(0, 1, FRAMES), [0, 0.7 * halt, 0.7 * halt + 0.3, 1], [0, halt, halt, 1])
    assert counted([waving(bumps(steady)), waving(bumps(rested))]) == [count, count]


def test_a_changing_tempo_is_counted():
    durations = np.random.default_rng(0).uniform(0.7, 1.3, size=12)
    edges = np.concatenate([[0], np.cumsum(durations)]) / durations.sum() * FRAMES
    assert counted([waving(bumps(np.interp(np.arange(FRAMES), edges, np.arange(13))))]) == [12.0]


def test_two_peaks_per_repetition_are_its_known_failure():
    phase = np.linspace(0, 8, FRAMES)
    assert counted([waving(bumps(2 * phase))]) == [16.0]


def test_peaks_are_invariant_to_the_sign_of_the_component():
    rng = np.random.default_rng(1)
    for _ in range(50):
        signal = np.cumsum(rng.normal(size=FRAMES)) + 3 * np.sin(np.arange(FRAMES) * rng.uniform(0.2, 1.0))
        assert PCAPeaks().peaks(signal) == PCAPeaks().peaks(-signal)


def test_predictions_follow_their_rows_and_ignore_invalid_frames():
    clips = [waving(bumps(np.linspace(0, c, FRAMES)), seed=c) for c in (3, 9, 14)]
    assert counted(clips[::-1]) == counted(clips)[::-1]
    short = waving(bumps(np.linspace(0, 6, FRAMES + 40)[:FRAMES]))
    spoilt = short.copy()
    spoilt[90:] = np.random.default_rng(1).normal(size=(FRAMES - 90, 24, 3))
    assert counted([short], [90]) == counted([spoilt], [90])


def test_a_still_clip_and_a_padded_row_count_one():
    still = np.tile(np.random.default_rng(0).normal(size=(24, 3)), (FRAMES, 1, 1))
    assert counted([still, np.zeros_like(still), still, still], [FRAMES, FRAMES, 0, 1]) == [1.0] * 4


def test_there_is_nothing_to_save_and_wrong_settings_are_refused():
    estimator = PCAPeaks().build(Shapes(frames=FRAMES, layout="flag3d24"), seed=0)
    assert isinstance(estimator, Fitted)
    assert estimator.state() == {}
    with pytest.raises(ValueError, match="smoothing"):
        PCAPeaks(smoothing=0.0)
