import multiprocessing
import os

import pytest
import torch
import torch.distributed as dist
from torch import nn

from flag3d_ray.models.normalization import GlobalBatchNorm

ROWS, CHANNELS = (3, 5), 4


def _layer() -> GlobalBatchNorm:
    layer = GlobalBatchNorm(CHANNELS).double()
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(0.5, 2.0, CHANNELS))
        layer.bias.copy_(torch.linspace(-1.0, 1.0, CHANNELS))
    return layer


def _clips() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(sum(ROWS), 7, CHANNELS, generator=generator, dtype=torch.float64) * 3 + 20


def _results(layer: GlobalBatchNorm, clips: torch.Tensor) -> list[torch.Tensor]:
    """Two training steps of a loss that is not invariant to normalisation: outputs, gradients, running statistics."""
    clips = clips.clone().requires_grad_()
    layer(clips.detach() + 1.0)
    output = layer(clips)
    output.pow(3).sum().backward()
    assert clips.grad is not None
    assert layer.weight.grad is not None
    assert layer.bias.grad is not None
    return [output.detach(), clips.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var]


def _worker(rank: int, store: str, folder: str) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    start = sum(ROWS[:rank])
    torch.save(_results(_layer(), _clips()[start : start + ROWS[rank]]), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_workers_with_uneven_rows_equal_one_process(tmp_path):
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_worker, args=(rank, str(tmp_path / "store"), str(tmp_path))) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    alone = _results(_layer(), _clips())
    pairs = list(zip(first, second, strict=True))
    rows = [torch.cat(pair) for pair in pairs[:2]]
    parameters = [one + other for one, other in pairs[2:4]]
    statistics = [one for one, other in pairs[4:] if torch.equal(one, other)]
    for ours, reference in zip(rows + parameters + statistics, alone, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_one_process_equals_torch(training, raw):
    ours, theirs = _layer(), nn.BatchNorm1d(CHANNELS).double()
    theirs.load_state_dict(ours.state_dict())
    for layer in (ours, theirs):
        layer.train(training)
    ours.raw = raw
    clips = _clips()
    torch.testing.assert_close(ours(clips), theirs(clips.transpose(1, 2)).transpose(1, 2), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-12, atol=1e-12)


def test_rows_far_from_zero_keep_their_digits_in_float32():
    rows = torch.randn(50_000, 8, generator=torch.Generator().manual_seed(0)) + 100
    exact = nn.functional.batch_norm(rows.double(), None, None, training=True)
    error = (GlobalBatchNorm(8, raw=True)(rows) - exact).abs().max()
    assert error < 3e-5 < (GlobalBatchNorm(8)(rows) - exact).abs().max()
