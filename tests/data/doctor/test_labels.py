"""Labels of one sequence: repetitions that break a rule are found all at once, doubtful ones too."""

from dataclasses import replace

import numpy as np
import pytest

from flag3d_ray.data.doctor.labels import interval_findings, label_findings


@pytest.mark.parametrize(
    ("bounds", "row", "rule"),
    [
        ([(0, 40), (40, 101)], "repetition 2", "[40, 101) leaves the sequence of 100 frames"),
        ([(-1, 40)], "repetition 1", "[-1, 40) leaves the sequence of 100 frames"),
        ([(0, 40), (60, 50)], "repetition 2", "[60, 50) ends before it starts"),
        ([(10, 10)], "repetition 1", "[10, 10) ends before it starts or where it starts"),
        ([(0, 40), (39, 60)], "repetition 2", "[39, 60) starts before the one ahead of it ends"),
        ([(40, 60), (0, 40)], "repetition 2", "[0, 40) starts before the one ahead of it ends"),
    ],
)
def test_a_repetition_that_breaks_a_rule_is_numbered(bounds, row, rule) -> None:
    (found,) = interval_findings(bounds, 100)
    assert (found.severity, found.row) == ("error", row)
    assert rule in found.rule
    assert found.remedy


def test_every_broken_rule_is_found_and_each_once() -> None:
    bounds = [(0, 10), (5, 20), (30, 25), (40, 200), (90, 300), (95, 97)]
    found = list(interval_findings(bounds, 100))
    assert [one.row for one in found] == ["repetition 4", "repetition 3", "repetition 2", "repetition 6"]
    assert "[40, 200) leaves the sequence of 100 frames (the first of 2 that break" in found[0].rule
    assert "the first of 3 that" in found[2].rule
    assert (found[3].severity, "[95, 97) is shorter than 3 frames" in found[3].rule) == ("warning", True)


def test_repetitions_that_touch_each_other_and_the_ends_are_right() -> None:
    assert list(interval_findings([(0, 40), (40, 43), (50, 100)], 100)) == []


def test_a_sequence_without_doubt_gives_nothing(tiny_sample) -> None:
    assert list(label_findings(tiny_sample(0))) == []


def test_captions_without_words_are_found(tiny_sample) -> None:
    (found,) = label_findings(replace(tiny_sample(0), captions=("name", " ", "")))
    assert found.rule == "no caption at level 2, 3"


@pytest.mark.parametrize("fps", [0.05, 900.0])
def test_repetitions_too_quick_or_too_slow_for_a_person_point_at_the_frame_rate(tiny_sample, fps) -> None:
    (found,) = label_findings(replace(tiny_sample(0), fps=fps))
    assert "s in the median" in found.rule
    assert "frame rate" in found.remedy


def test_a_sequence_without_repetitions_has_no_duration_to_doubt(tiny_sample) -> None:
    assert (
        list(label_findings(replace(tiny_sample(0), fps=900.0, reps_R2=np.empty((0, 2), np.int32), keys_RS=None))) == []
    )
