import sys
from subprocess import run

import numpy as np
import pytest
import torch

from flag3d_ray.data.clips import open_clips
from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.easyshots import EasyShots
from flag3d_ray.methods.counting.transrac import TransRAC
from flag3d_ray.paper import published
from flag3d_ray.training.fit import clip_spec

FULL = Shapes(frames=128, layout="flag3d24")


def _tiny(**options) -> EasyShots:
    sizes = {"widths": (4, 4), "model_width": 16, "attention_heads": 2, "feed_forward": 32}
    return EasyShots(**sizes, cross_blocks=1, window_blocks=2, exemplar_steps=4, **options)


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_decoder_has_the_derived_number_of_parameters():
    decoder = EasyShots().build(FULL, 0).decoder
    embedding, zero_shot, norm, density = 16 * 512 + 512, 8 * 24 * 512, 2 * 512, 512 + 1
    attention, feed_forward = 4 * (512 * 512 + 512), 512 * 2048 + 2048 + 2048 * 512 + 512
    cross_block = 2 * attention + feed_forward + 3 * norm
    window_block = attention + feed_forward + 2 * norm + 8 * 7 * 24 * 24
    assert cross_block == 4_204_032  # as in the original
    assert window_block == 3_161_848 - 8 * 7 * 13 * 13 + 8 * 7 * 24 * 24  # the original's bias is of 4 x 7 x 7 windows
    assert _parameters(decoder) == embedding + zero_shot + 2 * cross_block + norm + 3 * window_block + density
    assert _parameters(decoder) == 18_070_529


def test_the_encoder_takes_the_weights_of_transracs():
    encoder = EasyShots(widths=(4, 4)).build(FULL, 0).encoder
    start = TransRAC(widths=(4, 4)).build(FULL, 1).encoder
    encoder.load_state_dict(start.state_dict(), strict=True)
    assert _parameters(encoder) == _parameters(start)


def test_it_is_the_row_of_the_tables_and_reads_no_text():
    method = EasyShots()
    assert method.name in {row.arm["method"] for row in published(3).rows}
    assert (method.task, method.language) == ("counting", False)


def test_the_defaults_are_the_papers():
    method = EasyShots()
    assert (method.shots, method.masked, method.sigma, method.window_residual) == ((0, 1, 2), 0.2, 0.5, True)
    assert (method.collisions, method.count_weight, method.density_scale) == ("add", 1.0, 100.0)


def test_weights_depend_on_the_seed_alone_and_the_global_random_state_is_untouched():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = _tiny().build(FULL, 7).state_dict()
    assert torch.equal(torch.rand(1), expected)
    second, third = _tiny().build(FULL, 7).state_dict(), _tiny().build(FULL, 8).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["decoder.zero_shot"], third["decoder.zero_shot"])


@pytest.mark.parametrize("window_residual", [True, False])
def test_every_parameter_has_a_gradient_within_three_steps(tiny_run, tiny_home, window_residual):
    run = tiny_run(_tiny(window_residual=window_residual))
    clips = open_clips(clip_spec(run, tiny_home, "train"))
    network, batch = run.method.build(clips.shapes, 0), clips.batch(np.arange(6))
    heard: set[str] = set()
    for _ in range(3):
        network.zero_grad()
        network.loss(batch).backward()
        heard |= {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        torch.optim.SGD(network.parameters(), lr=1e-4).step()
    assert {name for name, _ in network.named_parameters()} - heard == set()


def test_impossible_options_are_refused():
    with pytest.raises(ValueError, match="shots"):
        EasyShots(shots=())
    with pytest.raises(ValueError, match="sigma"):
        EasyShots(sigma=0.0)
    with pytest.raises(ValueError, match="multiple of pool"):
        _tiny(pool=5).build(FULL, 0)


def test_declaring_a_method_imports_no_torch():
    code = "import sys, flag3d_ray.methods.counting.easyshots; sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
