"""The lexicon is complete, its captions have the lengths that the paper reports, and its standards can be violated."""

import importlib.resources
import re
from collections import Counter
from statistics import fmean

import pytest

from flag3d_ray.data import lexicon
from flag3d_ray.errors import DataError

ACTIVITIES = [f"A{number:03d}" for number in range(1, 61)]
MOVEMENTS = [f"m{number:02d}" for number in range(1, 11)]
TYPES = [f"R{number:02d}" for number in range(1, 11)]
EXERCISES = [f"C{number:02d}" for number in range(1, 13)]
EVERYTHING = [*ACTIVITIES, *MOVEMENTS, *TYPES, *EXERCISES, lexicon.PROCEDURAL]
ALTERNATING = ["A021", "A027", "A030", "A038", "A046", "A053", "A055", "A056", "A058", "A060"]
ALTERNATING_SINGLY = ["A040", "A052"]
CIRCLES = ["A013", "A014", "A015", "A016", "A023", "A054"]
ONE_SIDED = {
    "A022": "right",
    "A024": "right",
    "A032": "right",
    "A033": "left",
    "A034": "right",
    "A035": "right",
    "A043": "left",
    "A044": "right",
    "A045": "left",
    "A047": "right",
    "A048": "left",
}


def words(text: str) -> int:
    return len(text.split())


def test_every_action_of_the_four_datasets_is_present_in_order() -> None:
    assert lexicon.activity_ids() == tuple(ACTIVITIES)
    assert lexicon.ui_prmd_ids() == tuple(MOVEMENTS)
    assert lexicon.repcount_ids() == tuple(TYPES)
    assert lexicon.cmu_exercise_ids() == tuple(EXERCISES)


@pytest.mark.parametrize(
    ("action_id", "name"),
    [
        ("A001", "Svend Press"),
        ("A033", "Left-side Knee Raise And Abdominal Muscles Contract"),
        ("A052", "Squat With Alternate Knee Lift"),
        ("A060", "Run In Place With Arm Swing"),
        ("m09", "Standing Shoulder Internal-External Rotation"),
        ("R05", "Pommel Horse"),
        ("C10", "Toe Touch With One Hand"),
    ],
)
def test_level_one_is_the_printed_name(action_id: str, name: str) -> None:
    assert lexicon.captions(action_id)[0] == name


def test_body_parts_have_the_sizes_of_the_taxonomy() -> None:
    sizes = Counter(lexicon.body_part(action_id) for action_id in ACTIVITIES)
    assert len(sizes) == 10
    assert (sizes["chest"], sizes["arm"], sizes["neck"], sizes["leg"], sizes["multiple parts"]) == (6, 6, 4, 5, 6)


def test_level_two_averages_the_57_words_of_the_paper() -> None:
    assert fmean(words(lexicon.captions(action_id)[1]) for action_id in ACTIVITIES) == pytest.approx(57, abs=0.5)
    assert fmean(words(lexicon.captions(action_id)[1]) for action_id in EVERYTHING) == pytest.approx(57, abs=0.5)


@pytest.mark.parametrize("action_id", EVERYTHING)
def test_level_two_is_about_three_sentences_of_45_to_70_words(action_id: str) -> None:
    details = lexicon.captions(action_id)[1]
    assert 45 <= words(details) <= 70
    assert len(re.findall(r"\.(?:\s|$)", details)) in (3, 4)


@pytest.mark.parametrize("action_id", EVERYTHING)
def test_level_three_adds_60_to_110_words_of_advice_to_level_two(action_id: str) -> None:
    _, details, instructions = lexicon.captions(action_id)
    assert instructions.startswith(details + " ")
    assert 60 <= words(instructions) - words(details) <= 110


@pytest.mark.parametrize("action_id", EVERYTHING)
def test_level_two_and_the_repetition_sentence_say_what_counts(action_id: str) -> None:
    assert "one repetition" in lexicon.captions(action_id)[1]
    assert "one repetition" in lexicon.repetition(action_id)


@pytest.mark.parametrize("action_id", ALTERNATING)
def test_alternating_activities_count_left_and_right_together(action_id: str) -> None:
    for text in (lexicon.captions(action_id)[1], lexicon.repetition(action_id)):
        assert {"left", "right", "together"} <= set(re.findall(r"\w+", text))


