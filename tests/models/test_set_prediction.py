import math
from itertools import permutations

import numpy as np
import pytest
import torch

from flag3d_ray.methods.counting.detrc import DeTRC
from flag3d_ray.models.segment_overlap import overlap, to_bounds
from flag3d_ray.models.set_prediction import (
    Detections,
    SetWeights,
    Targets,
    class_loss,
    contrastive_loss,
    focal_loss,
    match,
    matched_goals,
    overlap_penalty,
    segment_losses,
    segment_targets,
)

B, Q, R = 2, 5, 3
WEIGHTS = SetWeights(**{name: getattr(DeTRC(), name) for name in SetWeights.__dataclass_fields__})


def _detections(real: int = Q) -> Detections:
    """Of the second clip only the first `real` queries stand on frames."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    valid = torch.ones(B, Q, dtype=torch.bool)
    valid[1, real:] = False
    return Detections(draw(B, Q, 2), draw(B, Q, 2).sigmoid(), draw(B, Q), draw(B, Q), valid)


def _targets() -> Targets:
    """Three repetitions in the first clip, two in the second."""
    intervals = [np.array([[0, 4], [4, 9], [9, 12]]), np.array([[2, 5], [5, 8]])]
    return segment_targets(intervals, torch.tensor([16, 10]), torch.float64)


def _iou(one: torch.Tensor, other: torch.Tensor) -> float:
    return overlap(one, other)[0].item()


def test_targets_are_shares_of_the_valid_frames_and_lost_repetitions_are_one_frame_wide():
    intervals = [np.array([[0, 4], [8, 8]]), np.empty((0, 2), dtype=np.int64)]
    targets = segment_targets(intervals, torch.tensor([16, 10]), torch.float64)
    assert targets.bounds_BR2[0].tolist() == [[0.0, 0.25], [7.5 / 16, 8.5 / 16]]
    assert targets.present_BR.tolist() == [[True, True], [False, False]]


def test_the_matching_is_the_cheapest_of_all_assignments():
    detections, targets = _detections(real=4), _targets()
    assignment = match(detections, targets, WEIGHTS)
    bounds = to_bounds(detections.segments_BQ2)
    for clip, (real, number) in enumerate(((5, 3), (4, 2))):

        def cost(query: int, target: int, clip: int = clip) -> float:
            one, other = bounds[clip, query], targets.bounds_BR2[clip, target]
            probability = torch.softmax(detections.logits_BQ2[clip, query], 0)[0].item()
            return -5 * _iou(one, other) + 2 * (one - other).abs().sum().item() - probability

        totals = {p: sum(cost(q, r) for r, q in enumerate(p)) for p in permutations(range(real), number)}
        best = min(totals, key=lambda one: totals[one])
        found = [assignment[clip].tolist().index(target) for target in range(number)]
        assert tuple(found) == best
        assert (assignment[clip] >= 0).sum() == number


def test_more_targets_than_queries_leave_targets_over():
    intervals = [np.stack([np.arange(9), np.arange(1, 10)], axis=1)] * B
    assignment = match(_detections(real=3), segment_targets(intervals, torch.tensor([9, 9]), torch.float64), WEIGHTS)
    assert (assignment >= 0).sum(dim=1).tolist() == [5, 3]


def test_a_clip_without_repetitions_matches_nothing_and_loses_only_what_queries_expect():
    detections = _detections()
    targets = segment_targets([np.empty((0, 2), dtype=np.int64)] * B, torch.tensor([9, 9]), torch.float64)
    assignment = match(detections, targets, WEIGHTS)
    assert (assignment == -1).all()
    expected = detections.iou_BQ.sigmoid().mean(dim=1)
    torch.testing.assert_close(segment_losses(detections, targets, assignment, WEIGHTS), expected)
    assert contrastive_loss(torch.randn(B, Q, 4), assignment >= 0, detections.real_BQ, 1.0).tolist() == [0.0, 0.0]
    assert focal_loss(detections.logits_BQ2, assignment >= 0).tolist() == [0.0, 0.0]


def test_segment_losses_are_those_of_a_plain_loop():
    detections, targets = _detections(real=4), _targets()
    assignment = match(detections, targets, WEIGHTS)
    losses = segment_losses(detections, targets, assignment, WEIGHTS)
    bounds = to_bounds(detections.segments_BQ2)
    for clip, (real, number) in enumerate(((5, 3), (4, 2))):
        matched, expected = 0.0, 0.0
        for query in range(real):
            best = max(_iou(bounds[clip, query], targets.bounds_BR2[clip, target]) for target in range(number))
            expected += abs(torch.sigmoid(detections.iou_BQ[clip, query]).item() - best) / real
            target = int(assignment[clip, query])
            if target < 0:
                continue
            start, end = targets.bounds_BR2[clip, target].tolist()
            centre, width = detections.segments_BQ2[clip, query].tolist()
            _, giou = overlap(bounds[clip, query], targets.bounds_BR2[clip, target])
            near = math.exp(-abs(centre - (start + end) / 2) / (end - start))
            claimed = torch.sigmoid(detections.centredness_BQ[clip, query]).item()
            entropy = -near * math.log(claimed) - (1 - near) * math.log(1 - claimed)
            distance = abs(centre - (start + end) / 2) + abs(width - (end - start))
            matched += (5 * distance + 2 * (1 - giou.item()) + entropy) / number
        assert losses[clip].item() == pytest.approx(matched + expected)


def test_what_queries_expect_of_themselves_does_not_move_their_segments():
    detections, targets = _detections(), _targets()
    segments = detections.segments_BQ2.clone().requires_grad_()
    moved = Detections(
        detections.logits_BQ2, segments, detections.iou_BQ, detections.centredness_BQ, detections.real_BQ
    )
    quality_only = SetWeights(**{**vars(WEIGHTS), "l1_weight": 0.0, "giou_weight": 0.0})
    segment_losses(moved, targets, match(moved, targets, WEIGHTS), quality_only).sum().backward()
    assert segments.grad is not None
    assert segments.grad.abs().max() == 0.0


def test_the_class_loss_is_a_weighted_mean_over_the_queries_of_a_clip():
    detections = _detections(real=4)
    assignment = torch.tensor([[0, -1, 2, -1, 1], [-1, 1, -1, -1, -1]])
    losses = class_loss(detections, assignment, 0.1)
    for clip, real in enumerate((5, 4)):
        total, weights = 0.0, 0.0
        for query in range(real):
            probability = torch.softmax(detections.logits_BQ2[clip, query], 0)
            label, weight = (0, 1.0) if assignment[clip, query] >= 0 else (1, 0.1)
            total -= weight * math.log(probability[label])
            weights += weight
        assert losses[clip].item() == pytest.approx(total / weights)


def test_the_overlap_penalty_counts_each_pair_once():
    detections = _detections(real=4)
    bounds = to_bounds(detections.segments_BQ2)
    for clip, real in enumerate((5, 4)):
        pairs = [(i, j) for i in range(real) for j in range(i + 1, real)]
        expected = sum(_iou(bounds[clip, i], bounds[clip, j]) for i, j in pairs) / real**2
        assert overlap_penalty(detections)[clip].item() == pytest.approx(expected)


def test_the_contrast_is_the_share_of_matched_pairs():
    features = torch.randn(B, Q, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    matched = torch.tensor([[True, False, True, False, True], [False, True, False, False, False]])
    real = torch.tensor([[True] * 5, [True] * 4 + [False]])
    losses = contrastive_loss(features, matched, real, 2.0)
    for clip in range(B):

        def summed(mask: torch.Tensor, clip: int = clip) -> float:
            chosen = [query for query in range(Q) if mask[clip, query]]
            return sum(math.exp(features[clip, i] @ features[clip, j] / 2.0) for i in chosen for j in chosen)

        assert losses[clip].item() == pytest.approx(-math.log(summed(matched) / summed(real)))


def test_the_contrast_of_long_features_is_finite():
    features = torch.full((B, Q, 512), 30.0, requires_grad=True)
    mask = torch.tensor([[True, True, False, False, False]] * B)
    loss = contrastive_loss(features, mask, torch.ones(B, Q, dtype=torch.bool), 1.0)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_the_focal_loss_is_that_of_a_plain_loop():
    logits = _detections().logits_BQ2
    matched = torch.tensor([[True, False, True, False, False], [False] * 5])
    expected = 0.0
    for query in (0, 2):
        for kind, goal in ((0, 1.0), (1, 0.0)):
            p = torch.sigmoid(logits[0, query, kind]).item()
            right, alpha = (p, 0.25) if goal else (1 - p, 0.75)
            expected -= alpha * (1 - right) ** 2 * math.log(right) / 2
    assert focal_loss(logits, matched).tolist() == pytest.approx([expected, 0.0])


def test_queries_without_a_target_have_the_whole_clip_for_a_goal():
    matched, goal = matched_goals(_targets(), torch.tensor([[2, -1, 0, -1, -1], [1, -1, -1, -1, -1]]))
    assert matched.tolist() == [[True, False, True, False, False], [True, False, False, False, False]]
    assert goal[0, :3].tolist() == [[9 / 16, 12 / 16], [0.0, 1.0], [0.0, 4 / 16]]
