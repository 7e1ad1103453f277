"""Crop augmentation (whole, prefix, suffix) and resampling to a fixed number of frames."""

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flag3d_ray.data.crops import Crop, crop, draw_crop, resample_indices
from flag3d_ray.data.labels import density_batch

REPS_R2 = np.array([[5, 15], [15, 30], [34, 50], [50, 61]])
FRAMES = 70


def kind(part: Crop) -> str:
    if len(part) == FRAMES:
        return "whole"
    return "prefix" if part.start == 0 else "suffix"


@pytest.mark.parametrize(
    ("u", "expected"), [(0.0, "whole"), (0.25, "whole"), (0.2501, "prefix"), (0.625, "prefix"), (0.6251, "suffix")]
)
def test_the_first_number_chooses_the_kind(u, expected):
    assert kind(crop(REPS_R2, FRAMES, u, 1)) == expected


@pytest.mark.slow
def test_of_1e5_frozen_crops_a_quarter_is_whole_and_the_rest_halves_into_prefixes_and_suffixes(monkeypatch):
    # The annotations cost a millisecond a call; the other tests check them.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    kinds = [kind(draw_crop(f"sequence {n // 10}", n % 10, REPS_R2, FRAMES)) for n in range(100_000)]

    shares = {name: kinds.count(name) / len(kinds) for name in ("whole", "prefix", "suffix")}
    # Four standard deviations of a share of 1e5 draws are 0.0061.
    assert shares == pytest.approx({"whole": 0.25, "prefix": 0.375, "suffix": 0.375}, abs=0.0062)


def test_the_cut_is_equally_likely_after_every_repetition_but_the_last():
    crops = [draw_crop(f"sequence {n}", 0, REPS_R2, FRAMES) for n in range(900)]

    ends = [part.end for part in crops if kind(part) == "prefix"]
    assert set(ends) == {15, 30, 50}
    assert all(abs(ends.count(end) / len(ends) - 1 / 3) < 0.1 for end in (15, 30, 50))


def test_a_prefix_keeps_the_repetitions_up_to_the_cut_where_they_are():
    part = crop(REPS_R2, FRAMES, 0.5, 1)

    assert (part.start, part.end) == (0, 30)
    np.testing.assert_array_equal(part.reps_R2, [[5, 15], [15, 30]])


def test_a_suffix_keeps_the_later_repetitions_moved_to_its_own_frames():
    part = crop(REPS_R2, FRAMES, 0.9, 1)

    assert (part.start, part.end) == (30, 70)
    np.testing.assert_array_equal(part.reps_R2, [[4, 20], [20, 31]])


@pytest.mark.parametrize("u", [0.1, 0.5, 0.9])
def test_a_sequence_with_one_repetition_is_never_cut(u):
    part = crop(REPS_R2[:1], FRAMES, u, 0)

    assert (part.start, part.end) == (0, FRAMES)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 62), st.integers(0, 9), st.text(max_size=8))
def test_every_crop_counts_at_least_one_repetition_and_holds_it_whole(count, copy, sample_id):
    bounds = np.arange(count + 1) * 7 + 3
    reps_R2 = np.stack([bounds[:-1], bounds[1:]], axis=1)

    part = draw_crop(sample_id, copy, reps_R2, int(bounds[-1]) + 5)

    assert len(part.reps_R2) >= 1
    assert part.reps_R2.min() >= 0
    assert part.reps_R2.max() <= len(part)


def test_the_crops_of_a_sequence_are_frozen_and_those_of_its_copies_differ():
    def drawn(sample_id):
        return [draw_crop(sample_id, copy, REPS_R2, FRAMES) for copy in range(10)]

    spans = [(part.start, part.end) for part in drawn("A001-S01")]
    assert spans == [(part.start, part.end) for part in drawn("A001-S01")]
    assert len(set(spans)) > 3
    assert spans != [(part.start, part.end) for part in drawn("A001-S02")]


def test_resampling_as_many_frames_is_the_identity():
    np.testing.assert_array_equal(resample_indices(128, 128), np.arange(128))


@pytest.mark.parametrize("length", [129, 256, 1000])
def test_longer_sequences_are_sampled_by_the_papers_interval_rule(length):
    expected = [int(i * length / 128) - 1 for i in range(1, 129)]

    assert resample_indices(length, 128).tolist() == expected
    assert expected[-1] == length - 1


def test_a_sequence_of_40_frames_repeats_its_last_frame_88_times_more():
    indices = resample_indices(40, 128)

    assert indices.tolist() == [*range(40), *[39] * 88]


@pytest.mark.parametrize("length", [40, 100, 128, 129, 256, 1000])
def test_a_marker_in_one_repetition_is_seen_at_clip_frames_that_carry_that_repetitions_label(length):
    """One frame in the middle of a repetition is marked; the clip frame nearest to it must carry that label's density."""
    reps_R2 = np.array([[length // 2, length // 2 + length // 4]])
    marked = length // 2 + length // 8
    nearest = int(np.abs(resample_indices(length, 128) - marked).argmin())

    (density_T,) = density_batch([reps_R2], np.array([length]), 128, "accumulate", "aligned")

    assert density_T[nearest] > 0.5 * density_T.max()
