"""Training of a set of predicted segments: a one-to-one matching with the true ones, and losses over it (DETR, DeTRC).

All losses are per clip, [B], so that their mean over clips does not depend on how a batch is split over workers.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from flag3d_ray.models.segment_overlap import overlap, to_bounds, to_centres

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


@dataclass(frozen=True, kw_only=True)
class SetWeights:
    """Factors of the matching cost and of the losses; see `methods.counting.detrc`."""

    cost_iou: float
    cost_l1: float
    cost_class: float
    l1_weight: float
    giou_weight: float
    class_weight: float
    background_weight: float
    quality_weight: float
    reference_weight: float
    contrastive_weight: float
    temperature: float
    overlap_weight: float


@dataclass(frozen=True, eq=False)
class Detections:
    """What Q queries say about B clips.

    Attributes:
        logits_BQ2: repetition, other.
        segments_BQ2: centre and width on the unit interval of the clip's valid frames.
        iou_BQ: logit of the overlap with a true segment that the query expects of itself.
        centredness_BQ: logit of how near it expects its centre to be to a true one.
        real_BQ: False for queries that stand on padding.
    """

    logits_BQ2: Float[Tensor, "B Q 2"]
    segments_BQ2: Float[Tensor, "B Q 2"]
    iou_BQ: Float[Tensor, "B Q"]
    centredness_BQ: Float[Tensor, "B Q"]
    real_BQ: Bool[Tensor, "B Q"]


@dataclass(frozen=True, eq=False)
class Targets:
    """True segments: start and end on the unit interval of the clip's valid frames, and which rows are no filling."""

    bounds_BR2: Float[Tensor, "B R 2"]
    present_BR: Bool[Tensor, "B R"]


def segment_targets(
    intervals: list[Int[np.ndarray, "_ 2"]], lengths_B: Int[Tensor, " B"], dtype: torch.dtype
) -> Targets:
    """The repetitions of B clips as targets, from frames and numbers of valid frames.

    One that lost all its frames stands there one frame wide, so that a clip has as many targets as repetitions.
    """
    most = max([len(reps_R2) for reps_R2 in intervals], default=0)
    bounds, present = np.zeros((len(intervals), most, 2)), np.zeros((len(intervals), most), dtype=bool)
    for row, reps_R2 in enumerate(intervals):
        lost_R1 = (reps_R2[:, 1] <= reps_R2[:, 0])[:, None]
        bounds[row, : len(reps_R2)] = np.where(lost_R1, reps_R2 + np.array([-0.5, 0.5]), reps_R2)
        present[row, : len(reps_R2)] = True
    lengths = lengths_B[:, None, None]
    bounds_BR2 = torch.from_numpy(bounds).to(lengths.device, dtype) / lengths
    return Targets(bounds_BR2.clamp(0.0, 1.0), torch.from_numpy(present).to(lengths.device))


@torch.no_grad()
def match(detections: Detections, targets: Targets, weights: SetWeights) -> Int[Tensor, "B Q"]:
    """The target of each query, or -1: the cheapest assignment of min(Q, R) queries to as many targets.

    The cost is that of the overlap (-IoU), of start and end (L1) and of the class (minus the probability), weighted.
    """
    bounds_BQ2 = to_bounds(detections.segments_BQ2)
    iou_BQR, _ = overlap(bounds_BQ2[:, :, None], targets.bounds_BR2[:, None])
    distance_BQR = (bounds_BQ2[:, :, None] - targets.bounds_BR2[:, None]).abs().sum(dim=-1)
    probability_BQ = detections.logits_BQ2.softmax(dim=-1)[..., 0]
    cost = weights.cost_l1 * distance_BQR - weights.cost_iou * iou_BQR - weights.cost_class * probability_BQ[..., None]
    costs, real, present = (value.cpu().numpy() for value in (cost, detections.real_BQ, targets.present_BR))
    assignment_BQ = np.full(real.shape, -1, dtype=np.int64)
    for row, cost_QR in enumerate(costs):
        queries = np.flatnonzero(real[row])
        chosen, matched = linear_sum_assignment(cost_QR[queries][:, present[row]])
        assignment_BQ[row, queries[chosen]] = matched
    return torch.from_numpy(assignment_BQ).to(cost.device)


