"""The datasets that are known by name, one line each: synthetic recipes and readers of other people's files."""

from collections.abc import Callable, Iterator
from pathlib import Path

from flag3d_ray.data import ui_prmd
from flag3d_ray.data.ingest import Executor, Progress, write_dataset
from flag3d_ray.data.manifest import Card, Manifest
from flag3d_ray.data.splits import split_by_person, write_split
from flag3d_ray.data.synthetic.generate import Synthetic, make_synthetic
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample

UI_PRMD_CARD = Card(
    description="UI-PRMD (Vakanski et al. 2018), Vicon: rehabilitation movements of ten repetitions, correct or incorrect.",
    limits="Healthy people; quality is one label per recording; no language comes with it, the captions are ours.",
    licence="PDDL 1.0",
    unit="m",
    fps="50",
    axes="right-handed, y up",
    citation="Vakanski et al.: A Data Set of Human Body Movements for Physical Rehabilitation Exercises. Data 3(1):2, 2018",
)
# UI-PRMD's people 1 to 5 train (5 of them held out to select), 6 and 7 test.
UI_PRMD_TEST = ("S06", "S07")
UI_PRMD_VALID = ("S05",)

SYNTHETIC = {
    "synthetic-demo": Synthetic(takes_per_action=6),
    "synthetic": Synthetic(takes_per_action=30),
}
READERS: dict[str, Callable[[Path], Iterator[Sample]]] = {"ui_prmd": ui_prmd.read}
CARDS = {"ui_prmd": UI_PRMD_CARD}


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


def read_in(name: str, root: Path, folder: Path, *, force: bool = False) -> Manifest:
    """Read somebody's copy of a dataset and write it as shards with its splits.

    Raises:
        DataError: no reader has that name, or a file of the copy breaks a rule; nothing is written then.
    """
    if name not in READERS:
        remedy = f"choose one of {', '.join(READERS)}"
        raise DataError(where=f"dataset {name!r}", rule="there is no reader for it", remedy=remedy)
    samples = list(READERS[name](root))
    people = sorted({sample.subject for sample in samples})

    def finish(hidden: Path) -> None:
        write_split(hidden, split_by_person(people, test=UI_PRMD_TEST, valid=UI_PRMD_VALID))

    return write_dataset(
        folder,
        lambda indices: (samples[index] for index in indices),
        len(samples),
        card=CARDS[name],
        finish=finish,
        force=force,
    )


def require(name: str, folder: Path) -> None:
    """Raise unless the dataset is there.

    Raises:
        DataError: it is not; the message says how to get it.
    """
    if not (folder / "manifest.json").exists():
        remedy = f"flag3d data make {name}" if name in SYNTHETIC else f"flag3d data ingest {name} PATH-TO-YOUR-COPY"
        raise DataError(where=str(folder), rule=f"no dataset {name!r} here", remedy=remedy)
