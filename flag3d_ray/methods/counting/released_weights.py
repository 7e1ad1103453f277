"""Weights of the authors' released HL-RAC network, by name, for our network of the profile `released`.

Paper: FLAG3D++ (Tang et al.), HL-RAC. Original code: AndyTang15/FLAG3Dv2, hl-rac (no licence; `test.py` there loads a
Lightning checkpoint that is not published). Names and shapes of its parameters are facts of the file format; the network
that they fill here is our own. Nothing of a checkpoint is guessed: each tensor has a place or the file is refused.

    network, shapes = released_network(tensors)          # HLRAC(profile=RELEASED) in the checkpoint's sizes
    module = network.build(shapes, seed=0)
    module.load_state_dict(from_released(tensors))
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from flag3d_ray.errors import DataError
from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.hl_rac import HLRAC, RELEASED
from flag3d_ray.models.density_head import sinusoids
from flag3d_ray.models.foreign_weights import read_weights

NAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("encoder.norm.*", ("backbone.data_bn.*",)),
    ("encoder.blocks.#.graph.adjacency", ("backbone.gcn.#.gcn.A",)),
    ("encoder.blocks.#.graph.alpha", ("backbone.gcn.#.gcn.alpha",)),
    ("encoder.blocks.#.graph.source.#.*", ("backbone.gcn.#.gcn.conv_a.#.*",)),
    ("encoder.blocks.#.graph.target.#.*", ("backbone.gcn.#.gcn.conv_b.#.*",)),
    ("encoder.blocks.#.graph.project.#.*", ("backbone.gcn.#.gcn.conv_d.#.*",)),
    ("encoder.blocks.#.graph.norm.*", ("backbone.gcn.#.gcn.bn.*",)),
    ("encoder.blocks.#.graph.down.#.*", ("backbone.gcn.#.gcn.down.#.*",)),
    ("encoder.blocks.#.attention.joint.*", ("backbone.gcn.#.gcn.conv_sa.*",)),
    ("encoder.blocks.#.attention.frame.*", ("backbone.gcn.#.gcn.conv_ta.*",)),
    ("encoder.blocks.#.attention.squeeze.*", ("backbone.gcn.#.gcn.fc1c.*",)),
    ("encoder.blocks.#.attention.excite.*", ("backbone.gcn.#.gcn.fc2c.*",)),
    ("encoder.blocks.#.temporal.*", ("backbone.gcn.#.tcn.conv.*",)),
    ("encoder.blocks.#.norm.*", ("backbone.gcn.#.tcn.bn.*",)),
    ("encoder.blocks.#.residual.0.*", ("backbone.gcn.#.residual.conv.*",)),
    ("encoder.blocks.#.residual.1.*", ("backbone.gcn.#.residual.bn.*",)),
    ("text.theta1.*", ("text_encoder.0.*",)),
    ("text.norm.*", ("text_encoder.1.*",)),
    ("text.theta2.*", ("text_encoder.2.*",)),
    ("head.similarity.query_key.*", ("sims.linear_q.*", "sims.linear_k.*")),
    ("head.similarity.value.*", ("sims.linear_v.*",)),
    ("head.leftover_norm.*", ("bn1.*",)),
    ("head.conv.*", ("conv3x3.*",)),
    ("head.norm.*", ("bn2.*",)),
    ("head.project.*", ("input_projection.*",)),
    ("head.project_norm.*", ("ln1.*",)),
    ("head.transformer.#.query_key_value.*", ("transEncoder.trans_encoder.layers.#.self_attn.in_proj_*",)),
    ("head.transformer.#.out.*", ("transEncoder.trans_encoder.layers.#.self_attn.out_proj.*",)),
    ("head.transformer.#.norm1.*", ("transEncoder.trans_encoder.layers.#.norm1.*",)),
    ("head.transformer.#.expand.*", ("transEncoder.trans_encoder.layers.#.linear1.*",)),
    ("head.transformer.#.contract.*", ("transEncoder.trans_encoder.layers.#.linear2.*",)),
    ("head.transformer.#.norm2.*", ("transEncoder.trans_encoder.layers.#.norm2.*",)),
    ("head.transformer.#.*", ("transEncoder.trans_encoder.norm.*",)),
    ("head.density.#.*", ("FC.layers.#.*",)),
)
"""The map, ours to released; `#` is a number and `*` what the tensor is in its layer (weight, running_mean, ...).

