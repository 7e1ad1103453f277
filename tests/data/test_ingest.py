"""A dataset folder appears whole or not at all, is the same however it is written, and is read by row."""

import errno
import json
from functools import partial

import numpy as np
import pytest
from filelock import FileLock, Timeout

from flag3d_ray.data import ingest
from flag3d_ray.data.dataset import open_dataset
from flag3d_ray.data.ingest import write_dataset
from flag3d_ray.data.manifest import Card
from flag3d_ray.data.synthetic.procedural import procedural_sample
from flag3d_ray.errors import DataError
from flag3d_ray.files import DiskFull

CARD = Card(description="random motions", limits="no activity", licence="none", unit="m", fps="30", axes="y up")


def _make(seed, indices):
    return (procedural_sample(seed, index) for index in indices)


def _write(folder, total=7, seed=0, **options):
    return write_dataset(folder, partial(_make, seed), total, card=CARD, **options)


def _left_behind(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_every_row_comes_back_in_order(tmp_path):
    _write(tmp_path / "data", shard_rows=3)
    dataset = open_dataset(tmp_path / "data")
    assert len(dataset) == 7
    for row in (6, 0, 3, 2):
        sample, expected = dataset.sample(row), procedural_sample(0, row)
        assert sample.sample_id == expected.sample_id
        assert np.array_equal(sample.joints_MTVC, expected.joints_MTVC)
    assert [sample.sample_id for sample in dataset] == [f"P{row:06d}" for row in range(7)]
    with pytest.raises(IndexError):
        dataset.sample(7)


def test_the_index_holds_metadata_of_every_row(tmp_path):
    _write(tmp_path / "data", shard_rows=3)
    rows = open_dataset(tmp_path / "data").index.to_pylist()
    expected = [procedural_sample(0, row) for row in range(7)]
    assert [row["frames"] for row in rows] == [sample.frames for sample in expected]
    assert [row["count"] for row in rows] == [sample.count for sample in expected]
    assert [row["source"] for row in rows] == ["procedural"] * 7


def test_the_digest_does_not_depend_on_the_shards(tmp_path):
    digests = {_write(tmp_path / f"rows{rows}", shard_rows=rows).digest for rows in (1, 3, 100)}
    assert len(digests) == 1
    assert _write(tmp_path / "other", seed=1).digest not in digests


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`use_:DeprecationWarning")  # Ray copies its context with options it deprecates
def test_ray_writes_the_same_bytes_and_leaves_the_terminal_to_our_progress(tmp_path, capfd):
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=2, object_store_memory=80 << 20, include_dashboard=False, log_to_driver=False)
    try:
        seen = []
        with_ray = _write(tmp_path / "ray", shard_rows=3, executor="ray", progress=lambda *done: seen.append(done))
        with pytest.raises(DataError, match="empty"):
            write_dataset(tmp_path / "broken", _broken_third, 4, card=CARD, shard_rows=2, executor="ray")
    finally:
        ray.shutdown()
    here = _write(tmp_path / "here", shard_rows=3)
    assert with_ray.digest == here.digest
    assert with_ray.shards == here.shards
    assert seen[-1] == (7, 7)
    assert _left_behind(tmp_path) == ["here", "ray"]
    assert "Execution plan" not in capfd.readouterr().err


def _broken_third(indices):
    for index in indices:
        sample = procedural_sample(0, index)
        if index == 2:
            sample.reps_R2[0, 1] = sample.reps_R2[0, 0]
        yield sample


def test_progress_counts_rows(tmp_path):
    seen = []
    _write(tmp_path / "data", shard_rows=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_row_groups_are_cut_by_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "ROW_GROUP_BYTES", 1)
    _write(tmp_path / "data")
    assert open_dataset(tmp_path / "data")._files[0].num_row_groups == 7


def test_the_cache_stays_within_its_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "ROW_GROUP_BYTES", 1)
    _write(tmp_path / "data")
    largest = max(procedural_sample(0, row).joints_MTVC.nbytes for row in range(7))
    dataset = open_dataset(tmp_path / "data", cache_bytes=2 * largest)
    first = dataset.sample(0)
    for row in range(7):
        dataset.sample(row)
    assert dataset._cached_bytes <= 2 * largest
    assert dataset._cached_bytes == sum(group.table.nbytes for group in dataset._cache.values())
    assert np.array_equal(first.joints_MTVC, procedural_sample(0, 0).joints_MTVC)


def test_an_existing_dataset_is_kept_without_force_and_replaced_with_it(tmp_path):
    before = _write(tmp_path / "data").digest
    with pytest.raises(DataError, match="exists already") as caught:
        _write(tmp_path / "data", seed=1)
    assert "--force" in caught.value.remedy
    assert open_dataset(tmp_path / "data").manifest.digest == before
    assert _write(tmp_path / "data", seed=1, force=True).digest != before
    assert _left_behind(tmp_path) == ["data"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("reader"), OSError(errno.ENOSPC, "full")])
def test_an_interrupted_write_leaves_nothing_and_keeps_what_was_there(tmp_path, error):
    before = _write(tmp_path / "data").digest

    def failing(indices):
        yield procedural_sample(0, indices[0])
        raise error

    expected = DiskFull if isinstance(error, OSError) else type(error)
    for name in ("data", "new"):
        with pytest.raises(expected):
            write_dataset(tmp_path / name, failing, 4, card=CARD, force=True)
    assert _left_behind(tmp_path) == ["data"]
    assert open_dataset(tmp_path / "data").manifest.digest == before


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    (tmp_path / ".data.abc.part").mkdir()
    (tmp_path / ".data.abc.part" / "shard-00000.parquet").write_bytes(b"half")
    _write(tmp_path / "data")
    assert _left_behind(tmp_path) == ["data"]


class Interrupting:
    """Makes samples until a number of them is made, then is interrupted as by Ctrl-C, once."""

    def __init__(self, after: int) -> None:
        self.left, self.made = after, []

    def __call__(self, indices):
        for index in indices:
            if self.left == 0:
                self.left = -1
                raise KeyboardInterrupt
            self.left -= 1
            self.made.append(index)
            yield procedural_sample(0, index)


def test_an_interrupted_write_goes_on_where_it_was(tmp_path):
    make, seen = Interrupting(after=5), []
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "data", make, 7, card=CARD, shard_rows=2, work="w")
    assert not (tmp_path / "data").exists()
    make.made.clear()
    manifest = write_dataset(
        tmp_path / "data", make, 7, card=CARD, shard_rows=2, work="w", progress=lambda *done: seen.append(done)
    )
    assert make.made == [4, 5, 6]
    assert seen == [(4, 7), (6, 7), (7, 7)]
    undisturbed = _write(tmp_path / "undisturbed", shard_rows=2)
    assert (manifest.digest, manifest.shards) == (undisturbed.digest, undisturbed.shards)
    assert _left_behind(tmp_path) == ["data", "undisturbed"]


def test_other_work_under_the_same_name_starts_anew(tmp_path):
    make = Interrupting(after=5)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "data", make, 7, card=CARD, shard_rows=2, work="one")
    make.made.clear()
    write_dataset(tmp_path / "data", make, 7, card=CARD, shard_rows=2, work="other")
    assert make.made == list(range(7))
    assert _left_behind(tmp_path) == ["data"]


def test_bad_data_leave_nothing_to_go_on_with(tmp_path):
    with pytest.raises(DataError, match="empty"):
        write_dataset(tmp_path / "data", _broken_third, 4, card=CARD, shard_rows=1, work="w")
    assert _left_behind(tmp_path) == []


def test_a_range_of_many_bytes_becomes_several_shards_with_the_rows_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "ROW_GROUP_BYTES", 1)
    monkeypatch.setattr(
        ingest, "SHARD_BYTES", 1 + 2 * min(procedural_sample(0, row).joints_MTVC.nbytes for row in range(7))
    )
    manifest = _write(tmp_path / "data", shard_rows=5)
    files = [shard.file for shard in manifest.shards]
    assert files[:2] == ["shard-00000.parquet", "shard-00000-01.parquet"]
    assert [sample.sample_id for sample in open_dataset(tmp_path / "data")] == [f"P{row:06d}" for row in range(7)]
    assert sum(shard.rows for shard in manifest.shards) == 7


def test_two_processes_do_not_write_the_same_dataset(tmp_path):
    with FileLock(tmp_path / ".data.lock"), pytest.raises(DataError, match="another process"):
        _write(tmp_path / "data")


def test_no_lock_stays_behind_a_dataset_or_a_failure(tmp_path):
    with pytest.raises(DataError, match="1 samples for 2 indices"):
        write_dataset(tmp_path / "data", lambda indices: [procedural_sample(0, 0)], 2, card=CARD)
    assert list(tmp_path.iterdir()) == []
    _write(tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_lock_whose_file_its_holder_removed_is_not_taken(tmp_path):
    file = tmp_path / ".data.lock"
    opened = file.open("w")  # as somebody who opened it before the holder was done
    with FileLock(file):
        file.unlink()
    with opened, FileLock(file, timeout=0) as taken:
        assert file.exists()
        assert taken.is_locked
        with pytest.raises(Timeout):
            FileLock(file, timeout=0).acquire()


def test_two_samples_with_one_id_are_refused(tmp_path):
    with pytest.raises(DataError, match="1 sample ids occur twice, first 'P000000'"):
        write_dataset(tmp_path / "data", lambda indices: (procedural_sample(0, 0) for _ in indices), 2, card=CARD)
    assert _left_behind(tmp_path) == []


def test_a_reader_that_loses_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match="1 samples for 2 indices"):
        write_dataset(tmp_path / "data", lambda indices: [procedural_sample(0, 0)], 2, card=CARD)


def test_a_bad_sample_is_refused_with_its_id(tmp_path):
    with pytest.raises(DataError, match=r"P000002.*is empty"):
        write_dataset(tmp_path / "data", _broken_third, 4, card=CARD)


def test_files_added_at_the_end_appear_with_the_folder(tmp_path):
    def finish(hidden):
        assert not (tmp_path / "data").exists()
        (hidden / "note.json").write_text(json.dumps({"rows": len(open_dataset(hidden))}))

    _write(tmp_path / "data", finish=finish)
    assert json.loads((tmp_path / "data" / "note.json").read_text()) == {"rows": 7}
