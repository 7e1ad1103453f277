"""The datasets that are known by name, one line each: synthetic recipes and readers of other people's files."""

from collections.abc import Callable, Iterator
from pathlib import Path

from flag3d_ray.data import ui_prmd
from flag3d_ray.data.ingest import Executor, Progress
from flag3d_ray.data.manifest import Manifest
from flag3d_ray.data.synthetic.generate import Synthetic, make_synthetic
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample

SYNTHETIC = {
    "synthetic-demo": Synthetic(takes_per_action=6),
    "synthetic": Synthetic(takes_per_action=30),
}
READERS: dict[str, Callable[[Path], Iterator[Sample]]] = {"ui_prmd": ui_prmd.read}


def make(name: str, folder: Path, *, executor: Executor = "local", progress: Progress | None = None, force: bool = False) -> Manifest:
    """Generate a synthetic dataset of the catalogue.

    Raises:
        DataError: no synthetic dataset has that name, or the folder exists and `force` is not set.
    """
    if name not in SYNTHETIC:
        rule, remedy = "not a synthetic dataset", f"make one of {', '.join(SYNTHETIC)}, or ingest {', '.join(READERS)}"
        raise DataError(where=f"dataset {name!r}", rule=rule, remedy=remedy)
    return make_synthetic(folder, SYNTHETIC[name], executor=executor, progress=progress, force=force)


def require(name: str, folder: Path) -> None:
    """Raise unless the dataset is there.

    Raises:
        DataError: it is not; the message says how to get it.
    """
    if not (folder / "manifest.json").exists():
        remedy = f"flag3d data make {name}" if name in SYNTHETIC else f"flag3d data ingest {name} PATH-TO-YOUR-COPY"
        raise DataError(where=str(folder), rule=f"no dataset {name!r} here", remedy=remedy)
