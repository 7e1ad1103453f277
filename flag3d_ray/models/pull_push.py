"""The pull-push loss: repetitions of a clip resemble each other, and differ from what lies between them (IVAC-P2L)."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from flag3d_ray.models.density_head import DensityHead
from flag3d_ray.models.rac import RepetitionCounter
from flag3d_ray.sample import Batch

INTERVAL, PADDING = -1, -2


def pull_push_loss(
    features_BTF: Float[Tensor, "B T F"],
    reps_BT: Int[Tensor, "B T"],
    valid_BT: Bool[Tensor, "B T"],
    *,
    last_frame_is_interval: bool = False,
) -> Float[Tensor, " B"]:
    """Pull plus push of each clip, in float32 at least.

    With u_k the mean feature of repetition k, v_m that of interval m and u the mean of all u_k: pull is the mean of
    1 - cos(u_k, u), push the mean of exp(cos(v_m, u) - 1). An interval is a run of frames without a repetition, at the
    ends of the clip too. A clip without intervals has no push, one without repetitions neither. Push lies between
    e^-2 and 1 and does not reach zero.

    Args:
        features_BTF: one feature per frame.
        reps_BT: repetition of each frame, -1 where none.
        valid_BT: False on padding, which belongs to no interval.
        last_frame_is_interval: take the last frame of a clip for an interval whatever its label.
    """
    if last_frame_is_interval:
        last_BT = valid_BT & ~F.pad(valid_BT[:, 1:], (0, 1))
        reps_BT = reps_BT.masked_fill(last_BT, INTERVAL)
    member_BST, label_BS = _segments(reps_BT.masked_fill(~valid_BT, PADDING))
    cycle_BS = label_BS >= 0
    interval_BS = (label_BS == INTERVAL) & cycle_BS.any(dim=1, keepdim=True)
    with torch.autocast(features_BTF.device.type, enabled=False):
        features_BTF = features_BTF.to(torch.promote_types(features_BTF.dtype, torch.float32))
        mean_BSF = member_BST.to(features_BTF.dtype) @ features_BTF / member_BST.sum(2, keepdim=True).clamp_min(1)
        center_BF = _mean_where(mean_BSF, cycle_BS[..., None])
        alike_BS = F.cosine_similarity(mean_BSF, center_BF[:, None], dim=-1)
        return _mean_where(1.0 - alike_BS, cycle_BS) + _mean_where(torch.exp(alike_BS - 1.0), interval_BS)


def _segments(labels_BT: Int[Tensor, "B T"]) -> tuple[Bool[Tensor, "B S T"], Int[Tensor, "B S"]]:
    """The runs of equal labels in order, as many as there are frames so that shapes are static: the frames of each, and
    its label. Those behind the last run are empty and labelled as padding.
    """
    segment_BT = F.pad((labels_BT[:, 1:] != labels_BT[:, :-1]).cumsum(dim=1), (1, 0))
    member_BST = segment_BT[:, None] == torch.arange(labels_BT.shape[1], device=labels_BT.device)[:, None]
    return member_BST, torch.where(member_BST, labels_BT[:, None], PADDING).amax(dim=2)


def _mean_where(values_BS: Tensor, mask_BS: Tensor) -> Tensor:
    """Mean over the segments of the mask, zero where there are none."""
    return (values_BS * mask_BS).sum(dim=1) / mask_BS.sum(dim=1).clamp_min(1)


class PullPushCounter(RepetitionCounter):
    """A text-free density network that also learns from the pull-push loss of its embedded frames.

    Args:
        encoder, head, density_scale: as in `RepetitionCounter`.
        density_weight, pull_push_weight: factors of the mean squared error of the density, without its scale, and of
            the pull-push loss.
        last_frame_is_interval: as in `pull_push_loss`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: DensityHead,
        *,
        density_scale: float,
        density_weight: float,
        pull_push_weight: float,
        last_frame_is_interval: bool,
    ) -> None:
        super().__init__(encoder, head, density_scale=density_scale)
        self.density_weight = density_weight
        self.pull_push_weight = pull_push_weight
        self.last_frame_is_interval = last_frame_is_interval

    def loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Weighted sum of both losses over the rows, in float32 at least.

        Raises:
            ValueError: the batch has no density or does not say which frames belong to which repetition.
        """
        if batch.reps_BT is None:
            raise ValueError("the loss needs a batch with reps_BT")
        embedded_BTH = self.head.embed(self.encoder(batch.joints_BTVC))
        density = self.density_loss(self.head.regress(embedded_BTH), batch) / self.density_scale**2
        pull_push_B = pull_push_loss(
            embedded_BTH, batch.reps_BT, batch.valid_BT, last_frame_is_interval=self.last_frame_is_interval
        )
        return self.density_weight * density + self.pull_push_weight * pull_push_B.mean()
