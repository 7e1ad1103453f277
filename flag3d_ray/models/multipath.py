"""Three parallel convolutions over frames and joints between encoder and density head (ME-RAC)."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from flag3d_ray.models.density_head import DensityHead
from flag3d_ray.models.normalization import GlobalBatchNorm
from flag3d_ray.models.rac import RepetitionCounter
from flag3d_ray.sample import Batch


class MultiPath(nn.Module):
    """Features at three temporal reaches, then batch normalisation, ReLU and the maximum over joints.

    Paths: 1 x 1; 1 x 1, then 5 frames at a dilation of 5 by 3 joints; 1 x 1, then 3 frames at a dilation of 3 by
    3 joints. There is no activation inside a path. Joints are neighbours where the layout lists them next to each other.
    A path's last convolution has no bias: batch normalisation would subtract it again.

    Args:
        channels: features per joint that the encoder gives.
        joints: number of joints.
        widths: channels of the three paths, from the first to the third.
        shared_stem: the third path convolves the first path's output instead of a 1 x 1 convolution of its own.
    """

    def __init__(self, channels: int, joints: int, widths: tuple[int, int, int], *, shared_stem: bool) -> None:
        super().__init__()
        point, wide, narrow = widths
        self.joints = joints
        self.features = sum(widths)
        self.point = nn.Conv2d(channels, point, 1, bias=shared_stem)
        self.wide_stem = nn.Conv2d(channels, wide, 1)
        self.wide = nn.Conv2d(wide, wide, (5, 3), padding=(10, 1), dilation=(5, 1), bias=False)
        self.narrow_stem = None if shared_stem else nn.Conv2d(channels, narrow, 1)
        stem = point if shared_stem else narrow
        self.narrow = nn.Conv2d(stem, narrow, 3, padding=(3, 1), dilation=(3, 1), bias=False)
        self.norm = GlobalBatchNorm(self.features)

    def forward(self, features_BTF: Float[Tensor, "B T F"]) -> Float[Tensor, "B T P"]:
        """The paths side by side, P = sum of the widths; F = channels * joints, channel-major."""
        image_BCTV = rearrange(features_BTF, "b t (c v) -> b c t v", v=self.joints)
        image_BCTV = image_BCTV.contiguous(memory_format=torch.channels_last)
        point_BCTV = self.point(image_BCTV)
        stem_BCTV = point_BCTV if self.narrow_stem is None else self.narrow_stem(image_BCTV)
        paths = point_BCTV, self.wide(self.wide_stem(image_BCTV)), self.narrow(stem_BCTV)
        paths_BTVC = torch.cat(paths, dim=1).permute(0, 2, 3, 1)
        return F.relu(self.norm(paths_BTVC)).amax(dim=2)


class MultiPathCounter(RepetitionCounter):
    """A text-free density network with paths between encoder and head, which also learns from the count.

    Args:
        encoder, head, density_scale: as in `RepetitionCounter`.
        paths: features of the encoder to those of the head.
        count_weight: factor of the count's loss beside the mean squared error of the density, without its scale.
    """

    def __init__(
        self, encoder: nn.Module, paths: MultiPath, head: DensityHead, *, density_scale: float, count_weight: float
    ) -> None:
        super().__init__(encoder, head, density_scale=density_scale, count_weight=count_weight)
        self.paths = paths

    def forward(self, batch: Batch) -> Float[Tensor, "B T"]:
        """The scaled density, in the dtype of the computation."""
        return self.head(self.paths(self.encoder(batch.joints_BTVC)))

    def loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Mean squared error of the density plus the smooth L1 error of its sum, in float32 at least.

        The error of a count is d^2 / 2 up to a difference of one repetition and |d| - 1/2 beyond, averaged over rows.

        Raises:
            ValueError: the batch has no density or no count.
        """
        output_BT = self(batch)
        count = F.smooth_l1_loss(*self.counts(output_BT, batch))
        return self.density_loss(output_BT, batch) / self.density_scale**2 + self.count_weight * count
