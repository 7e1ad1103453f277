"""Attention over joints, frames and channels in turn, as one scaling (AAGCN, Shi et al. 2020)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class JointFrameChannelAttention(nn.Module):
    """Three gates 1 + sigmoid(...) in sequence: per joint, per frame, per channel.

    The gates are computed from two reductions of the features and applied once: the mean over joints of the gated
    features is a weighted mean, so the intermediate products are never formed.
    """

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        joint_kernel = joints - 1 if joints % 2 == 0 else joints
        hidden = max(1, channels // 2)
        self.joint = nn.Conv1d(channels, 1, joint_kernel, padding=joint_kernel // 2)
        self.frame = nn.Conv1d(channels, 1, 9, padding=4)
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, x_BVTC: Float[Tensor, "B V T C"]) -> Float[Tensor, "B V T C"]:
        """The gated features."""
        batch, joints, frames, channels = x_BVTC.shape
        joint_B1V = 1.0 + torch.sigmoid(self.joint(x_BVTC.mean(dim=2).transpose(1, 2)))
        weighted_B1 = torch.bmm(joint_B1V / joints, x_BVTC.reshape(batch, joints, frames * channels))
        mean_BTC = weighted_B1.view(batch, frames, channels)
        frame_BT1 = 1.0 + torch.sigmoid(self.frame(mean_BTC.transpose(1, 2))).transpose(1, 2)
        mean_BC = (mean_BTC * frame_BT1).mean(dim=1)
        channel_BC = 1.0 + torch.sigmoid(self.excite(F.relu(self.squeeze(mean_BC))))
        gate_BTC = frame_BT1 * channel_BC[:, None]
        return x_BVTC * joint_B1V.transpose(1, 2)[..., None] * gate_BTC[:, None]
