"""The datasets that are known by name, one line each: synthetic recipes and readers of other people's files."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flag3d_ray.data.dataset import open_dataset
from flag3d_ray.data.ingest import Executor, Progress, write_dataset
from flag3d_ray.data.layout_conversion import converted_reader
from flag3d_ray.data.manifest import Manifest
from flag3d_ray.data.reader import Reader
from flag3d_ray.data.readers import cmu, cmu_actions, flag3d, ntu60, open_format, pyskl, repcount_a, ui_prmd
from flag3d_ray.data.splits import write_split
from flag3d_ray.data.synthetic import variation
from flag3d_ray.data.synthetic.generate import Synthetic, make_synthetic
from flag3d_ray.data.workplace import tree_state, work_digest
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import layout
from flag3d_ray.source import source_digests

MIXED_PROCEDURAL, MIXED_TAKES = 16_384, 60
ABLATED_PROCEDURAL, ABLATED_TAKES = 4096, 1
SYNTHETIC = {
    "synthetic-demo": Synthetic(takes_per_action=6),
    "synthetic": Synthetic(takes_per_action=30),
    # As many sequences as FLAG3D++ has, lab, rendered and natural together, each as one clip: 6.6 GB.
    "synthetic-clips": Synthetic(takes_per_action=3000, frames=128),
    # For checkpoints that count what they have never seen: random motions and the training activities together. 4.3 GB.
    # At 30 frames a second, so that a crop of few slow repetitions still fills a clip: resampled to 256 frames a third of
    # the clips was padded, and one and two slow repetitions of UI-PRMD were counted with an error of 10 %.
    "synthetic-mixed": Synthetic(takes_per_action=MIXED_TAKES, procedural=MIXED_PROCEDURAL),
    # What a group of the variation is worth: random motions train, a take of every activity validates and tests. 0.2 GB each.
    **{
        name: Synthetic(takes_per_action=ABLATED_TAKES, procedural=ABLATED_PROCEDURAL, variation=drawn, frames=128)
        for name, drawn in variation.DATASETS.items()
    },
}
READERS: dict[str, Reader] = {
    "flag3d": flag3d.READER,
    "ui_prmd": ui_prmd.READER,
    "ntu60": ntu60.READER,
    **{release.name: release.reader for release in pyskl.RELEASES},
    "cmu_exercise": cmu.READER,
    "cmu_actions": cmu_actions.READER,
}
OPEN = "open"
OF_FOLDER: dict[str, Callable[[Path], Reader]] = {"repcount_a": repcount_a.reader, OPEN: open_format.reader}
"""Readers whose card stands in the folder: skeletons of one's own have a layout, a unit and a licence of their own."""


def make(
    name: str, folder: Path, *, executor: Executor = "local", progress: Progress | None = None, force: bool = False
) -> Manifest:
    """Generate a synthetic dataset of the catalogue.

    Raises:
        DataError: no synthetic dataset has that name, or the folder exists and `force` is not set.
    """
    if name not in SYNTHETIC:
        rule, remedy = "not a synthetic dataset", f"make one of {', '.join(SYNTHETIC)}, or ingest {', '.join(READERS)}"
        raise DataError(where=f"dataset {name!r}", rule=rule, remedy=remedy)
    return make_synthetic(folder, SYNTHETIC[name], executor=executor, progress=progress, force=force)


def read_in(
    name: str,
    root: Path,
    folder: Path,
    *,
    layout_name: str = "",
    executor: Executor = "local",
    progress: Progress | None = None,
    force: bool = False,
) -> Manifest:
    """Read somebody's copy of a dataset and write it as shards with its splits.

    Args:
        layout_name: the joint layout to convert to; the card and the manifest say so. Empty: the reader's own.

    Raises:
        DataError: no reader or layout has that name, the reader's layout does not become that one, or a file of the copy
            breaks a rule; nothing is written then.
    """
    reader = released = require_reader(name, root)
    generator: dict[str, Any] = {"reader": name}
    made_from: dict[str, Any] = {}
    if layout_name and layout_name != released.layout:
        reader = converted_reader(released, layout(layout_name))
        generator |= {"converted_from": released.layout, "converted_to": layout_name}
        made_from |= {"to": layout_name, "by": source_digests((converted_reader.__module__,))}
    items = reader.find(root)
    made_from |= {"items": repr(items), "files": tree_state(root)}

    def finish(hidden: Path) -> None:
        for split in reader.splits(root, open_dataset(hidden).index):
            write_split(hidden, split)

    return write_dataset(
        folder,
        partial(_load, reader, items),
        len(items),
        card=reader.card,
        generator=generator,
        work=work_digest(made_from, released.load.__module__),
        executor=executor,
        progress=progress,
        finish=finish,
        force=force,
    )


def require_reader(name: str, root: Path) -> Reader:
    """The reader of that name; those of `OF_FOLDER` read their card from the folder.

    Raises:
        DataError: there is none, or it finds no card at `root`.
    """
    if name in OF_FOLDER:
        return OF_FOLDER[name](root)
    if name not in READERS:
        remedy = f"choose one of {', '.join((*READERS, *OF_FOLDER))}"
        raise DataError(where=f"dataset {name!r}", rule="there is no reader for it", remedy=remedy)
    return READERS[name]


def _load(reader: Reader, items: Sequence[Any], indices: range) -> Iterator[Sample]:
    return (reader.load(items[index]) for index in indices)


def require(name: str, folder: Path) -> None:
    """Raise unless the dataset is there.

    Raises:
        DataError: it is not; the message says how to get it.
    """
    if not (folder / "manifest.json").exists():
        remedy = f"flag3d data make {name}" if name in SYNTHETIC else f"flag3d data ingest {name} PATH-TO-YOUR-COPY"
        raise DataError(where=str(folder), rule=f"no dataset {name!r} here", remedy=remedy)
