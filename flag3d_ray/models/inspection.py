"""What an encoder computes on the way to a count: features per frame, graphs, and the weight of each joint in a graph.

Read with hooks while the network predicts, so that a method need not know of it. No metric and no run depends on it.

The paper highlights joints "based on the weights significantly derived from the graph matrix" (Fig. 9) and defines no
weight. Ours is the share of a joint in the entries of a block's graph, by absolute value, averaged over the blocks; what
is left open is an option: `GraphPart` and `JointEnd` of `figures.py`.
"""

from collections.abc import Sequence

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from flag3d_ray.figures import GraphPart, JointEnd
from flag3d_ray.models.fusion import mix
from flag3d_ray.models.hlgcn import HLGCN, SUBSETS, GraphUnit
from flag3d_ray.models.hlgcn_plain import PlainGraphUnit, PlainHLGCN
from flag3d_ray.models.rac import RepetitionCounter
from flag3d_ray.sample import Batch


@torch.no_grad()
def encoder_features(network: RepetitionCounter, batch: Batch) -> Float[Tensor, "B T F"]:
    """The encoder's features per frame, in evaluation mode; the head of the network reads the same ones."""
    ((_, _, features_BTF),) = _observed(network, batch, [network.encoder])
    return features_BTF


@torch.no_grad()
def graphs(network: RepetitionCounter, batch: Batch, part: GraphPart = "whole") -> list[Float[Tensor, "B V 3 V"]]:
    """One graph per block, first block first: [clip, joint that reads, subset, joint that is read].

    Raises:
        ValueError: the encoder has no graph of joints: it mixes their coordinates up (`scrambled` axes), or fuses text into
            feature maps.
    """
    seen = _observed(network, batch, _graph_units(network))
    return [_graph(unit, inputs, part) for unit, inputs, _ in seen]


def joint_weights(
    network: RepetitionCounter, batch: Batch, *, part: GraphPart = "whole", end: JointEnd = "source"
) -> Float[Tensor, "B V"]:
    """The share of each joint in the graphs of a clip: in [0, 1], they sum to 1 over the joints. Raises as `graphs`."""
    pattern = "b target k source -> b source" if end == "source" else "b target k source -> b target"
    strength_NBV = torch.stack([reduce(graph.abs(), pattern, "sum") for graph in graphs(network, batch, part)])
    # Shares first: the blocks' graphs differ in size, and the largest would decide alone.
    total_NB1 = strength_NBV.sum(dim=2, keepdim=True)
    return (strength_NBV / total_NB1.clamp_min(torch.finfo(strength_NBV.dtype).tiny)).mean(dim=0)


def _graph_units(network: RepetitionCounter) -> list[nn.Module]:
    encoder = network.encoder
    if not isinstance(encoder, HLGCN | PlainHLGCN):
        raise ValueError(f"{type(encoder).__name__} has no graphs that are read here")
    if encoder.axes == "scrambled":
        raise ValueError("with scrambled axes a node is a mixture of unrelated joints: no joint has a weight")
    units = [module for module in encoder.modules() if isinstance(module, GraphUnit | PlainGraphUnit)]
    if any(isinstance(unit, GraphUnit) and unit.fuse_level == "feature" for unit in units):
        raise ValueError("text is fused into feature maps: no graph holds it")
    return list(units)


def _graph(unit: nn.Module, inputs: tuple, part: GraphPart) -> Float[Tensor, "B V 3 V"]:
    """The graph that a unit mixes joints with, computed again from what it was called with."""
    x, points_BLV, valid_BL = inputs
    if isinstance(unit, PlainGraphUnit):
        mixed = torch.stack([unit.mixing(x, subset, points_BLV, valid_BL) for subset in range(SUBSETS)])
        fixed = unit.adjacency[:, None] if part == "data" else 0.0
        return rearrange(mixed - fixed, "k b source target -> b target k source")
    assert isinstance(unit, GraphUnit)
    fixed_WKV = rearrange(unit.adjacency, "k source target -> target k source")
    fixed_WKV = torch.zeros_like(fixed_WKV) if part == "data" else fixed_WKV
    similarity_BWKV = unit.similarity(x)
    return mix(similarity_BWKV, fixed_WKV, unit.alpha, points_BLV, valid_BL, unit.fusion, unit.text_axis, unit.attend)


def _observed(
    network: RepetitionCounter, batch: Batch, modules: Sequence[nn.Module]
) -> list[tuple[nn.Module, tuple, Tensor]]:
    """Each call of the modules while the network predicts, in evaluation mode: module, inputs, output."""
    calls: list[tuple[nn.Module, tuple, Tensor]] = []

    def note(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        calls.append((module, inputs, output))

    handles = [module.register_forward_hook(note) for module in modules]
    training = network.training
    network.eval()
    try:
        network(batch)
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return calls
