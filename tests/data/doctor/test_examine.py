"""What the checks of single sequences add up to over a dataset."""

from dataclasses import replace

import pytest

from flag3d_ray.data.doctor.examine import Examination, Report
from flag3d_ray.data.doctor.partitions import MANY
from flag3d_ray.data.synthetic.generate import Synthetic, synthetic_sample

PERSON = synthetic_sample(Synthetic(takes_per_action=1), 0)


def examined(sequences: int, centred: int) -> Report:
    """Over sequences of which some are centred on their root, each of them somewhat larger than the one ahead of it."""
    seen = Examination()
    for number in range(sequences):
        joints_MTVC = PERSON.joints_MTVC * (1 + number / 1000)
        if number < centred:
            joints_MTVC = joints_MTVC - joints_MTVC[:, :, :1]
        seen.add(replace(PERSON, sample_id=f"X{number}", joints_MTVC=joints_MTVC), f"x{number}.npz")
    return seen.finish([])


@pytest.mark.parametrize(
    ("sequences", "centred", "gathered"), [(MANY + 2, MANY + 2, True), (MANY, MANY, False), (3 * MANY, MANY + 2, False)]
)
def test_a_note_that_most_of_many_sequences_share_is_one_about_the_dataset(
    sequences: int, centred: int, gathered: bool
) -> None:
    notes = [one for one in examined(sequences, centred).findings if "centred on the pelvis" in one.rule]
    if gathered:
        (note,) = notes
        assert (note.severity, note.file, note.sample) == ("note", "", "")
        assert note.rule.endswith(f"the place is lost ({centred} of {sequences} sequences)")
    else:
        assert [note.sample for note in notes] == [f"X{number}" for number in range(centred)]
