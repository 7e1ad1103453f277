"""What counts: methods that learn nothing, networks with and without words, recordings in another layout."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from flag3d_ray.clip_counters import UNTRAINED, common_layout, in_layout, trained, untrained
from flag3d_ray.data.recording import Recording
from flag3d_ray.data.recording_windows import Window, batch
from flag3d_ray.data.text_encoders import encoder
from flag3d_ray.errors import DataError, RunError
from flag3d_ray.home import Home
from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.hl_rac import HLRAC
from flag3d_ray.run import Run
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import layout
from flag3d_ray.training.packaged import Checkpoint, run_shapes

SMALLEST = HLRAC(
    widths=(4,), similarity_heads=2, similarity_width=4, conv_channels=4, model_width=8, attention_heads=2,
    feed_forward=8, layers=1, density_widths=(8, 8),
)  # fmt: skip


@pytest.fixture
def checkpoint(tiny_home: Home, tiny_run: Callable[..., Run]) -> Callable[..., Checkpoint]:
    def make(method=None, text_digest: str = "") -> Checkpoint:
        run = tiny_run(method)
        shapes = run_shapes(run, tiny_home)
        estimator = run.method.build(shapes, seed=0)
        assert isinstance(estimator, nn.Module)
        return Checkpoint(name="mine", run=run, shapes=shapes, estimator=estimator, text_digest=text_digest)

    return make


def test_a_network_that_reads_language_gets_the_embedding_of_the_caption(checkpoint) -> None:
    counter = trained(checkpoint(SMALLEST), "raise both arms")
    assert counter.text_LD is not None
    np.testing.assert_array_equal(counter.text_LD[0], encoder("lexical").encode(["raise both arms"])[0].pooled_D)


@pytest.mark.parametrize("caption", ["Kniebeugen mit gestreckten Armen", "深蹲", "squat " * 2000])
def test_captions_of_any_language_and_length_are_embedded(checkpoint, caption: str) -> None:
    counter = trained(checkpoint(SMALLEST), caption)
    assert counter.text_LD is not None
    assert np.isfinite(counter.text_LD).all()


@pytest.mark.parametrize("caption", [None, "", "  \n"])
def test_a_network_that_reads_language_needs_words(checkpoint, caption: str | None) -> None:
    with pytest.raises(RunError) as refused:
        trained(checkpoint(SMALLEST), caption)
    assert refused.value.where == "--caption"
    assert "--caption" in refused.value.remedy


def test_a_network_without_language_is_told_nothing(checkpoint) -> None:
    assert trained(checkpoint(), None).text_LD is None
    with pytest.raises(RunError, match="reads no language"):
        trained(checkpoint(), "squats")


def test_a_text_encoder_with_other_weights_is_refused(checkpoint) -> None:
    assert trained(checkpoint(SMALLEST, encoder("lexical").weights_digest), "squats").name == "mine"
    with pytest.raises(RunError, match="not those that mine was trained with"):
        trained(checkpoint(SMALLEST, "0123"), "squats")


@pytest.mark.parametrize("name", [*UNTRAINED, "pca_peak"])
def test_methods_without_training_are_built_for_the_layout(name: str) -> None:
    counter = untrained(name, "ntu25")
    assert (counter.shapes.layout, counter.shapes.frames) == ("ntu25", 128)
    assert untrained(name, "coco17").shapes.channels == 2


def test_methods_that_must_learn_are_refused_with_the_way_to_name_them() -> None:
    with pytest.raises(RunError, match="--checkpoint"):
        untrained("transrac", "flag3d24")


def test_networks_of_different_layouts_do_not_count_together(checkpoint) -> None:
    one = trained(checkpoint(), None)
    other = untrained("fourier", "ntu25")
    assert common_layout([one, one]) == "flag3d24"
    with pytest.raises(RunError, match="different joint layouts: flag3d24, ntu25"):
        common_layout([one, other])


def test_a_recording_is_converted_with_a_note_or_left_alone(tiny_sample: Callable[[int], Sample]) -> None:
    joints_TVC = np.random.default_rng(0).normal(size=(5, 31, 3)).astype(np.float32)
    recording = Recording(joints_TVC=joints_TVC, layout="cmu31", fps=120.0, notes=("a",))
    assert in_layout(recording) is recording
    assert in_layout(recording, "cmu31") is recording
    converted = in_layout(recording, "flag3d24")
    assert (converted.layout, converted.joints_TVC.shape) == ("flag3d24", (5, 24, 3))
    np.testing.assert_array_equal(
        converted.joints_TVC[:, layout("flag3d24").index("left_knee")],
        joints_TVC[:, layout("cmu31").index("left_knee")],
    )
    assert converted.notes[0] == "a"
    assert "converted from cmu31 to flag3d24" in converted.notes[1]


def test_markers_on_the_skin_become_joints_for_every_method() -> None:
    markers_TVC = np.random.default_rng(0).normal(size=(5, 39, 3)).astype(np.float32)
    recording = Recording(joints_TVC=markers_TVC, layout="ui_prmd39", fps=50.0)
    assert in_layout(recording).layout == "flag3d24"


def test_pixels_cannot_become_joints_in_space_and_the_remedy_counts_without_a_network() -> None:
    recording = Recording(joints_TVC=np.ones((5, 17, 2), np.float32), layout="coco17", fps=30.0)
    assert in_layout(recording) is recording
    with pytest.raises(DataError) as refused:
        in_layout(recording, "flag3d24")
    assert "--method wavelet" in refused.value.remedy


def test_shapes_of_a_method_without_training_are_its_own() -> None:
    assert untrained("fourier", "flag3d24").shapes == Shapes(frames=128, layout="flag3d24")


def test_a_network_that_diverged_is_named(checkpoint) -> None:
    broken = checkpoint()
    with torch.no_grad():
        next(broken.estimator.parameters()).fill_(float("nan"))
    clips = batch(np.zeros((40, 24, 3), np.float32), [Window(0, 40)], 32)
    with pytest.raises(RunError, match="mine: it predicts NaN"):
        trained(broken, None).predict(clips)


def test_predictions_are_as_precise_as_the_weights(checkpoint) -> None:
    double = checkpoint()
    double.estimator.double()
    joints_TVC = np.random.default_rng(0).normal(size=(40, 24, 3)).astype(np.float32)
    (claim,) = trained(double, None).predict(batch(joints_TVC, [Window(0, 40)], 32))
    assert claim.density_T is not None
    assert np.isfinite(claim.count)
