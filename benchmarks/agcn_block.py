"""A straightforward adaptive graph network in the style of 2s-AGCN (Shi et al., CVPR 2019), to time HL-GCN against.

Written from the paper's Eqs. 3 to 5: per subset a fixed, a free and a softmax-normalised adjacency, one convolution per
symbol, [B, C, T, V] in memory. No text, and no attention over joints, frames and channels: less work than HL-GCN does.
"""

import numpy as np
import torch
from torch import Tensor, nn

SUBSETS = 3


class AGCNBlock(nn.Module):
    """Adaptive graph convolution, 9x1 convolution over time, residual."""

    def __init__(self, width: int, out: int, graph_3VV: np.ndarray, *, residual: bool) -> None:
        super().__init__()
        embedding = max(1, out // 4)
        self.fixed: Tensor
        self.register_buffer("fixed", torch.from_numpy(graph_3VV.copy()))
        self.free = nn.Parameter(torch.full(graph_3VV.shape, 1e-6))
        self.theta = nn.ModuleList(nn.Conv2d(width, embedding, 1) for _ in range(SUBSETS))
        self.phi = nn.ModuleList(nn.Conv2d(width, embedding, 1) for _ in range(SUBSETS))
        self.project = nn.ModuleList(nn.Conv2d(width, out, 1) for _ in range(SUBSETS))
        self.norm = nn.BatchNorm2d(out)
        self.down = nn.Sequential(nn.Conv2d(width, out, 1), nn.BatchNorm2d(out)) if width != out else nn.Identity()
        self.temporal = nn.Sequential(nn.Conv2d(out, out, (9, 1), padding=(4, 0)), nn.BatchNorm2d(out))
        self.residual = residual

    def forward(self, x_BCTV: Tensor) -> Tensor:
        total = torch.zeros(())
        for subset, project in enumerate(self.project):
            theta, phi = self.theta[subset](x_BCTV), self.phi[subset](x_BCTV)
            scores_BVV = torch.einsum("bcti,bctj->bij", theta, phi) / (theta.shape[1] * theta.shape[2])
            mixing_BVV = self.fixed[subset] + self.free[subset] + scores_BVV.softmax(dim=1)
            total = total + project(torch.einsum("bctv,bvw->bctw", x_BCTV, mixing_BVV))
        spatial = (self.norm(total) + self.down(x_BCTV)).relu()
        if not self.residual:
            return self.temporal(spatial).relu()
        return (self.temporal(spatial) + self.down(x_BCTV)).relu()


class AGCN(nn.Module):
    """Blocks of the given widths behind a batch normalisation per joint and coordinate, as HL-GCN has."""

    def __init__(self, graph_3VV: np.ndarray, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels * graph_3VV.shape[1])
        pairs = zip((channels, *widths[:-1]), widths, strict=True)
        self.blocks = nn.Sequential(
            *(AGCNBlock(width, out, graph_3VV, residual=index > 0) for index, (width, out) in enumerate(pairs))
        )

    def forward(self, joints_BTVC: Tensor, *_: Tensor) -> Tensor:
        """Features [B, T, F]; text points are not read."""
        normal = self.norm(joints_BTVC.permute(0, 2, 3, 1).flatten(1, 2))
        x_BCTV = normal.unflatten(1, joints_BTVC.shape[2:]).permute(0, 2, 3, 1)
        return self.blocks(x_BCTV).permute(0, 2, 1, 3).flatten(2)
