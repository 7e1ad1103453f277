"""All checks over the sequences of a dataset, taken in one at a time.

Of each sequence a few hundred bytes are kept, and 2 bytes per frame to find copies.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from flag3d_ray.data.doctor.actions import Actions, count_findings
from flag3d_ray.data.doctor.body import Seen, convention_findings, measure
from flag3d_ray.data.doctor.copies import Copies, Copy
from flag3d_ray.data.doctor.entry import INDEX, Entry
from flag3d_ray.data.doctor.joints import joint_findings
from flag3d_ray.data.doctor.labels import Bounds, interval_findings, label_findings
from flag3d_ray.data.doctor.partitions import MANY, copy_findings, split_findings
from flag3d_ray.data.findings import Finding
from flag3d_ray.data.schema import check_sample
from flag3d_ray.data.splits import Split
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Report:
    """What was found, and in how much that could be read."""

    findings: tuple[Finding, ...]
    sequences: int
    repetitions: int
    frames: int


class Examination:
    """Collects findings over the sequences of one dataset."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._entries: list[Entry] = []
        self._bodies: list[Seen] = []
        self._actions = Actions()
        self._copies = Copies()

    def found(self, *findings: Finding) -> None:
        """Note something that concerns no sequence that could be read."""
        self.findings += findings

    def add(self, sample: Sample, file: str, row: str = "", bounds: Bounds | None = None) -> None:
        """Check a sequence and keep what the checks across sequences need.

        Args:
            bounds: its repetitions where they break a rule that keeps them out of `sample`.
        """
        marked: Bounds = sample.reps_R2.tolist() if bounds is None else bounds
        entry = Entry.of(sample, file, row, len(marked))
        problems, sound = _rules(sample, marked)
        if not any(problem.severity == "error" for problem in problems):
            problems += label_findings(sample)
        if sound:
            body = measure(sample)
            problems += joint_findings(sample, metric=body is not None and body.plausible)
            self._entries.append(entry)
            self._copies.add(sample)
            self._actions.add(sample)
            if body is not None:
                self._bodies.append(Seen(entry, body))
        self.findings += map(entry.found, problems)

    @property
    def index(self) -> pa.Table:
        """One row per sequence that could be read, with the columns of `Dataset.index` and some more."""
        return pa.Table.from_pylist([entry.columns() for entry in self._entries], INDEX)

    def finish(self, splits: Sequence[tuple[str, Split]], *, complete: bool = True) -> Report:
        """Compare the sequences with each other and with splits, each under the name of its file.

        Args:
            complete: whether all sequences that the splits are of could be read.
        """
        entries, copies = self._entries, list(self._copies.found())
        leaks = [
            finding
            for file, split in splits
            for finding in split_findings(split, file, entries, copies, complete=complete)
        ]
        leaking = {finding.sample for finding in leaks}
        twice = copy_findings([copy for copy in copies if not leaking & _ids(copy, entries)], entries)
        self.findings += [*leaks, *twice, *_same_ids(entries), *count_findings(entries)]
        self.findings += [*convention_findings(self._bodies), *self._actions.found()]
        return Report(
            findings=tuple(_gathered(self.findings, len(entries))),
            sequences=len(entries),
            repetitions=sum(entry.count for entry in entries),
            frames=sum(entry.frames for entry in entries),
        )


def _same_ids(entries: Sequence[Entry]) -> Iterator[Finding]:
    first: dict[str, Entry] = {}
    for entry in entries:
        other = first.setdefault(entry.sample_id, entry)
        if other is not entry:
            rule = f"the sample id {entry.sample_id!r} stands in {other.place} too"
            yield entry.found(Finding(severity="error", rule=rule, remedy="give every sequence an id of its own"))


def _gathered(findings: Sequence[Finding], sequences: int) -> list[Finding]:
    """Notes that most sequences share become one about the dataset: they would hide the others in a long list."""
    notes = Counter((one.rule, one.remedy) for one in findings if one.severity == "note" and one.sample)
    common = {words: number for words, number in notes.items() if number > MANY and 2 * number > sequences}
    rest = [one for one in findings if one.severity != "note" or (one.rule, one.remedy) not in common]
    return rest + [
        Finding(severity="note", rule=f"{rule} ({number} of {sequences} sequences)", remedy=remedy)
        for (rule, remedy), number in common.items()
    ]


def _ids(copy: Copy, entries: Sequence[Entry]) -> set[str]:
    return {entries[copy.part].sample_id, entries[copy.of].sample_id}


def _rules(sample: Sample, bounds: Bounds) -> tuple[list[Finding], bool]:
    """Every rule of the schema that the sequence breaks, and whether it breaks none but for its labels.

    Repetitions apart from the rest, so that none hides another.
    """
    found = list(interval_findings(bounds, sample.frames))
    unlabelled = replace(sample, reps_R2=np.empty((0, 2), np.int32), keys_RS=None)
    if error := _broken(unlabelled if any(one.severity == "error" for one in found) else sample):
        found.append(Finding(severity="error", rule=error.rule, remedy=error.remedy))
    return found, error is None or _broken(unlabelled) is None


def _broken(sample: Sample) -> DataError | None:
    try:
        check_sample(sample, "")
    except DataError as error:
        return error
    return None
