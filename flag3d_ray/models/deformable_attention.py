"""Attention in time to a few learned positions instead of to all frames (Deformable DETR, Zhu et al. 2021, in 1-D)."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn


class DeformableAttention(nn.Module):
    """Each head of a query reads `points` positions about the query's reference and weighs what it finds.

    Positions lie on the unit interval of the whole clip. About a reference without a width, offsets are in frames; about
    a segment, an offset of `points` is half its width. At first the p-th point of head h of H lies at an offset of
    p cos(4 pi h / H), and all points weigh the same.
    """

    def __init__(self, width: int, heads: int, points: int) -> None:
        super().__init__()
        self.heads = heads
        self.points = points
        self.offset = nn.Linear(width, heads * points)
        self.weight = nn.Linear(width, heads * points)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        for one in (self.offset, self.weight):
            nn.init.zeros_(one.weight)
        for one in (self.value, self.out):
            nn.init.xavier_uniform_(one.weight)
        for one in (self.weight, self.value, self.out):
            nn.init.zeros_(one.bias)
        direction_H = torch.cos(torch.arange(heads) * (4.0 * math.pi / heads))
        with torch.no_grad():
            self.offset.bias.copy_((direction_H[:, None] * torch.arange(1, points + 1)).flatten())

    def forward(
        self,
        query_BQF: Float[Tensor, "B Q F"],
        memory_BTF: Float[Tensor, "B T F"],
        valid_BT: Bool[Tensor, "B T"],
        reference: Float[Tensor, "B Q 1"] | Float[Tensor, "B Q 2"],
    ) -> Float[Tensor, "B Q F"]:
        """What each query reads from the memory; padded frames read as zero.

        `reference` is a position on the unit interval of the whole clip, or a centre and a width.
        """
        value_BTF = self.value(memory_BTF).masked_fill(~valid_BT[..., None], 0.0)
        offset = rearrange(self.offset(query_BQF), "b q (h p) -> b q h p", h=self.heads)
        if reference.shape[-1] == 1:
            offset = offset / memory_BTF.shape[1]
        else:
            offset = offset * (reference[..., 1, None, None] / (2 * self.points))
        location_BQHP = reference[..., 0, None, None] + offset
        weight_BQHP = rearrange(self.weight(query_BQF), "b q (h p) -> b q h p", h=self.heads).softmax(dim=-1)
        sampled = sample_frames(rearrange(value_BTF, "b t (h d) -> b t h d", h=self.heads), location_BQHP)
        read_BQHD = (sampled * weight_BQHP[..., None].to(sampled.dtype)).sum(dim=3)
        return self.out(rearrange(read_BQHD, "b q h d -> b q (h d)"))


def sample_frames(
    value_BTHD: Float[Tensor, "B T H D"], location_BQHP: Float[Tensor, "B Q H P"]
) -> Float[Tensor, "B Q H P D"]:
    """Values at positions between frames: linear interpolation, 0 beyond the ends, in float32 at least.

    Position 0 is the first frame and 1 the last.
    """
    wide = torch.promote_types(value_BTHD.dtype, torch.float32)
    image = rearrange(value_BTHD, "b t h d -> (b h) d 1 t").to(wide)
    across = rearrange(location_BQHP, "b q h p -> (b h) q p").to(wide) * 2.0 - 1.0
    grid = torch.stack([across, torch.zeros_like(across)], dim=-1)
    sampled = F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return rearrange(sampled, "(b h) d q p -> b q h p d", h=value_BTHD.shape[2])
