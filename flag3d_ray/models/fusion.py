"""The fusions of Table 3: how the text points enter the data-dependent part of the adjacency.

Matrices are [clip, receiving joint, subset, source joint] (BWKV), the order in which the aggregation reads them.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

Fusion = Literal["none", "addition", "cross_attention", "multiplication"]
TextAxis = Literal["source", "target"]


class CrossAttention(nn.Module):
    """One head of attention from the rows of a similarity matrix (queries) to text points (keys and values).

    With one pooled text vector the softmax runs over a single key, so every row is the same affine map of the text
    points and the query is ignored (the degenerate form that the released code hints at). With one key per token the
    attention is meaningful.
    """

    def __init__(self, joints: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.dropout = dropout
        self.query = nn.Linear(joints, joints)
        self.key_value = nn.Linear(joints, 2 * joints)
        self.out = nn.Linear(joints, joints)

    def forward(
        self,
        query_BQV: Float[Tensor, "B Q V"],
        points_BLV: Float[Tensor, "B L V"],
        valid_BL: Bool[Tensor, "B L"],
    ) -> Float[Tensor, "B Q V"]:
        """The attended text points of each query; padded tokens are not attended."""
        key, value = self.key_value(points_BLV).chunk(2, dim=-1)
        attended = F.scaled_dot_product_attention(
            self.query(query_BQV)[:, None],
            key[:, None],
            value[:, None],
            attn_mask=None if valid_BL.shape[1] == 1 else valid_BL[:, None, None],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(attended[:, 0])


@torch.no_grad()
def start_mixing_without_text(fusion: Fusion, alpha: Float[Tensor, ""]) -> None:
    """Change `alpha`, learned without text, so that `mix` gives the same with text points of zero.

    Addition adds the similarity itself beside the text; products and attention vanish.
    """
    if fusion == "addition":
        alpha -= 1.0


def start_at_zero(linear: nn.Linear) -> None:
    """An affine map to zero, until it learns; the gradient of its weight does not vanish."""
    nn.init.zeros_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def mix(
    similarity_BWKV: Float[Tensor, "B V 3 V"],
    fixed_WKV: Float[Tensor, "V 3 V"],
    alpha: Float[Tensor, ""],
    points_BLV: Float[Tensor, "B L V"] | None,
    valid_BL: Bool[Tensor, "B L"] | None,
    fusion: Fusion,
    text_axis: TextAxis,
    attend: CrossAttention | None,
) -> Float[Tensor, "B V 3 V"]:
    """`A + alpha S` plus the fused text term: S * T, S + T, attention from S to T, or nothing without text points."""
    if points_BLV is None or fusion == "none":
        return fixed_WKV + alpha * similarity_BWKV
    if attend is not None and valid_BL is not None:
        fused = _attended(similarity_BWKV, points_BLV, valid_BL, text_axis, attend)
        return fixed_WKV + alpha * similarity_BWKV + fused
    points_BV = points_BLV[:, 0]
    text = points_BV[:, None, None, :] if text_axis == "source" else points_BV[:, :, None, None]
    if fusion == "multiplication":
        return fixed_WKV + similarity_BWKV * (alpha + text)
    return fixed_WKV + (1.0 + alpha) * similarity_BWKV + text


def _attended(
    similarity_BWKV: Tensor, points_BLV: Tensor, valid_BL: Tensor, axis: TextAxis, attend: CrossAttention
) -> Tensor:
    """One query per joint of the other side, so that the text points of a row run along `axis`."""
    query = similarity_BWKV if axis == "source" else similarity_BWKV.transpose(1, 3)
    fused = attend(query.flatten(1, 2), points_BLV, valid_BL).view_as(query)
    return fused if axis == "source" else fused.transpose(1, 3)
