"""The period head: self-similarity of distances, and outputs at the clip lengths that are used."""

import pytest
import torch

from flag3d_ray.models.period_head import PeriodHead, PeriodSizes, self_similarity

SMALL = PeriodSizes(
    temporal_width=6, conv_channels=2, model_width=8, attention_heads=2, feed_forward=8, hidden_widths=(8, 8)
)


def test_similarity_is_the_softmax_of_negative_squared_distances_by_the_temperature():
    x = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    ours = self_similarity(x, 1.7)

    for clip, image in zip(x, ours, strict=True):
        for i in range(7):
            distances = [
                sum((a - b) ** 2 for a, b in zip(clip[i].tolist(), other, strict=True)) for other in clip.tolist()
            ]
            torch.testing.assert_close(image[i], torch.softmax(-torch.tensor(distances).double() / 1.7, dim=0))


def test_similarity_of_half_precision_features_is_computed_in_float32():
    x = torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(0)).relu().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        ours = self_similarity(x, 13.544)

    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, self_similarity(x.double(), 13.544).float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frames", [64, 128])
def test_lengths_and_periodicity_are_one_per_frame_and_every_frame_has_a_position_of_its_own(frames):
    head = PeriodHead(10, frames, SMALL, classes=frames)

    lengths, periodicity = head(torch.randn(2, frames, 10))

    assert lengths.shape == (2, frames, frames)
    assert periodicity.shape == (2, frames)
    assert head.length.positions.shape == (frames, 8)
    assert head.length.positions.std().item() == pytest.approx(0.02, rel=0.2)


def test_evaluation_and_training_compute_the_same_without_dropout():
    torch.manual_seed(0)
    branch = PeriodHead(10, 32, SMALL, classes=5).length
    rows = torch.randn(3, 32, 64)
    for dropout in (layer for layer in branch.classify if isinstance(layer, torch.nn.Dropout)):
        dropout.p = 0.0

    trained = branch.train()(rows)

    with torch.no_grad():
        torch.testing.assert_close(branch.eval()(rows), trained)
