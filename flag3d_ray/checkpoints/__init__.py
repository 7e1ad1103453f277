"""Networks that come with the package, each a folder as `training.packaged` writes it.

Loads neither torch nor safetensors, so that an experiment file may name what its runs start from.
"""

from importlib.resources import files
from pathlib import Path

from flag3d_ray.files import read_json
from flag3d_ray.run import Weights

MANIFEST, MODEL = "manifest.json", "model.safetensors"


def counter() -> Path | None:
    """The folder of the network for counting, None in a copy without it."""
    folder = Path(str(files("flag3d_ray") / "checkpoints" / "counter"))
    return folder if (folder / MANIFEST).is_file() else None


def counter_weights() -> Weights | None:
    """Its weights, for a run to start from; their digest is the one that its manifest states."""
    folder = counter()
    return None if folder is None else Weights(sha256=read_json(folder / MANIFEST)["files"][MODEL])
