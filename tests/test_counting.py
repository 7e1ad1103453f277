"""Counting a recording: one clip or windows, the range, warnings, and bounded memory. A stand-in predicts perfect densities."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Float
from scipy.special import ndtr

from flag3d_ray.clip_counters import ClipCounter, untrained
from flag3d_ray.counting import Count, count_recording
from flag3d_ray.data.clips import Clips, ClipSpec
from flag3d_ray.data.crops import resample_indices
from flag3d_ray.errors import DataError
from flag3d_ray.methods.base import Shapes
from flag3d_ray.run import DataSpec
from flag3d_ray.sample import Batch, Prediction, Sample
from flag3d_ray.segments import segment_scores
from flag3d_ray.skeleton import FLAG3D24

MARK = FLAG3D24.index("left_wrist")
SHAPES = Shapes(frames=128, layout="flag3d24")


class Perfect:
    """Reads the running sum of the true density off a wrist's height, so that its density is right at any sampling."""

    def __init__(self, off: float = 1.0, *, where: bool = True) -> None:
        self.off, self.where, self.largest = off, where, 0

    def fit(self, batches) -> None: ...

    def state(self) -> dict[str, np.ndarray]:
        return {}

    def load(self, state) -> None: ...

    def predict(self, batch: Batch) -> list[Prediction]:
        self.largest = max(self.largest, len(batch))
        heights_BT = batch.joints_BTVC[:, :, MARK, 1].double().numpy() * self.off
        rows = zip(batch.clip_ids, heights_BT, strict=True)
        return [self._claim(clip_id, running_T) for clip_id, running_T in rows]

    def _claim(self, clip_id: str, running_T: np.ndarray) -> Prediction:
        """What labels would have: position j holds the raw frames in ((j - 1) F / T, j F / T]."""
        start, end = map(int, clip_id.split("-"))
        frames, step = len(running_T), max(1.0, (end - start) / len(running_T))
        borders = np.interp(
            np.arange(-1, frames) * step, resample_indices(end - start, frames)[: end - start], running_T[: end - start]
        )
        borders[-1] = running_T[-1]
        density_T = np.diff(borders)
        return Prediction(clip_id=clip_id, count=float(density_T.sum()), density_T=density_T if self.where else None)


def person(length: int) -> Float[np.ndarray, "T 24 3"]:
    """Somebody who stands still."""
    joints_TVC = np.zeros((length, len(FLAG3D24), 3), np.float32)
    for name, height in (("hip", 0.9), ("shoulder", 1.4)):
        for side, across in (("left", 0.15), ("right", -0.15)):
            joints_TVC[:, FLAG3D24.index(f"{side}_{name}")] = (across, height, 0.0)
    return joints_TVC


def marked(reps_R2: np.ndarray, length: int) -> Float[np.ndarray, "T 24 3"]:
    """Somebody whose wrist rises by a metre with every repetition, as `Perfect` reads it."""
    joints_TVC = person(length)
    running_T = np.zeros(length)
    for start, end in reps_R2:
        middle, deviation = (start + end) / 2, (end - start) / 6
        running_T[start:end] += ndtr((np.arange(start, end) + 0.5 - middle) / deviation)
        running_T[end:] += 1.0
    joints_TVC[:, MARK, 1] = running_T
    return joints_TVC


def evenly(count: int, length: int) -> np.ndarray:
    borders = np.linspace(0, length, count + 1).astype(int)
    return np.stack([borders[:-1], borders[1:]], axis=1)


def counter(estimator, frames: int = 128, name: str = "stand-in") -> ClipCounter:
    return ClipCounter(name=name, estimator=estimator, shapes=replace(SHAPES, frames=frames))


def counted(joints_TVC: np.ndarray, estimator=None, fps: float = 30.0, **options) -> Count:
    return count_recording([counter(estimator or Perfect())], joints_TVC, fps=fps, **options)


