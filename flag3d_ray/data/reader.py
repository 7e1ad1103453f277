"""What a reader of somebody's dataset is: find the recordings, load one, say what it is and how it is split.

Finding and loading are apart so that any number of processes can load, each recording on its own: ingestion shows its
progress, goes on after a kill and needs the memory of a few recordings, whatever the size of the dataset.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pyarrow as pa

from flag3d_ray.data.findings import Finding
from flag3d_ray.data.manifest import Card
from flag3d_ray.data.splits import Split
from flag3d_ray.sample import Sample

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Reader(Generic[Item]):
    """A dataset in the format that its authors released.

    Attributes:
        card: what it is, its licence, unit, frame rate and axes, and what the reader filters.
        layout: joint layout of every sample that `load` returns.
        find: the recordings under a root, in an order that does not depend on the file system. An item is small,
            frozen and picklable and holds all that `load` needs; listings and annotation tables are read here, joints
            are not. Raises DataError where nothing fits, with the layout of files that is expected.
        load: one recording as a sample in metres, right-handed, y up (image layouts: pixels). A function of the item
            alone. Raises DataError naming file and row, the rule and the remedy.
        splits: from the root and `Dataset.index` (one row per sample) the splits that the dataset's protocol names.
        examine: like `load`, with what the sample does not show: what was filled, dropped or mended. For readers that do
            any of it; `flag3d data check` asks.
    """

    card: Card
    layout: str
    find: Callable[[Path], Sequence[Item]]
    load: Callable[[Item], Sample]
    splits: Callable[[Path, pa.Table], Sequence[Split]]
    examine: Callable[[Item], tuple[Sample, Sequence[Finding]]] | None = None

    def read(self, root: Path) -> Iterator[Sample]:
        """Every recording under `root`, in the order of `find`.

        Raises:
            DataError: no recording lies there, or one breaks a rule.
        """
        return (self.load(item) for item in self.find(root))
