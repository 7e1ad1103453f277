"""Checkpoints in safetensors: one file holds weights, optimiser, and where the run stands. No pickles."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from flag3d_ray.errors import RunError
from flag3d_ray.files import local_copy, write_bytes
from flag3d_ray.storage import StorePath

_MODEL, _OPTIMISER = "model.", "optimiser."


class Damaged(RunError):
    """A file of tensors is not whole, or not there. Other trouble in reading it says nothing about the file."""


@dataclass(frozen=True)
class Position:
    """Where a run stands: the next epoch, and the best validation MAE with its epoch so far."""

    epoch: int = 0
    best: float | None = None
    best_epoch: int = -1


def save_tensors(path: StorePath, tensors: Mapping[str, Tensor], **facts: Any) -> None:
    """Write tensors with facts (JSON) in the header, atomically.

    Raises:
        DiskFull: no space is left; safetensors' own writer would not say so by an error number.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, metadata={"facts": json.dumps(facts)}))


def load_tensors(path: StorePath) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a file.

    Raises:
        Damaged: the file is not there, is damaged or is not safetensors.
        RunError: it cannot be read.
    """
    try:
        with local_copy(path) as here, safe_open(here, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 (not a mapping)
    except (SafetensorError, FileNotFoundError, ValueError) as error:
        rule = f"not a readable safetensors file ({error})"
        remedy = "a run: delete the run's folder, which is then computed anew; a file of your own: get it again"
        raise Damaged(where=str(path), rule=rule, remedy=remedy) from error
    except OSError as error:
        remedy = "look at the disk and the file's rights, then type the command again"
        raise RunError(where=str(path), rule=f"it cannot be read ({error})", remedy=remedy) from error


def save_training(path: StorePath, module: nn.Module, optimiser: Optimizer, position: Position) -> None:
    """Everything a killed run needs to go on exactly."""
    tensors = {_MODEL + name: tensor for name, tensor in module.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"{_OPTIMISER}{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    save_tensors(path, tensors, **asdict(position))


def load_training(path: StorePath, module: nn.Module, optimiser: Optimizer) -> Position:
    """Restore what `save_training` wrote; learning rates come from the schedule, not from the file."""
    tensors, facts = load_tensors(path)
    weights = {name.removeprefix(_MODEL): value for name, value in tensors.items() if name.startswith(_MODEL)}
    module.load_state_dict(weights, strict=True)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(_OPTIMISER):
            index, field = name.removeprefix(_OPTIMISER).split(".", 1)
            state.setdefault(int(index), {})[field] = value
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})
    return Position(**facts)
