"""HL-GCN as the equations read: [B, C, T, V] in memory, one layer per symbol, every bias kept.

The reference that the fast formulation of `hlgcn.py` is tested and timed against, and the encoder of the released
profile. `merge` maps its parameters to those of the fast form.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from flag3d_ray.models.fusion import Fusion, TextAxis, start_at_zero, start_mixing_without_text
from flag3d_ray.models.hlgcn import SUBSETS, Axes


class PlainAttention(nn.Module):
    """Joint, frame and channel attention, each a reduction of the product so far."""

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        kernel = joints - 1 if joints % 2 == 0 else joints
        self.joint = nn.Conv1d(channels, 1, kernel, padding=kernel // 2)
        self.frame = nn.Conv1d(channels, 1, 9, padding=4)
        self.squeeze = nn.Linear(channels, max(1, channels // 2))
        self.excite = nn.Linear(max(1, channels // 2), channels)

    def forward(self, x_BCTV: Tensor) -> Tensor:
        x_BCTV = x_BCTV * (1 + self.joint(x_BCTV.mean(dim=2)).sigmoid()[:, :, None])
        x_BCTV = x_BCTV * (1 + self.frame(x_BCTV.mean(dim=3)).sigmoid()[..., None])
        gate_BC = self.excite(self.squeeze(x_BCTV.mean(dim=(2, 3))).relu()).sigmoid()
        return x_BCTV * (1 + gate_BC[..., None, None])


class PlainGraphUnit(nn.Module):
    """Sum over subsets of features times adjacency times weights (Eq. 5), then BN, residual, ReLU."""

    def __init__(self, channels: tuple[int, int], graph_3VV: np.ndarray, fusion: Fusion, text_axis: TextAxis) -> None:
        super().__init__()
        width, out = channels
        self.embedding = max(1, out // 4)
        self.fusion: Fusion = fusion
        self.text_axis: TextAxis = text_axis
        self.adjacency = nn.Parameter(torch.from_numpy(graph_3VV.copy()))
        self.alpha = nn.Parameter(torch.zeros(()))
        self.source = nn.ModuleList(nn.Conv2d(width, self.embedding, 1) for _ in range(SUBSETS))
        self.target = nn.ModuleList(nn.Conv2d(width, self.embedding, 1) for _ in range(SUBSETS))
        self.project = nn.ModuleList(nn.Conv2d(width, out, 1) for _ in range(SUBSETS))
        self.norm = nn.BatchNorm2d(out)
        self.down = nn.Sequential(nn.Conv2d(width, out, 1), nn.BatchNorm2d(out)) if width != out else nn.Identity()
        joints = graph_3VV.shape[1]
        attended = fusion == "cross_attention"
        self.attend = nn.MultiheadAttention(joints, 1, dropout=0.2, batch_first=True) if attended else None

    def start_without_text(self) -> None:
        """As `hlgcn.GraphUnit.start_without_text`."""
        start_mixing_without_text(self.fusion, self.alpha)
        if self.attend is not None:
            start_at_zero(self.attend.out_proj)

    def mixing(self, x_BCTV: Tensor, subset: int, points_BLV: Tensor | None, valid_BL: Tensor | None) -> Tensor:
        """The adjacency of one subset, rows sources and columns receivers: A + alpha S + fused."""
        source, target = self.source[subset](x_BCTV), self.target[subset](x_BCTV)
        scores = torch.einsum("bcti,bctj->bij", source, target) / (self.embedding * x_BCTV.shape[2])
        similarity = torch.tanh(scores)
        mixing = self.adjacency[subset] + self.alpha * similarity
        if points_BLV is None or self.fusion == "none":
            return mixing
        if self.attend is not None:
            assert valid_BL is not None
            padding = None if valid_BL.shape[1] == 1 else ~valid_BL
            queries = similarity.mT if self.text_axis == "source" else similarity
            fused, _ = self.attend(queries, points_BLV, points_BLV, key_padding_mask=padding, need_weights=False)
            return mixing + (fused.mT if self.text_axis == "source" else fused)
        points_BV = points_BLV[:, 0]
        text = points_BV[:, :, None] if self.text_axis == "source" else points_BV[:, None, :]
        return mixing + (similarity * text if self.fusion == "multiplication" else similarity + text)

    def forward(self, x_BCTV: Tensor, points_BLV: Tensor | None, valid_BL: Tensor | None) -> Tensor:
        total = torch.zeros(())
        for subset, project in enumerate(self.project):
            mixing_BVV = self.mixing(x_BCTV, subset, points_BLV, valid_BL)
            total = total + project(torch.einsum("bctv,bvw->bctw", x_BCTV, mixing_BVV))
        return (self.norm(total) + self.down(x_BCTV)).relu()


class PlainBlock(nn.Module):
    """Graph unit, attention, 9x1 convolution with BN, residual, ReLU."""

    def __init__(
        self, channels: tuple[int, int], graph_3VV: np.ndarray, *, residual: bool, fusion: Fusion, text_axis: TextAxis
    ) -> None:
        super().__init__()
        width, out = channels
        self.graph = PlainGraphUnit(channels, graph_3VV, fusion, text_axis)
        self.attention = PlainAttention(out, graph_3VV.shape[1])
        self.temporal = nn.Conv2d(out, out, (9, 1), padding=(4, 0))
        self.norm = nn.BatchNorm2d(out)
        self.has_residual = residual
        convolved = residual and width != out
        self.residual = nn.Sequential(nn.Conv2d(width, out, 1), nn.BatchNorm2d(out)) if convolved else nn.Identity()

    def forward(self, x_BCTV: Tensor, points_BLV: Tensor | None, valid_BL: Tensor | None) -> Tensor:
        y = self.norm(self.temporal(self.attention(self.graph(x_BCTV, points_BLV, valid_BL))))
        return (y + self.residual(x_BCTV)).relu() if self.has_residual else y.relu()


class PlainHLGCN(nn.Module):
    """The network of `hlgcn.HLGCN` with adjacency-level fusion, 9-frame convolutions and PyTorch's initial weights."""

    def __init__(
        self,
        graph_3VV: Float[np.ndarray, "3 V V"],
        channels: int,
        widths: tuple[int, ...],
        *,
        fusion: Fusion = "multiplication",
        text_axis: TextAxis = "source",
        axes: Axes = "correct",
    ) -> None:
        super().__init__()
        self.joints = graph_3VV.shape[1]
        self.axes: Axes = axes
        self.features = widths[-1] * self.joints
        self.norm = nn.BatchNorm1d(channels * self.joints)
        self.blocks = nn.ModuleList(
            PlainBlock(pair, graph_3VV, residual=index > 0, fusion=fusion, text_axis=text_axis)
            for index, pair in enumerate(zip((channels, *widths[:-1]), widths, strict=True))
        )

    def forward(
        self,
        joints_BTVC: Float[Tensor, "B T V C"],
        points_BLV: Float[Tensor, "B L V"] | None = None,
        valid_BL: Bool[Tensor, "B L"] | None = None,
    ) -> Float[Tensor, "B T F"]:
        """Features per frame, channel-major: F = widths[-1] * V."""
        batch, frames, joints, channels = joints_BTVC.shape
        if self.axes == "scrambled":
            joints_BTVC = joints_BTVC.reshape(batch, frames, channels, joints).transpose(2, 3)
        normal = self.norm(joints_BTVC.permute(0, 2, 3, 1).reshape(batch, joints * channels, frames))
        x_BCTV = normal.reshape(batch, joints, channels, frames).permute(0, 2, 3, 1)
        for block in self.blocks:
            x_BCTV = block(x_BCTV, points_BLV, valid_BL)
        return x_BCTV.permute(0, 2, 1, 3).flatten(2)


