"""What is kept of a sequence."""

from flag3d_ray.data.dataset import open_dataset
from flag3d_ray.data.doctor.entry import INDEX, Entry


def test_an_index_of_entries_has_the_columns_of_a_datasets_index(tiny_home, tiny_sample) -> None:
    index = open_dataset(tiny_home.dataset("tiny")).index
    assert set(index.column_names) <= set(INDEX.names)
    columns = Entry.of(tiny_sample(3), "a.npz", "", 6).columns()
    assert list(columns) == INDEX.names
    assert {name: columns[name] for name in index.column_names} == index.slice(3, 1).to_pylist()[0]


def test_a_sequence_is_named_by_its_id_and_by_its_file_where_that_says_something_else(tiny_sample) -> None:
    sample = tiny_sample(0)
    assert Entry.of(sample, "A001-S01.npz", "", 1).name == "A001-S01"
    assert Entry.of(sample, "m01.npz", "", 1).name == "A001-S01 (m01.npz)"
    assert Entry.of(sample, "shard.parquet", "row 2 (A001-S01)", 1).name == "A001-S01"
    assert Entry.of(sample, "shard.parquet", "row 2", 1).place == "shard.parquet, row 2"
