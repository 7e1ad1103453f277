import sys
from dataclasses import replace
from subprocess import run

import numpy as np
import pytest
import torch

from flag3d_ray.errors import DataError
from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.hl_rac import HLRAC, PAPER, RELEASED, Fusion, Profile
from flag3d_ray.models.density_head import DensityHead, HeadSizes, SelfSimilarity
from flag3d_ray.sample import Batch

FULL = Shapes(frames=128, layout="flag3d24", text_width=768)
SMALL = Shapes(frames=16, layout="flag3d24", text_width=12)
FUSIONS: tuple[Fusion, ...] = ("addition", "cross_attention", "multiplication")


def _tiny(fusion: Fusion = "multiplication", **options) -> HLRAC:
    sizes = {"widths": (4, 8, 8, 4), "similarity_width": 4, "conv_channels": 4, "model_width": 16, "feed_forward": 16}
    return HLRAC(**{"fusion": fusion, **sizes, "layers": 1, "density_widths": (16, 8)} | options)


def _batch(clips: int = 4, tokens: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(0)
    density = torch.rand(clips, SMALL.frames, generator=generator) * 0.2
    valid = torch.ones(clips, tokens, dtype=torch.bool)
    valid[0, 1:] = False
    return Batch(
        clip_ids=tuple(f"clip{index}" for index in range(clips)),
        joints_BTVC=torch.randn(clips, SMALL.frames, 24, 3, generator=generator),
        valid_BT=torch.ones(clips, SMALL.frames, dtype=torch.bool),
        text_BLD=torch.randn(clips, tokens, SMALL.text_width, generator=generator),
        text_valid_BL=valid,
        density_BT=density,
        count_B=density.sum(dim=1),
    )


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_released_profile_has_the_released_parameter_counts():
    network = HLRAC(profile=RELEASED).build(FULL, 0)
    assert network.text is not None
    assert _parameters(network.encoder) == 1_650_194
    assert _parameters(network.text) == 305_304
    assert _parameters(network) == 9_778_059
    assert _parameters(HLRAC(profile=RELEASED, layers=1).build(FULL, 0)) == 6_622_091


def test_the_paper_profile_has_the_released_parameters_less_those_without_effect():
    widths = HLRAC().widths
    graph_and_temporal_biases = (3 + 1 + 1) * sum(widths)  # three projections, residual of the graph unit, temporal
    block_residual_biases = sum(widths[1:])
    dropped = graph_and_temporal_biases + block_residual_biases + HLRAC().conv_channels
    dead_value, leftover_norm = 384 * 512 + 512, 2 * 512
    assert _parameters(HLRAC().build(FULL, 0)) == 9_778_059 - dead_value - leftover_norm - dropped == 9_576_011


@pytest.mark.parametrize("fusion", FUSIONS)
def test_gradients_reach_every_parameter_within_three_steps(fusion):
    network = _tiny(fusion, dropout=(0.0, 0.0, 0.0)).build(SMALL, 0)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    reached: set[str] = set()
    for _ in range(3):
        optimizer.zero_grad()
        network.loss(_batch()).backward()
        optimizer.step()
        named = network.named_parameters()
        reached |= {name for name, value in named if value.grad is not None and value.grad.abs().max() > 0}
    missing = {name for name, _ in network.named_parameters()} - reached
    # With one pooled key the softmax is 1: the query projection, and the key half of key_value, have no gradient.
    assert {name for name in missing if "attend.query" not in name} == set()
    assert bool(missing) == (fusion == "cross_attention")


def test_text_alpha_and_adjacency_have_a_gradient_in_the_first_step():
    network = _tiny().build(SMALL, 0)
    network.loss(_batch()).backward()
    first = [name for name, _ in network.named_parameters() if "theta" in name or name.endswith(("alpha", "adjacency"))]
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert len(first) == 4 + 2 * 4
    for name in first:
        gradient = gradients[name]
        assert gradient is not None
        assert gradient.abs().max() > 0, name


def test_tokens_give_attention_queries_a_gradient():
    network = _tiny("cross_attention", tokens=True).build(SMALL, 0)
    network.loss(_batch(tokens=5)).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters() if "attend.query" in name}
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients.values())


def test_pooled_text_is_the_mean_of_the_valid_tokens():
    network = _tiny().build(SMALL, 0).eval()
    batch = _batch(tokens=5)
    means = [batch.text_BLD[row, batch.text_valid_BL[row]].mean(dim=0) for row in range(len(batch))]
    pooled = replace(batch, text_BLD=torch.stack(means)[:, None], text_valid_BL=batch.text_valid_BL[:, :1])
    torch.testing.assert_close(network(batch), network(pooled))


