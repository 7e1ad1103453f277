"""Splits of recognition and mesh recovery: nobody on two sides, the same draw for the same seed."""

from collections.abc import Callable
from itertools import chain, product

import numpy as np
import pyarrow as pa
import pytest

from flag3d_ray.data.recognition_splits import (
    UNKNOWN,
    by_subjects,
    by_views,
    first_fifth,
    rendered_to_natural,
    with_validation,
)
from flag3d_ray.data.splits import PARTS, Split
from flag3d_ray.errors import DataError

COLUMNS = ("sample_id", "subject", "action_id", "scene", "view", "avatar", "take", "source")


def table(rows: list[tuple]) -> pa.Table:
    """Rows of (subject, action, scene, view, avatar, take, source)."""
    named = [dict(zip(COLUMNS, (f"{number:05d}", *row), strict=True)) for number, row in enumerate(rows)]
    return pa.Table.from_pylist(named)


def rendered(people: int = 10, actions: int = 6, scenes: int = 2, views: int = 3) -> list[tuple]:
    names = product(range(1, people + 1), range(1, actions + 1), range(1, scenes + 1), range(1, views + 1))
    return [
        (f"P{p:03d}", f"A{a:03d}", f"S{s}", f"C{v}", avatar, take, "rendered")
        for p, a, s, v in names
        for avatar in ("M1", "M2")
        for take in (1, 2)
    ]


def natural(people: int = 4) -> list[tuple]:
    return [(f"N{p}", "A001", "S1", "V1", "", 1, "natural") for p in range(people)]


def parts_of(split: Split, index: pa.Table, column: str) -> dict[str, list[str]]:
    """What stands in `column` on each side."""
    values = zip(index[split.by].to_pylist(), index[column].to_pylist(), strict=True)
    sides = {value: part for part in PARTS for value in split.values(part)}
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for value, other in values:
        found[sides[value]].append(other)
    return found


DRAWS: dict[str, Callable[[pa.Table, int], Split]] = {
    "rendered_to_natural": rendered_to_natural,
    "first_fifth": first_fifth,
    "by_subjects": lambda index, seed: by_subjects(
        index, {f"P{p:03d}" for p in range(1, 8)}, name="xsub", rule="seven train", seed=seed
    ),
    "by_views": lambda index, seed: by_views(index, {"C1"}, name="xview", rule="camera 1 tests", seed=seed),
}


def everything(name: str) -> pa.Table:
    return table(rendered() + (natural() if name == "rendered_to_natural" else []))


@pytest.mark.parametrize("name", DRAWS)
def test_every_sequence_stands_on_one_side_and_a_seed_repeats_the_draw(name):
    index, draw = everything(name), DRAWS[name]
    splits = [draw(index, seed) for seed in range(6)]
    for split in splits:
        sides = parts_of(split, index, "sample_id")
        assert sorted(chain(*sides.values())) == sorted(index["sample_id"].to_pylist())
        assert all(sides.values())
    assert splits[3].digest == draw(index, 3).digest
    assert len({split.digest for split in splits}) > 1
    assert len({split.values("test") for split in splits}) == 1
    shuffled = index.take(np.random.default_rng(0).permutation(len(index)))
    assert draw(shuffled, 3).digest == splits[3].digest


def test_natural_people_are_tested_and_one_rendered_performer_selects():
    index = everything("rendered_to_natural")
    for seed in range(10):
        split = rendered_to_natural(index, seed)
        sides = parts_of(split, index, "source")
        assert set(sides["train"]) == set(sides["valid"]) == {"rendered"}
        assert set(sides["test"]) == {"natural"}
        assert (len(split.train), len(split.valid), len(split.test)) == (9, 1, 4)


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        (rendered(2), "2 rendered; two rendered and one natural are needed"),
        (natural(), "4 natural"),
        (rendered(1) + natural(), "1 rendered"),
        ([*rendered(2), *natural(), ("X", "A001", "", "", "", 1, "lab")], "1 lab, 4 natural, 2 rendered"),
    ],
)
def test_without_both_sources_the_cross_domain_split_says_what_is_there(rows, rule):
    with pytest.raises(DataError, match=rule):
        rendered_to_natural(table(rows))


def test_a_performer_in_both_sources_is_a_leak():
    both = ("P001", "A001", "S1", "V1", "", 1, "natural")
    with pytest.raises(DataError, match="P001 stands in"):
        rendered_to_natural(table([*rendered(2), both]))