def segment_losses(
    detections: Detections, targets: Targets, assignment_BQ: Int[Tensor, "B Q"], weights: SetWeights
) -> Float[Tensor, " B"]:
    """Distance and overlap of matched segments per target, and what queries expect of themselves.

    The expected overlap is compared with the largest one with any target, for all queries; the expected centredness with
    exp(-|distance of centres| / width of the target), for matched ones. Both are constants to the gradient.
    """
    matched_BQ, goal_BQ2 = matched_goals(targets, assignment_BQ)
    bounds_BQ2, goal_centres_BQ2 = to_bounds(detections.segments_BQ2), to_centres(goal_BQ2)
    _, giou_BQ = overlap(bounds_BQ2, goal_BQ2)
    l1_BQ = (detections.segments_BQ2 - goal_centres_BQ2).abs().sum(dim=-1)
    with torch.no_grad():
        iou_BQR, _ = overlap(bounds_BQ2[:, :, None], targets.bounds_BR2[:, None])
        best_BQ = F.pad(iou_BQR * targets.present_BR[:, None], (0, 1)).amax(dim=-1)
        offset_BQ = (detections.segments_BQ2[..., 0] - goal_centres_BQ2[..., 0]).abs()
        centred_BQ = torch.exp(-offset_BQ / goal_centres_BQ2[..., 1].clamp(min=1e-3))
    expected_BQ = (detections.iou_BQ.sigmoid() - best_BQ).abs()
    centredness_BQ = F.binary_cross_entropy_with_logits(detections.centredness_BQ, centred_BQ, reduction="none")
    per_match_BQ = weights.l1_weight * l1_BQ + weights.giou_weight * (1.0 - giou_BQ)
    per_match_BQ = per_match_BQ + weights.quality_weight * centredness_BQ
    expected_B = _mean(expected_BQ, detections.real_BQ)
    return _mean(per_match_BQ, matched_BQ) + weights.quality_weight * expected_B


def class_loss(
    detections: Detections, assignment_BQ: Int[Tensor, "B Q"], background_weight: float
) -> Float[Tensor, " B"]:
    """Cross-entropy of repetition against other, weighted mean over a clip's queries; matched ones weigh 1."""
    matched_BQ = assignment_BQ >= 0
    log_BQ2 = detections.logits_BQ2.log_softmax(dim=-1)
    entropy_BQ = -torch.where(matched_BQ, log_BQ2[..., 0], log_BQ2[..., 1])
    weight_BQ = torch.where(matched_BQ, 1.0, background_weight) * detections.real_BQ
    return (entropy_BQ * weight_BQ).sum(dim=1) / weight_BQ.sum(dim=1)


def overlap_penalty(detections: Detections) -> Float[Tensor, " B"]:
    """Sum of the overlap of each pair of a clip's queries over the squared number of queries."""
    bounds_BQ2 = to_bounds(detections.segments_BQ2)
    iou_BQQ, _ = overlap(bounds_BQ2[:, :, None], bounds_BQ2[:, None])
    real_BQ = detections.real_BQ
    pairs_BQQ = (real_BQ[:, :, None] & real_BQ[:, None]).triu(diagonal=1)
    return (iou_BQQ * pairs_BQQ).sum(dim=(1, 2)) / real_BQ.sum(dim=1).square()


def contrastive_loss(
    features_BQF: Float[Tensor, "B Q F"],
    matched_BQ: Bool[Tensor, "B Q"],
    real_BQ: Bool[Tensor, "B Q"],
    temperature: float,
) -> Float[Tensor, " B"]:
    """-log of the share that pairs of matched queries have in exp(q . q' / temperature) over all pairs of a clip.

    A query is paired with itself, too. A clip without matched queries has no loss.
    """
    score_BQQ = features_BQF @ features_BQF.transpose(1, 2) / temperature
    together = []
    for mask_BQ in (matched_BQ, real_BQ):
        pairs_BQQ = mask_BQ[:, :, None] & mask_BQ[:, None]
        together.append(score_BQQ.masked_fill(~pairs_BQQ, torch.finfo(score_BQQ.dtype).min).flatten(1).logsumexp(dim=1))
    return torch.where(matched_BQ.any(dim=1), together[1] - together[0], 0.0)


def focal_loss(logits_BQ2: Float[Tensor, "B Q 2"], matched_BQ: Bool[Tensor, "B Q"]) -> Float[Tensor, " B"]:
    """Sigmoid focal loss (Lin et al. 2017) of queries shown a true segment: sum over both classes, mean over queries."""
    goal = torch.tensor([1.0, 0.0], dtype=logits_BQ2.dtype, device=logits_BQ2.device).expand_as(logits_BQ2)
    entropy = F.binary_cross_entropy_with_logits(logits_BQ2, goal, reduction="none")
    missed = torch.where(goal > 0.5, 1.0 - logits_BQ2.sigmoid(), logits_BQ2.sigmoid())
    balance = torch.where(goal > 0.5, FOCAL_ALPHA, 1.0 - FOCAL_ALPHA)
    return _mean((balance * missed**FOCAL_GAMMA * entropy).sum(dim=-1), matched_BQ)


def matched_goals(
    targets: Targets, assignment_BQ: Int[Tensor, "B Q"]
) -> tuple[Bool[Tensor, "B Q"], Float[Tensor, "B Q 2"]]:
    """Which queries have a target, and its start and end (the whole clip for those without)."""
    padded = F.pad(targets.bounds_BR2, (0, 0, 0, 1))
    padded[:, -1, 1] = 1.0
    row_BQ = torch.where(assignment_BQ >= 0, assignment_BQ, padded.shape[1] - 1)
    return assignment_BQ >= 0, padded.gather(1, row_BQ[..., None].expand(-1, -1, 2))


def _mean(values_BQ: Tensor, mask_BQ: Tensor) -> Tensor:
    """Mean over the marked queries of each clip, 0 where there is none."""
    return (values_BQ * mask_BQ).sum(dim=1) / mask_BQ.sum(dim=1).clamp(min=1)
