"""Labels against their rules as plain loops, the released code's known sums, and what must be refused."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flag3d_ray.data.labels import density_batch, density_labels, label_index, repetition_batch
from flag3d_ray.errors import DataError

FRAMES = 128


def contiguous(count: int, length: int) -> np.ndarray:
    """`count` back-to-back repetitions of equal duration."""
    edges = np.arange(count + 1) * length // count
    return np.stack([edges[:-1], edges[1:]], axis=1)


def looped(reps: np.ndarray, length: int, construction: str, pad_labels: str) -> list[float]:
    """The label of one clip frame by frame."""

    def phi(x: float) -> float:
        return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))

    def position(t: int) -> int:
        if length < FRAMES and pad_labels == "aligned":
            return min(t, length - 1)
        return min(math.ceil(t * FRAMES / length - 1e-9), FRAMES - 1)

    density = [0.0] * FRAMES
    for start, end in reps.tolist():
        a, b = position(start), position(end)
        mu, sigma = (a + b) / 2, (b - a) / 6
        bins = [1.0] if a == b else [phi((j + 0.5 - mu) / sigma) - phi((j - 0.5 - mu) / sigma) for j in range(a, b + 1)]
        for j, mass in zip(range(a, b + 1), bins, strict=True):
            density[j] = mass if construction == "assign" else density[j] + mass / sum(bins)
    return density


@st.composite
def annotations(draw) -> tuple[np.ndarray, int]:
    """Ordered repetitions, with and without rests between them, in clips shorter and longer than 128 frames."""
    length = draw(st.integers(4, 900))
    edges = sorted(draw(st.sets(st.integers(0, length), min_size=2, max_size=min(40, length))))
    reps = np.array(list(pairwise(edges)))
    return reps[:: draw(st.sampled_from([1, 2]))], length


@pytest.mark.parametrize("pad_labels", ["aligned", "stretched"])
@pytest.mark.parametrize("construction", ["accumulate", "assign"])
@settings(derandomize=True)
@given(annotations())
def test_the_label_equals_its_construction_as_a_plain_loop(construction, pad_labels, clip):
    reps, length = clip
    ours = density_labels(reps, length, FRAMES, construction, pad_labels)
    np.testing.assert_allclose(ours, looped(reps, length, construction, pad_labels), atol=1e-6)


def test_density_mass_equals_the_number_of_repetitions_for_every_count_of_the_dataset():
    for count in range(1, 63):
        for length in (FRAMES, 1000, 62 * 40):
            total = density_labels(contiguous(count, length), length, FRAMES).sum(dtype=np.float64)
            assert total == pytest.approx(count, abs=1e-6), (count, length)


@pytest.mark.parametrize(
    ("count", "total"),
    [(8, 7.976), (16, 15.929), (24, 23.823), (32, 31.618), (40, 39.195), (48, 46.269), (62, 58.101)],
)
def test_the_released_construction_loses_the_mass_it_is_known_to_lose(count, total):
    density = density_labels(contiguous(count, 1280), 1280, FRAMES, construction="assign")
    assert density.sum(dtype=np.float64) == pytest.approx(total, abs=6e-4)


def test_each_repetition_has_mass_one_inside_its_own_frames():
    reps = np.array([[100, 300], [500, 640], [900, 990]])
    density = density_labels(reps, 1000, FRAMES)
    for start, end in reps:
        a, b = label_index(np.array([start, end]), np.array([1000, 1000]), FRAMES)
        assert density[a : b + 1].sum() == pytest.approx(1.0, abs=1e-6)
    assert density[: label_index(np.array([100]), np.array([1000]), FRAMES)[0]].sum() == 0.0


def test_a_padded_clip_keeps_its_labels_on_its_own_frames_unless_the_released_rule_is_asked_for():
    reps = np.array([[0, 20], [20, 40]])
    aligned = density_labels(reps, 40, FRAMES)
    stretched = density_labels(reps, 40, FRAMES, pad_labels="stretched")
    assert aligned[40:].sum() == 0.0
    assert aligned.sum() == pytest.approx(2.0)
    assert stretched[64:].sum() == pytest.approx(1.0, abs=0.3)


def test_positions_are_exact_where_floating_point_ceilings_are_not():
    length = 125 * 7
    ticks = np.arange(0, length + 1, 7)
    positions = label_index(ticks, np.full(len(ticks), length), 125)
    assert positions.tolist() == [*range(125), 124]


def test_a_batch_gives_the_labels_of_its_clips_and_a_clip_may_have_no_repetition():
    clips = [contiguous(5, 300), np.empty((0, 2), np.int64), contiguous(2, 90), np.array([[10, 11]])]
    lengths = np.array([300, 50, 90, 700])
    batch = density_batch(clips, lengths, FRAMES)
    assert batch.dtype == np.float32
    assert batch.shape == (4, FRAMES)
    for row, reps, length in zip(batch, clips, lengths, strict=True):
        np.testing.assert_array_equal(row, density_labels(reps, int(length), FRAMES))
    assert batch.sum(axis=1) == pytest.approx([5.0, 0.0, 2.0, 1.0])


@pytest.mark.parametrize(
    "reps",
    [[[5, 5]], [[9, 4]], [[0, 10], [8, 20]], [[10, 20], [0, 10]], [[-1, 5]], [[0, 101]]],
    ids=["empty", "reversed", "overlapping", "out of order", "before the clip", "after the clip"],
)
def test_wrong_annotations_are_refused_with_the_clip_and_the_repetition(reps):
    good = contiguous(3, 100)
    with pytest.raises(DataError, match="clip 1 of the batch, repetition"):
        density_batch([good, np.array(reps), good], np.array([100, 100, 100]), FRAMES)


def test_a_repetition_of_the_next_clip_may_start_before_the_last_of_this_one_ends():
    batch = density_batch([contiguous(2, 200), contiguous(2, 200)], np.array([200, 200]), FRAMES)
    np.testing.assert_array_equal(batch[0], batch[1])


def owners(reps: np.ndarray, length: int, pad_labels: str) -> list[int]:
    """The repetition of each frame of one clip, repetition by repetition."""

    def position(t: int) -> int:
        padded = length < FRAMES and pad_labels == "aligned"
        return t if padded else math.ceil(t * FRAMES / length - 1e-9)

    frames = [-1] * FRAMES
    for index, (start, end) in enumerate(reps.tolist()):
        first = min(position(start), FRAMES - 1)
        for frame in range(first, max(position(end), first + 1)):
            frames[frame] = index
    return frames


@pytest.mark.parametrize("pad_labels", ["aligned", "stretched"])
@settings(derandomize=True, deadline=None)
@given(annotations())
def test_the_repetition_of_a_frame_equals_its_rule_as_a_plain_loop(pad_labels, clip):
    reps, length = clip
    ours = repetition_batch([reps], np.array([length]), FRAMES, pad_labels)
    assert ours[0].tolist() == owners(reps, length, pad_labels)


def test_a_frame_between_two_repetitions_belongs_to_the_later_one_and_none_is_left_over():
    (frames,) = repetition_batch([contiguous(16, 1280)], np.array([1280]), FRAMES)
    assert frames.tolist() == [index for index in range(16) for _ in range(8)]


def test_a_repetition_before_a_rest_has_no_frame_of_the_rest():
    (frames,) = repetition_batch([np.array([[0, 40], [80, 128]])], np.array([128]), FRAMES)
    assert frames.tolist() == [0] * 40 + [-1] * 40 + [1] * 48


def test_repetitions_of_two_frames_are_all_there_and_shorter_than_a_frame_some_are_not():
    (fine,) = repetition_batch([contiguous(62, 62 * 40)], np.array([62 * 40]), FRAMES)
    assert sorted(set(fine.tolist())) == list(range(62))
    (coarse,) = repetition_batch([contiguous(300, 3000)], np.array([3000]), FRAMES)
    assert (np.diff(coarse) > 0).all()
    (alone,) = repetition_batch([np.array([[1001, 1002]])], np.array([3000]), FRAMES)
    assert np.flatnonzero(alone == 0).tolist() == [43]


def test_the_frames_of_padding_belong_to_no_repetition():
    (frames,) = repetition_batch([contiguous(4, 40)], np.array([40]), FRAMES)
    assert (frames[:40] >= 0).all()
    assert (frames[40:] == -1).all()


def test_a_batch_gives_the_repetitions_of_its_clips_and_a_clip_may_have_none():
    clips = [contiguous(5, 300), np.empty((0, 2), np.int64), contiguous(2, 90), np.array([[10, 11]])]
    lengths = np.array([300, 50, 90, 700])
    batch = repetition_batch(clips, lengths, FRAMES)
    assert batch.dtype == np.int32
    assert (batch[1] == -1).all()
    for row, reps, length in zip(batch, clips, lengths, strict=True):
        np.testing.assert_array_equal(row, repetition_batch([reps], np.array([length]), FRAMES)[0])
    with pytest.raises(DataError, match="clip 1 of the batch, repetition"):
        repetition_batch([clips[0], clips[0]], np.array([300, 200]), FRAMES)
