"""From features per frame and joint to a density, guided by examples of one repetition (ESCounts, Sinha et al. 2024)."""

from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from flag3d_ray.models.density_head import sinusoids
from flag3d_ray.models.transformer import FeedForward, MultiHeadAttention
from flag3d_ray.models.windowed_attention import WindowedBlock


@dataclass(frozen=True, kw_only=True)
class ExemplarSizes:
    """Sizes of the decoder.

    Attributes:
        pool: frames per step; a token is a joint in a step.
        exemplar_steps: steps that an example is brought to.
        model_width, attention_heads, feed_forward: of all blocks; the width is a multiple of four.
        cross_blocks: blocks that compare the clip with the examples.
        window_blocks: blocks of windowed attention after them; every other one starts half a window earlier.
        window: steps of a window.
        window_residual: see `WindowedBlock`.
    """

    pool: int
    exemplar_steps: int
    model_width: int
    attention_heads: int
    feed_forward: int
    cross_blocks: int
    window_blocks: int
    window: int
    window_residual: bool


class ExemplarBlock(nn.Module):
    """Pre-norm block: self-attention, attention to each example in turn, feed-forward; each with its residual."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads)
        self.norm3 = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden)

    def forward(
        self,
        x_BNF: Float[Tensor, "B N F"],
        valid_BN: Bool[Tensor, "B N"],
        examples_BKMF: Float[Tensor, "B K M F"],
        weights_BK: Float[Tensor, "B K"],
    ) -> Float[Tensor, "B N F"]:
        """The clip's tokens; what they find in the examples enters as their weighted mean."""
        normal_BNF = self.norm1(x_BNF)
        x_BNF = x_BNF + self.self_attention(
            normal_BNF, normal_BNF, valid_BN[:, None, None].expand(-1, -1, x_BNF.shape[1], -1)
        )
        query_BNF = self.norm2(x_BNF)
        for weight_B, example_BMF in zip(weights_BK.unbind(dim=1), examples_BKMF.unbind(dim=1), strict=True):
            x_BNF = x_BNF + weight_B[:, None, None] * self.cross_attention(query_BNF, example_BMF)
        return x_BNF + self.feed_forward(self.norm3(x_BNF))