def merge(plain: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of `PlainHLGCN` as state of `HLGCN`.

    The six embeddings become one weight (sources of the three subsets, then targets), the three projections one weight
    [out, in, subset], and the in- and out-projections of attention two. A bias in front of a batch normalisation moves
    into its running mean.
    """
    merged: dict[str, Tensor] = {key: plain[key] for key in plain if key.startswith("norm.")}
    blocks = sorted({key.split(".")[1] for key in plain if key.startswith("blocks.")}, key=int)
    for index in blocks:
        prefix = f"blocks.{index}."
        part = {key.removeprefix(prefix): value for key, value in plain.items() if key.startswith(prefix)}
        merged.update({prefix + key: value for key, value in _merge_block(part).items()})
    return merged


def _merge_block(part: Mapping[str, Tensor]) -> dict[str, Tensor]:
    kept = ("graph.adjacency", "graph.alpha", "graph.norm.", "attention.", "norm.")
    merged = {key: value.clone() for key, value in part.items() if key.startswith(kept)}
    embeddings = [f"graph.{side}.{subset}" for side in ("source", "target") for subset in range(SUBSETS)]
    merged["graph.embed_weight"] = torch.cat([part[f"{name}.weight"] for name in embeddings]).flatten(1)
    merged["graph.embed_bias"] = torch.cat([part[f"{name}.bias"] for name in embeddings])
    projections = [part[f"graph.project.{subset}.weight"].flatten(1) for subset in range(SUBSETS)]
    merged["graph.project_weight"] = torch.stack(projections, dim=2)
    merged["graph.norm.running_mean"] -= sum(part[f"graph.project.{subset}.bias"] for subset in range(SUBSETS))
    merged["temporal_weight"] = part["temporal.weight"].squeeze(3)
    merged["norm.running_mean"] -= part["temporal.bias"]
    for path in ("graph.down", "residual"):
        if f"{path}.0.weight" in part:
            merged[f"{path}.weight"] = part[f"{path}.0.weight"].flatten(1)
            norm = {
                key.removeprefix(f"{path}.1."): value for key, value in part.items() if key.startswith(f"{path}.1.")
            }
            norm["running_mean"] = norm["running_mean"] - part[f"{path}.0.bias"]
            merged.update({f"{path}.norm.{key}": value for key, value in norm.items()})
    if "graph.attend.in_proj_weight" in part:
        joints = part["graph.attend.out_proj.bias"].shape[0]
        for kind in ("weight", "bias"):
            query, key_value = part[f"graph.attend.in_proj_{kind}"].split([joints, 2 * joints])
            merged[f"graph.attend.query.{kind}"] = query
            merged[f"graph.attend.key_value.{kind}"] = key_value
            merged[f"graph.attend.out.{kind}"] = part[f"graph.attend.out_proj.{kind}"]
    return merged
