import pytest
import torch

from flag3d_ray.models.windowed_attention import WindowedBlock

JOINTS, WIDTH = 3, 4


def _block(window: int = 2, shift: int = 0, residual: bool = True) -> WindowedBlock:
    torch.manual_seed(0)
    block = WindowedBlock(WIDTH, 2, 8, joints=JOINTS, window=window, shift=shift, residual=residual).double()
    torch.nn.init.normal_(block.position_bias)
    return block


def _tokens(steps: int) -> torch.Tensor:
    return torch.randn(2, steps, JOINTS, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _attend_loop(block: WindowedBlock, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Attention over all tokens of the clip, with every pair outside a common window left out, one query at a time."""
    inner = block.attention
    query = inner.query(x)
    key, value = inner.key_value(x).split(WIDTH, dim=-1)
    gathered = torch.zeros_like(x)
    half = WIDTH // 2
    steps = x.shape[1]
    for clip in range(len(x)):
        for s in range(steps):
            for v in range(JOINTS):
                for head in range(2):
                    part = slice(half * head, half * head + half)
                    scores, values = [], []
                    for t in range(steps):
                        same = (s + block.shift) // block.window == (t + block.shift) // block.window
                        if not same or not valid[clip, t]:
                            continue
                        for u in range(JOINTS):
                            bias = block.position_bias[head, s - t + block.window - 1, v, u]
                            scores.append(query[clip, s, v, part] @ key[clip, t, u, part] / half**0.5 + bias)
                            values.append(value[clip, t, u, part])
                    if scores:
                        gathered[clip, s, v, part] = torch.softmax(torch.stack(scores), 0) @ torch.stack(values)
    return inner.out(gathered)


@pytest.mark.parametrize(("window", "shift", "steps"), [(2, 0, 6), (2, 1, 6), (3, 1, 5), (4, 2, 6)])
def test_windows_are_attention_over_everything_with_other_windows_left_out(window, shift, steps):
    block, x = _block(window, shift), _tokens(steps)
    valid = torch.ones(2, steps, dtype=torch.bool)
    torch.testing.assert_close(block.attend(x, valid), _attend_loop(block, x, valid))


def test_nobody_attends_to_padding():
    block, x = _block(4, 2), _tokens(6)
    valid = torch.arange(6) < torch.tensor([[6], [3]])
    expected = _attend_loop(block, x, valid)
    torch.testing.assert_close(block.attend(x, valid)[valid], expected[valid])
    other = x.clone()
    other[1, 3:] = 100.0
    torch.testing.assert_close(block(other, valid)[valid], block(x, valid)[valid], rtol=0, atol=0)


def test_a_window_of_padding_has_finite_values_and_gradients():
    block, x = _block(2, 0), _tokens(6).requires_grad_()
    valid = torch.arange(6) < torch.tensor([[6], [1]])
    output = block(x, valid)
    output.sum().backward()
    assert output.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("residual", [True, False])
def test_the_residual_adds_the_input_to_both_halves(residual):
    block, x = _block(residual=residual), _tokens(4)
    valid = torch.ones(2, 4, dtype=torch.bool)
    after = block.attend(block.norm1(x), valid) + (x if residual else 0.0)
    expected = block.feed_forward(block.norm2(after)) + (after if residual else 0.0)
    torch.testing.assert_close(block(x, valid), expected)
