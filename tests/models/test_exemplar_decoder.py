import pytest
import torch

from flag3d_ray.models.exemplar_decoder import (
    ExemplarBlock,
    ExemplarDecoder,
    ExemplarSizes,
    pool_frames,
    spread_over_frames,
)

JOINTS, CHANNELS, FRAMES, STEPS = 3, 2, 16, 4
SIZES = ExemplarSizes(
    pool=4,
    exemplar_steps=2,
    model_width=8,
    attention_heads=2,
    feed_forward=16,
    cross_blocks=2,
    window_blocks=2,
    window=2,
    window_residual=True,
)


def _decoder() -> ExemplarDecoder:
    torch.manual_seed(0)
    decoder = ExemplarDecoder(CHANNELS, JOINTS, FRAMES, SIZES).double()
    torch.nn.init.normal_(decoder.zero_shot)
    return decoder


def _features(clips: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(clips, FRAMES, JOINTS, CHANNELS, generator=generator, dtype=torch.float64)


def _valid(*lengths: int) -> torch.Tensor:
    return torch.arange(FRAMES) < torch.tensor(lengths)[:, None]


def test_a_step_is_the_mean_of_its_valid_frames():
    x, valid = _features(2), _valid(16, 6)
    pooled = pool_frames(x, valid, 4)
    for clip in range(2):
        for step in range(STEPS):
            frames = [t for t in range(4 * step, 4 * step + 4) if valid[clip, t]]
            expected = x[clip, frames].mean(dim=0) if frames else torch.zeros(JOINTS, CHANNELS).double()
            torch.testing.assert_close(pooled[clip, step], expected)


def test_frames_share_the_density_of_their_step_and_padding_has_none():
    density, valid = torch.tensor([[1.0, 2.0, 3.0, -1.0], [1.0, 2.0, 0.0, 0.0]]), _valid(16, 6)
    spread = spread_over_frames(density, valid)
    torch.testing.assert_close(spread.sum(dim=1), density.sum(dim=1))
    assert spread[0, 4:8].tolist() == [0.5] * 4
    assert spread[1].tolist() == [0.25] * 4 + [1.0] * 2 + [0.0] * 10


def test_padding_is_neither_read_nor_dense():
    decoder, x = _decoder(), _features(2)
    valid = _valid(16, 6)
    density = decoder(x, valid)
    assert density[1, 2:].tolist() == [0.0, 0.0]
    other = x.clone()
    other[~valid] = 50.0
    torch.testing.assert_close(decoder(other, valid), density, rtol=0, atol=0)


def test_without_examples_every_clip_is_compared_with_the_learned_tokens():
    decoder, x, valid = _decoder(), _features(), _valid(16, 16, 16)
    examples = torch.randn(3, 2, 2, JOINTS, CHANNELS, dtype=torch.float64)
    none = decoder(x, valid)
    torch.testing.assert_close(decoder(x, valid, examples, torch.zeros(3, dtype=torch.int64)), none)
    with torch.no_grad():
        decoder.zero_shot.add_(1.0)
    assert (decoder(x, valid) - none).abs().max() > 1e-6


def test_the_context_holds_the_first_examples_of_each_clip_in_equal_shares():
    decoder = _decoder()
    examples = torch.randn(3, 2, 2, JOINTS, CHANNELS, dtype=torch.float64)
    tokens, weights = decoder.context(3, examples, torch.tensor([0, 1, 2]))
    assert weights.tolist() == [[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]]
    torch.testing.assert_close(tokens[0, 0], decoder.zero_shot)
    torch.testing.assert_close(tokens[2, 1], decoder.embed(examples[2, 1]).flatten(0, 1))


def test_two_equal_examples_are_one_and_unused_ones_say_nothing():
    decoder, x, valid = _decoder(), _features(), _valid(16, 16, 16)
    one = torch.randn(3, 1, 2, JOINTS, CHANNELS, dtype=torch.float64)
    alone = decoder(x, valid, one, torch.tensor([1, 1, 1]))
    twice = decoder(x, valid, one.expand(-1, 2, -1, -1, -1), torch.tensor([2, 2, 2]))
    torch.testing.assert_close(twice, alone)
    padded = torch.cat([one, torch.full_like(one, 9.0)], dim=1)
    torch.testing.assert_close(decoder(x, valid, padded, torch.tensor([1, 1, 1])), alone)
    assert (alone - decoder(x, valid)).abs().max() > 1e-6


def test_what_examples_say_is_averaged_after_attention():
    torch.manual_seed(3)
    block = ExemplarBlock(8, 2, 16).double()
    x, examples = torch.randn(1, 5, 8).double(), torch.randn(1, 2, 4, 8).double()
    valid = torch.ones(1, 5, dtype=torch.bool)
    first = x + block.self_attention(block.norm1(x), block.norm1(x))
    said = [block.cross_attention(block.norm2(first), examples[:, shot]) for shot in range(2)]
    second = first + (said[0] + said[1]) / 2
    expected = second + block.feed_forward(block.norm3(second))
    torch.testing.assert_close(block(x, valid, examples, torch.full((1, 2), 0.5).double()), expected)


def test_every_token_has_a_position_of_its_own():
    positions = _decoder().positions.flatten(0, 1)
    distances = torch.cdist(positions, positions) + torch.eye(len(positions))
    assert positions.shape == (STEPS * JOINTS, 8)
    assert distances.min() > 0.1


def test_every_other_window_block_starts_half_a_window_earlier_unless_one_window_holds_the_clip():
    assert [block.shift for block in _decoder().window_blocks] == [0, 1]
    whole = ExemplarDecoder(CHANNELS, JOINTS, 8, SIZES)
    assert [(block.window, block.shift) for block in whole.window_blocks] == [(2, 0), (2, 0)]


def test_clips_that_are_no_multiple_of_a_step_are_refused():
    with pytest.raises(ValueError, match="multiple of pool"):
        ExemplarDecoder(CHANNELS, JOINTS, 18, SIZES)
