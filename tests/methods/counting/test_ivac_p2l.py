from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.hl_rac import PAPER, DensityNetwork
from flag3d_ray.methods.counting.ivac_p2l import IVACP2L
from flag3d_ray.methods.counting.transrac import TransRAC
from flag3d_ray.models.pull_push import pull_push_loss
from flag3d_ray.sample import Batch

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


def sizes() -> dict[str, Any]:
    return {field.name: getattr(SIZES, field.name) for field in fields(DensityNetwork)}


def tiny(**options: Any) -> IVACP2L:
    return IVACP2L(**sizes() | options)


def small_batch() -> Batch:
    """A clip that repetitions fill, one with rests, a short one."""
    generator = torch.Generator().manual_seed(0)
    return Batch(
        clip_ids=("a", "b", "c"),
        joints_BTVC=torch.randn(3, SMALL.frames, 24, 3, generator=generator),
        valid_BT=torch.arange(SMALL.frames) < torch.tensor([16, 16, 9])[:, None],
        text_BLD=torch.zeros(3, 1, 0),
        text_valid_BL=torch.ones(3, 1, dtype=torch.bool),
        density_BT=torch.rand(3, SMALL.frames, generator=generator) * 0.2,
        count_B=torch.tensor([2.0, 2.0, 1.0]),
        reps_BT=torch.tensor([[0] * 8 + [1] * 8, [-1] * 3 + [0] * 4 + [-1] * 2 + [1] * 7, [0] * 9 + [-1] * 7]),
    )


def test_it_is_transrac_with_another_loss():
    full = Shapes(frames=128, layout="flag3d24")
    ours, theirs = IVACP2L().build(full, 3).state_dict(), TransRAC().build(full, 3).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    counts = [network.build(SMALL, 3).predict(small_batch()) for network in (tiny(), TransRAC(**sizes()))]
    assert [one.count for one in counts[0]] == [one.count for one in counts[1]]


def test_its_loss_is_ten_times_the_squared_error_of_the_density_and_ten_times_pull_and_push():
    network, batch = tiny(profile=replace(PAPER, density_scale=7.0)).build(SMALL, 0).eval(), small_batch()
    assert batch.density_BT is not None
    assert batch.reps_BT is not None
    density = torch.stack([torch.from_numpy(one.density_T) for one in network.predict(batch)])
    embedded = network.head.embed(network.encoder(batch.joints_BTVC))
    pull_push = pull_push_loss(embedded, batch.reps_BT, batch.valid_BT).mean()

    expected = 10 * (density - batch.density_BT).square().mean() + 10 * pull_push

    torch.testing.assert_close(network.loss(batch), expected)


def test_the_transformer_does_not_hear_of_pull_and_push_and_the_embedding_does():
    network = tiny(density_weight=0.0).build(SMALL, 0)
    network.loss(small_batch()).backward()
    heard = {name for name, p in network.head.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert {"project.weight", "conv.weight", "similarity.query_key.weight"} <= heard
    assert not any(name.startswith(("transformer", "density")) for name in heard)


def test_every_parameter_has_a_finite_gradient_although_a_clip_has_no_interval():
    network = tiny().build(SMALL, 0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.loss(small_batch())
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_released_last_frame_gives_a_full_clip_a_push():
    batch = small_batch()
    losses = [
        tiny(density_weight=0.0, last_frame_is_interval=flag).build(SMALL, 0).eval().loss(batch).item()
        for flag in (False, True)
    ]
    assert np.isfinite(losses).all()
    assert losses[1] > losses[0] + 10 * 2 / 3 * np.exp(-2) * 0.5  # two of three clips gain a push


def test_a_batch_without_repetitions_has_no_loss():
    with pytest.raises(ValueError, match="reps_BT"):
        tiny().build(SMALL, 0).loss(small_batch().without_labels())
