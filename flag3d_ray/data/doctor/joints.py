"""Checks of one sequence's joints: written as zeros, frozen, repeated, or faster than a person moves."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32

from flag3d_ray.data.findings import Finding, Severity
from flag3d_ray.data.marker_gaps import gaps
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import Layout, layout

FROZEN_SECONDS = 1.0
STRETCH = 0.03
"""Metres by which a bone changes its length while one of its ends stands still."""
REPEATED_SHARE = 0.05
FPS = (5.0, 1000.0)
SPEED = 8.0
"""m/s of the fastest joint in the median over frames: a sprinter's foot has 20 m/s at its fastest, an exercise 1 to 3."""
JUMP = 40.0
"""m/s: no joint of a person moves so fast."""
_LOOK = "look at the recording; fill the gap, or leave it out with an exclusion list"


def joint_findings(sample: Sample, *, metric: bool) -> Iterator[Finding]:
    """Of every person in the sequence; finite joints of the right shape are taken for granted.

    Args:
        metric: whether lengths are metres, so that speeds mean something.
    """
    if not FPS[0] <= sample.fps <= FPS[1]:
        rule, remedy = f"{sample.fps:g} frames per second", "declare the frame rate of the recording"
        yield _warning(rule, remedy=remedy)
    for number, joints_TVC in enumerate(sample.joints_MTVC, start=1):
        person = _Person(joints_TVC, layout(sample.layout), sample.fps, sample.unit, metric)
        for finding in person.findings(first=number == 1):
            yield finding.at("", f"person {number}") if len(sample.joints_MTVC) > 1 else finding


