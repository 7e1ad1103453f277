"""Networks that come with the package, each a folder as `training.packaged` writes it.

Loads neither torch nor safetensors, so that an experiment file may name what its runs start from.
"""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Literal

from flag3d_ray.files import read_json
from flag3d_ray.run import Weights

MANIFEST, MODEL = "manifest.json", "model.safetensors"
Packaged = Literal["counter", "counter_synthetic"]
"""`counter` counts recordings (`flag3d count`). It started from `counter_synthetic`, which has seen synthetic motion only."""


def packaged(name: Packaged = "counter") -> Path | None:
    """The folder of a network, None in a copy without it."""
    folder = _root() / name
    return folder if (folder / MANIFEST).is_file() else None


def packaged_weights(name: Packaged) -> Weights | None:
    """Its weights, for a run to start from; their digest is the one that its manifest states."""
    folder = packaged(name)
    return None if folder is None else Weights(sha256=read_json(folder / MANIFEST)["files"][MODEL])


def packaged_model(sha256: str) -> Path | None:
    """The file of weights with that digest, None where no network of the package has it."""
    for folder in _folders():
        if read_json(folder / MANIFEST)["files"][MODEL] == sha256:
            return folder / MODEL
    return None


def _folders() -> Iterator[Path]:
    yield from (path.parent for path in sorted(_root().glob(f"*/{MANIFEST}")))


def _root() -> Path:
    return Path(str(files("flag3d_ray") / "checkpoints"))
