import sys
from subprocess import run
from typing import Any

import numpy as np
import pytest
import torch

from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.repnet import PUBLISHED, RepNet
from flag3d_ray.methods.counting.transrac import TransRAC
from flag3d_ray.sample import Batch

FULL = Shapes(frames=128, layout="flag3d24")
SMALL = Shapes(frames=16, layout="flag3d24")


def tiny(**options: Any) -> RepNet:
    sizes = {"temporal_width": 8, "conv_channels": 2, "model_width": 8, "attention_heads": 2, "feed_forward": 8}
    return RepNet(**{"widths": (4, 4), "hidden_widths": (8, 8), "dropout": 0.0, **sizes} | options)


def small_batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        clip_ids=("a", "b", "c"),
        joints_BTVC=torch.randn(3, SMALL.frames, 24, 3, generator=generator),
        valid_BT=torch.arange(SMALL.frames) < torch.tensor([16, 9, 16])[:, None],
        text_BLD=torch.zeros(3, 1, 0),
        text_valid_BL=torch.ones(3, 1, dtype=torch.bool),
        reps_BT=torch.tensor([[0] * 8 + [1] * 8, [0] * 4 + [1] * 5 + [-1] * 7, [-1] * 3 + [0] * 4 + [1] * 9]),
    )


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_it_has_the_parameters_that_its_sizes_say():
    network = RepNet().build(FULL, 0)
    attention = 4 * (512 * 512 + 512)
    transformer = attention + 2 * (512 * 512 + 512) + 2 * 2 * 512
    branch = (128 * 32 * 512 + 512) + 128 * 512 + transformer + 2 * (512 * 512 + 512)
    assert parameters(network.encoder) == 1_646_322
    assert parameters(network.periods.length) == branch + 512 * 128 + 128 == 4_332_160
    assert parameters(network.periods.periodicity) == branch + 512 + 1 == 4_267_009
    assert parameters(network.periods) == 3 * 384 * 512 + 2 * 512 + 320 + 4_332_160 + 4_267_009
    assert parameters(network) == 10_836_659


def test_its_branches_have_the_released_parameters_at_the_released_length():
    periods = RepNet(classes=32).build(Shapes(frames=64, layout="flag3d24"), 0).periods
    positions = 64 * 512 - 64  # the port that was counted holds one number per frame instead of 512
    assert parameters(periods.length) == 3_168_864 + positions
    assert parameters(periods.periodicity) == 3_152_961 + positions


def test_its_encoder_is_that_of_transrac_with_the_same_seed_and_takes_its_weights():
    ours, theirs = RepNet().build(FULL, 3), TransRAC().build(FULL, 3)
    encoder = theirs.encoder.state_dict()
    assert all(torch.equal(value, encoder[name]) for name, value in ours.encoder.state_dict().items())
    assert set(theirs.state_dict()) & set(ours.state_dict()) == {f"encoder.{name}" for name in encoder}


def test_there_are_as_many_classes_as_frames_unless_it_is_told_otherwise():
    assert tiny().build(SMALL, 0)(small_batch())[0].shape == (3, 16, 16)
    assert tiny(classes=8).build(SMALL, 0)(small_batch())[0].shape == (3, 16, 8)


def test_its_density_sums_to_its_count_and_padding_has_none():
    network = tiny(frame_threshold=0.0, clip_threshold=0.0).build(SMALL, 0)
    for prediction, valid_T in zip(network.predict(small_batch()), small_batch().valid_BT.numpy(), strict=True):
        assert prediction.density_T is not None
        assert prediction.density_T.dtype == np.float32
        assert prediction.count == pytest.approx(prediction.density_T.sum())
        assert prediction.count > 0
        assert (prediction.density_T[~valid_T] == 0).all()
    assert network.training


def test_the_loss_of_a_batch_is_the_mean_of_the_losses_of_its_clips():
    network, whole = tiny().build(SMALL, 0).eval(), small_batch()
    clips = [
        Batch(
            clip_ids=whole.clip_ids[row : row + 1],
            joints_BTVC=whole.joints_BTVC[row : row + 1],
            valid_BT=whole.valid_BT[row : row + 1],
            text_BLD=whole.text_BLD[row : row + 1],
            text_valid_BL=whole.text_valid_BL[row : row + 1],
            reps_BT=whole.reps_BT[row : row + 1] if whole.reps_BT is not None else None,
        )
        for row in range(3)
    ]
    torch.testing.assert_close(network.loss(whole), torch.stack([network.loss(clip) for clip in clips]).mean())


def test_loss_and_gradients_are_finite_float32_under_bfloat16_autocast():
    network = tiny().build(SMALL, 0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.loss(small_batch())
        predictions = network.predict(small_batch())
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert all(np.isfinite(prediction.count) for prediction in predictions)


def test_conventions_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="first_period=2"):
        RepNet(first_period=2)
    with pytest.raises(ValueError, match="shortest_period=0"):
        RepNet(shortest_period=0)


def test_the_published_training_is_400_000_steps_of_five_clips():
    assert PUBLISHED.epochs * PUBLISHED.max_clips_per_epoch // PUBLISHED.batch == 400_000


def test_declaring_it_imports_no_torch():
    code = "import sys, flag3d_ray.methods.counting.repnet; sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