@pytest.mark.parametrize("action_id", ALTERNATING_SINGLY)
def test_activities_that_count_each_side_say_that_the_sides_alternate(action_id: str) -> None:
    for text in (lexicon.captions(action_id)[1], lexicon.repetition(action_id)):
        assert "alternate" in text


@pytest.mark.parametrize("action_id", CIRCLES)
def test_circling_activities_count_full_circles(action_id: str) -> None:
    assert "full" in lexicon.repetition(action_id)
    assert "circle" in lexicon.repetition(action_id)


@pytest.mark.parametrize(("action_id", "side"), ONE_SIDED.items())
def test_one_sided_activities_name_their_side_in_every_text(action_id: str, side: str) -> None:
    name, details, _ = lexicon.captions(action_id)
    assert side in details
    assert side in lexicon.repetition(action_id)
    assert side in name.lower()


@pytest.mark.parametrize("action_id", ["C02", "C04", "C06", "C07", "C08", "C10", "C11"])
def test_exercises_of_cmu_that_change_sides_count_every_single_one(action_id: str) -> None:
    for text in (lexicon.captions(action_id)[1], lexicon.repetition(action_id)):
        assert "very single" in text


@pytest.mark.parametrize("action_id", [*ACTIVITIES, *TYPES, *EXERCISES])
def test_an_action_has_three_standards_with_three_known_flaws(action_id: str) -> None:
    flaws = {standard.flaw for standard in lexicon.standards(action_id)}
    assert len(lexicon.standards(action_id)) == len(flaws) == 3
    assert flaws <= set(lexicon.FLAWS)


def test_every_flaw_violates_a_standard_of_several_activities() -> None:
    uses = Counter(standard.flaw for action_id in ACTIVITIES for standard in lexicon.standards(action_id))
    assert min(uses[flaw] for flaw in lexicon.FLAWS) >= 3


@pytest.mark.parametrize("action_id", MOVEMENTS)
def test_a_movement_of_ui_prmd_is_judged_as_a_whole(action_id: str) -> None:
    (standard,) = lexicon.standards(action_id)
    assert standard.flaw is None
    assert "performed correctly as demonstrated" in standard.text


def test_random_motions_have_captions_and_no_standards() -> None:
    assert lexicon.standards(lexicon.PROCEDURAL) == ()


@pytest.mark.parametrize("action_ids", [ACTIVITIES, MOVEMENTS, TYPES, EXERCISES])
def test_no_two_actions_of_a_dataset_share_a_name(action_ids: list[str]) -> None:
    assert len({lexicon.captions(action_id)[0] for action_id in action_ids}) == len(action_ids)


def test_no_text_but_a_name_occurs_twice() -> None:
    texts = [text for a in EVERYTHING for text in (*lexicon.captions(a)[1:], lexicon.repetition(a))]
    texts += [standard.text for action_id in EVERYTHING for standard in lexicon.standards(action_id)]
    assert [text for text, times in Counter(texts).items() if times > 1] == []


def test_sentences_are_clean_ascii_and_end_with_a_full_stop() -> None:
    importlib.resources.files("flag3d_ray.data").joinpath("lexicon.json").read_bytes().decode("ascii")
    for action_id in EVERYTHING:
        sentences = [*lexicon.captions(action_id)[1:], lexicon.repetition(action_id)]
        sentences += [standard.text for standard in lexicon.standards(action_id)]
        for text in sentences:
            assert text.isascii()
            assert text == " ".join(text.split())
            assert text.endswith(".")
            assert text[0].isupper()


@pytest.mark.parametrize("action_id", ["A000", "A061", "a001", "m11", "R11", "C13", "C001", "activities", ""])
def test_an_unknown_identifier_is_refused_with_the_known_ones(action_id: str) -> None:
    with pytest.raises(DataError, match="A001 to A060"):
        lexicon.captions(action_id)


def test_only_activities_of_flag3d_have_a_body_part() -> None:
    with pytest.raises(DataError, match="body part"):
        lexicon.body_part("m01")
