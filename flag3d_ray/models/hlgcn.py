"""HL-GCN, the language-guided graph convolutional network of Eqs. 4-9, in its fast formulation.

Memory order is [B, V, T, C] from block to block. The three mixing matrices of a clip then act on all its frames in one
batched product, [3V, V] x [V, T C], without a copy of them per frame, and the same buffer read as [B, C, V, T] is a
channels-last image for the temporal convolution. `hlgcn_plain.py` is the textbook form and proves this one equal.
Convolutions in front of a batch normalisation have no bias: it would be subtracted again.
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from flag3d_ray.models.attention import JointFrameChannelAttention
from flag3d_ray.models.fusion import (
    CrossAttention,
    Fusion,
    TextAxis,
    mix,
    start_at_zero,
    start_mixing_without_text,
)
from flag3d_ray.models.initialization import Initialization, initialize
from flag3d_ray.models.normalization import GlobalBatchNorm

SUBSETS = 3
FuseLevel = Literal["adjacency", "feature"]
Axes = Literal["correct", "scrambled"]


def pointwise(x_BVTC: Tensor, weight_DC: Tensor, bias_D: Tensor | None = None) -> Tensor:
    """A linear map of the last axis as a channels-last 1x1 convolution, which on CPU in fp32 beats F.linear."""
    return F.conv2d(x_BVTC.permute(0, 3, 1, 2), weight_DC[:, :, None, None], bias_D).permute(0, 2, 3, 1)


class ProjectedNorm(nn.Module):
    """A residual path that changes the width: pointwise map, then batch normalisation."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out, width))
        self.norm = GlobalBatchNorm(out)

    def forward(self, x_BVTC: Tensor) -> Tensor:
        return self.norm(pointwise(x_BVTC, self.weight))