def test_sixty_repetitions_in_two_minutes_are_sixty() -> None:
    reps_R2 = evenly(60, 3600)
    found = counted(marked(reps_R2, 3600))
    assert abs(found.count - 60) <= 1
    assert found.low >= 59
    assert found.high <= 61
    assert found.window < 3600
    scores = segment_scores(found.segments_K2, reps_R2)
    assert (scores.precision, scores.recall) == (1.0, 1.0)
    assert scores.mean_iou > 0.85
    assert found.warnings == ()
    assert found.density_T.sum() == pytest.approx(found.count)


def test_repetitions_of_many_lengths_with_rests_are_found_in_windows() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(30, 120, 40)
    starts = np.cumsum(lengths) - lengths + np.where(np.arange(40) < 20, 100, 700)
    reps_R2 = np.stack([starts, starts + lengths], axis=1)
    found = counted(marked(reps_R2, int(reps_R2[-1, 1]) + 100))
    assert abs(found.count - 40) <= 1
    assert segment_scores(found.segments_K2, reps_R2).mean_iou > 0.8
    assert found.density_T[reps_R2[19, 1] + 60 : reps_R2[20, 0] - 60].max() < 1e-3


def test_what_a_clip_resolves_is_one_clip() -> None:
    found = counted(marked(evenly(10, 900), 900))
    assert found.window == 900
    assert found.count == pytest.approx(10, abs=0.3)
    assert found.views == 3


@pytest.mark.parametrize("frames", [32, 64])
def test_one_clip_in_one_cut_is_counted_as_evaluation_does(tiny_home, tiny_run, frames: int) -> None:
    data = DataSpec(dataset="tiny", frames=frames, crops=1)
    clips = Clips(ClipSpec(folder=tiny_home.dataset("tiny"), text_cache=tiny_home.text, part="train", data=data))
    network = tiny_run().method.build(clips.shapes, seed=3)
    for number in range(2):
        joints_TVC = clips.dataset.sample(clips.sequence(number)).joints_MTVC[0]
        assert len(joints_TVC) <= 60, "short enough to be one clip"
        (expected,) = network.predict(clips.batch(np.array([number])).without_labels())
        one = ClipCounter(name="network", estimator=network, shapes=clips.shapes)
        found = count_recording([one], joints_TVC, fps=30.0, phases=1)
        assert found.count == pytest.approx(expected.count, abs=1e-4)
        assert (found.low, found.high, found.views) == (found.count, found.count, 1)


def test_tempo_too_fast_for_any_window_is_counted_with_a_warning() -> None:
    found = counted(marked(evenly(62, 128), 128))
    (warning,) = [text for text in found.warnings if "each" in text]
    assert "62 repetitions in 128 frames are 2.1 frames each" in warning


def test_the_range_spans_networks_and_the_count_is_their_median() -> None:
    counters = [counter(Perfect(off), name=str(off)) for off in (0.9, 1.0, 1.2)]
    found = count_recording(counters, marked(evenly(20, 2000), 2000), fps=30.0)
    assert found.views == 9
    assert found.low == pytest.approx(18, abs=0.5)
    assert found.count == pytest.approx(20, abs=0.5)
    assert found.high == pytest.approx(24, abs=0.5)
    assert any("disagree" in text for text in found.warnings)


def test_networks_with_clips_of_other_lengths_count_together() -> None:
    counters = [counter(Perfect(), frames) for frames in (64, 128)]
    assert count_recording(counters, marked(evenly(30, 3000), 3000), fps=30.0).count == pytest.approx(30, abs=0.5)


@pytest.mark.parametrize("length", [1, 2, 20, 300, 4000])
def test_a_still_person_has_count_zero_and_a_warning(length: int) -> None:
    joints_TVC = person(length) + np.random.default_rng(0).normal(0, 0.002, (length, 24, 3)).astype(np.float32)
    for one in (counter(Perfect(100.0)), untrained("fourier", "flag3d24")):
        found = count_recording([one], joints_TVC, fps=30.0)
        assert (found.count, len(found.segments_K2)) == (0.0, 0)
        assert any("nothing moves" in text for text in found.warnings)


