"""Weights that others saved: safetensors, or a zip archive of PyTorch that a child process reads (`torch_archive.py`).

This process never sees a pickle. Older formats of `torch.save`, TorchScript and whatever else a name ending in .pt, .pth,
.ckpt or .bin may hide are refused.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from flag3d_ray.errors import DataError
from flag3d_ray.models import torch_archive

_ZIP = b"PK\x03\x04"


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name; of a Lightning checkpoint, those of its entry `state_dict`.

    Raises:
        DataError: no file, neither format, damaged, or a pickle that asks for anything but tensors (named).
    """
    if not path.is_file():
        rule = "not a file" if path.exists() else "no such file"
        raise DataError(where=str(path), rule=rule, remedy="name a checkpoint: one file")
    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith(_ZIP):
        return _from_archive(path)
    if start[8:] != b"{":
        raise _refused(
            path, "neither safetensors nor a zip archive of PyTorch: an old format of torch.save is a bare pickle"
        )
    return _from_safetensors(path)


def _from_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _refused(path, f"not a readable safetensors file ({error})") from None


def _from_archive(path: Path) -> dict[str, Tensor]:
    _check_members(path)
    seconds = 120 + path.stat().st_size // (2 << 20)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "weights.safetensors")
        command = [sys.executable, "-I", "-B", torch_archive.__file__, os.path.abspath(path), str(target)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise _refused(path, f"reading it took more than {seconds} seconds") from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [""])[-1][:300]
            raise _refused(
                path, last if done.returncode == 1 else f"its reader ended ({done.returncode}) {last}".strip()
            )
        return _from_safetensors(target)


def _check_members(path: Path) -> None:
    """The archive is one that `torch.save` writes: one pickle, nothing compressed, no code."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise _refused(path, f"a damaged zip archive ({error})") from None
    names = [member.filename for member in members]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise _refused(path, "TorchScript, which holds code")
    if len(set(names)) != len(names) or sum(name.endswith("/data.pkl") for name in names) != 1:
        raise _refused(path, "a zip archive that torch.save does not write")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise _refused(path, "a compressed archive, which torch.save does not write")


def _refused(path: Path, rule: str) -> DataError:
    remedy = "where you trust the file, save its state dict with safetensors.torch.save_file, and import that"
    return DataError(where=str(path), rule=rule, remedy=remedy)
