"""The halves of a transformer block, without their norms and residuals: multi-head attention and feed-forward."""

from collections.abc import Callable

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention from queries to a context, with an output projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        _xavier(self.query, self.key_value, self.out)

    def forward(
        self,
        query_BQF: Float[Tensor, "B Q F"],
        context_BKF: Float[Tensor, "B K F"],
        mask: Bool[Tensor, "#B #H #Q K"] | Float[Tensor, "#B #H #Q K"] | None = None,
    ) -> Float[Tensor, "B Q F"]:
        """What each query attends to. `mask` is True where it may, or is added to the scores."""
        query = rearrange(self.query(query_BQF), "b q (h f) -> b h q f", h=self.heads)
        key, value = rearrange(self.key_value(context_BKF), "b k (two h f) -> two b h k f", two=2, h=self.heads)
        if mask is not None and mask.is_floating_point():
            mask = mask.to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(rearrange(attended, "b h q f -> b q (h f)"))


class FeedForward(nn.Module):
    """Two linear maps with an activation between them."""

    def __init__(self, width: int, hidden: int, activation: Callable[[Tensor], Tensor] = F.gelu) -> None:
        super().__init__()
        self.activation = activation
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        _xavier(self.expand, self.contract)

    def forward(self, x_BQF: Float[Tensor, "*B F"]) -> Float[Tensor, "*B F"]:
        """The mapped tokens."""
        return self.contract(self.activation(self.expand(x_BQF)))


def _xavier(*maps: nn.Linear) -> None:
    """The initialisation of ViT: Xavier-uniform weights, zero biases."""
    for one in maps:
        nn.init.xavier_uniform_(one.weight)
        nn.init.zeros_(one.bias)
