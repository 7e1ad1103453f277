"""Readouts: segments of label-model densities against the repetitions they were made from, and how they are judged."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flag3d_ray.data.labels import density_labels, label_index
from flag3d_ray.segments import RULES, Rule, active_frames, read_segments, segment_scores, to_raw_frames

FRAMES, LENGTH = 128, 4000
NOISY = {"rests": True, "noise": 0.1}


def clip(
    rng: np.random.Generator, count: int, *, rests: bool = False, noise: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Density, true repetitions in positions and in raw frames: durations vary by 40 %, rests take a fifth to a half."""
    durations = 1 + rng.uniform(-0.4, 0.4, count)
    gaps = np.zeros(count + 1)
    if rests:
        gaps[[0, count, rng.integers(1, count)]] = count * rng.uniform(0.05, 0.2, 3)
    times = np.empty(2 * count + 1)
    times[0::2], times[1::2] = gaps, durations
    borders = np.concatenate([[0.0], np.cumsum(times)])
    borders = np.round(borders / borders[-1] * LENGTH).astype(int)
    reps_R2 = np.stack([borders[1:-1:2], borders[2::2]], axis=1)
    density_T = density_labels(reps_R2, LENGTH, FRAMES).astype(np.float64)
    density_T += rng.normal(0.0, noise * density_T.max(), FRAMES) if noise else 0.0
    return density_T, label_index(reps_R2, np.array(LENGTH), FRAMES), reps_R2


def mean_iou(rule: Rule, count: int, trials: int = 30, **kind) -> float:
    rng, found = np.random.default_rng(0), []
    for _ in range(trials):
        density_T, true_R2, _ = clip(rng, count, **kind)
        found.append(segment_scores(read_segments(density_T, count, rule).segments_K2, true_R2).mean_iou)
    return float(np.mean(found))


@pytest.mark.parametrize("count", [3, 8, 16, 24])
def test_valleys_find_clean_contiguous_repetitions(count: int) -> None:
    assert mean_iou("valley", count) >= 0.9


@pytest.mark.parametrize("count", [3, 8, 16, 24])
def test_valleys_find_clean_repetitions_between_rests(count: int) -> None:
    assert mean_iou("valley", count, rests=True) >= 0.8


@pytest.mark.parametrize(
    ("count", "kind", "quantile", "valley", "cumulative"),
    [
        (3, {}, 0.999, 0.950, 0.991),
        (8, {}, 0.996, 0.953, 0.985),
        (8, {"noise": 0.10}, 0.826, 0.878, 0.661),
        (8, {"rests": True, "noise": 0.05}, 0.907, 0.880, 0.623),
        (20, {"noise": 0.05}, 0.831, 0.932, 0.625),
        (20, {"rests": True, "noise": 0.10}, 0.603, 0.821, 0.450),
    ],
)
def test_the_rules_are_as_good_as_another_implementation_of_them_was(
    count: int, kind: dict, quantile: float, valley: float, cumulative: float
) -> None:
    for rule, expected in zip(RULES, (valley, quantile, cumulative), strict=True):
        assert mean_iou(rule, count, **kind) == pytest.approx(expected, abs=0.08), rule


def test_valleys_are_best_under_noise_and_quantiles_without() -> None:
    noisy, clean = ([mean_iou(rule, count, **kind) for rule in RULES] for count, kind in ((20, NOISY), (8, {})))
    assert RULES[int(np.argmax(noisy))] == "valley"
    assert RULES[int(np.argmax(clean))] == "quantile"


def test_quantiles_are_the_loop_over_running_sums() -> None:
    density_T, _, _ = clip(np.random.default_rng(1), 9, rests=True)

    def place(mass: float) -> float:
        below = 0.0
        for frame, value in enumerate(density_T * 9 / density_T.sum()):
            if below + value >= mass:
                return frame - 0.5 + (mass - below) / value
            below += value
        return FRAMES

    expected = []
    for number in range(9):
        deviation = (place(number + 0.8413447460685429) - place(number + 0.15865525393145707)) / 2
        expected.append([place(number + 0.5) - 3 * deviation, place(number + 0.5) + 3 * deviation])
    for left, right in pairwise(expected):
        if left[1] > right[0]:
            left[1] = right[0] = (left[1] + right[0]) / 2
    np.testing.assert_allclose(
        read_segments(density_T, 9, "quantile").segments_K2, np.clip(expected, 0, FRAMES), atol=1e-6
    )


@settings(max_examples=60, deadline=None)
@given(
    density=st.lists(st.floats(-0.05, 1.0), min_size=1, max_size=60),
    count=st.none() | st.floats(-1, 20),
    rule=st.sampled_from(RULES),
)
def test_segments_are_in_order_disjoint_inside_and_not_empty(density: list[float], count: float | None, rule: Rule):
    segments_K2 = read_segments(np.array(density), count, rule).segments_K2
    assert len(segments_K2) >= 1
    assert segments_K2.min() >= 0
    assert segments_K2.max() <= len(density)
    assert (np.diff(segments_K2.ravel()) >= -1e-9).all()
    if rule == "valley":
        assert (segments_K2[:, 0] < segments_K2[:, 1]).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("density", "count"), [(np.zeros(40), None), (np.zeros(40), 0.3), (np.full(40, 0.01), None)])
