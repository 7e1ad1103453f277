"""A dataset folder that does not match its manifest is refused, with the remedy; pickles are never loaded."""

import json
import pickle
from functools import partial

import pyarrow.parquet as pq
import pytest

from flag3d_ray.data.ingest import write_dataset
from flag3d_ray.data.manifest import Card, check, dataset_digest, load_manifest, refuse_pickle
from flag3d_ray.data.synthetic.procedural import procedural_sample
from flag3d_ray.errors import DataError

CARD = Card(description="random motions", limits="no activity", licence="none", unit="m", fps="30", axes="y up")


def _make(seed, indices):
    return (procedural_sample(seed, index) for index in indices)


@pytest.fixture
def folder(tmp_path):
    write_dataset(tmp_path / "little", partial(_make, 0), 6, card=CARD, shard_rows=4, generator={"seed": 0})
    return tmp_path / "little"


def _edit(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_manifest_tells_what_the_data_is(folder):
    manifest = check(folder, deep=True)
    assert (manifest.name, manifest.layout, manifest.unit) == ("little", "flag3d24", "m")
    assert [shard.rows for shard in manifest.shards] == [4, 2]
    assert manifest.samples == 6
    assert manifest.repetitions == sum(procedural_sample(0, index).count for index in range(6))
    assert manifest.card == CARD
    assert manifest.generator == {"seed": 0}


def test_the_digest_ignores_the_order_of_samples():
    assert dataset_digest(["b", "a"]) == dataset_digest(["a", "b"]) != dataset_digest(["a", "c"])


def test_a_missing_dataset_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(DataError, match="no such dataset") as caught:
        load_manifest(tmp_path / "synthetic")
    assert "flag3d data make synthetic" in caught.value.remedy


def test_a_missing_shard_is_found(folder):
    (folder / "shard-00001.parquet").unlink()
    with pytest.raises(DataError, match=r"shard-00001\.parquet is missing") as caught:
        check(folder)
    assert "flag3d data make little --force" in caught.value.remedy


def test_a_truncated_shard_is_found(folder):
    shard = folder / "shard-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(DataError, match="bytes, the manifest says"):
        check(folder)


def test_one_flipped_byte_is_found_by_the_deep_check_only(folder):
    shard = folder / "shard-00000.parquet"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    check(folder)
    with pytest.raises(DataError, match="SHA-256"):
        check(folder, deep=True)


def test_a_shard_that_is_not_parquet_is_found(folder):
    shard = folder / "shard-00000.parquet"
    shard.write_bytes(b"0" * shard.stat().st_size)
    with pytest.raises(DataError, match="not readable Parquet"):
        check(folder)


def test_other_rows_than_the_manifest_says_are_found(folder):
    shards = json.loads((folder / "manifest.json").read_text())["shards"]
    shards[0]["rows"] = 5
    _edit(folder, shards=shards)
    with pytest.raises(DataError, match="4 rows, the manifest says 5"):
        check(folder)


def test_another_digest_is_found_by_the_deep_check(folder):
    _edit(folder, digest="0" * 64)
    with pytest.raises(DataError, match="digest"):
        check(folder, deep=True)


def test_another_layout_than_the_shards_is_found(folder):
    _edit(folder, layout="smpl24")
    with pytest.raises(DataError, match="holds flag3d24"):
        check(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 99}, "schema version 99"),
        ({"card": {"description": "no frame rate"}}, "cannot be read"),
        ({"shards": [{"file": "x"}]}, "cannot be read"),
        ({"surprise": 1}, "cannot be read"),
    ],
)
def test_a_manifest_that_is_not_one_is_refused(folder, changes, message):
    _edit(folder, **changes)
    with pytest.raises(DataError, match=message):
        load_manifest(folder)


def test_broken_json_is_a_data_error(folder):
    (folder / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        load_manifest(folder)


def test_a_shard_name_cannot_leave_the_folder(folder):
    shards = json.loads((folder / "manifest.json").read_text())["shards"]
    shards[0]["file"] = "../elsewhere.parquet"
    _edit(folder, shards=shards)
    with pytest.raises(DataError, match="not a plain file name"):
        load_manifest(folder)


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was loaded",))


@pytest.mark.parametrize("name", ["joints.pkl", "joints.npz", "shard-00000.parquet"])
def test_a_pickle_is_refused_whatever_its_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(DataError, match="this is a pickle"):
        refuse_pickle(path)


def test_a_pickle_in_place_of_a_shard_is_refused(folder):
    (folder / "shard-00000.parquet").write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(DataError, match="this is a pickle"):
        check(folder)


def test_shards_are_uncompressed_without_dictionaries_and_statistics(folder):
    metadata = pq.ParquetFile(folder / "shard-00000.parquet").metadata
    for column in range(metadata.num_columns):
        chunk = metadata.row_group(0).column(column)
        assert chunk.compression == "UNCOMPRESSED"
        assert not chunk.has_dictionary_page
        assert not chunk.is_stats_set
