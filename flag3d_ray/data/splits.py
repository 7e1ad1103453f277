"""Which sequences train, select and test: files `splits/NAME.json` in the dataset folder, drawn once and stored.

A split lists values of one column (`action_id`, `subject`, ...) per part. Random motions (`source="procedural"`) are on
the training side of every split and nowhere else.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int

from flag3d_ray.data.dataset import Dataset
from flag3d_ray.errors import DataError, Flag3dError
from flag3d_ray.files import read_json, write_json

Part = Literal["train", "valid", "test"]
Column = Literal["action_id", "subject", "sample_id", "source", "view"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")

# Table 5's columns; "multiple parts" has none, so no such activity is on the test side.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "Chest & Back": ("chest", "back"),
    "Shoulder": ("shoulder",),
    "Arm": ("arm",),
    "Neck & Abdomen": ("neck", "abdomen"),
    "Waist": ("waist",),
    "Hip": ("hip",),
    "Leg": ("leg",),
}
# Test activities per column: what the printed fractions of Table 5 fit (1270, 1380, 660, 600, 1140, 600, 600 clips).
TEST_ACTIONS: Mapping[str, int] = dict(zip(COLUMNS, (2, 2, 1, 1, 2, 1, 1), strict=True))
# Three of the four activities that Fig. 9 names as tested; the fourth name matches no activity.
PINNED = ("A015", "A035", "A040")
_VALID_ACTIONS = 5


@dataclass(frozen=True, kw_only=True)
class Split:
    """Values of the column `by` per part; `rule` says in words how they were drawn, `seed` repeats it.

    Raises:
        DataError: a value stands in two parts or twice in one.
    """

    name: str
    by: Column
    rule: str
    seed: int
    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        for one, other in combinations(PARTS, 2):
            if shared := sorted(set(self.values(one)) & set(self.values(other))):
                raise DataError(
                    where=f"split {self.name!r}",
                    rule=f"{self.by} {', '.join(shared)} stands in {one} and in {other}: a leak",
                    remedy="draw the split again (`flag3d data splits`)",
                )

    def values(self, part: Part) -> tuple[str, ...]:
        """The column's values in one part."""
        return {"train": self.train, "valid": self.valid, "test": self.test}[part]

    @property
    def digest(self) -> str:
        """SHA-256 of who is where, part of the key of every run on this split."""
        parts = {part: sorted(self.values(part)) for part in PARTS}
        return hashlib.sha256(json.dumps({"by": self.by, **parts}, sort_keys=True).encode()).hexdigest()


def split_by_action(body_parts: Mapping[str, str], seed: int = 0) -> Split:
    """50 training and 10 test activities, five of the 50 held out for validation.

    The test side holds the pinned activities and fills each column of Table 5 to its number by a seeded draw. The five
    for validation come from five different columns ("multiple parts" counts as one).

    Args:
        body_parts: activity id -> body part, the sixty of FLAG3D++ or those of them that the dataset has.

    Raises:
        DataError: a column has too few activities.
    """
    rng = np.random.default_rng((seed, 0xAC7))
    column_of = {part: column for column, parts in COLUMNS.items() for part in parts}
    columns: dict[str, list[str]] = {}
    for action, part in sorted(body_parts.items()):
        columns.setdefault(column_of.get(part, part), []).append(action)
    test: list[str] = []
    for column, number in TEST_ACTIONS.items():
        free = [action for action in columns.get(column, []) if action not in PINNED]
        pinned = [action for action in columns.get(column, []) if action in PINNED]
        if len(free) + len(pinned) <= number:
            raise DataError(
                where=f"split by_action, {column}",
                rule=f"{len(free) + len(pinned)} activities, {number} of them would be tested and none left",
                remedy="make the dataset with all sixty activities, or use the split by_person",
            )
        test += pinned + _drawn(rng, free, number - len(pinned))
    left = {column: [action for action in actions if action not in test] for column, actions in columns.items()}
    valid = [_drawn(rng, left[column], 1)[0] for column in _drawn(rng, list(left), _VALID_ACTIONS)]
    return Split(
        name="by_action",
        by="action_id",
        rule="10 test activities by column of Table 5 (2, 2, 1, 1, 2, 1, 1), A015, A035, A040 pinned; 5 for validation",
        seed=seed,
        train=tuple(action for action in sorted(body_parts) if action not in {*test, *valid}),
        valid=tuple(sorted(valid)),
        test=tuple(sorted(test)),
    )


def split_by_person(
    subjects: Sequence[str], seed: int = 0, *, test: Sequence[str] | None = None, valid: Sequence[str] | None = None
) -> Split:
    """People 8:2, one of the eight held out for validation; drawn by seed where `test` and `valid` are not given.

    Raises:
        DataError: fewer than three people, or one of `test` and `valid` is not among them.
    """
    people = sorted(set(subjects))
    unknown = sorted({*(test or ()), *(valid or ())} - set(people))
    if len(people) < 3 or unknown:
        rule = f"{', '.join(unknown)} not among the subjects" if unknown else f"{len(people)} people"
        raise DataError(where="split by_person", rule=rule, remedy="name at least three people, all in the dataset")
    rng = np.random.default_rng((seed, 0x9E05))
    rule = "test and validation named" if test and valid else "8:2 by person, one of the training people for validation"
    test = test or _drawn(rng, people, max(1, round(0.2 * len(people))))
    rest = [person for person in people if person not in test]
    valid = valid or _drawn(rng, rest, 1)
    return Split(
        name="by_person",
        by="subject",
        rule=rule,
        seed=seed,
        train=tuple(person for person in rest if person not in valid),
        valid=tuple(sorted(valid)),
        test=tuple(sorted(test)),
    )


