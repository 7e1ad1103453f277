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


def test_it_reads_no_text():
    shapes = Shapes(frames=8, layout="ntu25")
    method = TransRAC(widths=(4, 4), model_width=8, attention_heads=2, layers=1, conv_channels=2)
    network = method.build(shapes, 0)
    batch = Batch(
        clip_ids=("a", "b"),
        joints_BTVC=torch.randn(2, 8, 25, 3, generator=torch.Generator().manual_seed(0)),
        valid_BT=torch.ones(2, 8, dtype=torch.bool),
        text_BLD=torch.zeros(2, 0, 0),
        text_valid_BL=torch.ones(2, 0, dtype=torch.bool),
        density_BT=torch.full((2, 8), 0.1),
    )
    network.loss(batch).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert len(network.predict(batch)) == 2
