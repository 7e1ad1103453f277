from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.hl_rac import PAPER, RELEASED, DensityNetwork
from flag3d_ray.methods.counting.me_rac import MERAC
from flag3d_ray.methods.counting.transrac import TransRAC
from flag3d_ray.sample import Batch

FULL = Shapes(frames=128, layout="flag3d24")
SMALL = Shapes(frames=16, layout="flag3d24")
SIZES = DensityNetwork(
    widths=(4, 4),
    similarity_width=4,
    conv_channels=4,
    model_width=16,
    feed_forward=16,
    layers=1,
    density_widths=(16, 8),
    dropout=(0.0, 0.0, 0.0),
)


def tiny(**options: Any) -> MERAC:
    sizes: dict[str, Any] = {field.name: getattr(SIZES, field.name) for field in fields(DensityNetwork)}
    sizes["path_widths"] = (4, 8, 4)
    return MERAC(**sizes | options)


def small_batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        clip_ids=("a", "b", "c"),
        joints_BTVC=torch.randn(3, SMALL.frames, 24, 3, generator=generator),
        valid_BT=torch.ones(3, SMALL.frames, dtype=torch.bool),
        text_BLD=torch.zeros(3, 1, 0),
        text_valid_BL=torch.ones(3, 1, dtype=torch.bool),
        density_BT=torch.rand(3, SMALL.frames, generator=generator) * 0.2,
        count_B=torch.tensor([1.5, 3.0, 12.0]),
    )


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_it_has_the_parameters_that_its_sizes_say():
    network = MERAC().build(FULL, 0)
    first, second = 16 * 128, (16 * 256 + 256) + 5 * 3 * 256 * 256
    third = (16 * 128 + 128) + 3 * 3 * 128 * 128
    assert parameters(network.paths) == first + second + third + 2 * 512 == 1_140_096
    assert parameters(MERAC(shared_stem=True).build(FULL, 0).paths) == 1_140_096 - first
    transrac = TransRAC().build(FULL, 0)
    assert parameters(network.encoder) == parameters(transrac.encoder)
    # The head reads the 512 channels of the paths where TransRAC's reads the encoder's 384.
    assert parameters(network.head) == parameters(transrac.head) + 128 * 2 * 512


def test_encoder_and_head_have_the_names_of_transrac_and_the_encoder_its_weights():
    ours, theirs = MERAC().build(FULL, 3).state_dict(), TransRAC().build(FULL, 3).state_dict()
    assert {name for name in ours if not name.startswith("paths.")} == theirs.keys()
    assert {name for name in theirs if ours[name].shape != theirs[name].shape} == {"head.similarity.query_key.weight"}
    assert all(torch.equal(ours[name], value) for name, value in theirs.items() if name.startswith("encoder."))


@pytest.mark.parametrize("profile", [PAPER, RELEASED])
@pytest.mark.parametrize("shared_stem", [False, True])
def test_it_predicts_one_density_per_frame(profile, shared_stem):
    for prediction in tiny(profile=profile, shared_stem=shared_stem).build(SMALL, 0).predict(small_batch()):
        assert prediction.density_T is not None
        assert prediction.density_T.shape == (SMALL.frames,)
        assert prediction.count == pytest.approx(prediction.density_T.sum())


@pytest.mark.parametrize("count_weight", [1.0, 0.3])
def test_its_loss_is_the_squared_error_of_the_density_plus_the_smooth_absolute_error_of_the_count(count_weight):
    profile = replace(PAPER, density_scale=7.0)
    network, batch = tiny(profile=profile, count_weight=count_weight).build(SMALL, 0).eval(), small_batch()
    assert batch.density_BT is not None
    assert batch.count_B is not None
    predictions = network.predict(batch)
    density = torch.stack([torch.from_numpy(one.density_T) for one in predictions])
    errors = []
    for prediction, truth in zip(predictions, batch.count_B.tolist(), strict=True):
        difference = abs(prediction.count - truth)
        errors.append(difference**2 / 2 if difference < 1 else difference - 0.5)
    assert min(errors) < 0.5 < max(errors)

    expected = (density - batch.density_BT).square().mean() + count_weight * sum(errors) / len(errors)

    torch.testing.assert_close(network.loss(batch), expected)


def test_every_parameter_has_a_finite_gradient_under_bfloat16_autocast():
    network = tiny().build(SMALL, 0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.loss(small_batch())
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_a_batch_without_counts_has_no_loss():
    with pytest.raises(ValueError, match="count_B"):
        tiny().build(SMALL, 0).loss(small_batch().without_labels())
