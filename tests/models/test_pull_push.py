"""The pull-push loss against the paper's formula as a plain loop, and where that formula has nothing to average."""

import math

import pytest
import torch

from flag3d_ray.models.pull_push import pull_push_loss

# Rest, two repetitions back to back, rest of one frame, a repetition of one frame, one to the end: T = 12.
FRAMES = [-1, -1, 0, 0, 0, 1, 1, -1, 2, 3, 3, 3]
FULL = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2]
RESTING = [-1] * 12


def features(clips: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(clips, 12, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(u: list[float], v: list[float]) -> float:
    return sum(a * b for a, b in zip(u, v, strict=True)) / (math.hypot(*u) * math.hypot(*v))


def mean(vectors: list[list[float]]) -> list[float]:
    return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]


def looped(vectors: list[list[float]], frames: list[int]) -> float:
    """Pull plus push of one clip, run by run."""
    runs: list[tuple[int, list[list[float]]]] = []
    for index, vector in zip(frames, vectors, strict=True):
        if not runs or runs[-1][0] != index:
            runs.append((index, []))
        runs[-1][1].append(vector)
    cycles = [mean(run) for index, run in runs if index >= 0]
    intervals = [mean(run) for index, run in runs if index < 0]
    if not cycles:
        return 0.0
    center = mean(cycles)
    pull = sum(1 - cosine(cycle, center) for cycle in cycles) / len(cycles)
    push = [math.exp(-(1 - cosine(interval, center))) for interval in intervals]
    return pull + (sum(push) / len(push) if push else 0.0)


def test_the_loss_of_each_clip_is_the_formula_as_a_plain_loop():
    x, reps = features(3), [FRAMES, FULL, RESTING]

    ours = pull_push_loss(x, torch.tensor(reps, dtype=torch.int32), torch.ones(3, 12, dtype=torch.bool))

    assert ours.tolist() == pytest.approx([looped(clip.tolist(), frames) for clip, frames in zip(x, reps, strict=True)])


def test_padding_is_no_interval():
    x, valid = features(1), torch.arange(12)[None] < 9
    padded = torch.tensor([[0, 0, 0, 1, 1, 1, 2, 2, 2, -1, -1, -1]])

    ours = pull_push_loss(x, padded, valid)

    assert ours.tolist() == pytest.approx([looped(x[0, :9].tolist(), [0, 0, 0, 1, 1, 1, 2, 2, 2])])
    changed = x.clone()
    changed[0, 9:] = 100.0
    torch.testing.assert_close(pull_push_loss(changed, padded, valid), ours)


@pytest.mark.parametrize("length", [12, 8])
def test_the_released_labels_take_the_last_frame_of_the_clip_for_an_interval(length):
    x, valid = features(1), torch.arange(12)[None] < length
    reps = torch.tensor([FULL]).masked_fill(~valid, -1)

    ours = pull_push_loss(x, reps, valid, last_frame_is_interval=True)

    assert ours.tolist() == pytest.approx([looped(x[0, :length].tolist(), [*FULL[: length - 1], -1])])


def test_gradients_are_finite_where_a_clip_has_no_interval_no_repetition_or_no_frame():
    x = features(3).requires_grad_()
    valid = torch.ones(3, 12, dtype=torch.bool)
    valid[2] = False

    pull_push_loss(x, torch.tensor([FULL, RESTING, FRAMES]), valid).sum().backward()

    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad[0].abs().max() > 0
    assert x.grad[1:].abs().max() == 0


def test_equal_frames_have_no_pull_and_a_push_of_one_and_opposed_intervals_a_push_of_e_to_the_minus_two():
    reps, valid = torch.tensor([FRAMES]), torch.ones(1, 12, dtype=torch.bool)
    x = torch.ones(1, 12, 5)

    assert pull_push_loss(x, reps, valid).item() == pytest.approx(1.0)
    assert pull_push_loss(torch.where(reps[..., None] < 0, -x, x), reps, valid).item() == pytest.approx(math.exp(-2))


def test_half_precision_features_are_compared_in_float32_even_under_autocast():
    x = features(2).bfloat16()
    arguments = torch.tensor([FRAMES, FULL]), torch.ones(2, 12, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        ours = pull_push_loss(x, *arguments)

    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, pull_push_loss(x.float(), *arguments), rtol=1e-6, atol=1e-6)