class GraphUnit(nn.Module):
    """Graph convolution with a data- and text-dependent adjacency of three subsets (Eq. 5), then BN, residual, ReLU."""

    def __init__(
        self,
        channels: tuple[int, int],
        graph_3VV: Float[np.ndarray, "3 V V"],
        *,
        fusion: Fusion,
        text_axis: TextAxis,
        fuse_level: FuseLevel,
    ) -> None:
        super().__init__()
        if fuse_level == "feature" and fusion == "cross_attention":
            raise ValueError("cross-attention is defined on adjacencies: fuse_level 'feature' takes the other fusions")
        width, out = channels
        self.embedding = max(1, out // 4)
        self.fusion: Fusion = fusion
        self.text_axis: TextAxis = text_axis
        self.fuse_level: FuseLevel = fuse_level
        self.adjacency = nn.Parameter(torch.from_numpy(graph_3VV.copy()))
        self.alpha = nn.Parameter(torch.zeros(()))
        self.embed_weight = nn.Parameter(torch.zeros(2 * SUBSETS * self.embedding, width))
        self.embed_bias = nn.Parameter(torch.zeros(2 * SUBSETS * self.embedding))
        self.project_weight = nn.Parameter(torch.zeros(out, width, SUBSETS))
        self.norm = GlobalBatchNorm(out)
        self.down = ProjectedNorm(width, out) if width != out else None
        self.attend = CrossAttention(graph_3VV.shape[1]) if fusion == "cross_attention" else None

    def start_without_text(self) -> None:
        """Mix as the unit without text whose weights it holds, given text points of zero, or any to be attended to."""
        start_mixing_without_text(self.fusion, self.alpha)
        if self.attend is not None:
            start_at_zero(self.attend.out)

    def similarity(self, x_BVTC: Tensor) -> Float[Tensor, "B V 3 V"]:
        """tanh of the embedded similarity of joint pairs, [clip, receiving joint, subset, source joint], in float32."""
        batch, joints, frames, _ = x_BVTC.shape
        embedded = pointwise(x_BVTC, self.embed_weight, self.embed_bias)
        source, target = embedded.view(batch, joints, frames, 2, SUBSETS, self.embedding).unbind(dim=3)
        # Dividing one factor first keeps the sum over frames and channels in the range of half precision.
        scores = torch.einsum("bwtke,bvtke->bwkv", target / (self.embedding * frames), source)
        return torch.tanh(scores.float() if scores.dtype is torch.bfloat16 else scores)

    def convolve(self, x_BVTC: Tensor, mix_BWKV: Tensor) -> Tensor:
        """`sum_k (mix_k x) W_k`, from the narrower side: both orders are linear and equal."""
        batch, joints, frames, width = x_BVTC.shape
        receivers, out = mix_BWKV.shape[1], self.norm.num_features
        if out < width:
            every_subset = self.project_weight.permute(2, 0, 1).reshape(SUBSETS * out, width)
            projected = pointwise(x_BVTC, every_subset).unflatten(3, (SUBSETS, out)).permute(0, 3, 1, 2, 4)
            sources = projected.reshape(batch, SUBSETS * joints, frames * out)
            return torch.bmm(mix_BWKV.flatten(2), sources).view(batch, receivers, frames, out)
        received = torch.bmm(mix_BWKV.flatten(1, 2), x_BVTC.reshape(batch, joints, frames * width))
        # Rows are (joint, subset): as an image of 3 x T the sum over subset and channel is one convolution, no copy.
        image = received.view(batch * receivers, SUBSETS, frames, width).permute(0, 3, 1, 2)
        return F.conv2d(image, self.project_weight[..., None]).permute(0, 2, 3, 1).view(batch, receivers, frames, out)

    def forward(self, x_BVTC: Tensor, points_BLV: Tensor | None, valid_BL: Tensor | None) -> Tensor:
        similarity = self.similarity(x_BVTC)
        fixed = self.adjacency.permute(2, 0, 1)
        if self.fuse_level == "adjacency":
            mixed = mix(similarity, fixed, self.alpha, points_BLV, valid_BL, self.fusion, self.text_axis, self.attend)
            y = self.convolve(x_BVTC, mixed)
        else:
            y = self._fuse_features(x_BVTC, similarity, fixed, points_BLV)
        return F.relu(self.norm(y) + (x_BVTC if self.down is None else self.down(x_BVTC)))

    def _fuse_features(self, x_BVTC: Tensor, similarity: Tensor, fixed: Tensor, points_BLV: Tensor | None) -> Tensor:
        """Eq. 5 on feature maps: quadratic in the features, as f_b and f_c are both aggregations of them."""
        y = self.convolve(x_BVTC, fixed + self.alpha * similarity)
        if points_BLV is None:
            return y
        points = points_BLV[:, 0, None, None, :].expand(-1, -1, SUBSETS, -1)
        text = self.convolve(x_BVTC, points)
        data = self.convolve(x_BVTC, similarity)
        return y + (data * text if self.fusion == "multiplication" else data + text)


class Block(nn.Module):
    """Graph unit, attention, temporal convolution with BN, residual, ReLU; the first block has no residual."""

    def __init__(
        self, channels: tuple[int, int], graph_3VV: np.ndarray, *, residual: bool, kernel: int, **options
    ) -> None:
        super().__init__()
        width, out = channels
        self.graph = GraphUnit(channels, graph_3VV, **options)
        self.attention = JointFrameChannelAttention(out, graph_3VV.shape[1])
        self.temporal_weight = nn.Parameter(torch.zeros(out, out, kernel))
        self.norm = GlobalBatchNorm(out)
        self.has_residual = residual
        self.residual = ProjectedNorm(width, out) if residual and width != out else None

    def forward(self, x_BVTC: Tensor, points_BLV: Tensor | None, valid_BL: Tensor | None) -> Tensor:
        y = self.attention(self.graph(x_BVTC, points_BLV, valid_BL))
        padding = self.temporal_weight.shape[2] // 2
        y = F.conv2d(y.permute(0, 3, 1, 2), self.temporal_weight[:, :, None], padding=(0, padding)).permute(0, 2, 3, 1)
        y = self.norm(y)
        if self.has_residual:
            y = y + (x_BVTC if self.residual is None else self.residual(x_BVTC))
        return F.relu(y)


class HLGCN(nn.Module):
    """Blocks of language-guided graph convolution; the number of frames and joints is kept.

    Args:
        graph_3VV: the three normalised subsets, rows sources and columns receivers.
        channels: coordinates per joint.
        widths: output channels of each block.
        fusion: how text enters the adjacency; `none` is the text-free network.
        text_axis: the joint that text points weight: `source` (Eq. 8) or `target` (released code).
        fuse_level: `adjacency`, or `feature` for Eq. 5 on feature maps.
        axes: `correct`, or `scrambled` to read the memory of [B, T, V, C] as [B, T, C, V] (released code).
        initialization: AGCN's `recipe`, or PyTorch's `framework` defaults.
        kernel: frames of the temporal convolution, odd.
    """

    def __init__(
        self,
        graph_3VV: Float[np.ndarray, "3 V V"],
        channels: int,
        widths: tuple[int, ...],
        *,
        fusion: Fusion = "multiplication",
        text_axis: TextAxis = "source",
        fuse_level: FuseLevel = "adjacency",
        axes: Axes = "correct",
        initialization: Initialization = "recipe",
        kernel: int = 9,
    ) -> None:
        super().__init__()
        self.joints = graph_3VV.shape[1]
        self.axes: Axes = axes
        self.features = widths[-1] * self.joints
        self.norm = GlobalBatchNorm(channels * self.joints, raw=True)
        self.blocks = nn.ModuleList(
            Block(
                pair,
                graph_3VV,
                residual=index > 0,
                kernel=kernel,
                fusion=fusion,
                text_axis=text_axis,
                fuse_level=fuse_level,
            )
            for index, pair in enumerate(zip((channels, *widths[:-1]), widths, strict=True))
        )
        for block in self.blocks:
            assert isinstance(block, Block)
            initialize(block, initialization)

    def forward(
        self,
        joints_BTVC: Float[Tensor, "B T V C"],
        points_BLV: Float[Tensor, "B L V"] | None = None,
        valid_BL: Bool[Tensor, "B L"] | None = None,
    ) -> Float[Tensor, "B T F"]:
        """Features per frame, channel-major: F = widths[-1] * V."""
        if self.axes == "scrambled":
            joints_BTVC = joints_BTVC.reshape(*joints_BTVC.shape[:2], -1, self.joints).transpose(2, 3).contiguous()
        normal_BTVC = self.norm(joints_BTVC.flatten(2)).view(joints_BTVC.shape)
        x_BVTC = normal_BTVC.transpose(1, 2).contiguous()
        for block in self.blocks:
            x_BVTC = block(x_BVTC, points_BLV, valid_BL)
        return x_BVTC.permute(0, 2, 3, 1).flatten(2)
