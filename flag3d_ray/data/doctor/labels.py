"""Checks of one sequence's labels: repetitions inside the sequence, in order and long enough; captions in words."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from flag3d_ray.data.findings import Finding, Severity
from flag3d_ray.sample import Sample

SHORTEST = 3
"""Frames of the shortest repetition that can go there and back again."""
SECONDS = (0.2, 60.0)
"""A repetition of the median length lasts that long: the paper's sequences have 0.5 to 25 s per repetition."""
_CORRECT = "correct the annotation, or leave the sequence out with an exclusion list"

Bounds = Sequence[Sequence[int]]


def interval_findings(bounds: Bounds, frames: int) -> Iterator[Finding]:
    """Repetitions, first and exclusive last frame, that leave the sequence, end before they start or overlap; and short ones.

    One finding per rule: it names the first repetition, counted from 1, and how many others break the rule too.
    """
    numbered = list(enumerate(bounds, start=1))
    outside = [(n, start, end) for n, (start, end) in numbered if start < 0 or end > frames]
    empty = [(n, start, end) for n, (start, end) in numbered if end <= start]
    early = [
        (n, start, end)
        for n, ((_, before), (start, end)) in enumerate(pairwise(bounds), start=2)
        if start < before and end > start
    ]
    short = [(n, start, end) for n, (start, end) in numbered if 0 < end - start < SHORTEST]
    yield from _broken(outside, f"leaves the sequence of {frames} frames")
    yield from _broken(empty, "ends before it starts or where it starts (its end is exclusive)")
    yield from _broken(early, "starts before the one ahead of it ends")
    yield from _broken(short, f"is shorter than {SHORTEST} frames", "warning")


def _broken(found: Sequence[tuple[int, int, int]], rule: str, severity: Severity = "error") -> Iterator[Finding]:
    if found:
        number, start, end = found[0]
        several = f" (the first of {len(found)} that break this rule)" if len(found) > 1 else ""
        said = f"repetition [{start}, {end}) {rule}{several}"
        yield Finding(severity=severity, row=f"repetition {number}", rule=said, remedy=_CORRECT)


def label_findings(sample: Sample) -> Iterator[Finding]:
    """What is doubtful in labels that break no rule: captions without words, repetitions of no human duration."""
    if blank := [level for level, text in enumerate(sample.captions, start=1) if not text.strip()]:
        rule = f"no caption at level {', '.join(map(str, blank))}"
        yield Finding(severity="warning", rule=rule, remedy="write one; levels may repeat the action's name")
    if not sample.count:
        return
    seconds = float(np.median(sample.reps_R2[:, 1] - sample.reps_R2[:, 0])) / sample.fps
    if not SECONDS[0] <= seconds <= SECONDS[1]:
        rule = f"a repetition lasts {seconds:.3g} s in the median, at {sample.fps:g} frames per second"
        remedy = "check that the frame rate of labels and joints is the one declared"
        yield Finding(severity="warning", rule=rule, remedy=remedy)
