"""Splits: the paper's sizes, no leak, the same draw for the same seed, procedural samples only on the train side."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from flag3d_ray.data import lexicon
from flag3d_ray.data.dataset import open_dataset
from flag3d_ray.data.ingest import write_dataset
from flag3d_ray.data.manifest import Card
from flag3d_ray.data.splits import (
    COLUMNS,
    PARTS,
    PINNED,
    TEST_ACTIONS,
    is_stored,
    load_split,
    split_all_test,
    split_by_action,
    split_by_named_action,
    split_by_person,
    split_digest,
    split_from_procedural,
    split_indices,
    write_split,
)
from flag3d_ray.data.synthetic.procedural import procedural_sample
from flag3d_ray.errors import DataError

BODY_PARTS = {action: lexicon.body_part(action) for action in lexicon.activity_ids()}
PEOPLE = [f"S{number:02d}" for number in range(1, 11)]
CARD = Card(description="random motions", limits="no activity", licence="none", unit="m", fps="30", axes="y up")


def _make(indices):
    """Every fourth sample is procedural; the others go round the activities, a person for each."""
    for index in indices:
        sample = procedural_sample(0, index)
        action = lexicon.activity_ids()[index % 60]
        person = PEOPLE[index % 10]
        yield sample if index % 4 == 3 else replace(sample, source="lab", action_id=action, subject=person)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home") / "little"

    def finish(hidden):
        write_split(hidden, split_by_action(BODY_PARTS))
        write_split(hidden, split_by_person(PEOPLE))
        write_split(hidden, split_from_procedural(BODY_PARTS))

    write_dataset(folder, _make, 80, card=CARD, finish=finish)
    return open_dataset(folder)


@pytest.mark.parametrize("seed", range(8))
def test_by_action_is_45_5_10_and_fills_the_columns_of_table_5(seed):
    split = split_by_action(BODY_PARTS, seed)
    assert [len(split.values(part)) for part in PARTS] == [45, 5, 10]
    assert set(split.train) | set(split.valid) | set(split.test) == set(BODY_PARTS)
    for column, parts in COLUMNS.items():
        assert sum(BODY_PARTS[action] in parts for action in split.test) == TEST_ACTIONS[column]
    assert not [action for action in split.test if BODY_PARTS[action] == "multiple parts"]
    assert set(PINNED) <= set(split.test)


def test_validation_activities_come_from_different_columns():
    split = split_by_action(BODY_PARTS)
    columns = [
        next((name for name, parts in COLUMNS.items() if BODY_PARTS[a] in parts), "multiple") for a in split.valid
    ]
    assert len(set(columns)) == 5


def test_the_seed_decides_the_draw():
    assert split_by_action(BODY_PARTS, 3) == split_by_action(BODY_PARTS, 3)
    assert len({split_by_action(BODY_PARTS, seed).digest for seed in range(6)}) == 6
    assert len({split_by_person(PEOPLE, seed).digest for seed in range(6)}) > 1


def test_by_person_is_7_1_2():
    split = split_by_person(PEOPLE)
    assert [len(split.values(part)) for part in PARTS] == [7, 1, 2]


def test_people_can_be_named():
    split = split_by_person([f"s{n:02d}" for n in range(1, 8)], test=("s06", "s07"), valid=("s05",))
    assert (split.train, split.valid, split.test) == (("s01", "s02", "s03", "s04"), ("s05",), ("s06", "s07"))
    with pytest.raises(DataError, match="s99 not among"):
        split_by_person(PEOPLE, test=("s99",))
    with pytest.raises(DataError, match="2 people"):
        split_by_person(["a", "b"])


def test_too_few_activities_are_refused_with_their_column():
    few = {action: part for action, part in BODY_PARTS.items() if part != "leg"}
    with pytest.raises(DataError, match="Leg"):
        split_by_action(few)


def test_a_leak_cannot_be_declared():
    split = split_by_action(BODY_PARTS)
    with pytest.raises(DataError, match="A015 stands in train and in test: a leak"):
        replace(split, train=(*split.train, "A015"))


@pytest.mark.parametrize("name", ["by_action", "by_person", "from_procedural"])
def test_no_row_activity_or_person_is_in_two_parts(dataset, name):
    rows = {part: split_indices(dataset, name, part) for part in PARTS}
    together = np.concatenate(list(rows.values()))
    assert len(together) == len(set(together.tolist())) == len(dataset)
    by = load_split(dataset.folder, name).by
    values = np.array(dataset.index[by].to_pylist())
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not set(values[rows[one]]) & set(values[rows[other]])


@pytest.mark.parametrize("name", ["by_action", "by_person", "from_procedural"])
def test_procedural_samples_are_on_the_training_side_only(dataset, name):
    source = np.array(dataset.index["source"].to_pylist())
    assert set(np.flatnonzero(source == "procedural")) <= set(split_indices(dataset, name, "train"))
    for part in ("valid", "test"):
        assert "procedural" not in source[split_indices(dataset, name, part)]


def test_from_procedural_trains_on_nothing_else_and_tests_what_by_action_tests(dataset):
    source = np.array(dataset.index["source"].to_pylist())
    assert set(source[split_indices(dataset, "from_procedural", "train")]) == {"procedural"}
    test = split_indices(dataset, "from_procedural", "test")
    assert np.array_equal(test, split_indices(dataset, "by_action", "test"))


def test_a_stored_split_comes_back_with_its_digest(tmp_path):
    split = split_by_action(BODY_PARTS, 5)
    write_split(tmp_path, split)
    assert load_split(tmp_path, "by_action") == split
    assert split_digest(tmp_path, "by_action") == split.digest


def test_the_digest_sees_who_is_where_and_not_the_order():
    split = split_by_action(BODY_PARTS)
    assert replace(split, train=split.train[::-1]).digest == split.digest
    moved = replace(split, train=split.train[1:], valid=(*split.valid, split.train[0]))
    assert moved.digest != split.digest


def test_an_unknown_split_lists_those_that_exist(dataset):
    with pytest.raises(DataError, match="there are: by_action, by_person, from_procedural"):
        load_split(dataset.folder, "by_moon")


def test_a_split_edited_by_hand_is_refused(tmp_path):
    write_split(tmp_path, split_by_action(BODY_PARTS))
    path = tmp_path / "splits" / "by_action.json"
    values = json.loads(path.read_text())
    values["train"].append(values["test"].pop())
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match="edited by hand"):
        load_split(tmp_path, "by_action")
    path.write_text("[]")
    with pytest.raises(DataError, match="cannot be read"):
        load_split(tmp_path, "by_action")


def test_a_sequence_that_no_part_lists_is_refused(tmp_path):
    made = partial(write_dataset, tmp_path / "odd", _make, 4, card=CARD)
    made(finish=lambda hidden: write_split(hidden, split_all_test(["A001", "A002"])))
    with pytest.raises(DataError, match="A003 stands in no part"):
        split_indices(open_dataset(tmp_path / "odd"), "all_test", "test")


def test_named_actions_are_held_out_and_the_others_trained_on():
    split = split_by_named_action(["M001", "M003", "M002", "M004", "M003"], test=("M003",), valid=("M001",))
    assert (split.train, split.valid, split.test) == (("M002", "M004"), ("M001",), ("M003",))
    assert (split.name, split.by) == ("by_action", "action_id")


@pytest.mark.parametrize(
    ("actions", "rule"),
    [(["M001", "M002"], "M003 not among the actions"), (["M001", "M003"], "no action is left to train on")],
)
def test_named_actions_must_be_there_and_leave_something_to_train_on(actions, rule):
    with pytest.raises(DataError, match=rule):
        split_by_named_action(actions, test=("M003",), valid=("M001",))


def test_a_split_is_stored_or_not_whatever_it_holds(tmp_path):
    assert not is_stored(tmp_path, "by_action")
    write_split(tmp_path, split_by_action(BODY_PARTS))
    assert is_stored(tmp_path, "by_action")