def test_methods_that_only_count_give_even_segments_and_say_so() -> None:
    found = counted(marked(evenly(9, 900), 900), Perfect(where=False))
    assert found.count == pytest.approx(9, abs=0.3)
    np.testing.assert_allclose(np.diff(found.segments_K2, axis=1), 100.0, rtol=0.05)
    assert any("spaced evenly" in text for text in found.warnings)


def test_predicted_segments_are_counted_and_kept() -> None:
    class Segments(Perfect):
        def predict(self, batch: Batch) -> list[Prediction]:
            segments_K2 = np.array([[10, 40], [40, 70], [90, 120]])
            return [Prediction(clip_id=clip_id, count=3.0, segments_K2=segments_K2) for clip_id in batch.clip_ids]

    found = counted(marked(evenly(3, 256), 256), Segments(), phases=1)
    assert found.count == pytest.approx(3)
    np.testing.assert_allclose(found.segments_K2, [[20, 80], [80, 140], [180, 240]], atol=4)


def test_a_density_without_valleys_is_named() -> None:
    joints_TVC = person(900)
    joints_TVC[:, MARK, 1] = np.linspace(0, 8, 900)
    assert any("guess" in text for text in counted(joints_TVC).warnings)


def test_a_sine_that_windows_resolve_and_the_whole_does_not_is_counted_by_a_method_without_training() -> None:
    joints_TVC = person(3600)
    joints_TVC[:, MARK, 1] = np.sin(2 * np.pi * np.arange(3600) / 40)
    found = count_recording([untrained("fourier", "flag3d24")], joints_TVC, fps=30.0)
    assert found.window < 3600
    assert found.count == pytest.approx(90, abs=3)


@pytest.mark.parametrize("name", ["fourier", "pca_peaks", "pca_peak", "wavelet"])
def test_methods_without_training_count_short_recordings(name: str, tiny_sample: Callable[[int], Sample]) -> None:
    sample = tiny_sample(4)
    joints_TVC = person(sample.frames)
    joints_TVC[:, MARK] = sample.joints_MTVC[0, :, MARK]
    found = count_recording([untrained(name, "flag3d24")], joints_TVC, fps=30.0)
    assert found.count == pytest.approx(sample.count, abs=1)


def test_progress_is_told_to_its_end() -> None:
    told: list[tuple[str, int, int]] = []
    counted(marked(evenly(60, 3600), 3600), progress=lambda *words: told.append(words))
    assert {what for what, _, _ in told} == {"looking for the tempo", "counting"}
    counting = [(done, total) for what, done, total in told if what == "counting"]
    assert counting[-1][0] == counting[-1][1] > 3
    assert counting == sorted(counting)


@pytest.mark.slow
def test_two_hours_are_counted_in_bounded_memory() -> None:
    length, fps = 2 * 3600 * 10, 10.0
    joints_TVC = marked(evenly(3600, length), length)
    stand_in = Perfect()
    tracemalloc.start()
    found = counted(joints_TVC, stand_in, fps=fps)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert abs(found.count - 3600) <= 4
    assert len(found.segments_K2) == pytest.approx(3600, abs=4)
    assert stand_in.largest <= 64
    assert most < 3 * joints_TVC.nbytes


@pytest.mark.parametrize(
    ("shape", "value", "text"),
    [
        ((10, 24, 2), 0.0, "joints must be [T, 24, 3]"),
        ((10, 25, 3), 0.0, "joints must be [T, 24, 3]"),
        ((0, 24, 3), 0.0, "with a frame or more"),
        ((10, 24, 3), np.nan, "frame 0: NaN or infinity at joint pelvis (10 frames"),
    ],
)
def test_joints_that_are_none_are_refused(shape: tuple[int, ...], value: float, text: str) -> None:
    with pytest.raises(DataError) as refused:
        counted(np.full(shape, value, np.float32))
    assert text in str(refused.value)


def test_a_frame_rate_is_needed() -> None:
    with pytest.raises(DataError, match="frames per second"):
        counted(person(5), fps=0.0)