Four of ours are not the tensor of that name as it stands: `query_key` is queries above keys; the 3V channels of
`encoder.norm` are ordered (joint, coordinate) here and (coordinate, joint) there; `alpha` is a scalar here and of length
one there; the number in `head.transformer.#.*` is that after the last layer. Two released buffers have no place here:
`backbone.A`, the graph before training, which no output reads, and `transEncoder.pos_encoder.pe`, the sinusoids, which
are compared with ours and dropped.
"""

GRAPH, POSITIONS = "backbone.A", "transEncoder.pos_encoder.pe"
# The released table is computed in float32 throughout, which puts it up to 7e-6 from ours at 128 frames and width 512;
# a checkpoint in half precision rounds it to 5e-4.
POSITIONS_TOLERANCE = 1e-3
_ANCHOR = "backbone.data_bn.weight"


def read_released(path: Path) -> dict[str, Tensor]:
    """The tensors of a released checkpoint, without a prefix that all names share (`module.`, `model.`).

    Raises:
        DataError: the file is neither safetensors nor a zip archive of PyTorch that holds plain tensors.
    """
    tensors = read_weights(path)
    prefixes = {name.removesuffix(_ANCHOR) for name in tensors if name.endswith(_ANCHOR)}
    prefix = prefixes.pop() if len(prefixes) == 1 else ""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def released_network(tensors: Mapping[str, Tensor], where: str = "released weights") -> tuple[HLRAC, Shapes]:
    """The method and the input shapes whose network has the sizes of these tensors.

    The number of attention heads in the transformer leaves no trace in the weights; it is the released 4.

    Raises:
        DataError: a tensor that tells a size is missing or has too few axes (named).
    """

    def size(name: str, axis: int) -> int:
        tensor = tensors.get(name)
        if tensor is None or tensor.ndim <= axis or tensor.shape[axis] < 1:
            found = "missing" if tensor is None else f"of shape {list(tensor.shape)}"
            raise _refused(where, f"{name} is {found}, and sizes of the network are read from it")
        return tensor.shape[axis]

    heads, channels = size("conv3x3.weight", 1), size("conv3x3.weight", 0)
    blocks = _numbered(tensors, r"backbone\.gcn\.(\d+)\.")
    method = HLRAC(
        profile=RELEASED,
        widths=tuple(size(f"backbone.gcn.{block}.tcn.conv.weight", 0) for block in range(max(blocks, 1))),
        similarity_heads=heads,
        similarity_width=max(1, size("sims.linear_q.weight", 0) // heads),
        conv_channels=channels,
        model_width=size("input_projection.weight", 0),
        feed_forward=size("transEncoder.trans_encoder.layers.0.linear1.weight", 0),
        layers=_numbered(tensors, r"transEncoder\.trans_encoder\.layers\.(\d+)\."),
        density_widths=(size("FC.layers.0.weight", 0), size("FC.layers.4.weight", 0)),
    )
    if method.model_width % method.attention_heads:
        rule = (
            f"input_projection.weight has {method.model_width} rows, which {method.attention_heads} heads do not divide"
        )
        raise _refused(where, rule)
    frames = max(1, size("input_projection.weight", 1) // channels)
    return method, Shapes(frames=frames, layout="flag3d24", text_width=size("text_encoder.0.weight", 1))


def from_released(tensors: Mapping[str, Tensor], where: str = "released weights") -> dict[str, Tensor]:
    """The state dict of our network of the profile `released` for the tensors of a released checkpoint (`NAMES`).

    Args:
        tensors: by their released names, of any floating-point type, which is kept.
        where: what an error calls their source.

    Raises:
        DataError: names that are unknown or missing, or tensors of another shape or kind (all are named), or another
            table of positions.
    """
    method, shapes = released_network(tensors, where)
    own = method.build(shapes, 0).state_dict()
    sources = {name: released_names(name) for name in own}
    expected = {GRAPH: (3, 24, 24), POSITIONS: (shapes.frames, 1, method.model_width)}
    for name, released in sources.items():
        shape = tuple(own[name].shape) or ((1,) if name.endswith(".alpha") else ())
        expected |= {each: (shape[0] // len(released), *shape[1:]) if shape else shape for each in released}
    _check(tensors, expected, where)
    positions_TF = sinusoids(shapes.frames, method.model_width).to(torch.float64)
    deviation = (tensors[POSITIONS][:, 0].to(torch.float64) - positions_TF).abs().max().item()
    if not deviation <= POSITIONS_TOLERANCE:
        raise _refused(where, f"{POSITIONS} is off the sinusoids that are computed here by {deviation:.2g}")
    return {name: _converted(name, [tensors[each] for each in released]) for name, released in sources.items()}


def released_names(name: str) -> tuple[str, ...]:
    """The released names of one tensor of our state dict; KeyError for a name that the map does not have."""
    for ours, released in NAMES:
        pattern = re.escape(ours).replace(r"\#", r"(\d+)").replace(r"\*", r"(\w+)")
        found = re.fullmatch(pattern, name)
        if found is not None:
            return tuple(_filled(template, found.groups()) for template in released)
    raise KeyError(name)


def _filled(template: str, groups: Iterable[str]) -> str:
    for group in groups:
        template = template.replace("#" if group.isdigit() else "*", group, 1)
    return template


def _converted(name: str, parts: list[Tensor]) -> Tensor:
    if name.endswith(".alpha"):
        return parts[0].reshape(())
    if name.startswith("encoder.norm.") and parts[0].ndim:
        return rearrange(parts[0], "(c v) -> (v c)", v=24)
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _numbered(names: Iterable[str], pattern: str) -> int:
    """How many numbers stand in the place of the pattern's group."""
    return len({found[1] for found in (re.match(pattern, name) for name in names) if found})


def _check(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], where: str) -> None:
    shaped = [name for name in expected if name in tensors and tuple(tensors[name].shape) != expected[name]]
    kind = [n for n in expected if n in tensors and tensors[n].is_floating_point() == n.endswith("num_batches_tracked")]
    problems = {
        "missing": [name for name in expected if name not in tensors],
        "unknown": [name for name in tensors if name not in expected],
        "of another shape": [f"{n} {list(tensors[n].shape)} instead of {list(expected[n])}" for n in shaped],
        "of another kind of number": [f"{name} {tensors[name].dtype}" for name in kind],
    }
    rules = [f"{problem}: {_listed(names)}" for problem, names in problems.items() if names]
    if rules:
        raise _refused(where, "; ".join(rules))


def _listed(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _refused(where: str, rule: str) -> DataError:
    remedy = "import a checkpoint of the released LRAC network with its GCN backbone 'agcn', whole"
    return DataError(where=where, rule=rule, remedy=remedy)
