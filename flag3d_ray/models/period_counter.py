"""Repetition counting by period lengths: labels, loss and readout of RepNet."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from flag3d_ray.models.period_head import PeriodHead
from flag3d_ray.sample import Batch, Prediction


@dataclass(frozen=True, kw_only=True)
class CountRule:
    """How period lengths and periodicities become a count.

    Attributes:
        first_period: length in frames that class 0 stands for, in labels and in counts: 0 or 1.
        shortest_period: frames of the shortest repetition that is counted, at least 1.
        frame_threshold: score above which a frame is counted.
        clip_threshold: mean score below which nothing of a clip is.
    """

    first_period: int = 1
    shortest_period: int = 2
    frame_threshold: float = 0.5
    clip_threshold: float = 0.2


def period_lengths(reps_BT: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Frames of the repetition that each frame belongs to, 0 where it belongs to none."""
    same_BTT = reps_BT[:, :, None] == reps_BT[:, None]
    return same_BTT.sum(dim=2) * (reps_BT >= 0)


def frame_counts(
    length_BTK: Float[Tensor, "B T K"],
    periodicity_BT: Float[Tensor, "B T"],
    valid_BT: Bool[Tensor, "B T"],
    rule: CountRule,
) -> Float[Tensor, "B T"]:
    """Repetitions per frame: 1 / d on the counted frames, d the likeliest length; their sum is the count of the clip.

    The score of a frame is sqrt(p q): p its probability of being inside a repetition, q that of d, 0 where d is shorter
    than the rule's shortest period. The mean score of a clip is over its valid frames.
    """
    confidence_BT, class_BT = torch.softmax(length_BTK, dim=-1).max(dim=-1)
    period_BT = class_BT + rule.first_period
    plausible_BT = valid_BT & (period_BT >= rule.shortest_period)
    score_BT = torch.sqrt(torch.sigmoid(periodicity_BT) * confidence_BT) * plausible_BT
    mean_B = score_BT.sum(dim=1) / valid_BT.sum(dim=1).clamp_min(1)
    counted_BT = (score_BT > rule.frame_threshold) & (mean_B >= rule.clip_threshold)[:, None]
    return counted_BT / period_BT.clamp_min(1).to(score_BT.dtype)


class PeriodCounter(nn.Module):
    """Skeleton encoder and period head.

    Args:
        encoder: a module from joints [B, T, V, C] to features [B, T, F], such as the text-free `HLGCN`.
        periods: features to logits.
        rule: from logits to a count.
    """

    def __init__(self, encoder: nn.Module, periods: PeriodHead, rule: CountRule) -> None:
        super().__init__()
        self.encoder = encoder
        self.periods = periods
        self.rule = rule

    def forward(self, batch: Batch) -> tuple[Float[Tensor, "B T K"], Float[Tensor, "B T"]]:
        """Logits of lengths and of periodicity, in float32 at least."""
        length_BTK, periodicity_BT = self.periods(self.encoder(batch.joints_BTVC))
        dtype = torch.promote_types(length_BTK.dtype, torch.float32)
        return length_BTK.to(dtype), periodicity_BT.to(dtype)

    def loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Cross-entropy of the length, on frames inside a repetition, plus that of periodicity, on all valid frames.

        Each is a sum over frames by the number of valid frames of the clip, averaged over clips. A repetition longer than
        the longest class stands for has that class.

        Raises:
            ValueError: the batch does not say which frames belong to which repetition.
        """
        if batch.reps_BT is None:
            raise ValueError("the loss needs a batch with reps_BT")
        length_BTK, periodicity_BT = self(batch)
        period_BT = period_lengths(batch.reps_BT)
        class_BT = (period_BT - self.rule.first_period).clamp(0, length_BTK.shape[2] - 1)
        inside_BT = (period_BT > 0).to(periodicity_BT.dtype)
        wrong_length_BT = F.cross_entropy(length_BTK.mT, class_BT, reduction="none")
        wrong_inside_BT = F.binary_cross_entropy_with_logits(periodicity_BT, inside_BT, reduction="none")
        loss_BT = (inside_BT * wrong_length_BT + wrong_inside_BT) * batch.valid_BT
        return (loss_BT.sum(dim=1) / batch.valid_BT.sum(dim=1).clamp_min(1)).mean()

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Prediction]:
        """Repetitions per frame and their sum as the count, unrounded, computed in evaluation mode."""
        training = self.training
        self.eval()
        length_BTK, periodicity_BT = self(batch)
        counts_BT = frame_counts(length_BTK, periodicity_BT, batch.valid_BT, self.rule).float().cpu().numpy()
        self.train(training)
        return [
            Prediction(clip_id=clip_id, count=float(counts_T.sum()), density_T=counts_T)
            for clip_id, counts_T in zip(batch.clip_ids, counts_BT, strict=True)
        ]
