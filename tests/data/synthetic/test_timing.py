"""Counts and durations follow Table 2, timelines are well formed."""

from dataclasses import replace

import numpy as np
import pytest

from flag3d_ray.data.synthetic.timing import Tempo, draw_timeline, evenly_timed, plan_lengths

SEEDS = range(20)


def _seconds(size: int, seed: int) -> np.ndarray:
    """Tempos as activities have them: 0.6 to 6 s per repetition."""
    return np.exp(np.random.default_rng(seed).uniform(np.log(0.6), np.log(6.0), size))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_1800_sequences_have_the_counts_and_durations_of_table_2(seed):
    counts, durations = plan_lengths(np.random.default_rng(seed), _seconds(1800, seed))
    assert durations.mean() == pytest.approx(33.27, rel=0.02)
    assert durations.std() == pytest.approx(16.16, rel=0.03)
    assert counts.mean() == pytest.approx(9.71, rel=0.02)
    assert counts.std() == pytest.approx(7.99, rel=0.03)
    assert durations.min() == pytest.approx(6.24, rel=0.01)
    assert durations.max() == pytest.approx(153.80, rel=0.02)
    assert (counts.min(), counts.max()) == (1, 62)


def test_most_sequences_hold_about_eight_repetitions_and_a_fifth_spreads_widely():
    counts, _ = plan_lengths(np.random.default_rng(0), _seconds(1800, 0))
    assert np.mean(np.abs(counts - 8) <= 2) > 0.6
    assert 0.1 < np.mean(counts > 12) < 0.2


def test_slow_activities_get_slow_sequences():
    seconds = _seconds(1800, 0)
    counts, durations = plan_lengths(np.random.default_rng(0), seconds)
    pace = durations / counts
    assert np.all(np.diff(pace[np.argsort(seconds)]) >= 0)
    stretch = pace / seconds
    assert np.all(np.abs(np.log(np.quantile(stretch, [0.05, 0.95]) / np.median(stretch))) < 0.4)


def test_a_small_dataset_can_be_planned():
    for size in (1, 2, 3, 10):
        counts, durations = plan_lengths(np.random.default_rng(0), _seconds(size, 0))
        assert counts.shape == durations.shape == (size,)
        assert counts.min() >= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_repetitions_are_ordered_disjoint_and_inside(seed):
    rng = np.random.default_rng(seed)
    timeline = draw_timeline(rng, Tempo(seconds=rng.uniform(0.6, 6.0), repetitions=int(rng.integers(1, 63))))
    bounds = timeline.reps_R2.ravel()
    assert bounds[0] >= 0
    assert bounds[-1] <= len(timeline)
    assert np.all(np.diff(bounds) >= 0)
    assert np.all(timeline.reps_R2[:, 1] - timeline.reps_R2[:, 0] >= 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_frames_know_their_repetition_and_phase(seed):
    timeline = draw_timeline(np.random.default_rng(seed), Tempo(seconds=1.5, repetitions=7))
    rep_T, phase_T = np.full(len(timeline), -1), np.zeros(len(timeline))
    for number, (start, end) in enumerate(timeline.reps_R2):
        for frame in range(start, end):
            rep_T[frame], phase_T[frame] = number, (frame - start) / (end - start)
    assert np.array_equal(timeline.rep_T, rep_T)
    assert timeline.phase_T == pytest.approx(phase_T)


def test_half_of_the_recordings_begin_and_half_end_in_the_middle_of_a_repetition():
    whole = Tempo(seconds=2.0, repetitions=5, jitter=0.0, trend=0.0, rest_clips=0.0, idle_clips=1.0)
    cut = replace(whole, cut_clips=0.5)
    begun, ended = 0, 0
    for seed in range(200):
        timeline = draw_timeline(np.random.default_rng(seed), cut)
        begin, end, lengths = timeline.phase_T[0], timeline.phase_T[-1], np.diff(timeline.reps_R2).ravel()
        begins, ends = begin > 0, timeline.reps_R2[-1, 1] == len(timeline)
        begun, ended = begun + begins, ended + ends
        assert lengths[0] == pytest.approx(60 * (1 - begin), abs=1.01)
        assert np.all(np.abs(lengths[1:-1] - 60) <= 1)
        assert not begins or (timeline.reps_R2[0, 0] == 0 and begin < 0.5)
        assert not ends or (0.55 < end <= 1.0 and lengths[-1] == pytest.approx(60 * end, abs=2.01))
    assert begun / 200 == pytest.approx(0.5, abs=0.1)
    assert ended / 200 == pytest.approx(0.5, abs=0.1)


def test_a_single_repetition_is_cut_at_one_end_only():
    tempo = Tempo(seconds=3.0, repetitions=1, jitter=0.0, trend=0.0, idle_clips=0.0, cut_clips=1.0)
    for seed in SEEDS:
        timeline = draw_timeline(np.random.default_rng(seed), tempo)
        assert timeline.phase_T[-1] == pytest.approx(1.0, abs=0.03)
        assert len(timeline) >= 45


def test_a_given_duration_is_met_to_the_frame():
    for seed in SEEDS:
        timeline = draw_timeline(np.random.default_rng(seed), Tempo(seconds=9.9, repetitions=8, duration_s=20.0))
        assert len(timeline) == 600


def test_without_variation_all_repetitions_are_equal():
    plain = Tempo(seconds=2.0, repetitions=5, jitter=0.0, trend=0.0, rest_clips=0.0, idle_clips=0.0)
    timeline = draw_timeline(np.random.default_rng(0), plain)
    assert timeline.reps_R2.tolist() == [[60 * k, 60 * (k + 1)] for k in range(5)]


def test_repetition_durations_are_log_normal_with_18_percent():
    tempo = Tempo(seconds=5.0, repetitions=2000, trend=0.0, rest_clips=0.0, idle_clips=0.0)
    timeline = draw_timeline(np.random.default_rng(0), tempo)
    assert np.log(np.diff(timeline.reps_R2)).std() == pytest.approx(0.18, rel=0.06)


def test_half_of_the_clips_rest_and_half_idle():
    drawn = [draw_timeline(np.random.default_rng(seed), Tempo(seconds=3.0, repetitions=20)) for seed in range(400)]
    rests = np.mean([np.any(line.reps_R2[1:, 0] > line.reps_R2[:-1, 1]) for line in drawn])
    idle = np.mean([line.rep_T[0] < 0 or line.rep_T[-1] < 0 for line in drawn])
    assert rests == pytest.approx(0.5, abs=0.08)
    assert idle == pytest.approx(0.5, abs=0.08)


def test_repetitions_under_three_frames_are_refused():
    with pytest.raises(ValueError, match="frames"):
        draw_timeline(np.random.default_rng(0), Tempo(seconds=0.05, repetitions=10))
    with pytest.raises(ValueError, match="above zero"):
        Tempo(seconds=1.0, repetitions=0)


def test_an_even_timeline_has_the_repetitions_and_frames_of_the_drawn_one_and_no_rest():
    for seed in SEEDS:
        drawn = draw_timeline(np.random.default_rng(seed), Tempo(seconds=0.6, repetitions=32, idle_clips=1.0))
        even = evenly_timed(drawn)
        assert (len(even), len(even.reps_R2), even.fps) == (len(drawn), len(drawn.reps_R2), drawn.fps)
        assert even.rep_T.min() == 0
        assert np.ptp(np.diff(even.reps_R2).ravel()) <= 1
        assert even.reps_R2.ravel().tolist() == sorted(even.reps_R2.ravel().tolist())
