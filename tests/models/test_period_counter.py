"""RepNet's labels, count rule and loss against plain loops, and its conventions one frame apart."""

import math

import pytest
import torch

from flag3d_ray.models.period_counter import CountRule, PeriodCounter, frame_counts, period_lengths
from flag3d_ray.models.period_head import PeriodHead, PeriodSizes
from flag3d_ray.sample import Batch

FRAMES, CLASSES = 10, 6
REPS = torch.tensor([[0, 0, 0, 0, 1, 1, -1, 2, 2, 2], [-1, 0, 0, 0, 0, 0, 0, 0, 0, 0], [-1] * 10], dtype=torch.int32)
VALID = torch.arange(FRAMES) < torch.tensor([10, 8, 10])[:, None]


def logits(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lengths = 6 * torch.randn(3, FRAMES, CLASSES, generator=generator, dtype=torch.float64)
    return lengths, 3 + 2 * torch.randn(3, FRAMES, generator=generator, dtype=torch.float64)


def certain(periods: list[int], first_period: int = 1, classes: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a network that is sure of the period of each frame; 0 stands for a frame outside repetitions."""
    index = torch.tensor([max(period - first_period, 0) for period in periods])
    lengths = 50.0 * torch.nn.functional.one_hot(index, classes)
    return lengths[None].float(), torch.tensor([[50.0 if period else -50.0 for period in periods]])


def looped(lengths: list[list[float]], periodicity: list[float], valid: list[bool], rule: CountRule) -> list[float]:
    """Repetitions per frame of one clip, frame by frame."""
    periods, scores = [], []
    for row, logit, real in zip(lengths, periodicity, valid, strict=True):
        total = sum(math.exp(value) for value in row)
        best = max(range(len(row)), key=row.__getitem__)
        period = best + rule.first_period
        q = math.exp(row[best]) / total if period >= rule.shortest_period else 0.0
        periods.append(period)
        scores.append(math.sqrt(q / (1 + math.exp(-logit))) if real else 0.0)
    if sum(scores) / sum(valid) < rule.clip_threshold:
        return [0.0] * len(scores)
    return [1 / period if score > rule.frame_threshold else 0.0 for period, score in zip(periods, scores, strict=True)]


@pytest.mark.parametrize("first_period", [0, 1])
@pytest.mark.parametrize(("frame_threshold", "clip_threshold"), [(0.5, 0.2), (0.9, 0.2), (0.5, 0.61)])
def test_the_count_per_frame_is_the_rule_as_a_plain_loop(first_period, frame_threshold, clip_threshold):
    rule = CountRule(first_period=first_period, frame_threshold=frame_threshold, clip_threshold=clip_threshold)
    lengths, periodicity = logits()

    ours = frame_counts(lengths, periodicity, VALID, rule)

    clips = zip(lengths.tolist(), periodicity.tolist(), VALID.tolist(), strict=True)
    expected = torch.tensor([looped(*clip, rule) for clip in clips], dtype=torch.float64)
    torch.testing.assert_close(ours, expected)
    assert 0 < (ours > 0).sum() < ours.numel()


def test_sure_and_right_periods_count_the_repetitions():
    rule, valid = CountRule(), torch.ones(1, FRAMES, dtype=torch.bool)

    counts = frame_counts(*certain([4, 4, 4, 4, 2, 2, 0, 3, 3, 3]), valid, rule)

    assert counts.sum().item() == pytest.approx(3.0)
    assert counts[0, 6] == 0


def test_labels_of_one_convention_read_by_the_other_are_off_by_one_frame():
    valid = torch.ones(1, FRAMES, dtype=torch.bool)
    periods = [5] * FRAMES

    assert frame_counts(*certain(periods, 0), valid, CountRule(first_period=0)).sum().item() == pytest.approx(2.0)
    mixed = frame_counts(*certain(periods, 1), valid, CountRule(first_period=0))
    assert mixed.sum().item() == pytest.approx(FRAMES / 4)


def test_periods_below_the_shortest_are_not_counted():
    periods, valid = [2] * 4 + [3] * 6, torch.ones(1, FRAMES, dtype=torch.bool)

    assert frame_counts(*certain(periods), valid, CountRule()).sum().item() == pytest.approx(4.0)
    assert frame_counts(*certain(periods), valid, CountRule(shortest_period=3)).sum().item() == pytest.approx(2.0)


def test_a_clip_is_not_counted_whose_frames_score_little_in_the_mean_and_padding_does_not_lower_it():
    periods = [2, 2] + [0] * 8
    whole, short = torch.ones(1, FRAMES, dtype=torch.bool), torch.arange(FRAMES)[None] < 4

    assert frame_counts(*certain(periods), whole, CountRule(clip_threshold=0.3)).sum() == 0
    assert frame_counts(*certain(periods), short, CountRule(clip_threshold=0.3)).sum().item() == pytest.approx(1.0)


def test_padding_is_not_counted():
    valid = torch.arange(FRAMES)[None] < 4

    assert frame_counts(*certain([4] * FRAMES), valid, CountRule()).sum().item() == pytest.approx(1.0)


def test_the_period_of_a_frame_is_the_number_of_frames_of_its_repetition():
    assert period_lengths(REPS).tolist() == [[4, 4, 4, 4, 2, 2, 0, 3, 3, 3], [0] + [9] * 9, [0] * 10]


def counter(rule: CountRule | None = None) -> PeriodCounter:
    torch.manual_seed(0)
    sizes = PeriodSizes(
        temporal_width=6, conv_channels=2, model_width=8, attention_heads=2, feed_forward=8, hidden_widths=(8,)
    )
    return (
        PeriodCounter(torch.nn.Flatten(2), PeriodHead(6, FRAMES, sizes, CLASSES), rule or CountRule()).double().eval()
    )


def batch() -> Batch:
    return Batch(
        clip_ids=("a", "b", "c"),
        joints_BTVC=torch.randn(3, FRAMES, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        valid_BT=VALID,
        text_BLD=torch.zeros(3, 1, 0),
        text_valid_BL=torch.ones(3, 1, dtype=torch.bool),
        reps_BT=REPS,
    )


@pytest.mark.parametrize("first_period", [0, 1])
def test_the_loss_is_cross_entropies_of_length_and_periodicity_as_plain_loops(first_period):
    network = counter(CountRule(first_period=first_period))
    lengths, periodicity = network(batch())
    clips = []
    for row in range(3):
        periods, terms = period_lengths(REPS)[row].tolist(), []
        for t in range(FRAMES):
            if not VALID[row, t]:
                continue
            inside = 1 / (1 + math.exp(-periodicity[row, t].item()))
            terms.append(-math.log(inside if periods[t] else 1 - inside))
            if periods[t]:
                values = lengths[row, t].tolist()
                label = min(periods[t] - first_period, CLASSES - 1)  # nine frames are more than six classes tell apart
                terms[-1] += math.log(sum(math.exp(value) for value in values)) - values[label]
        clips.append(sum(terms) / len(terms))

    assert network.loss(batch()).item() == pytest.approx(sum(clips) / 3)


def test_padding_is_not_learned():
    network, (lengths, periodicity) = counter(), logits()
    lengths.requires_grad_()
    periodicity.requires_grad_()
    network.forward = lambda batch: (lengths, periodicity)

    network.loss(batch()).backward()

    assert lengths.grad is not None
    assert periodicity.grad is not None
    assert torch.equal(periodicity.grad != 0, VALID)
    assert torch.equal((lengths.grad != 0).any(dim=2), VALID & (REPS >= 0))


def test_a_batch_without_repetitions_has_no_loss():
    with pytest.raises(ValueError, match="reps_BT"):
        counter().loss(batch().without_labels())
