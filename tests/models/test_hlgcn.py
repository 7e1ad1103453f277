from typing import TypeVar

import numpy as np
import pytest
import torch

from flag3d_ray.models.fusion import CrossAttention
from flag3d_ray.models.graph import adjacency
from flag3d_ray.models.hlgcn import HLGCN, Block, GraphUnit
from flag3d_ray.models.hlgcn_plain import PlainHLGCN, merge
from flag3d_ray.skeleton import FLAG3D24

Network = TypeVar("Network", bound=torch.nn.Module)
V, T, B = 24, 12, 3
GRAPH = adjacency(FLAG3D24)
WIDTHS = (8, 8, 12, 4)


def _inputs(tokens: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    joints = torch.randn(B, T, V, 3, generator=generator, dtype=torch.float64)
    points = torch.randn(B, tokens, V, generator=generator, dtype=torch.float64)
    valid = torch.ones(B, tokens, dtype=torch.bool)
    valid[0, 1:] = False
    return joints, points, valid


def _randomized(network: Network) -> Network:
    """Every parameter away from the values at which terms vanish."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(torch.randn(value.shape, generator=generator, dtype=value.dtype) * 0.2)
    return network


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("text_axis", ["source", "target"])
@pytest.mark.parametrize(
    ("fusion", "tokens"),
    [("none", 1), ("addition", 1), ("multiplication", 1), ("cross_attention", 1), ("cross_attention", 5)],
)
def test_fast_and_plain_agree_in_output_and_gradient(fusion, tokens, text_axis, training):
    options = {"fusion": fusion, "text_axis": text_axis, "axes": "scrambled" if text_axis == "target" else "correct"}
    joints, points, valid = _inputs(tokens)
    plain = _randomized(PlainHLGCN(GRAPH, 3, WIDTHS, **options).double())
    for module in plain.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = 1.0
    plain(joints, points, valid)  # so that evaluation mode has the statistics of the data
    plain.train(training)
    fast = HLGCN(GRAPH, 3, WIDTHS, **options).double().train(training)
    fast.load_state_dict(merge(plain.state_dict()))
    for network in (plain, fast):
        for module in network.modules():
            if isinstance(module, CrossAttention | torch.nn.MultiheadAttention):
                module.dropout = 0.0
    results = []
    for network in (plain, fast):
        leaves = [joints.clone().requires_grad_(), points.clone().requires_grad_()]
        output = network(*leaves, valid)
        (output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)).sum().backward()
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        results.append((output.detach(), leaves, gradients))
    (plain_output, plain_leaves, plain_gradients), (output, leaves, gradients) = results
    torch.testing.assert_close(output, plain_output, rtol=1e-10, atol=1e-10)
    for ours, theirs in zip(leaves, plain_leaves, strict=True):
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-10)
    state = {name: torch.zeros_like(value) for name, value in plain.state_dict().items()} | plain_gradients
    for name, theirs in merge({k: torch.zeros(()) if v is None else v for k, v in state.items()}).items():
        if name in gradients and gradients[name] is not None:
            torch.testing.assert_close(gradients[name], theirs, rtol=1e-9, atol=1e-10, msg=name)


def test_zero_text_points_leave_the_text_free_network():
    joints, points, valid = _inputs()
    free = _randomized(HLGCN(GRAPH, 3, WIDTHS, fusion="none").double())
    guided = HLGCN(GRAPH, 3, WIDTHS, fusion="multiplication").double()
    guided.load_state_dict(free.state_dict())
    torch.testing.assert_close(guided(joints, points * 0, valid), free(joints), rtol=0, atol=0)
    assert (guided(joints, points, valid) - free(joints)).abs().max() > 1e-3


def test_source_and_target_side_text_differ():
    joints, points, valid = _inputs()
    outputs = []
    for axis in ("source", "target"):
        network = _randomized(HLGCN(GRAPH, 3, WIDTHS, text_axis=axis).double())
        outputs.append(network(joints, points, valid))
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3


@pytest.mark.parametrize("fusion", ["none", "addition", "multiplication"])
def test_permuting_joints_with_graph_and_text_permutes_the_graph_unit(fusion):
    order = np.random.default_rng(0).permutation(V)
    joints, points, valid = _inputs()
    units = [
        GraphUnit((3, 8), graph, fusion=fusion, text_axis="source", fuse_level="adjacency").double()
        for graph in (GRAPH, np.ascontiguousarray(GRAPH[:, order][:, :, order]))
    ]
    state = _randomized(units[0]).state_dict()
    permuted = state["adjacency"][:, order][:, :, order]
    units[1].load_state_dict(state | {"adjacency": permuted})
    x = joints.transpose(1, 2).contiguous()
    output = units[0](x, points, valid)
    torch.testing.assert_close(units[1](x[:, order], points[..., order], valid), output[:, order], rtol=1e-9, atol=1e-9)


def test_attention_to_one_pooled_text_vector_ignores_the_query_and_to_tokens_does_not():
    attend = CrossAttention(V).double().eval()
    query = torch.randn(B, 72, V, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, pooled, valid = _inputs()
    rows = attend(query, pooled, valid)
    assert torch.equal(rows, rows[:, :1].expand_as(rows))
    rows = attend(query, *_inputs(tokens=5)[1:])
    assert (rows[1] - rows[1, :1]).abs().max() > 1e-3


def test_padded_tokens_are_not_attended():
    joints, points, valid = _inputs(tokens=5)
    network = HLGCN(GRAPH, 3, WIDTHS, fusion="cross_attention").double().eval()
    changed = points.clone()
    changed[0, 1:] += 100
    torch.testing.assert_close(network(joints, changed, valid), network(joints, points, valid), rtol=0, atol=0)


@pytest.mark.parametrize("fusion", ["addition", "multiplication"])
def test_features_fused_as_equation_5_reads_match_plain_loops(fusion):
    joints, points, _ = _inputs()
    unit = _randomized(GraphUnit((3, 4), GRAPH, fusion=fusion, text_axis="source", fuse_level="feature").double())
    x = joints.transpose(1, 2).contiguous()
    similarity = unit.similarity(x)
    fused = unit._fuse_features(x, similarity, unit.adjacency.permute(2, 0, 1), points)
    clip, frame, receiver = 1, 3, 7
    f_a = f_b = f_s = f_c = torch.zeros(4, dtype=torch.float64)
    for subset in range(3):
        for source in range(V):
            value = unit.project_weight[..., subset] @ x[clip, source, frame]
            data = similarity[clip, receiver, subset, source]
            f_a = f_a + unit.adjacency[subset, source, receiver] * value
            f_b = f_b + unit.alpha * data * value
            f_s = f_s + data * value
            f_c = f_c + points[clip, 0, source] * value
    expected = f_a + f_b + (f_s * f_c if fusion == "multiplication" else f_s + f_c)
    torch.testing.assert_close(fused[clip, receiver, frame], expected, rtol=1e-9, atol=1e-9)


def test_scrambled_axes_put_coordinate_v_mod_3_of_joint_8c_plus_v_div_3_on_node_v():
    marked = torch.arange(24.0)[:, None] * 10 + torch.arange(3.0)
    network = HLGCN(GRAPH, 3, (4,), fusion="none", axes="scrambled").eval()
    seen = []
    network.norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    network(marked.expand(1, 2, 24, 3))
    nodes = seen[0][0, 0].view(24, 3)
    for node in range(24):
        for channel in range(3):
            assert nodes[node, channel] == 10 * (8 * channel + node // 3) + node % 3


def test_the_recipe_starts_a_block_at_its_residual():
    block = HLGCN(GRAPH, 3, (8, 8), initialization="recipe").blocks[1]
    assert isinstance(block, Block)
    graph = block.graph
    x = torch.rand(2, V, T, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(graph(x, torch.ones(2, 1, V), torch.ones(2, 1, dtype=torch.bool)), x, rtol=0, atol=1e-4)
    assert graph.embed_weight.std().item() == pytest.approx((2 / graph.embedding) ** 0.5, rel=0.3)
