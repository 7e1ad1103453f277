import torch

from flag3d_ray.models.clip_randomness import clip_generator


def _draw(seed: int = 0, step: int = 3, clip_id: str = "A001#2") -> list[float]:
    return torch.rand(4, generator=clip_generator(seed, step, clip_id)).tolist()


def test_numbers_depend_on_seed_step_and_clip_and_on_nothing_else():
    torch.manual_seed(1)
    first = _draw()
    torch.manual_seed(2)
    assert _draw() == first
    assert first not in (_draw(seed=1), _draw(step=4), _draw(clip_id="A001#3"))


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    _draw()
    assert torch.equal(torch.rand(1), expected)


def test_draws_of_many_clips_are_uniform():
    draws = torch.stack([torch.rand((), generator=clip_generator(0, 0, f"clip{index}")) for index in range(2000)])
    assert torch.histc(draws, 4, 0.0, 1.0).sub(500).abs().max() < 100  # five standard deviations
