"""Checkpoints: everything a killed run needs, in one safetensors file."""

import pickle

import pytest
import torch
from torch import nn

from flag3d_ray.errors import RunError
from flag3d_ray.training.checkpoint import Position, load_tensors, load_training, save_tensors, save_training


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()


def step(module: nn.Module, optimiser: torch.optim.Optimizer, number: int) -> float:
    torch.manual_seed(number)
    loss = module(torch.randn(8, 3, dtype=torch.float64)).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


def test_training_goes_on_from_a_checkpoint_exactly_as_if_never_stopped(tmp_path):
    module = network()
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.01, fused=True)
    for number in range(3):
        step(module, optimiser, number)
    save_training(tmp_path / "last", module, optimiser, Position(3, 0.25, 1))
    undisturbed = [step(module, optimiser, number) for number in range(3, 6)]

    restored = network()
    fresh = torch.optim.AdamW(restored.parameters(), lr=0.01, fused=True)
    position = load_training(tmp_path / "last", restored, fresh)

    assert position == Position(3, 0.25, 1)
    assert [step(restored, fresh, number) for number in range(3, 6)] == undisturbed


def test_tensors_and_facts_come_back_bit_for_bit(tmp_path):
    tensors = {"a": torch.randn(3, 2, dtype=torch.float64), "n": torch.tensor(7), "empty": torch.zeros(0)}

    save_tensors(tmp_path / "file", tensors, epoch=4, best=None)
    loaded, facts = load_tensors(tmp_path / "file")

    assert facts == {"epoch": 4, "best": None}
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_equal_tensors_make_equal_files(tmp_path):
    for name in ("one", "other"):
        save_tensors(tmp_path / name, {"b": torch.ones(2), "a": torch.zeros(3)}, epoch=1)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_view_of_a_larger_tensor_is_saved_as_itself(tmp_path):
    save_tensors(tmp_path / "file", {"column": torch.arange(6).reshape(2, 3)[:, 1]})

    assert load_tensors(tmp_path / "file")[0]["column"].tolist() == [1, 4]


@pytest.mark.parametrize("content", [b"", b"\x00" * 50, pickle.dumps({"weights": [1, 2]})])
def test_a_damaged_file_or_a_pickle_is_refused_with_its_path(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)

    with pytest.raises(RunError, match=r"model\.safetensors.*not a readable safetensors file"):
        load_tensors(path)


def test_a_truncated_checkpoint_is_refused(tmp_path):
    path = tmp_path / "last"
    save_tensors(path, {"a": torch.randn(100)})
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(RunError, match="not a readable safetensors file"):
        load_tensors(path)


def test_a_missing_file_is_a_run_error(tmp_path):
    with pytest.raises(RunError, match="not a readable safetensors file"):
        load_tensors(tmp_path / "nowhere")
