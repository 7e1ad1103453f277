"""Encoder and decoder layers of DeTRC (Li, Ma et al. 2026): deformable attention in time, relations between segments."""

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from flag3d_ray.models.deformable_attention import DeformableAttention
from flag3d_ray.models.segment_overlap import overlap, to_bounds
from flag3d_ray.models.transformer import FeedForward

CrossQuery = Literal["normalized", "unnormalized"]
RELATED_OVERLAP = 0.2
"""Queries attend to each other if their segments overlap by no more than this, ..."""
RELATED_COSINE = 0.2
"""... and the cosine of their features is above this: other repetitions of the same movement."""


class EncoderLayer(nn.Module):
    """Deformable self-attention over frames, residual, LayerNorm; feed-forward with a residual and no norm after it."""

    def __init__(self, width: int, heads: int, points: int, hidden: int) -> None:
        super().__init__()
        self.attention = DeformableAttention(width, heads, points)
        self.norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, F.relu)

    def forward(
        self, x_BTF: Float[Tensor, "B T F"], positions_TF: Float[Tensor, "T F"] | None, valid_BT: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T F"]:
        """The encoded frames. Positions are added to queries only."""
        query_BTF = x_BTF if positions_TF is None else x_BTF + positions_TF
        reference_BT1 = frame_centres(valid_BT)[..., None]
        x_BTF = self.norm(x_BTF + self.attention(query_BTF, x_BTF, valid_BT, reference_BT1))
        return x_BTF + self.feed_forward(x_BTF)


class RelationAttention(nn.Module):
    """Self-attention of queries, restricted to pairs whose segments and features say "another one of the same kind"."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        for part in self.query_key_value.weight.chunk(3):
            nn.init.xavier_uniform_(part)

    def forward(self, x_BQF: Float[Tensor, "B Q F"], related_BQQ: Bool[Tensor, "B Q Q"]) -> Float[Tensor, "B Q F"]:
        """What each query attends to among those related to it."""
        query, key, value = rearrange(
            self.query_key_value(x_BQF), "b q (three h f) -> three b h q f", three=3, h=self.heads
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=related_BQQ[:, None])
        return rearrange(attended, "b h q f -> b q (h f)")


class DecoderLayer(nn.Module):
    """Relations between queries, deformable attention to the frames, feed-forward; residual and LayerNorm after each.

    `cross_query` chooses what the deformable attention computes its points from: the normalised output of the first
    step, or that output before residual and norm (released).
    """

    def __init__(self, width: int, heads: int, points: int, hidden: int, cross_query: CrossQuery) -> None:
        super().__init__()
        self.cross_query: CrossQuery = cross_query
        self.relations = RelationAttention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.attention = DeformableAttention(width, heads, points)
        self.norm2 = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden, F.relu)
        self.norm3 = nn.LayerNorm(width)

    def forward(
        self,
        x_BQF: Float[Tensor, "B Q F"],
        memory_BTF: Float[Tensor, "B T F"],
        valid_BT: Bool[Tensor, "B T"],
        reference: Float[Tensor, "B Q 1"] | Float[Tensor, "B Q 2"],
        real_BQ: Bool[Tensor, "B Q"],
    ) -> Float[Tensor, "B Q F"]:
        """The queries after one layer.

        Args:
            x_BQF: content of the queries.
            memory_BTF: encoded frames.
            valid_BT: False on padding.
            reference: where each query looks, on the unit interval of the valid frames: a centre, or centre and width.
            real_BQ: False for queries that stand on padding; nothing attends to them.
        """
        related_BQQ = related(x_BQF, reference) & real_BQ[:, None] | torch.eye(
            x_BQF.shape[1], dtype=torch.bool, device=x_BQF.device
        )
        attended_BQF = self.relations(x_BQF, related_BQQ)
        normal_BQF = self.norm1(x_BQF + attended_BQF)
        query_BQF = normal_BQF if self.cross_query == "normalized" else x_BQF + attended_BQF
        in_clip = reference * valid_share(valid_BT)[:, None, None].to(reference.dtype)
        x_BQF = self.norm2(normal_BQF + self.attention(query_BQF, memory_BTF, valid_BT, in_clip))
        return self.norm3(x_BQF + self.feed_forward(x_BQF))


def related(
    x_BQF: Float[Tensor, "B Q F"], reference: Float[Tensor, "B Q 1"] | Float[Tensor, "B Q 2"]
) -> Bool[Tensor, "B Q Q"]:
    """Which queries see each other: all while no query has a width, then other segments with similar features."""
    batch, queries, _ = x_BQF.shape
    if reference.shape[-1] == 1:
        return torch.ones(batch, queries, queries, dtype=torch.bool, device=x_BQF.device)
    with torch.no_grad():
        bounds_BQ2 = to_bounds(reference)
        shared_BQQ, _ = overlap(bounds_BQ2[:, :, None], bounds_BQ2[:, None])
        unit_BQF = F.normalize(x_BQF, dim=-1)
        return (shared_BQQ <= RELATED_OVERLAP) & (unit_BQF @ unit_BQF.transpose(1, 2) > RELATED_COSINE)


def frame_centres(valid_BT: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """The middle of each frame on the unit interval of the whole clip."""
    batch, frames = valid_BT.shape
    return ((torch.arange(frames, device=valid_BT.device) + 0.5) / frames).expand(batch, -1)


def valid_share(valid_BT: Bool[Tensor, "B T"]) -> Float[Tensor, " B"]:
    """The share of a clip's frames that are no padding, which stands at its end."""
    return valid_BT.sum(dim=1) / valid_BT.shape[1]


def inverse_sigmoid(share: Float[Tensor, "*N"], margin: float = 1e-5) -> Float[Tensor, "*N"]:
    """Logits of shares, held `margin` off 0 and 1."""
    return torch.logit(share.clamp(margin, 1.0 - margin))