def test_the_first_fifth_of_every_scene_and_view_is_tested():
    index = table(rendered())
    split = first_fifth(index)
    cells = list(zip(index["scene"].to_pylist(), index["view"].to_pylist(), strict=True))
    test = set(split.test)
    for cell in set(cells):
        inside = [name for name, at in zip(index["sample_id"].to_pylist(), cells, strict=True) if at == cell]
        assert np.mean([name in test for name in inside]) == pytest.approx(0.2)
    assert set(parts_of(split, index, "subject")["test"]) == {"P001", "P002"}


@pytest.mark.parametrize("lost", range(5))
def test_no_performer_and_action_stands_on_both_sides_even_where_videos_are_missing(lost):
    rows = rendered(7, 5)
    keep = np.random.default_rng(lost).random(len(rows)) > 0.3
    index = table([row for row, kept in zip(rows, keep, strict=True) if kept])
    index = index.append_column(
        "group",
        pa.array(map("".join, zip(index["subject"].to_pylist(), index["action_id"].to_pylist(), strict=True))),
    )
    split = first_fifth(index, seed=lost)
    groups = parts_of(split, index, "group")
    assert set(groups["test"]).isdisjoint(groups["train"] + groups["valid"])
    people = parts_of(split, index, "subject")
    assert set(people["valid"]).isdisjoint(people["train"] + people["test"])
    assert len(set(people["valid"])) == 1
    cells = list(zip(index["scene"].to_pylist(), index["view"].to_pylist(), strict=True))
    test = set(split.test)
    for cell in set(cells):
        inside = [name for name, at in zip(index["sample_id"].to_pylist(), cells, strict=True) if at == cell]
        assert 0.1 < np.mean([name in test for name in inside]) < 0.3
    assert len(split.test) / len(index) == pytest.approx(0.2, abs=0.03)


def test_takes_and_avatars_of_one_performance_stay_together():
    index = table(rendered(3, 4, 1, 1))
    split = first_fifth(index)
    sides = {name: part for part in PARTS for name in split.values(part)}
    seen: dict[tuple, set[str]] = {}
    for row in index.to_pylist():
        seen.setdefault((row["subject"], row["action_id"]), set()).add(sides[row["sample_id"]])
    assert all(len(parts) == 1 for parts in seen.values())


def test_too_few_groups_for_a_cut_are_refused():
    for rows in (rendered(1, 1), rendered(1, 10)):
        with pytest.raises(DataError, match="groups of"):
            first_fifth(table(rows))


def released(index: pa.Table, test: set[str]) -> Split:
    names = dict(zip(index["sample_id"].to_pylist(), index["subject"].to_pylist(), strict=True))
    train = tuple(name for name, subject in names.items() if subject not in test)
    tested = tuple(name for name, subject in names.items() if subject in test)
    return Split(name="released", by="sample_id", rule="as released", seed=0, train=train, valid=(), test=tested)


def test_whole_people_are_held_out_until_they_hold_a_tenth():
    index = table(rendered(30, 2, 1, 1))
    split = with_validation(released(index, {"P001"}), index)
    people = parts_of(split, index, "subject")
    assert set(people["valid"]).isdisjoint(people["train"])
    assert len(set(people["valid"])) == 3
    assert split.test == released(index, {"P001"}).test
    assert split.rule.startswith("as released; ")


def test_where_people_are_not_known_a_tenth_of_the_sequences_is_held_out():
    index = table([(UNKNOWN, *row[1:]) for row in rendered(5, 2, 1, 1)])
    split = with_validation(released(index, set()), index)
    assert (len(split.train), len(split.valid)) == (36, 4)
    assert set(split.train).isdisjoint(split.valid)


def test_a_split_with_validation_or_without_training_stays_as_it_is():
    index = table(rendered(3, 1, 1, 1))
    once = with_validation(released(index, {"P001"}), index)
    assert with_validation(once, index) is once
    all_test = released(index, {"P001", "P002", "P003"})
    assert with_validation(all_test, index) is all_test


def test_a_single_training_sequence_cannot_select_too():
    index = table(natural(3))
    with pytest.raises(DataError, match="1 training values"):
        with_validation(released(index, {"N0", "N1"}), index)


def test_a_side_without_people_or_views_is_refused():
    index = table(rendered(4))
    for people in ({"P001"}, {"P001", "P002", "P003", "P004"}, {"nobody"}):
        with pytest.raises(DataError, match="training subjects and"):
            by_subjects(index, people, name="xsub", rule="r")
    for views in ({"C9"}, {"C1", "C2", "C3"}):
        with pytest.raises(DataError, match="test sequences by view"):
            by_views(index, views, name="xview", rule="r")


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="no column scene"):
        first_fifth(table(rendered()).drop_columns(["scene"]))
