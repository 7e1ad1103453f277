"""`flag3d data splits`: what is listed is what the dataset has; a further draw is stored and changes nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray.commands.data_splits import draw_split, table_of
from flag3d_ray.data.dataset import open_dataset
from flag3d_ray.data.splits import load_split, split_indices
from flag3d_ray.errors import DataError
from flag3d_ray.home import Home


@pytest.fixture
def folder(tmp_path: Path, write_tiny: Callable[[Path], None]) -> Path:
    home = Home(tmp_path)
    write_tiny(home.dataset("tiny"))
    return home.dataset("tiny")


@pytest.fixture
def six_people(tmp_path: Path, tiny_sample: Callable[[int], Any]) -> Path:
    from dataclasses import replace

    from flag3d_ray.data.ingest import write_dataset
    from flag3d_ray.data.manifest import Card

    samples = [replace(tiny_sample(index), subject=f"S{index % 6 + 1:02d}") for index in range(12)]
    card = Card(description="x", limits="x", licence="x", unit="m", fps="30", axes="y up")
    write_dataset(tmp_path / "six", lambda indices: (samples[i] for i in indices), 12, card=card)
    return tmp_path / "six"


def test_each_part_is_listed_with_its_number_of_sequences(folder: Path):
    grid = table_of(folder)
    sizes = [len(split_indices(open_dataset(folder), "by_action", part)) for part in ("train", "valid", "test")]
    columns = {str(column.header): list(column.cells) for column in grid.columns}
    assert columns["part"] == ["train", "valid", "test"]
    assert columns["sequences"] == [str(size) for size in sizes]
    assert columns["split"] == ["by_action", "", ""]


def test_the_full_list_names_every_value(folder: Path):
    columns = {str(column.header): list(column.cells) for column in table_of(folder, full=True).columns}
    assert columns["values"] == ["A001, A002, A003", "A004", "A005, A006"]


def test_a_drawn_split_is_stored_under_its_seed_and_repeats(six_people: Path):
    draw_split(six_people, "by_person", 3)
    drawn = load_split(six_people, "by_person-3")
    assert sorted(drawn.train + drawn.valid + drawn.test) == [f"S{person:02d}" for person in range(1, 7)]
    (six_people / "splits" / "by_person-3.json").unlink()
    draw_split(six_people, "by_person", 3)
    assert load_split(six_people, "by_person-3") == drawn


def test_a_stored_split_is_never_drawn_over(six_people: Path):
    draw_split(six_people, "by_person", 3)
    with pytest.raises(DataError, match="choose another --seed"):
        draw_split(six_people, "by_person", 3)


def test_another_kind_of_split_is_refused(six_people: Path):
    with pytest.raises(DataError, match="use by_action or by_person"):
        draw_split(six_people, "by_luck", 0)
