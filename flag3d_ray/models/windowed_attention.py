"""Self-attention within windows of a grid of tokens, steps by joints (Swin; Liu et al. 2021 and 2022)."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from flag3d_ray.models.transformer import FeedForward, MultiHeadAttention

# Instead of minus infinity: a window that holds padding only still has a softmax, over tokens that nobody reads.
_NEVER = -1e9


class WindowedBlock(nn.Module):
    """Pre-norm block whose attention is confined to windows of consecutive steps, each with all joints.

    The relative position bias has one value per head, time offset and pair of joints: joints have no order, so that the
    difference of two joint numbers, which would replace the offset of two pixels, says nothing.

    Args:
        width: features of a token.
        heads: attention heads.
        hidden: width of the feed-forward.
        joints: joints of a step, all in one window.
        window: steps of a window.
        shift: steps by which the windows start before the first step. The windows at both ends are then shorter,
            as after Swin's masked cyclic shift.
        residual: add the input to attention and feed-forward. Without it the block is a plain chain of maps.
    """

    offsets: Tensor

    def __init__(
        self, width: int, heads: int, hidden: int, *, joints: int, window: int, shift: int, residual: bool
    ) -> None:
        super().__init__()
        self.window = window
        self.shift = shift
        self.residual = residual
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.position_bias = nn.Parameter(torch.zeros(heads, 2 * window - 1, joints, joints))
        self.norm2 = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden)
        step = torch.arange(window)
        self.register_buffer("offsets", step[:, None] - step[None, :] + window - 1, persistent=False)
        nn.init.trunc_normal_(self.position_bias, std=0.02)

    def forward(self, x_BSVF: Float[Tensor, "B S V F"], valid_BS: Bool[Tensor, "B S"]) -> Float[Tensor, "B S V F"]:
        """The tokens after attention and feed-forward; tokens of invalid steps are not attended to."""
        y_BSVF = self.attend(self.norm1(x_BSVF), valid_BS)
        if self.residual:
            y_BSVF = y_BSVF + x_BSVF
        z_BSVF = self.feed_forward(self.norm2(y_BSVF))
        return z_BSVF + y_BSVF if self.residual else z_BSVF

    def attend(self, x_BSVF: Float[Tensor, "B S V F"], valid_BS: Bool[Tensor, "B S"]) -> Float[Tensor, "B S V F"]:
        """Attention of every token to the valid ones of its window."""
        batch, steps, joints, _ = x_BSVF.shape
        end = -(steps + self.shift) % self.window
        padded = F.pad(x_BSVF, (0, 0, 0, 0, self.shift, end))
        windows = rearrange(padded, "b (n w) v f -> (b n) (w v) f", w=self.window)
        valid_NW = rearrange(F.pad(valid_BS, (self.shift, end)), "b (n w) -> (b n) w", w=self.window)
        key_NK = valid_NW.repeat_interleave(joints, dim=1)
        bias = rearrange(self.position_bias[:, self.offsets], "h q k v u -> h (q v) (k u)")
        mask = torch.where(key_NK[:, None, None], bias[None], _NEVER)
        attended = self.attention(windows, windows, mask)
        return rearrange(attended, "(b n) (w v) f -> b (n w) v f", b=batch, w=self.window)[
            :, self.shift : self.shift + steps
        ]
