"""Turns a zip archive written by `torch.save` into safetensors, in a process of its own and under limits.

Such an archive holds a pickle. PyTorch's restricted unpickler reads it (`weights_only=True`), which has been broken twice
(CVE-2025-32434, fixed in 2.6; CVE-2026-24747, fixed in 2.10): therefore this package asks for a PyTorch beyond both, and
therefore a process that has nothing but the file. There is no second, laxer attempt.

`foreign_weights.py` starts this file by its path with `python -I`: SOURCE TARGET. Why a file is refused goes to standard
error as one line, with exit status 1.
"""

import pickle
import re
import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

_GIB = 1 << 30


class Refused(Exception):
    """Why the archive gives no weights."""


def load(source: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, or of the entry `state_dict` of a Lightning checkpoint.

    Raises:
        Refused: a pickle that asks for more than tensors and plain containers (named), a damaged archive, anything else
            than dense tensors by name, or views that are larger than the file.
    """
    try:
        content: Any = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise Refused(f"its pickle asks for {asked[1] if asked else 'more'}: only tensors are taken") from None
    except Exception as error:  # the archive comes from anywhere, and so may the error
        raise Refused(f"it cannot be read ({type(error).__name__})") from None
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise Refused(f"it holds no tensors by name but {type(content).__name__}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or not _plain(value):
            raise Refused(f"entry {str(name)[:80]!r} ({type(value).__name__}) is not a dense tensor")
    if sum(tensor.nbytes for tensor in content.values()) > source.stat().st_size:
        raise Refused("its tensors are larger than the file")
    return {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in content.items()}


def _plain(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized


def _limit(size: int) -> None:
    """Memory beyond what PyTorch takes itself, processor time, bytes written, no core dump."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limits = {
        resource.RLIMIT_AS: pages * resource.getpagesize() + _GIB + 4 * size,
        resource.RLIMIT_CPU: 60 + size // (4 << 20),
        resource.RLIMIT_FSIZE: (1 << 20) + 2 * size,
        resource.RLIMIT_CORE: 0,
    }
    for which, most in limits.items():
        with suppress(OSError, ValueError):  # a lower one stands already
            resource.setrlimit(which, (most, most))


def main() -> None:
    """Read SOURCE, write TARGET."""
    source, target = map(Path, sys.argv[1:])
    _limit(source.stat().st_size)
    try:
        save_file(load(source), target)
    except Refused as refused:
        sys.exit(str(refused))


if __name__ == "__main__":
    main()
