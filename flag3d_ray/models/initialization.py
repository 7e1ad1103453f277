"""Initial weights: drawn from a seed alone; the recipe of HL-GCN, for either formulation of its parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

if TYPE_CHECKING:
    from flag3d_ray.models.hlgcn import Block

Initialization = Literal["recipe", "framework"]


@contextmanager
def weights_from(seed: int) -> Iterator[None]:
    """Modules built in this context have weights drawn from `seed` alone; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def initialize(block: Block, how: Initialization) -> None:
    """Draw the weights of a block from the current random state.

    `recipe` is that of AGCN (Shi et al. 2019): convolutions normal with the fan-out, the three subsets as branches of
    one sum, a graph unit that starts near its residual (BN weight 1e-6) and attention over frames and channels that
    starts at a constant gate. `framework` is PyTorch's default for the separate layers, as in the released model.
    """
    _merged(block, how)
    if how == "recipe":
        _recipe(block)


def _merged(block: Block, how: Initialization) -> None:
    graph = block.graph
    for weight in (block.temporal_weight, *(path.weight for path in (graph.down, block.residual) if path)):
        if how == "recipe":
            nn.init.kaiming_normal_(weight, mode="fan_out")
        else:
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5.0))
    out, width, subsets = graph.project_weight.shape
    bound = 1.0 / math.sqrt(width)
    if how == "recipe":
        nn.init.normal_(graph.embed_weight, std=math.sqrt(2.0 / graph.embedding))
        nn.init.zeros_(graph.embed_bias)
        nn.init.normal_(graph.project_weight, std=math.sqrt(2.0 / (out * width * subsets)))
    else:
        nn.init.uniform_(graph.embed_weight, -bound, bound)
        nn.init.uniform_(graph.embed_bias, -bound, bound)
        nn.init.uniform_(graph.project_weight, -bound, bound)


def _recipe(block: Block) -> None:
    nn.init.constant_(block.graph.norm.weight, 1e-6)
    attention = block.attention
    nn.init.xavier_normal_(attention.joint.weight)
    nn.init.kaiming_normal_(attention.squeeze.weight)
    for parameter in (
        attention.joint.bias,
        attention.squeeze.bias,
        *attention.frame.parameters(),
        *attention.excite.parameters(),
    ):
        if parameter is not None:
            nn.init.zeros_(parameter)
