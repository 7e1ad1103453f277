"""How much a run reads: clips to train on, to validate with and to test, also of a synthetic dataset that is not made yet."""

from dataclasses import dataclass
from pathlib import Path

from flag3d_ray.data.catalogue import SYNTHETIC, require
from flag3d_ray.data.dataset import open_dataset
from flag3d_ray.data.manifest import MANIFEST
from flag3d_ray.data.splits import PARTS, Split, split_by_action, split_by_person, split_indices
from flag3d_ray.data.synthetic.generate import Synthetic
from flag3d_ray.data.synthetic.motion import ACTIVITIES
from flag3d_ray.errors import DataError
from flag3d_ray.home import Home
from flag3d_ray.run import Run


@dataclass(frozen=True)
class Amounts:
    """Clips of one epoch of training, of one validation, and of the test."""

    training: int
    validation: int
    test: int


def amounts(run: Run, home: Home) -> Amounts:
    """What a run reads. Sequences that an exclusion list leaves out are counted all the same: at most so many.

    Raises:
        DataError: the dataset is neither here nor one that can be made, or it has no such split.
    """
    sequences = sequences_of(run.data.dataset, run.data.split, home.dataset(run.data.dataset))
    training, held_out = sequences["train"] * run.data.crops, sequences["valid"] * run.data.test_crops
    spec = run.train
    return Amounts(
        training=min(training, spec.max_clips_per_epoch or training),
        validation=min(held_out, spec.max_validation_clips or held_out),
        test=sequences["test"] * run.data.test_crops,
    )


def is_made(folder: Path) -> bool:
    """Whether a dataset is there."""
    return (folder / MANIFEST).exists()


def sequences_of(name: str, split: str, folder: Path) -> dict[str, int]:
    """Sequences per part of a split.

    Raises:
        DataError: see `amounts`.
    """
    if is_made(folder) or name not in SYNTHETIC:
        require(name, folder)
        dataset = open_dataset(folder)
        return {part: len(split_indices(dataset, split, part)) for part in PARTS}
    spec = SYNTHETIC[name]
    drawn = _drawn(spec, split, folder)
    values = {part: len(drawn.values(part)) for part in PARTS}
    found = {part: number * spec.activities // sum(values.values()) for part, number in values.items()}
    return found | {"train": found["train"] + spec.procedural}


def _drawn(spec: Synthetic, split: str, folder: Path) -> Split:
    """The split as it will be drawn when the dataset is made; activities and people have equal shares of the sequences."""
    if split == "by_action":
        return split_by_action({activity.action_id: activity.body_part for activity in ACTIVITIES}, spec.seed)
    if split == "by_person":
        return split_by_person([f"S{person + 1:02d}" for person in range(spec.subjects)], spec.seed)
    rule = f"the split {split!r} is known once the dataset is made"
    raise DataError(where=str(folder), rule=rule, remedy=f"flag3d data make {folder.name}")
