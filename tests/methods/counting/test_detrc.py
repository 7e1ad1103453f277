import sys
from subprocess import run

import numpy as np
import pytest
import torch

from flag3d_ray.data.clips import open_clips
from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.detrc import DeTRC
from flag3d_ray.methods.counting.transrac import TransRAC
from flag3d_ray.paper import published
from flag3d_ray.training.fit import clip_spec

FULL = Shapes(frames=128, layout="flag3d24")


def _tiny(**options) -> DeTRC:
    sizes = {"widths": (4, 4), "model_width": 16, "attention_heads": 2, "feed_forward": 32, "queries": 24}
    return DeTRC(**sizes, encoder_layers=1, decoder_layers=2, **options)


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_network_has_the_derived_number_of_parameters():
    network = DeTRC().build(FULL, 0).network

    def linear(width: int, out: int) -> int:
        return width * out + out

    norm, square = 2 * 512, linear(512, 512)
    deformable = 2 * linear(512, 8 * 4) + 2 * square
    feed_forward = linear(512, 1024) + linear(1024, 512)
    encoder = 2 * (deformable + norm + feed_forward)
    decoder = 4 * (3 * square + deformable + feed_forward + 3 * norm) + norm
    heads = 4 * (linear(512, 2) + 2 * square + linear(512, 2)) + 2 * linear(512, 1)
    queries = square + norm + 96 * 512 + linear(512, 1)
    assert _parameters(network) == linear(384, 512) + encoder + queries + decoder + heads == 15_437_715
    video = linear(2048, 512) - linear(384, 512)
    without_effect = 2 * norm + linear(1024, 512) + 512 * 512 + 40 * 512  # norms, a map, positions, content of queries
    assert _parameters(network) + video + without_effect + (40 - 96) * 512 == 17_070_483  # as released


def test_the_encoder_takes_the_weights_of_transracs():
    encoder = DeTRC(widths=(4, 4)).build(FULL, 0).encoder
    start = TransRAC(widths=(4, 4)).build(FULL, 1).encoder
    encoder.load_state_dict(start.state_dict(), strict=True)
    assert _parameters(encoder) == _parameters(start)


def test_it_is_the_row_of_the_tables_and_reads_no_text():
    method = DeTRC()
    assert method.name in {row.arm["method"] for row in published(3).rows}
    assert (method.task, method.language) == ("counting", False)


def test_it_can_count_as_far_as_the_dataset_goes():
    assert min(DeTRC().queries, DeTRC().keep) >= 64


def test_weights_depend_on_the_seed_alone_and_the_global_random_state_is_untouched():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = _tiny().build(FULL, 7).state_dict()
    assert torch.equal(torch.rand(1), expected)
    second, third = _tiny().build(FULL, 7).state_dict(), _tiny().build(FULL, 8).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["network.query_positions"], third["network.query_positions"])


@pytest.mark.parametrize("options", [{}, {"positions": "none", "cross_query": "unnormalized", "overlap_weight": 0.0}])
def test_every_parameter_has_a_gradient_within_three_steps_of_the_warmup(tiny_run, tiny_home, options):
    """The class heads learn from the segments that the decoder is shown while their own loss waits."""
    run = tiny_run(_tiny(**options))
    clips = open_clips(clip_spec(run, tiny_home, "train"))
    network, batch = run.method.build(clips.shapes, 0), clips.batch(np.arange(6))
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4)
    heard: set[str] = set()
    for _ in range(3):
        optimiser.zero_grad()
        network.loss(batch).backward()
        heard |= {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        optimiser.step()
    assert {name for name, _ in network.named_parameters()} - heard == set()


def test_declaring_a_method_imports_no_torch():
    code = "import sys, flag3d_ray.methods.counting.detrc; sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
