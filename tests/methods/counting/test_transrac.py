from dataclasses import replace

import pytest
import torch

from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.hl_rac import HLRAC
from flag3d_ray.methods.counting.transrac import TransRAC
from flag3d_ray.sample import Batch

FULL = Shapes(frames=128, layout="flag3d24")


def test_it_is_hl_rac_without_its_text_projector():
    guided = HLRAC().build(Shapes(frames=128, layout="flag3d24", text_width=768), 0).state_dict()
    free = TransRAC().build(FULL, 0).state_dict()
    assert {name: value.shape for name, value in free.items()} == {
        name: value.shape for name, value in guided.items() if not name.startswith("text.")
    }
    assert sum(value.numel() for name, value in guided.items() if name.startswith("text.")) == 305_304


def test_it_has_the_depth_of_hl_rac_and_its_own_name():
    method = TransRAC()
    assert (method.layers, method.widths) == (HLRAC().layers, HLRAC().widths)
    assert (method.name, method.task, method.language) == ("transrac", "counting", False)


SMALL = TransRAC(widths=(4, 4), model_width=8, attention_heads=2, layers=1, conv_channels=2, dropout=(0.0, 0.0, 0.0))
SHORT = Shapes(frames=8, layout="ntu25")
BATCH = Batch(
    clip_ids=("a", "b"),
    joints_BTVC=torch.randn(2, 8, 25, 3, generator=torch.Generator().manual_seed(0)),
    valid_BT=torch.ones(2, 8, dtype=torch.bool),
    text_BLD=torch.zeros(2, 0, 0),
    text_valid_BL=torch.ones(2, 0, dtype=torch.bool),
    density_BT=torch.full((2, 8), 0.1),
    count_B=torch.tensor([1.0, 4.0]),
)


def test_it_reads_no_text():
    network = SMALL.build(SHORT, 0)
    network.loss(BATCH).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert len(network.predict(BATCH)) == 2


def test_the_relative_error_of_the_count_is_added_to_the_loss_by_its_weight():
    plain, weighted = SMALL.build(SHORT, 0).eval(), replace(SMALL, count_weight=10.0).build(SHORT, 0).eval()
    errors = [abs(claim.count - truth) / truth for claim, truth in zip(plain.predict(BATCH), (1.0, 4.0), strict=True)]
    with torch.no_grad():
        difference = float(weighted.loss(BATCH) - plain.loss(BATCH))
    assert difference == pytest.approx(10.0 * sum(errors) / 2, rel=1e-4)
    assert TransRAC().count_weight == 0.0


def test_a_count_weight_needs_counts():
    uncounted = replace(BATCH, count_B=None)
    SMALL.build(SHORT, 0).loss(uncounted)
    with pytest.raises(ValueError, match="count_B"):
        replace(SMALL, count_weight=1.0).build(SHORT, 0).loss(uncounted)
