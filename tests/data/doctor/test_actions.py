"""What the sequences of a dataset say about its actions."""

from dataclasses import replace

from flag3d_ray.data.doctor.actions import Actions, count_findings
from flag3d_ray.data.doctor.entry import Entry
from flag3d_ray.sample import Sample


def rules(*samples: Sample) -> list[str]:
    actions = Actions()
    for sample in samples:
        actions.add(sample)
    return [finding.rule for finding in actions.found()]


def counted(sample: Sample, *counts: int) -> list[Entry]:
    return [
        Entry.of(replace(sample, sample_id=name), f"{name}.npz", "", n) for name, n in zip("abc", counts, strict=True)
    ]


def test_actions_with_one_name_and_one_set_of_captions_give_nothing(tiny_sample) -> None:
    assert rules(*map(tiny_sample, range(12))) == []


def test_an_action_spelled_in_two_ways_is_found(tiny_sample) -> None:
    (rule,) = rules(tiny_sample(0), replace(tiny_sample(1), action="Move A"))
    assert rule == "action A001 has 2 names: 'Move A', 'move a'"


def test_a_name_under_two_actions_is_found_whatever_its_capitals(tiny_sample) -> None:
    (rule,) = rules(tiny_sample(0), replace(tiny_sample(2), action="Move A "))
    assert "is the name of actions A001, A002" in rule


def test_captions_that_differ_within_an_action_are_found(tiny_sample) -> None:
    (rule,) = rules(tiny_sample(0), replace(tiny_sample(1), captions=("a", "b", "c")))
    assert rule.startswith("action A001 has 2 sets of captions")


def test_captions_that_only_repeat_the_name_are_one_note(tiny_sample) -> None:
    bare = [replace(tiny_sample(index), captions=(tiny_sample(index).action,) * 3) for index in (0, 1, 2)]
    assert rules(*bare, tiny_sample(4)) == ["2 of 3 actions have one text for all three levels of captions"]


def test_random_motions_belong_to_no_action(tiny_sample) -> None:
    assert rules(*[replace(tiny_sample(0), source="procedural", action=name) for name in "ab"]) == []


def test_a_sequence_without_repetitions_among_others_is_an_error(tiny_sample) -> None:
    (found,) = count_findings(counted(tiny_sample(0), 3, 0, 4))
    assert (found.severity, found.file, found.sample) == ("error", "b.npz", "b")


def test_a_dataset_without_repetitions_is_a_note(tiny_sample) -> None:
    (found,) = count_findings(counted(tiny_sample(0), 0, 0, 1))
    assert (found.severity, found.rule) == ("note", "2 of 3 sequences have no repetition marked")
