"""A dataset folder is read by row with a bounded cache, and clips of one length as whole arrays."""

from pathlib import Path

import numpy as np
import pytest

from flag3d_ray.data import ingest
from flag3d_ray.data.dataset import open_dataset
from flag3d_ray.data.ingest import write_dataset
from flag3d_ray.data.manifest import Card
from flag3d_ray.errors import DataError

CARD = Card(description="clips", limits="tests only", licence="none", unit="m", fps="30", axes="y up")


@pytest.fixture
def clips(tiny_sample):
    """Sample `index` cut to its first 30 frames."""
    from dataclasses import replace

    none = np.zeros((0, 2), np.int32)

    def make(indices):
        for index in indices:
            sample = tiny_sample(index)
            yield replace(sample, joints_MTVC=sample.joints_MTVC[:, :30], reps_R2=none, keys_RS=None)

    return make


@pytest.mark.parametrize("rows", [1, 4, 5, 100])
def test_whole_arrays_hold_the_joints_of_every_row_in_order(tmp_path: Path, clips, monkeypatch, rows: int):
    monkeypatch.setattr(ingest, "ROW_GROUP_BYTES", 20_000)  # three rows a group
    write_dataset(tmp_path / "clips", clips, 11, card=CARD, shard_rows=7)
    dataset = open_dataset(tmp_path / "clips")

    arrays = list(dataset.joints(rows))

    assert [len(array) for array in arrays] == [rows] * (11 // rows) + ([11 % rows] if 11 % rows else [])
    assert np.array_equal(np.concatenate(arrays), np.stack([sample.joints_MTVC for sample in dataset]))


def test_an_array_stays_as_it_was_when_the_next_is_read(tmp_path: Path, clips):
    write_dataset(tmp_path / "clips", clips, 8, card=CARD)
    first, second = open_dataset(tmp_path / "clips").joints(4)
    assert not np.array_equal(first, second)
    assert np.array_equal(first[0], open_dataset(tmp_path / "clips").sample(0).joints_MTVC)


def test_sequences_of_different_lengths_are_refused_with_the_remedy(tmp_path: Path, tiny_home):
    with pytest.raises(DataError, match="read it by row"):
        next(open_dataset(tiny_home.dataset("tiny")).joints(4))


def test_a_shard_whose_bytes_do_not_fit_its_rows_is_named(tmp_path: Path, clips):
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_dataset(tmp_path / "clips", clips, 4, card=CARD)
    dataset = open_dataset(tmp_path / "clips")
    (shard,) = dataset.shards
    table = pq.read_table(shard)
    shorter = pa.array([value[:-4] for value in table["joints"].to_pylist()], pa.binary())
    place = table.schema.get_field_index("joints")
    pq.write_table(table.set_column(place, table.schema.field(place), shorter), shard, compression="none")
    damaged = type(dataset)(dataset.folder, dataset.manifest, 0, map_files=True)
    with pytest.raises(DataError, match="joint values"):
        next(damaged.joints(4))
