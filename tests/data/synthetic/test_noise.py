"""Smooth noise: unit deviation, no jumps, no period."""

import numpy as np
import pytest

from flag3d_ray.data.synthetic.noise import smooth_noise


def test_smooth_noise_has_unit_deviation():
    assert smooth_noise(np.random.default_rng(0), 400, 1500, 30.0).std() == pytest.approx(1.0, rel=0.03)


def test_smooth_noise_moves_little_from_frame_to_frame():
    noise_NT = smooth_noise(np.random.default_rng(0), 50, 1500, 30.0)
    assert np.abs(np.diff(noise_NT)).max() < 0.25


def test_smooth_noise_forgets_itself_after_a_few_spacings():
    noise_NT = smooth_noise(np.random.default_rng(0), 400, 1500, 30.0)
    for lag in (120, 240, 480):
        assert abs(np.mean(noise_NT[:, lag:] * noise_NT[:, :-lag])) < 0.05


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_short_noise_has_as_many_frames_as_asked_for(frames):
    assert smooth_noise(np.random.default_rng(0), 3, frames, 30.0).shape == (3, frames)
