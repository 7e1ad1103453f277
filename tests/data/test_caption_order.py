"""Shuffled captions: nobody keeps the own one, each side keeps its set, and the answer depends on the actions alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flag3d_ray.data.caption_order import derangement, told
from flag3d_ray.data.dataset import Dataset, open_dataset
from flag3d_ray.data.ingest import write_dataset
from flag3d_ray.data.manifest import Card
from flag3d_ray.data.splits import Split, split_by_person, write_split
from flag3d_ray.data.synthetic.procedural import procedural_sample
from flag3d_ray.errors import DataError
from flag3d_ray.run import DataSpec, Text

CARD = Card(description="sines", limits="tests only", licence="none", unit="m", fps="30", axes="y up")
TRAINING, TEST = ("A001", "A002", "A003", "A004"), ("A005", "A006")
CAPTIONS = {action: f"caption of {action}" for action in (*TRAINING, *TEST)}
SHUFFLED = DataSpec(dataset="tiny", text=Text(encoder="lexical", caption="shuffled"))


@pytest.fixture
def dataset(tiny_home) -> Dataset:
    return open_dataset(tiny_home.dataset("tiny"))


@pytest.mark.parametrize("number", [2, 3, 10, 50])
def test_a_derangement_gives_every_action_another_one_and_every_one_away(number: int) -> None:
    actions = [f"A{action:03d}" for action in range(number)]
    order = derangement(actions)
    assert sorted(order) == sorted(order.values()) == actions
    assert all(action != other for action, other in order.items())
    assert derangement(actions[::-1]) == order


def test_one_action_alone_cannot_have_another_ones_caption() -> None:
    with pytest.raises(DataError, match="A001 is the only action of its side"):
        derangement(["A001"])
    assert derangement([]) == {}


def test_true_captions_stay_where_they_are(dataset: Dataset) -> None:
    for text in (None, Text(encoder="lexical")):
        assert told(CAPTIONS, dataset, replace(SHUFFLED, text=text), "train") == CAPTIONS


def test_each_side_swaps_its_own_captions_validation_with_training(dataset: Dataset) -> None:
    found = told(CAPTIONS, dataset, SHUFFLED, "train")
    for side in (TRAINING, TEST):
        assert sorted(found[action] for action in side) == sorted(CAPTIONS[action] for action in side)
    assert all(found[action] != CAPTIONS[action] for action in CAPTIONS)
    assert all(told(CAPTIONS, dataset, SHUFFLED, part) == found for part in ("valid", "test"))


def test_encoder_level_and_crops_change_nothing(dataset: Dataset) -> None:
    other = DataSpec(dataset="tiny", crops=1, text=Text(encoder="minilm", caption_level=3, caption="shuffled"))
    assert told(CAPTIONS, dataset, other, "train") == told(CAPTIONS, dataset, SHUFFLED, "train")


def test_an_action_that_is_not_read_takes_no_part(dataset: Dataset) -> None:
    fewer = {action: caption for action, caption in CAPTIONS.items() if action != "A002"}
    found = told(fewer, dataset, SHUFFLED, "train")
    assert sorted(found.values()) == sorted(fewer.values())
    assert all(found[action] != fewer[action] for action in fewer)


def test_a_split_by_person_swaps_alike_on_both_sides(tmp_path: Path, write_tiny: Callable[[Path], None]) -> None:
    write_tiny(tmp_path / "tiny")
    people = ["S01", "S02", "S03"]
    write_split(tmp_path / "tiny", split_by_person(people, test=("S02",), valid=("S03",)))
    dataset, data = open_dataset(tmp_path / "tiny"), replace(SHUFFLED, split="by_person")
    assert told(CAPTIONS, dataset, data, "train") == told(CAPTIONS, dataset, data, "test")


def test_where_the_sides_differ_the_part_that_is_read_has_the_last_word(
    tmp_path: Path, write_tiny: Callable[[Path], None]
) -> None:
    write_tiny(tmp_path / "tiny")
    everything = [f"A{action:03d}-S{person:02d}" for action in range(1, 7) for person in (1, 2)]
    tested = ("A001-S02", "A002-S02")
    rest = tuple(name for name in everything if name not in tested)
    write_split(
        tmp_path / "tiny",
        Split(name="odd", by="sample_id", rule="by hand", seed=0, train=rest, valid=(), test=tested),
    )
    dataset, data = open_dataset(tmp_path / "tiny"), replace(SHUFFLED, split="odd")
    tests = told(CAPTIONS, dataset, data, "test")
    assert (tests["A001"], tests["A002"]) == (CAPTIONS["A002"], CAPTIONS["A001"])
    training = told(CAPTIONS, dataset, data, "train")
    assert sorted(training.values()) == sorted(CAPTIONS.values())


def test_random_motions_keep_their_caption(tmp_path: Path, tiny_sample) -> None:
    def make(indices):
        return (tiny_sample(index) if index < 8 else procedural_sample(0, index) for index in indices)

    split = Split(
        name="by_action", by="action_id", rule="", seed=0, train=("A001", "A002"), valid=(), test=("A003", "A004")
    )
    write_dataset(tmp_path / "mixed", make, 10, card=CARD, finish=lambda hidden: write_split(hidden, split))
    dataset = open_dataset(tmp_path / "mixed")
    captions = dict(zip(dataset.index["action_id"].to_pylist(), map(str, np.arange(10)), strict=True))
    found = told(captions, dataset, SHUFFLED, "train")
    assert {action for action in captions if found[action] == captions[action]} == {"P000008", "P000009"}
