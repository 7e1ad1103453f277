import math

import pytest
import torch

from flag3d_ray.models.deformable_attention import DeformableAttention, sample_frames

B, T, Q, H, P, D = 2, 7, 3, 4, 3, 2


def _attention() -> DeformableAttention:
    torch.manual_seed(0)
    attention = DeformableAttention(H * D, H, P).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return attention


def _read(frames: torch.Tensor, position: float) -> torch.Tensor:
    """Linear interpolation of [T, D] at a position on the unit interval, 0 outside."""
    place = position * (len(frames) - 1)
    below = math.floor(place)
    total = torch.zeros(frames.shape[1], dtype=frames.dtype)
    for index, weight in ((below, 1 - (place - below)), (below + 1, place - below)):
        if 0 <= index < len(frames):
            total = total + weight * frames[index]
    return total


def test_sampling_is_linear_interpolation_between_frames_and_zero_beyond():
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(B, T, H, D, generator=generator, dtype=torch.float64)
    location = torch.rand(B, Q, H, P, generator=generator, dtype=torch.float64) * 1.6 - 0.3
    location[0, 0, 0] = torch.tensor([0.0, 1.0, 2 / (T - 1)])
    sampled = sample_frames(value, location)
    for b in range(B):
        for q in range(Q):
            for h in range(H):
                for p in range(P):
                    expected = _read(value[b, :, h], location[b, q, h, p].item())
                    torch.testing.assert_close(sampled[b, q, h, p], expected)


@pytest.mark.parametrize("width", [False, True])
def test_attention_is_a_weighted_sum_of_samples_about_the_reference(width):
    attention = _attention()
    query, memory = torch.randn(B, Q, H * D).double(), torch.randn(B, T, H * D).double()
    valid = torch.arange(T) < torch.tensor([[7], [5]])
    reference = torch.rand(B, Q, 2 if width else 1).double()
    value = attention.value(memory)
    offsets, weights = attention.offset(query), attention.weight(query)
    expected = torch.zeros(B, Q, H * D).double()
    for b in range(B):
        frames = value[b] * valid[b][:, None]
        for q in range(Q):
            for h in range(H):
                part, points = slice(D * h, D * h + D), slice(P * h, P * h + P)
                share = torch.softmax(weights[b, q, points], dim=0)
                for p in range(P):
                    step = offsets[b, q, points][p]
                    step = step / P * reference[b, q, 1] / 2 if width else step / T
                    place = (reference[b, q, 0] + step).item()
                    expected[b, q, part] += share[p] * _read(frames[:, part], place)
    torch.testing.assert_close(attention(query, memory, valid, reference), attention.out(expected))


def test_at_first_points_fan_out_around_the_reference_and_weigh_the_same():
    attention = DeformableAttention(8 * 2, 8, 4)
    offsets = attention.offset(torch.randn(16)).view(8, 4)
    torch.testing.assert_close(offsets[0], torch.tensor([1.0, 2.0, 3.0, 4.0]))
    torch.testing.assert_close(offsets[2], -torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert offsets[1].abs().max() < 1e-5
    assert attention.weight(torch.randn(16)).abs().max() == 0.0


def test_positions_stay_in_float32_under_autocast():
    attention = _attention().float()
    query, memory = torch.randn(B, Q, H * D), torch.randn(B, T, H * D)
    valid, reference = torch.ones(B, T, dtype=torch.bool), torch.full((B, Q, 1), 0.5)
    exact = attention(query, memory, valid, reference)
    with torch.autocast("cpu", torch.bfloat16):
        assert (attention(query, memory, valid, reference) - exact).abs().max() < 0.1
        assert sample_frames(memory.view(B, T, H, D).bfloat16(), torch.rand(B, Q, H, P)).dtype == torch.float32