def split_by_named_action(actions: Sequence[str], *, test: Sequence[str], valid: Sequence[str]) -> Split:
    """The named actions tested and held out for validation, the others trained on: for datasets of a few actions.

    Raises:
        DataError: a named action is not among them, or none is left to train on.
    """
    known = sorted(set(actions))
    unknown = sorted({*test, *valid} - set(known))
    train = tuple(action for action in known if action not in {*test, *valid})
    if unknown or not train:
        rule = f"{', '.join(unknown)} not among the actions" if unknown else "no action is left to train on"
        raise DataError(where="split by_action", rule=rule, remedy="name fewer actions, all in the dataset")
    rule = "test and validation named"
    parts = {"train": train, "valid": tuple(sorted(valid)), "test": tuple(sorted(test))}
    return Split(name="by_action", by="action_id", rule=rule, seed=0, **parts)


def split_from_procedural(body_parts: Mapping[str, str], seed: int = 0) -> Split:
    """Training on random motions alone: validation on the 50 activities, test on the 10 of `split_by_action`."""
    known = split_by_action(body_parts, seed) if body_parts else None
    return Split(
        name="from_procedural",
        by="action_id",
        rule="trained on random motions only; validated on the training side of by_action, tested on its test side",
        seed=seed,
        train=(),
        valid=tuple(sorted(known.train + known.valid)) if known else (),
        test=known.test if known else (),
    )


def split_all_test(actions: Sequence[str]) -> Split:
    """Every sequence is tested and none trained on: real recordings for a checkpoint trained elsewhere."""
    rule = "everything is tested"
    return Split(
        name="all_test", by="action_id", rule=rule, seed=0, train=(), valid=(), test=tuple(sorted(set(actions)))
    )


def _drawn(rng: np.random.Generator, values: Sequence[str], number: int) -> list[str]:
    return [values[int(place)] for place in rng.permutation(len(values))[:number]]


def write_split(folder: Path, split: Split) -> None:
    """Store a split in a dataset folder, whole or not at all."""
    write_json(_path(folder, split.name), {**asdict(split), "digest": split.digest})


def load_split(folder: Path, name: str) -> Split:
    """Read a split of a dataset folder.

    Raises:
        DataError: no such split (the message lists those that exist), unreadable, edited by hand, or leaking.
    """
    path = _path(folder, name)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.json"))) or "none"
        remedy = "name one of those, or read the dataset in again with --force, if an older version did"
        raise DataError(where=str(path), rule=f"no split {name!r}; there are: {known}", remedy=remedy)
    remedy = "draw the split again (`flag3d data splits`)"
    try:
        values = dict(read_json(path))
        digest = values.pop("digest")
        split = Split(**{**values, **{part: tuple(values[part]) for part in PARTS}})
    except DataError:
        raise
    except (Flag3dError, KeyError, TypeError, ValueError) as error:
        raise DataError(where=str(path), rule=f"cannot be read: {error}", remedy=remedy) from error
    if split.digest != digest:
        raise DataError(where=str(path), rule="the lists do not have the file's digest: edited by hand", remedy=remedy)
    return split


def is_stored(folder: Path, name: str) -> bool:
    """Whether a dataset folder has a split of that name, sound or not."""
    return _path(folder, name).is_file()


def split_digest(folder: Path, name: str) -> str:
    """Digest of a stored split; see `load_split` for errors."""
    return load_split(folder, name).digest


def split_indices(dataset: Dataset, name: str, part: Part) -> Int[np.ndarray, " n"]:
    """Rows of a dataset in one part of a split, ascending.

    Raises:
        DataError: see `load_split`; also a sequence whose activity or person stands in no part.
    """
    split = load_split(dataset.folder, name)
    procedural_N = _among(dataset.index["source"], ("procedural",))
    listed_N = _among(dataset.index[split.by], split.train + split.valid + split.test) | procedural_N
    if not listed_N.all():
        stray = sorted(set(dataset.index[split.by].filter(pa.array(~listed_N)).to_pylist()))
        raise DataError(
            where=f"split {name!r} of {dataset.folder}",
            rule=f"{split.by} {', '.join(stray[:5])} stands in no part",
            remedy="draw the split again (`flag3d data splits`)",
        )
    inside_N = _among(dataset.index[split.by], split.values(part)) & ~procedural_N
    return np.flatnonzero(inside_N | procedural_N if part == "train" else inside_N)


def _among(column_N: pa.ChunkedArray, values: Sequence[str]) -> Bool[np.ndarray, " n"]:
    found = pc.is_in(column_N, value_set=pa.array(values, pa.string()))  # pyright: ignore[reportAttributeAccessIssue]
    return found.to_numpy()


def _path(folder: Path, name: str) -> Path:
    return folder / "splits" / f"{name}.json"
