"""Windows of a recording: they cover it, are cut as clips are, and give densities back to raw frames with their mass."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from flag3d_ray.data.clips import Clips, ClipSpec
from flag3d_ray.data.labels import density_labels, label_index
from flag3d_ray.data.recording_windows import (
    Faded,
    Window,
    batch,
    clip,
    kept_motion,
    ladder,
    to_raw_density,
    windows,
)
from flag3d_ray.run import DataSpec

FRAMES = 32


def sine(length: int, period: float, noise: float = 0.0) -> np.ndarray:
    """One joint that goes up and down beside a root at rest."""
    joints_TVC = np.zeros((length, 2, 3), np.float32)
    joints_TVC[:, 1, 1] = np.sin(2 * np.pi * np.arange(length) / period + 0.3)
    return joints_TVC + np.random.default_rng(0).normal(0, noise, joints_TVC.shape).astype(np.float32)


@pytest.mark.parametrize("phase", [0, 1, 2])
@pytest.mark.parametrize(("length", "window"), [(1000, 160), (161, 160), (1000, 999), (97, 32)])
def test_windows_of_one_length_cover_every_frame_and_overlap_by_half(length: int, window: int, phase: int) -> None:
    parts = windows(length, window, FRAMES, phase, phases=3)
    assert {len(part) for part in parts} == {window}
    assert (parts[0].start, parts[-1].end) == (0, length)
    assert parts == sorted(set(parts))
    assert all(right.start - left.start <= window // 2 for left, right in pairwise(parts))


def test_grids_of_windows_differ() -> None:
    grids = {tuple(windows(1000, 160, FRAMES, phase, phases=3)) for phase in range(3)}
    assert len(grids) == 3


def test_a_recording_that_is_one_clip_is_whole_then_without_its_first_and_its_last_sampled_frame() -> None:
    assert windows(320, 320, FRAMES) == [Window(0, 320)]
    assert windows(320, 320, FRAMES, 1, 3) == [Window(10, 320)]
    assert windows(320, 320, FRAMES, 2, 3) == [Window(0, 310)]
    assert windows(1, 1, FRAMES, 1, 3) == [Window(0, 1)]


@pytest.mark.parametrize("frames", [32, 256])
def test_a_recording_is_cut_into_the_same_clip_as_a_sequence_of_a_dataset(tiny_home, frames: int) -> None:
    data = DataSpec(dataset="tiny", frames=frames, test_crops=1)
    clips = Clips(ClipSpec(folder=tiny_home.dataset("tiny"), text_cache=tiny_home.text, part="test", data=data))
    for number in range(len(clips)):
        expected = clips.batch(np.array([number])).without_labels()
        joints_TVC = clips.dataset.sample(clips.sequence(number)).joints_MTVC[0]
        found = batch(joints_TVC, windows(len(joints_TVC), len(joints_TVC), frames), frames)
        assert found.joints_BTVC.equal(expected.joints_BTVC)
        assert found.valid_BT.equal(expected.valid_BT)
        assert found.text_BLD.shape == expected.text_BLD.shape
        assert replace(found, clip_ids=()).without_labels().density_BT is None


def test_a_batch_has_its_text_in_every_row_and_no_label() -> None:
    text_LD = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = batch(sine(100, 10), windows(100, 40, FRAMES), FRAMES, text_LD)
    assert found.text_BLD.shape == (len(found), 2, 3)
    assert found.text_BLD[-1].numpy().tolist() == text_LD.tolist()
    assert found.text_valid_BL.all()
    assert (found.density_BT, found.count_B) == (None, None)
    assert found.clip_ids[0] == "0-40"


@pytest.mark.parametrize("length", [1, 2, 20, 31, 32, 33, 64, 200, 1000])
def test_a_density_keeps_its_sum_on_raw_frames(length: int) -> None:
    density_N = np.random.default_rng(0).uniform(-0.02, 0.3, FRAMES)
    raw_T = to_raw_density(density_N, length)
    assert len(raw_T) == length
    assert raw_T.sum() == pytest.approx(density_N.sum(), abs=1e-9)


def test_a_density_of_as_many_frames_stays_and_a_padded_one_ends_with_its_padding() -> None:
    density_N = np.random.default_rng(0).uniform(0, 0.3, FRAMES)
    np.testing.assert_allclose(to_raw_density(density_N, FRAMES), density_N, atol=1e-12)
    padded = to_raw_density(density_N, 20)
    np.testing.assert_allclose(padded[:-1], density_N[:19])
    assert padded[-1] == pytest.approx(density_N[19:].sum())


def test_the_mass_of_a_position_lies_on_the_frames_that_have_its_label() -> None:
    length, positions = 400, (1, 5, 17, 30)
    labels_T = label_index(np.arange(length), np.array(length), FRAMES)
    for position in positions:
        raw_T = to_raw_density(np.eye(FRAMES)[position], length)
        assert raw_T[labels_T == position].sum() > 0.9
    reps_R2 = np.array([[20, 130], [130, 220], [260, 390]])
    raw_T = to_raw_density(density_labels(reps_R2, length, FRAMES).astype(np.float64), length)
    for start, end in reps_R2:
        assert raw_T[start:end].sum() == pytest.approx(1.0, abs=0.06)


def test_faded_windows_that_agree_are_what_they_agree_on() -> None:
    true_T = np.random.default_rng(0).uniform(0, 1, 500)
    faded = Faded(500)
    for part in windows(500, 90, FRAMES, 1, 3):
        faded.add(part, true_T[part.start : part.end])
    np.testing.assert_allclose(faded.density(), true_T)


def test_where_windows_differ_the_nearer_middle_counts_more() -> None:
    faded = Faded(30)
    faded.add(Window(0, 20), np.full(20, 1.0))
    faded.add(Window(10, 30), np.full(20, 2.0))
    density_T = faded.density()
    assert (density_T[:10] == 1).all()
    assert (density_T[20:] == 2).all()
    assert (np.diff(density_T[10:20]) > 0).all()
    assert density_T.sum() == pytest.approx(45)


def test_motion_is_lost_where_clips_have_few_frames_for_it() -> None:
    length, frames = 3840, 128
    kept = {per: kept_motion(sine(length, length / frames * per), length, frames, 30.0) for per in (2, 3, 4, 8)}
    assert kept[2] < 0.1 < kept[3] < kept[4] < kept[8]
    assert kept[4] == pytest.approx(0.95, abs=0.02)
    assert kept_motion(sine(length, 60), length // 8, frames, 30.0) > 0.99


def test_sensor_noise_is_no_motion_that_windows_must_keep() -> None:
    assert kept_motion(sine(1024, 256, noise=0.1), 1024, 128, 30.0) > 0.95


def test_nothing_that_moves_is_kept_whole() -> None:
    assert kept_motion(np.zeros((100, 2, 3), np.float32), 100, 32, 30.0) == 1.0


def test_the_ladder_goes_from_the_whole_to_five_seconds_a_clip() -> None:
    assert ladder(3600, 30.0, 128) == [3600, 1920, 960, 480, 240]
    assert ladder(100, 30.0, 128) == [100], "fewer frames than a clip"
    assert ladder(500, 10.0, 128) == [500, 320, 160, 128], "no window is shorter than a clip"
    assert ladder(216_000, 30.0, 128)[0] == 3840, "the whole of two hours is not looked at"


def test_a_clip_is_relative_to_its_root() -> None:
    joints_TVC = np.random.default_rng(0).normal(size=(50, 4, 3)).astype(np.float32)
    assert (clip(joints_TVC, FRAMES)[:, 0] == 0).all()