def test_a_count_of_zero_is_everything_as_one_segment(rule: Rule, density: np.ndarray, count: float | None) -> None:
    readout = read_segments(density, count, rule)
    assert readout.segments_K2.tolist() == [[0, 40]]
    assert not readout.incomplete


def test_fewer_peaks_than_repetitions_are_flagged() -> None:
    density_T = density_labels(np.array([[10, 40], [60, 90]]), FRAMES, FRAMES).astype(np.float64)
    assert not read_segments(density_T).incomplete
    readout = read_segments(density_T, 4.0)
    assert readout.incomplete
    assert len(readout.segments_K2) == 2


@pytest.mark.parametrize(("density", "count"), [([], None), ([0.1, np.nan], None), ([0.1, 0.2], np.inf)])
def test_what_is_not_finite_is_refused(density: list[float], count: float | None) -> None:
    with pytest.raises(ValueError, match="finite"):
        read_segments(np.array(density), count)


def test_rests_do_not_count_as_active_and_a_full_clip_does() -> None:
    full = density_labels(np.array([[k * 16, k * 16 + 16] for k in range(8)]), FRAMES, FRAMES).astype(np.float64)
    half = density_labels(np.array([[k * 16, k * 16 + 16] for k in range(4)]), FRAMES, FRAMES).astype(np.float64)
    assert active_frames(full) == pytest.approx(FRAMES, rel=0.05)
    assert active_frames(half) == pytest.approx(FRAMES / 2, rel=0.05)


@pytest.mark.parametrize("length", [128, 129, 200, 1000, 4001])
def test_raw_frames_have_the_label_that_they_were_given(length: int) -> None:
    labels = np.arange(FRAMES)
    raw = np.floor(to_raw_frames(labels.astype(np.float64), length, FRAMES)).astype(int)
    assert label_index(raw, np.array(length), FRAMES).tolist() == labels.tolist()


def test_raw_frames_are_within_a_frame_of_the_mean_of_those_with_the_label() -> None:
    length = 1000
    labels_T = label_index(np.arange(length), np.array(length), FRAMES)
    for label in (1, 7, 64, 120):
        expected = np.flatnonzero(labels_T == label).mean()
        (found,) = to_raw_frames(np.array([float(label)]), length, FRAMES)
        assert found == pytest.approx(expected, abs=1.0)


def test_raw_frames_of_a_padded_clip_are_its_positions_up_to_the_last_frame() -> None:
    segments_K2 = np.array([[0.0, 20.0], [20.0, 128.0]])
    assert to_raw_frames(segments_K2, 60, FRAMES).tolist() == [[0, 20], [20, 60]]
    assert to_raw_frames(segments_K2, 256, FRAMES)[[0, 1], [0, 1]].tolist() == [0, 256]


def test_in_raw_frames_the_mean_of_the_label_is_nearer_than_its_upper_end() -> None:
    rng, near, late = np.random.default_rng(0), [], []
    for _ in range(30):
        density_T, _, reps_R2 = clip(rng, 24)
        segments_K2 = read_segments(density_T, 24).segments_K2
        near.append(segment_scores(to_raw_frames(segments_K2, LENGTH, FRAMES), reps_R2).mean_iou)
        late.append(segment_scores(segments_K2 * LENGTH / FRAMES, reps_R2).mean_iou)
    assert np.mean(near) > np.mean(late) + 0.03


def test_scores_are_those_of_a_loop_over_pairs() -> None:
    true = np.array([[0, 10], [10, 20], [30, 40], [50, 60]])
    predicted = np.array([[1, 10], [12, 19], [36, 44], [70, 80], [80, 81]])
    scores = segment_scores(predicted, true)

    def overlap(one: np.ndarray, other: np.ndarray) -> float:
        shared = max(0, min(one[1], other[1]) - max(one[0], other[0]))
        return shared / (one[1] - one[0] + other[1] - other[0] - shared)

    best = [max(overlap(rep, segment) for segment in predicted) for rep in true]
    assert scores.mean_iou == pytest.approx(np.mean(best))
    assert scores.recall == sum(value >= 0.5 for value in best) / 4 == 0.5
    assert scores.precision == 2 / 5


def test_matching_is_one_to_one_and_as_large_as_it_can_be() -> None:
    true = np.array([[0, 10], [4, 14]])
    assert segment_scores(np.array([[2, 12], [0, 9]]), true).recall == 1.0
    twice = segment_scores(np.array([[0, 10], [0, 10]]), np.array([[0, 10]]))
    assert (twice.precision, twice.recall) == (0.5, 1.0)


def test_scores_of_nothing_are_defined() -> None:
    nothing, one = np.empty((0, 2)), np.array([[0.0, 1.0]])
    assert segment_scores(nothing, nothing).precision == 1.0
    assert segment_scores(nothing, one).recall == 0.0
    assert segment_scores(one, nothing).precision == 0.0
    with pytest.raises(ValueError, match="overlap"):
        segment_scores(one, one, iou=0.0)
