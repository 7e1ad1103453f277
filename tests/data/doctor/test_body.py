"""Unit, axes and sides, measured on a synthetic person whose are right, and on the same person changed."""

from dataclasses import replace

import numpy as np
import pytest

from flag3d_ray.data.doctor.body import Body, Seen, convention_findings, measure
from flag3d_ray.data.doctor.entry import Entry
from flag3d_ray.data.synthetic.generate import Synthetic, synthetic_sample
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import COCO17, FLAG3D24, NTU25

PERSON = synthetic_sample(Synthetic(takes_per_action=1), 0)


def body(sample: Sample) -> Body:
    found = measure(sample)
    assert found is not None
    return found


def scaled(factor: float) -> Sample:
    return replace(PERSON, joints_MTVC=PERSON.joints_MTVC * np.float32(factor))


def seen(*bodies: Body, action: str = "A001") -> list[Seen]:
    named = replace(PERSON, action_id=action)
    return [
        Seen(Entry.of(replace(named, sample_id=f"sample {n}"), f"{n}.npz", "", 1), one) for n, one in enumerate(bodies)
    ]


def test_a_person_in_metres_stands_along_y_with_left_on_the_left() -> None:
    found = body(PERSON)
    assert 1.4 < found.stature < 2.0
    assert (found.plausible, found.unit, found.up, found.mirrored) == (True, "", "+y", False)


@pytest.mark.parametrize(
    ("factor", "unit"),
    [(1e4, "tenths of a millimetre"), (1e3, "millimetres"), (1e2, "centimetres"), (1e-3, "kilometres"), (7.0, "")],
)
def test_bones_tell_the_unit(factor: float, unit: str) -> None:
    found = body(scaled(factor))
    assert (found.plausible, found.unit) == (False, unit)


@pytest.mark.parametrize(("axes", "up"), [((0, 2, 1), "+z"), ((1, 0, 2), "+x")])
def test_the_trunk_tells_which_axis_looks_up(axes: tuple[int, ...], up: str) -> None:
    turned = replace(PERSON, joints_MTVC=np.ascontiguousarray(PERSON.joints_MTVC[..., list(axes)]))
    assert body(turned).up == up
    assert body(replace(turned, joints_MTVC=-turned.joints_MTVC)).up == f"-{up[1]}"


def test_left_and_right_exchanged_and_left_handed_axes_look_the_same_and_both_are_found() -> None:
    exchanged = replace(PERSON, joints_MTVC=PERSON.joints_MTVC[:, :, list(FLAG3D24.mirror)])
    left_handed = replace(PERSON, joints_MTVC=PERSON.joints_MTVC * np.array([1, 1, -1], np.float32))
    turned = replace(PERSON, joints_MTVC=PERSON.joints_MTVC * np.array([-1, 1, -1], np.float32))
    assert body(exchanged).mirrored is True
    assert body(left_handed).mirrored is True
    assert body(turned).mirrored is False, "a half turn mirrors nothing"


def test_the_sides_of_every_synthetic_activity_are_right_or_not_told() -> None:
    spec = Synthetic(takes_per_action=1)
    told = [body(synthetic_sample(spec, index)).mirrored for index in range(0, 60, 4)]
    assert True not in told
    assert told.count(False) > len(told) // 2


def test_images_and_empty_sequences_have_no_body_and_missing_joints_leave_it_open() -> None:
    pixels = np.ones((1, 4, len(COCO17), 2), np.float32)
    assert measure(replace(PERSON, layout="coco17", unit="px", joints_MTVC=pixels, image_hw=(9, 9))) is None
    assert measure(replace(PERSON, joints_MTVC=np.zeros_like(PERSON.joints_MTVC))) is None
    point = body(replace(PERSON, layout="ntu25", joints_MTVC=np.ones((1, 4, len(NTU25), 3), np.float32)))
    assert (point.stature, point.up, point.mirrored) == (0.0, "", None)


def test_a_unit_that_most_sequences_speak_for_is_one_error() -> None:
    (found,) = convention_findings(seen(*[body(scaled(1e3))] * 3, body(PERSON)))
    assert (found.severity, found.file) == ("error", "")
    assert "looks like millimetres, not metres (3 of 4 sequences)" in found.rule


def test_a_unit_that_one_sequence_speaks_for_is_a_warning_about_it() -> None:
    (found,) = convention_findings(seen(*[body(PERSON)] * 3, body(scaled(1e2))))
    assert (found.severity, found.file, found.sample) == ("warning", "3.npz", "sample 3")
    assert "looks like centimetres" in found.rule


def test_bodies_of_no_person_are_a_warning_and_no_unit() -> None:
    (found,) = convention_findings(seen(*[body(scaled(7))] * 3))
    assert (found.severity, "no unit makes this a person" in found.rule) == ("warning", True)


def test_an_axis_that_most_trunks_share_looks_up() -> None:
    upright, lying = Body(1.7, "+z", False), Body(1.7, "+x", False)
    (found,) = convention_findings(seen(*[upright] * 4, lying, replace(upright, up="+y")))
    assert "+z looks up, not +y: the head is above the pelvis along +z in 4 of 6 sequences, along +y in 1" in found.rule


def test_people_who_lie_in_any_direction_are_no_finding() -> None:
    assert list(convention_findings(seen(*[Body(1.7, up) for up in ("+x", "-x", "+z", "-z", "", "+y")]))) == []


def test_one_who_lies_where_all_others_stand_is_a_warning() -> None:
    standing, other = Body(1.7, "+y", False), Body(1.7, "-y", False)
    (found,) = convention_findings(seen(*[standing] * 5, other))
    assert (found.file, "along -y, along +y in 5 other sequences of action A001" in found.rule) == ("5.npz", True)
    assert list(convention_findings([*seen(*[standing] * 5), *seen(other, action="A002")])) == []


def test_exchanged_sides_are_one_finding_where_most_have_them_and_one_per_sequence_otherwise() -> None:
    right, wrong, untold = Body(1.7, "+y", False), Body(1.7, "+y", True), Body(1.7, "+y", None)
    (found,) = convention_findings(seen(wrong, wrong, right, untold, untold))
    assert (found.file, "(2 of 3 sequences)" in found.rule) == ("", True)
    (found,) = convention_findings(seen(wrong, right, right, untold))
    assert found.file == "0.npz"
    assert list(convention_findings(seen(untold, right))) == []
