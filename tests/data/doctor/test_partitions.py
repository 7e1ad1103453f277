"""Splits against the sequences: leaks, values that do not exist, empty parts, people on both sides."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from flag3d_ray.data.doctor.copies import Copy
from flag3d_ray.data.doctor.entry import Entry
from flag3d_ray.data.doctor.partitions import copy_findings, split_findings
from flag3d_ray.data.findings import Finding
from flag3d_ray.data.splits import Column, Split

WHOLE = Copy(part=0, of=2, start=0, end=100, shift=0, whole=True)
PART = Copy(part=0, of=2, start=10, end=90, shift=200, whole=False)


def entry(number: int, source: str = "lab") -> Entry:
    """Sequence X0, X1, ...: action by pairs, person by turns."""
    texts = {"source": source, "action": "", "body_part": "", "view": "", "scene": "", "avatar": ""}
    named = {"sample_id": f"X{number}", "action_id": f"A{number // 2}", "subject": f"P{number % 2}"}
    return Entry(file=f"x{number}.npz", **named, **texts, take=1, fps=30.0, frames=300, count=3)


ENTRIES = [entry(number) for number in range(6)]


def split(by: Column = "action_id", name: str = "mine", **parts: tuple[str, ...]) -> Split:
    parts = {"train": ("A0",), "valid": ("A1",), "test": ("A2",)} | parts
    return Split(name=name, by=by, rule="", seed=0, **parts)


def by_sample(name: str = "mine", **parts: str) -> Split:
    """Digits of the sequences in each part."""
    parts = {"train": "01", "valid": "23", "test": "45"} | parts
    return split("sample_id", name, **{part: tuple(f"X{digit}" for digit in digits) for part, digits in parts.items()})


def found(told: Split, *copies: Copy, entries: list[Entry] = ENTRIES) -> list[Finding]:
    return list(split_findings(told, "splits/mine.json", entries, copies))


def errors(findings: list[Finding]) -> Iterator[str]:
    return (finding.rule for finding in findings if finding.severity == "error")


def test_a_split_that_holds_what_it_says_gives_nothing() -> None:
    assert found(split()) == []


def test_values_that_do_not_exist_are_named() -> None:
    (one,) = found(split(train=("A0", "A7", "A8")))
    assert (one.severity, one.file) == ("warning", "splits/mine.json")
    assert one.rule == "train names 2 action_id that do not exist: A7, A8"


def test_a_part_whose_values_do_not_exist_is_an_error_and_one_meant_to_be_empty_a_note() -> None:
    gone = found(split(test=("A9",)), entries=ENTRIES[:4])
    assert list(errors(gone)) == ["test is empty, all its values do not exist"]
    (note,) = found(split(valid=()), entries=[*ENTRIES[:2], *ENTRIES[4:]])
    assert (note.severity, note.rule) == ("note", "valid is empty")


def test_sequences_in_no_part_are_an_error() -> None:
    assert list(errors(found(split(valid=())))) == ["1 action_id stand in no part: A1"]


def test_random_motions_train_in_every_split() -> None:
    assert found(split(train=()), entries=[entry(0, source="procedural"), *ENTRIES[2:]]) == []


@pytest.mark.parametrize("copy", [WHOLE, PART], ids=["whole", "part"])
def test_a_copy_on_two_sides_is_a_leak_reported_where_it_is_not_tested(copy: Copy) -> None:
    (leak,) = found(split(valid=("A2",), test=("A1",)), copy)
    assert (leak.severity, leak.file, leak.sample) == ("error", "x0.npz", "X0")
    assert leak.row == ("" if copy.whole else "frames 10 to 90")
    assert f"this train sequence shares {copy.end - copy.start} frames with X2 (x2.npz), in test" in leak.rule
    assert "exclusion list" in leak.remedy


def test_the_frames_of_a_leak_are_those_of_the_sequence_that_is_reported() -> None:
    (leak,) = found(split(train=("A1",), valid=("A2",), test=("A0",)), PART)
    assert (leak.file, leak.row) == ("x2.npz", "frames 210 to 290")


def test_a_copy_on_one_side_is_no_leak_and_a_warning() -> None:
    same = Copy(part=1, of=0, start=0, end=100, shift=0, whole=True)
    assert found(split(), same) == []
    (one,) = copy_findings([same], ENTRIES)
    assert (one.severity, one.file) == ("warning", "x1.npz")
    assert one.rule.startswith("the same joints as X0 (x0.npz)")
    (other,) = copy_findings([PART], ENTRIES)
    assert other.rule.startswith("frames 210 to 290 of X2")


def test_a_dataset_whose_sequences_often_share_joints_gets_one_finding() -> None:
    entries = [entry(number) for number in range(60)]
    (one,) = copy_findings([Copy(n, n - 1, 0, 100, 0, whole=True) for n in range(1, 60, 2)], entries)
    assert (one.severity, one.file) == ("warning", "")
    assert one.rule.startswith("30 of 60 sequences share joints with another one, first X1 (x1.npz) and X0")


def test_people_on_both_sides_are_a_note_unless_the_splits_name_forbids_it() -> None:
    notes = found(by_sample())
    assert [note.rule for note in notes] == ["2 of 2 people stand in train and in test"]
    assert {note.severity for note in notes} == {"note"}
    told = list(errors(found(by_sample("by_person-mine"))))
    assert len(told) == 3
    assert "2 of 2 people stand in train and in test, though the split is by_person-mine: P0, P1" in told


def test_actions_on_both_sides_of_a_split_by_action_are_an_error() -> None:
    (rule,) = errors(found(by_sample("by_action", train="02", valid="13", test="45")))
    assert rule.startswith("2 of 2 actions stand in train and in valid, though the split is by_action")


def test_nobody_says_that_an_unknown_person_stands_on_both_sides_but_that_nobody_knows() -> None:
    unknown = [replace(one, subject="unknown") for one in ENTRIES]
    (note,) = found(by_sample(), entries=unknown)
    assert (note.severity, note.rule) == ("note", "who performs is unknown in train and in test")
    assert any("unknown" in rule for rule in errors(found(by_sample("by_person"), entries=unknown)))
