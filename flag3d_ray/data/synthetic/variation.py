"""What differs from clip to clip of the random motions, in six groups that are removed one at a time.

Stays free of numpy, so that an experiment file may read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Variation:
    """Groups of random choices that a clip makes.

    A group that is removed is drawn all the same and then takes its plain value, so that everything else about the clip
    stays exactly what it was. With all removed: one raised cosine at constant tempo, standing, one person, still.

    Attributes:
        tempo: log-normal repetition durations around a linear trend, rests in between, idle time at both ends or a
            recording that begins or ends in the middle of a repetition. Plain: as many repetitions in as many frames,
            all of one length.
        shape: two or three waves with turning points and dwell of their own, in a third of the clips two bumps per
            repetition, in a third an added sine. Plain: one raised cosine, which swings as far.
        amplitude: it wanders by about 12 %, and in half of the clips each repetition has a strength of its own.
            Plain: constant.
        posture: random base posture, half of the clips symmetric, a third lying. Plain: each limb for itself, standing.
        person: bone lengths within 10 %, facing any direction. Plain: the body at rest, facing +z.
        distractors: smooth motion without a period on half of the joints, sway of the whole body, in half of the clips
            a posture that changes slowly, sensor noise of 6 mm. Plain: none.
    """

    tempo: bool = True
    shape: bool = True
    amplitude: bool = True
    posture: bool = True
    person: bool = True
    distractors: bool = True


RICH = Variation()
GROUPS = tuple(group.name for group in fields(Variation))
PLAIN = Variation(**dict.fromkeys(GROUPS, False))
DATASETS: Mapping[str, Variation] = {
    "procedural": RICH,
    **{f"procedural-no-{group}": Variation(**{group: False}) for group in GROUPS},
    "procedural-plain": PLAIN,
}
"""Dataset of the catalogue -> the variation of its random motions."""