@dataclass(frozen=True, eq=False)
class _Person:
    """The joints of one person, with what is to be known of them."""

    joints_TVC: Float32[np.ndarray, "T V C"]
    skeleton: Layout
    fps: float
    unit: str
    metric: bool

    @cached_property
    def absent_TV(self) -> Bool[np.ndarray, "T V"]:
        """Joints that are exactly 0: the way in which most formats write that one was not seen."""
        return np.asarray((self.joints_TVC == 0).all(axis=-1))

    @cached_property
    def away_T(self) -> Bool[np.ndarray, " T"]:
        """Frames without the person."""
        return np.asarray(self.absent_TV.all(axis=1))

    @cached_property
    def still_TV(self) -> Bool[np.ndarray, "t V"]:
        """Joints where they were in the frame before, to the last bit."""
        return np.asarray((self.joints_TVC[1:] == self.joints_TVC[:-1]).all(axis=-1))

    def findings(self, *, first: bool) -> Iterator[Finding]:
        """`first`: whether somebody should be there in every frame; two-person layouts hold one person and zeros too."""
        if self.away_T.any() and (first or not self.away_T.all()):
            rule = f"nobody in {self.away_T.sum()} of {len(self.away_T)} frames: all joints are exactly 0"
            yield _warning(rule, int(self.away_T.argmax()), severity="warning" if first else "note")
        if not self.away_T.all():
            yield from self._zeros()
            yield from self._repeats()
            yield from self._frozen()
            yield from self._speeds()

    def _zeros(self) -> Iterator[Finding]:
        """Joints that some frames lack. A root that is 0 throughout is no gap: the sequence is centred on it.

        Nor are those of its children that are 0 throughout with it: in CMU's skeletons three bones begin where it lies.
        """
        absent_TV, root = self.absent_TV & ~self.away_T[:, None], self.skeleton.root
        if self.unit == "m" and absent_TV[:, root].all():
            with_root = [joint for joint, parent in enumerate(self.skeleton.parents) if parent == root]
            zero = [joint for joint in with_root if absent_TV[:, joint].all()]
            absent_TV[:, [root, *zero]] = False
            also = f", as {', '.join(self.skeleton.joints[joint] for joint in zero)}" if zero else ""
            rule = f"centred on the {self.skeleton.joints[root]}, which is 0 in every frame{also}: the place is lost"
            yield _warning(rule, remedy="nothing to do, unless you need the place", severity="note")
        if absent_TV.any():
            joint, start, end = _longest(gaps(absent_TV))
            rule = (
                f"{absent_TV.sum()} joint-frames are exactly 0 ({absent_TV.mean():.2%}), of "
                f"{absent_TV.any(axis=0).sum()} joints; longest gap {end - start} frames ({self.skeleton.joints[joint]})"
            )
            # In images it is the detectors' way to say that a joint is hidden.
            yield _warning(rule, start, severity="warning" if self.unit == "m" else "note")

    def _repeats(self) -> Iterator[Finding]:
        """Frames that repeat the one before: stretched from a lower frame rate, or a recording that hung."""
        repeated_T = np.asarray(self.still_TV.all(axis=1)) & ~self.away_T[1:]
        if len(repeated_T) and repeated_T.mean() > REPEATED_SHARE:
            rule = f"{repeated_T.mean():.0%} of the frames repeat the one before to the last bit"
            remedy = "check the frame rate: it may have been lower when the sequence was recorded"
            yield _warning(rule, int(repeated_T.argmax()) + 1, remedy)

    def _frozen(self) -> Iterator[Finding]:
        """Joints that stay where they are to the last bit while the bone that holds them would have to stretch.

        That they stay is not enough: where positions were rounded, the feet of somebody who stands do so for seconds.
        """
        moving_T = np.asarray(~self.still_TV.all(axis=1))
        found = []
        for joint, start, end in gaps(self.still_TV & ~self.absent_TV[1:]):
            whole = end - start == len(self.still_TV)
            if end - start < FROZEN_SECONDS * self.fps or not moving_T[start:end].any():
                continue
            if whole or (self.metric and self._stretch(joint, start, end) > STRETCH):
                found.append((joint, start, end))
        if found:
            joint, start, end = _longest(found)
            names = sorted({self.skeleton.joints[run[0]] for run in found})
            some = f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
            longest = f"{end - start} of {len(self.still_TV)} frames ({self.skeleton.joints[joint]})"
            yield _warning(f"frozen while others move: {some}; longest {longest}", start)

    def _stretch(self, joint: int, start: int, end: int) -> float:
        """How much the bone between a joint and its parent changes its length, in metres; at the root a child's."""
        parents, root = self.skeleton.parents, self.skeleton.root
        bone_TC = self.joints_TVC[start : end + 1, joint] - self.joints_TVC[start : end + 1, parents[joint]]
        if joint == root:
            bone_TC = self.joints_TVC[start : end + 1, parents.index(root)] - self.joints_TVC[start : end + 1, joint]
        return float(np.ptp(np.linalg.norm(bone_TC, axis=-1)))

    def _speeds(self) -> Iterator[Finding]:
        """Of the fastest joint between neighbouring frames; of joints that both of them have."""
        if not self.metric or len(self.joints_TVC) < 2:
            return
        steps_TV = np.linalg.norm(np.diff(self.joints_TVC, axis=0), axis=-1) * self.fps
        fastest_T = np.where(self.absent_TV[1:] | self.absent_TV[:-1], 0.0, steps_TV).max(axis=1)
        if (median := float(np.median(fastest_T))) > SPEED:
            rule = f"the fastest joint moves at {median:.3g} m/s in the median, at {self.fps:g} frames per second"
            yield _warning(rule, remedy="check the frame rate and the unit")
        elif (fastest_T > JUMP).any():
            jumps_T = fastest_T > JUMP
            times = f"{jumps_T.sum()} times above {JUMP:g}"
            rule = f"a joint jumps: up to {fastest_T.max():.3g} m/s from frame to frame, {times}"
            yield _warning(rule, int(jumps_T.argmax()) + 1)


def _longest(runs: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    return max(runs, key=lambda run: run[2] - run[1])


def _warning(rule: str, frame: int | None = None, remedy: str = _LOOK, severity: Severity = "warning") -> Finding:
    return Finding(severity=severity, row="" if frame is None else f"frame {frame}", rule=rule, remedy=remedy)
