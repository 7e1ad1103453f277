"""Splits of action recognition and mesh recovery, each with sequences of the training side held out for selection.

All are drawn from a seed and a table with one row per sequence (`Dataset.index`, or one made with the columns named).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from flag3d_ray.data.splits import Split
from flag3d_ray.errors import DataError

UNKNOWN = "unknown"
"""The subject of sequences whose performer is not known."""
VALID_SHARE = 0.1
TEST_SHARE = 0.2

_REMEDY = "check the tables of the dataset that the split is drawn from"


def rendered_to_natural(index: pa.Table, seed: int = 0) -> Split:
    """Train on rendered sequences, test on natural ones; one performer of the rendered ones, drawn, selects the model.

    Table 12's protocol, which names no validation set. Columns: subject, source.

    Raises:
        DataError: another source, fewer than two performers rendered, nobody natural, or a performer in both.
    """
    people: dict[str, set[str]] = defaultdict(set)
    for subject, source in zip(*_columns(index, "subject", "source"), strict=True):
        people[source].add(subject)
    rendered, natural = sorted(people["rendered"]), sorted(people["natural"])
    if set(people) - {"rendered", "natural"} or len(rendered) < 2 or not natural:
        found = ", ".join(f"{len(names)} {source}" for source, names in sorted(people.items()) if names)
        raise _impossible(
            "rendered_to_natural", f"performers: {found or 'none'}; two rendered and one natural are needed"
        )
    valid = rendered[int(_rng(seed, 0xD0).integers(len(rendered)))]
    return Split(
        name="rendered_to_natural",
        by="subject",
        rule="rendered train, natural test; one rendered performer, drawn, for validation",
        seed=seed,
        train=tuple(name for name in rendered if name != valid),
        valid=(valid,),
        test=tuple(natural),
    )


def with_validation(split: Split, index: pa.Table, seed: int = 0) -> Split:
    """The same split, its training side cut where it has no part for validation; by sample_id.

    Whole subjects leave the training side, drawn until they hold a tenth of its sequences; where it has fewer than two,
    or one is unknown, a tenth of the sequences does. Columns: sample_id, subject.

    Raises:
        DataError: the split is not by sample_id, or one sequence alone would train and select.
    """
    if split.valid or not split.train:
        return split
    if split.by != "sample_id" or len(split.train) < 2:
        raise _impossible(
            split.name, f"by {split.by}, {len(split.train)} training values; sample_id and two are needed"
        )
    subject_of = dict(zip(*_columns(index, "sample_id", "subject"), strict=True))
    sizes = Counter(subject_of[name] for name in split.train)
    if len(sizes) > 1 and UNKNOWN not in sizes:
        people = hold_out(sizes, seed)
        valid = {name for name in split.train if subject_of[name] in people}
        rule = f"{split.rule}; subject {', '.join(sorted(people))} of the training side, drawn, for validation"
    else:
        drawn = _rng(seed, 0x5A).permutation(len(split.train))[: max(1, round(VALID_SHARE * len(split.train)))]
        valid = {split.train[int(place)] for place in drawn}
        rule = f"{split.rule}; a tenth of the training side, drawn, for validation"
    return replace(
        split,
        rule=rule,
        seed=seed,
        train=tuple(name for name in split.train if name not in valid),
        valid=tuple(sorted(valid)),
    )


def hold_out(sizes: Mapping[str, int], seed: int) -> set[str]:
    """Subjects drawn until they hold `VALID_SHARE` of the sequences; at least one and never all.

    Args:
        sizes: subject -> number of sequences, two subjects or more.
    """
    names, total = sorted(sizes), sum(sizes.values())
    held: list[str] = []
    for place in _rng(seed, 0x5B).permutation(len(names))[:-1]:
        held.append(names[int(place)])
        if sum(sizes[name] for name in held) >= VALID_SHARE * total:
            break
    return set(held)


def by_subjects(index: pa.Table, train: Collection[str], *, name: str, rule: str, seed: int = 0) -> Split:
    """The named subjects train and all others test; some of the training ones, drawn, select. Column: subject.

    Raises:
        DataError: fewer than two of the named subjects are there, or nobody else.
    """
    sizes = Counter(_columns(index, "subject")[0])
    training = {subject: size for subject, size in sizes.items() if subject in train}
    test = tuple(sorted(set(sizes) - set(training)))
    if len(training) < 2 or not test:
        raise _impossible(name, f"{len(training)} training subjects and {len(test)} others; two and one are needed")
    valid = hold_out(training, seed)
    return Split(
        name=name,
        by="subject",
        rule=f"{rule}; subjects of the training side, drawn, for validation",
        seed=seed,
        train=tuple(sorted(set(training) - valid)),
        valid=tuple(sorted(valid)),
        test=test,
    )


def by_views(index: pa.Table, test: Collection[str], *, name: str, rule: str, seed: int = 0) -> Split:
    """The named views test and all others train; of the latter some subjects, drawn, select.

    A subject is seen from every view, so the views of one performance stand on both sides: the protocol is that.
    Columns: sample_id, view, subject.

    Raises:
        DataError: a side is empty.
    """
    ids, views = _columns(index, "sample_id", "view")
    sides: dict[bool, list[str]] = {False: [], True: []}
    for sample_id, view in zip(ids, views, strict=True):
        sides[view in test].append(sample_id)
    if len(sides[False]) < 2 or not sides[True]:
        raise _impossible(name, f"{len(sides[False])} training and {len(sides[True])} test sequences by view")
    train, tested = tuple(sorted(sides[False])), tuple(sorted(sides[True]))
    split = Split(name=name, by="sample_id", rule=rule, seed=seed, train=train, valid=(), test=tested)
    return with_validation(split, index, seed)


def first_fifth(index: pa.Table, seed: int = 0) -> Split:
    """Mesh recovery: the first 20 % of the videos of every scene and view test, whole (performer, action) groups only.

    Videos are in the order performer, action, avatar, take. One cut between two groups serves all scenes and views: the
    one whose shares of test videos are nearest to 20 % in all of them. So no group stands on both sides, not even in
    different views. One performer without test videos, drawn, selects. Columns: sample_id, subject, action_id, scene,
    view.

    Raises:
        DataError: too few groups to cut, or no performer stands wholly behind the cut beside another one.
    """
    ids, subjects, actions, scenes, views = _columns(index, "sample_id", "subject", "action_id", "scene", "view")
    groups = list(zip(subjects, actions, strict=True))
    ordered = sorted(set(groups))
    cells = list(zip(scenes, views, strict=True))
    test = set(ordered[: _cut(groups, ordered, cells)])
    behind = sorted(set(subjects) - {subject for subject, _ in test})
    training = [group for group in ordered if group not in test]
    if not test or not behind or len({subject for subject, _ in training}) < 2:
        raise _impossible("first_fifth", f"{len(ordered)} groups of {len(set(subjects))} performers")
    valid = behind[int(_rng(seed, 0xC2).integers(len(behind)))]
    parts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for sample_id, group in zip(ids, groups, strict=True):
        parts["test" if group in test else "valid" if group[0] == valid else "train"].append(sample_id)
    return Split(
        name="first_fifth",
        by="sample_id",
        rule=f"first 20 % of every scene and view, cut between (performer, action); performer {valid}, drawn, validates",
        seed=seed,
        train=tuple(sorted(parts["train"])),
        valid=tuple(sorted(parts["valid"])),
        test=tuple(sorted(parts["test"])),
    )


def _cut(
    groups: Sequence[tuple[str, str]], ordered: Sequence[tuple[str, str]], cells: Sequence[tuple[str, str]]
) -> int:
    """Number of leading groups whose share is nearest to `TEST_SHARE`, summed over the cells (scene, view)."""
    place = {group: number for number, group in enumerate(ordered)}
    cell_number = {cell: number for number, cell in enumerate(sorted(set(cells)))}
    videos_CG = np.zeros((len(cell_number), len(ordered)))
    for group, cell in zip(groups, cells, strict=True):
        videos_CG[cell_number[cell], place[group]] += 1
    shares_CG = videos_CG.cumsum(axis=1) / videos_CG.sum(axis=1, keepdims=True)
    return int(np.abs(shares_CG - TEST_SHARE).sum(axis=0).argmin()) + 1


def _columns(index: pa.Table, *names: str) -> list[list[str]]:
    if absent := [name for name in names if name not in index.column_names]:
        raise _impossible("split", f"the table of sequences has no column {', '.join(absent)}")
    return [index[name].to_pylist() for name in names]


def _rng(seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng((seed, purpose))


def _impossible(name: str, rule: str) -> DataError:
    return DataError(where=f"split {name!r}", rule=rule, remedy=_REMEDY)