def test_weights_depend_on_the_seed_alone_and_the_global_random_state_is_untouched():
    torch.manual_seed(1)
    first = _tiny().build(SMALL, 7).state_dict()
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)
    second = _tiny().build(SMALL, 7).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    third = _tiny().build(SMALL, 8).state_dict()
    assert not torch.equal(first["head.project.weight"], third["head.project.weight"])


def test_the_count_is_the_sum_of_the_density_and_reads_no_label():
    network = _tiny().build(SMALL, 0)
    predictions = network.predict(_batch().without_labels())
    for clip_id, prediction in zip(_batch().clip_ids, predictions, strict=True):
        assert prediction.clip_id == clip_id
        assert prediction.density_T is not None
        assert prediction.density_T.dtype == np.float32
        assert prediction.density_T.shape == (SMALL.frames,)
        assert prediction.count == pytest.approx(prediction.density_T.sum())
    assert network.training


def test_the_loss_is_the_mean_squared_error_of_the_scaled_density():
    network = _tiny(profile=Profile(density_scale=10.0)).build(SMALL, 0).eval()
    batch = _batch()
    assert batch.density_BT is not None
    density = torch.stack([torch.from_numpy(one.density_T) for one in network.predict(batch)])
    expected = (10.0 * (density - batch.density_BT)).square().mean()
    torch.testing.assert_close(network.loss(batch), expected)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_loss_and_gradients_are_finite_float32_under_bfloat16_autocast(fusion):
    network = _tiny(fusion).build(SMALL, 0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.loss(_batch())
        predictions = network.predict(_batch())
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)
    assert all(
        prediction.density_T is not None and prediction.density_T.dtype == np.float32 for prediction in predictions
    )


def test_similarity_rows_are_the_softmax_of_scaled_products_per_head():
    torch.manual_seed(0)
    similarity = SelfSimilarity(6, 2, 3, scales=(1,), divisor="head_width", dead_value=False)
    features = torch.randn(1, 5, 6)
    query, key = similarity.query_key(features)[0].split(6, dim=-1)
    for head in range(2):
        scores = query[:, 3 * head : 3 * head + 3] @ key[:, 3 * head : 3 * head + 3].T / 3**0.5
        torch.testing.assert_close(similarity(features)[0, head], torch.softmax(scores, dim=-1))


def test_three_scales_give_three_times_the_channels():
    head = DensityHead(6, 16, HeadSizes(scales=(1, 4, 8), model_width=8, attention_heads=2, conv_channels=2))
    assert head.similarity(torch.randn(2, 16, 6)).shape == (2, 12, 16, 16)
    assert head(torch.randn(2, 16, 6)).shape == (2, 16)


def test_a_window_mean_of_projections_is_the_projection_of_the_window_mean():
    torch.manual_seed(0)
    wide = SelfSimilarity(6, 1, 4, scales=(4,), divisor="head_width", dead_value=False)
    plain = SelfSimilarity(6, 1, 4, scales=(1,), divisor="head_width", dead_value=False)
    plain.load_state_dict(wide.state_dict())
    features = torch.randn(1, 12, 6)
    means = torch.stack([features[:, max(0, t - 2) : t + 2].mean(dim=1) for t in range(12)], dim=1)
    torch.testing.assert_close(wide(features), plain(means))


@pytest.mark.slow
def test_sixteen_clips_can_be_learnt_by_heart():
    torch.manual_seed(0)
    network = _tiny(dropout=(0.0, 0.0, 0.0)).build(SMALL, 0)
    batch = _batch(16)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        network.loss(batch).backward()
        optimizer.step()
    assert batch.count_B is not None
    counts = torch.tensor([prediction.count for prediction in network.predict(batch)])
    assert (counts - batch.count_B).abs().max() < 0.5


def test_a_guided_method_needs_text():
    with pytest.raises(DataError, match="transrac"):
        HLRAC().build(replace(FULL, text_width=0), 0)


def test_options_that_exclude_each_other_are_refused():
    with pytest.raises(ValueError, match="tokens"):
        HLRAC(tokens=True)
    with pytest.raises(ValueError, match="leftovers"):
        Profile(leftovers=True)
    with pytest.raises(ValueError, match="feature"):
        _tiny("cross_attention", profile=replace(PAPER, fuse_level="feature")).build(SMALL, 0)


def test_declaring_a_method_imports_no_torch():
    code = "import sys, flag3d_ray.methods.counting.hl_rac; sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