class ExemplarDecoder(nn.Module):
    """Tokens of a clip are compared with the tokens of examples, mixed in windows and regressed to a density.

    Where a clip has no example, a learned set of tokens of the same size stands for one ("zero-shot").

    Args:
        channels: features per joint and frame.
        joints: joints V.
        frames: clip length T, a multiple of `sizes.pool`.
        sizes: widths and depths.

    Raises:
        ValueError: the clip length is not a multiple of `pool`, or the width not of four.
    """

    positions: Tensor

    def __init__(self, channels: int, joints: int, frames: int, sizes: ExemplarSizes) -> None:
        super().__init__()
        width, heads, hidden = sizes.model_width, sizes.attention_heads, sizes.feed_forward
        if frames % sizes.pool or width % 4:
            raise ValueError(f"{frames} frames must be a multiple of pool {sizes.pool}, model_width {width} of 4")
        steps = frames // sizes.pool
        self.pool = sizes.pool
        self.embed = nn.Linear(channels, width)
        self.register_buffer("positions", _positions(steps, joints, width), persistent=False)
        self.zero_shot = nn.Parameter(torch.zeros(sizes.exemplar_steps * joints, width))
        self.cross_blocks = nn.ModuleList(ExemplarBlock(width, heads, hidden) for _ in range(sizes.cross_blocks))
        self.norm = nn.LayerNorm(width)
        window = min(sizes.window, steps)
        self.window_blocks = nn.ModuleList(
            WindowedBlock(
                width,
                heads,
                hidden,
                joints=joints,
                window=window,
                shift=window // 2 if index % 2 and window < steps else 0,
                residual=sizes.window_residual,
            )
            for index in range(sizes.window_blocks)
        )
        self.density = nn.Linear(width, 1)
        for one in (self.embed, self.density):
            nn.init.xavier_uniform_(one.weight)
            nn.init.zeros_(one.bias)
        nn.init.normal_(self.zero_shot, std=0.02)

    def forward(
        self,
        features_BTVC: Float[Tensor, "B T V C"],
        valid_BT: Bool[Tensor, "B T"],
        examples_BKEVC: Float[Tensor, "B K E V C"] | None = None,
        shots_B: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B S"]:
        """Density per step, 0 in steps that are padding only. It is not bounded below.

        Args:
            features_BTVC: features per frame and joint.
            valid_BT: False on padding.
            examples_BKEVC: features of K >= 1 examples per clip, E = `exemplar_steps` steps each.
            shots_B: how many of them a clip has, the first ones; 0 is zero-shot. Without examples all clips are.
        """
        valid_BS = reduce(valid_BT, "b (s p) -> b s", "max", p=self.pool)
        x_BSVF = self.embed(pool_frames(features_BTVC, valid_BT, self.pool)) + self.positions
        examples_BKMF, weights_BK = self.context(len(valid_BT), examples_BKEVC, shots_B)
        x_BNF = rearrange(x_BSVF, "b s v f -> b (s v) f")
        valid_BN = valid_BS.repeat_interleave(x_BSVF.shape[2], dim=1)
        for block in self.cross_blocks:
            x_BNF = block(x_BNF, valid_BN, examples_BKMF, weights_BK.to(x_BNF.dtype))
        x_BSVF = rearrange(self.norm(x_BNF), "b (s v) f -> b s v f", s=valid_BS.shape[1])
        for block in self.window_blocks:
            x_BSVF = block(x_BSVF, valid_BS)
        return self.density(x_BSVF).mean(dim=(2, 3)) * valid_BS

    def context(
        self, clips: int, examples_BKEVC: Tensor | None, shots_B: Tensor | None
    ) -> tuple[Float[Tensor, "B K M F"], Float[Tensor, "B K"]]:
        """Tokens of the examples and their weights: 1/n for each of a clip's n, 0 for the others."""
        learned = self.zero_shot.expand(clips, 1, -1, -1)
        if examples_BKEVC is None or shots_B is None:
            return learned, self.zero_shot.new_ones(clips, 1)
        given = self.embed(rearrange(examples_BKEVC, "b k e v c -> b k (e v) c"))
        slot_K = torch.arange(given.shape[1], device=given.device)
        stand_in_BK = (shots_B[:, None] == 0) & (slot_K == 0)
        weights_BK = ((slot_K < shots_B[:, None]) | stand_in_BK) / shots_B.clamp(min=1)[:, None]
        return torch.where(stand_in_BK[..., None, None], learned.to(given.dtype), given), weights_BK


def pool_frames(
    features_BTVC: Float[Tensor, "B T V C"], valid_BT: Bool[Tensor, "B T"], pool: int
) -> Float[Tensor, "B S V C"]:
    """Mean over the valid frames of each step of `pool` frames, 0 where it has none."""
    weight_BT = valid_BT.to(features_BTVC.dtype)
    sums = reduce(features_BTVC * weight_BT[..., None, None], "b (s p) v c -> b s v c", "sum", p=pool)
    return sums / reduce(weight_BT, "b (s p) -> b s 1 1", "sum", p=pool).clamp(min=1.0)


def spread_over_frames(density_BS: Float[Tensor, "B S"], valid_BT: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """Density per frame: what stands in a step is shared by its valid frames, so that the sum stays."""
    pool = valid_BT.shape[1] // density_BS.shape[1]
    weight_BSP = rearrange(valid_BT, "b (s p) -> b s p", p=pool).to(density_BS.dtype)
    share_BSP = weight_BSP / weight_BSP.sum(dim=2, keepdim=True).clamp(min=1.0)
    return rearrange(density_BS[..., None] * share_BSP, "b s p -> b (s p)")


def _positions(steps: int, joints: int, width: int) -> Float[Tensor, "S V F"]:
    """Sinusoids of the step in the first half of the features and of the joint's number in the second."""
    step, joint = sinusoids(steps, width // 2), sinusoids(joints, width // 2)
    return torch.cat([step[:, None].expand(-1, joints, -1), joint[None].expand(steps, -1, -1)], dim=2)
