"""Checks of splits against the sequences: leaks, values that do not exist, parts that are empty."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from flag3d_ray.data.doctor.copies import Copy
from flag3d_ray.data.doctor.entry import Entry
from flag3d_ray.data.findings import Finding
from flag3d_ray.data.recognition_splits import UNKNOWN
from flag3d_ray.data.splits import PARTS, Part, Split

APART = {"by_action": "action_id", "by_person": "subject"}
"""What a split by sample_id promises to hold apart when its name begins so."""
MANY = 20
"""Copies that are listed one by one; more of them are one finding where they are a tenth of the dataset."""
_DRAW = "draw the split again (`flag3d data splits`)"
_LEAVE = "leave one of the two out with an exclusion list"


def split_findings(
    split: Split, file: str, entries: Sequence[Entry], copies: Sequence[Copy], *, complete: bool = True
) -> Iterator[Finding]:
    """What is wrong with a split of these sequences, `file` being where it is written down.

    Args:
        complete: whether these are all sequences; of others nothing is known, so that none can be missed.
    """
    parts = _parts(split, entries)
    if complete:
        yield from (finding.at(file) for finding in _absent(split, entries, parts))
    yield from (finding.at(file) for finding in _strays(split, entries, parts))
    yield from (finding.at(file) for finding in _shared(split, entries, parts))
    for copy in copies:
        yield from _leak(split, entries, parts, copy)


def copy_findings(copies: Sequence[Copy], entries: Sequence[Entry]) -> Iterator[Finding]:
    """Sequences that stand there twice, whatever the split; one finding where it is the dataset's habit."""
    if len(copies) > MANY and 10 * len(copies) > len(entries):
        pair = f"{entries[copies[0].part].name} and {entries[copies[0].of].name}"
        rule = (
            f"{len(copies)} of {len(entries)} sequences share joints with another one, first {pair}: views, or copies"
        )
        remedy = "keep on one side of every split what was recorded once"
        yield Finding(severity="warning", rule=rule, remedy=remedy)
        return
    for copy in copies:
        entry, other = entries[copy.part], entries[copy.of]
        said = "the same joints as" if copy.whole else f"frames {copy.start + copy.shift} to {copy.end + copy.shift} of"
        rule = f"{said} {other.name}: a sequence that counts twice"
        yield entry.found(Finding(severity="warning", row=_frames(copy, copy.part), rule=rule, remedy=_LEAVE))


def _parts(split: Split, entries: Sequence[Entry]) -> list[Part | None]:
    """The part of every sequence, as `splits.split_indices` has it."""
    part_of: dict[str, Part] = {value: part for part in PARTS for value in split.values(part)}
    return ["train" if entry.source == "procedural" else part_of.get(getattr(entry, split.by)) for entry in entries]


def _absent(split: Split, entries: Sequence[Entry], parts: Sequence[Part | None]) -> Iterator[Finding]:
    """Values that no sequence has, and parts without sequences."""
    there = {getattr(entry, split.by) for entry in entries}
    for part in PARTS:
        absent = sorted(set(split.values(part)) - there)
        if absent:
            rule = f"{part} names {len(absent)} {split.by} that do not exist: {', '.join(absent[:5])}"
            yield Finding(severity="warning", rule=rule, remedy=f"correct the names, or {_DRAW}")
        if part not in parts and split.values(part):
            yield Finding(severity="error", rule=f"{part} is empty, all its values do not exist", remedy=_DRAW)
        elif part not in parts:
            remedy = f"nothing to do if it is meant to be, else {_DRAW}"
            yield Finding(severity="note", rule=f"{part} is empty", remedy=remedy)


def _strays(split: Split, entries: Sequence[Entry], parts: Sequence[Part | None]) -> Iterator[Finding]:
    """Sequences that stand in no part."""
    if stray := sorted({getattr(entry, split.by) for entry, part in zip(entries, parts, strict=True) if part is None}):
        rule = f"{len(stray)} {split.by} stand in no part: {', '.join(stray[:5])}"
        yield Finding(severity="error", rule=rule, remedy=_DRAW)


def _shared(split: Split, entries: Sequence[Entry], parts: Sequence[Part | None]) -> Iterator[Finding]:
    """Actions and people on two sides of a split by sample_id: an error where its name promises that they are apart."""
    if split.by != "sample_id":
        return
    for column, noun in (("action_id", "actions"), ("subject", "people")):
        promised = any(split.name.startswith(name) and column == apart for name, apart in APART.items())
        values = {part: set[str]() for part in PARTS}
        for entry, part in zip(entries, parts, strict=True):
            if part is not None:
                values[part].add(getattr(entry, column))
        for one, other in combinations(PARTS, 2):
            both = sorted(values[one] & values[other])
            if not both or not (promised or (one, other) == ("train", "test")):
                continue
            if both == [UNKNOWN] and not promised:
                rule = f"who performs is {UNKNOWN} in {one} and in {other}"
                yield Finding(severity="note", rule=rule, remedy=f"call it no test of unseen {noun}")
                continue
            said = f"{len(both)} of {len(values[one] | values[other])} {noun} stand in {one} and in {other}"
            if promised:
                rule = f"{said}, though the split is {split.name}: {', '.join(both[:5])}"
                yield Finding(severity="error", rule=rule, remedy=_DRAW)
            else:
                remedy = f"call it no test of unseen {noun}"
                yield Finding(severity="note", rule=said, remedy=remedy)


def _leak(split: Split, entries: Sequence[Entry], parts: Sequence[Part | None], copy: Copy) -> Iterator[Finding]:
    """A copy on two sides. It is reported where it is not tested: leaving it out there leaves the test set as it is."""
    one, other = parts[copy.part], parts[copy.of]
    if one is None or other is None or one == other:
        return
    inside, outside = (copy.part, copy.of) if PARTS.index(one) < PARTS.index(other) else (copy.of, copy.part)
    rule = (
        f"a leak in split {split.name}: this {parts[inside]} sequence shares {copy.end - copy.start} frames with "
        f"{entries[outside].name}, in {parts[outside]}"
    )
    remedy = "leave this sequence out with an exclusion list, or put both on one side"
    yield entries[inside].found(Finding(severity="error", row=_frames(copy, inside), rule=rule, remedy=remedy))


def _frames(copy: Copy, number: int) -> str:
    """The shared frames, as the sequence of that number counts them."""
    shift = 0 if number == copy.part else copy.shift
    return "" if copy.whole else f"frames {copy.start + shift} to {copy.end + shift}"
