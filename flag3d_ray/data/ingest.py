"""Writing a dataset folder and reading it by row.

Every sample is a function of its index, every shard a range of indices: shards are written by this process or by Ray
tasks with the same bytes, and the folder appears at once, complete, or not at all.
"""

import contextlib
import errno
import os
import shutil
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from flag3d_ray.data.manifest import Card, Manifest, Shard, check, dataset_digest, file_sha256, write_manifest
from flag3d_ray.data.schema import content_hash, from_table, to_table
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample

Executor = Literal["local", "ray"]
Make = Callable[[range], Iterable[Sample]]
Progress = Callable[[int, int], None]

# A row read at random costs its whole group: 13 ms at 16 MiB, 3 ms at 2 MiB, once the data outgrows the cache.
ROW_GROUP_BYTES = 2 << 20
CACHE_BYTES = 2 << 30
_INDEX_COLUMNS = ("sample_id", "source", "action_id", "action", "body_part", "subject", "view", "take", "fps", "frames")


@dataclass(frozen=True)
class _Written:
    """What a shard job reports back."""

    shard: Shard
    sample_ids: tuple[str, ...]
    hashes: tuple[str, ...]
    layout: str
    unit: str


def write_dataset(
    folder: Path,
    make: Make,
    total: int,
    *,
    card: Card,
    generator: Mapping[str, Any] | None = None,
    executor: Executor = "local",
    shard_rows: int = 256,
    progress: Progress | None = None,
    finish: Callable[[Path], None] | None = None,
    force: bool = False,
) -> Manifest:
    """Write `total` samples as a dataset called like its folder.

    Args:
        make: gives the samples of a range of indices, in order; each a function of its index alone.
        executor: "ray" runs one task per shard in the cluster that the caller has initialised; its nodes see `folder`.
        progress: called with (rows done, total) after each shard.
        finish: called with the still hidden folder, to add split files before it appears.
        force: replace an existing dataset, which stays until the new one is complete.

    Raises:
        DataError: the folder exists and `force` is off, another process writes it, the disk is full, a sample breaks a
            rule, two samples share an id, or layouts differ. Nothing is left behind then, nor after Ctrl-C.
    """
    if folder.exists() and not force:
        raise DataError(where=str(folder), rule="exists already", remedy="add --force to replace it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    ranges = [range(start, min(start + shard_rows, total)) for start in range(0, total, shard_rows)]
    with _hidden_folder(folder) as hidden:
        run = _run_with_ray if executor == "ray" else _run_here
        written: list[_Written] = []
        for result in run(hidden, make, ranges):
            written.append(result)
            if progress is not None:
                progress(sum(one.shard.rows for one in written), total)
        write_manifest(hidden, _manifest(folder, written, card, generator or {}))
        if finish is not None:
            finish(hidden)
        return check(hidden)


def _manifest(folder: Path, written: Sequence[_Written], card: Card, generator: Mapping[str, Any]) -> Manifest:
    repeated = [
        name for name, times in Counter(name for one in written for name in one.sample_ids).items() if times > 1
    ]
    kinds = {(one.layout, one.unit) for one in written}
    if repeated or len(kinds) != 1:
        rule = f"{len(repeated)} sample ids occur twice, first {repeated[0]!r}" if repeated else f"{len(kinds)} layouts"
        raise DataError(where=str(folder), rule=rule, remedy="give every sample an id of its own and one layout to all")
    layout, unit = kinds.pop()
    return Manifest(
        name=folder.name,
        layout=layout,
        unit=unit,
        digest=dataset_digest(name for one in written for name in one.hashes),
        card=card,
        shards=tuple(sorted((one.shard for one in written), key=lambda shard: shard.file)),
        generator=dict(generator),
    )


def _run_here(folder: Path, make: Make, ranges: Sequence[range]) -> Iterator[_Written]:
    for number, indices in enumerate(ranges):
        yield _write_shard(folder, number, make, indices)


def _run_with_ray(folder: Path, make: Make, ranges: Sequence[range]) -> Iterator[_Written]:
    import ray
    from ray.exceptions import RayTaskError

    # One shard per core at a time, one BLAS thread per task: more only makes the tasks wait for each other.
    task = ray.remote(num_cpus=1, max_retries=2, runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}})(_write_shard)
    shared = ray.put(make)
    pending = [task.remote(folder, number, shared, indices) for number, indices in enumerate(ranges)]
    try:
        while pending:
            ready, pending = ray.wait(pending)
            yield ray.get(ready[0])
    except RayTaskError as error:
        raise error.cause from error
    finally:
        for waiting in pending:
            ray.cancel(waiting, force=True)


def _write_shard(folder: Path, number: int, make: Make, indices: range) -> _Written:
    """Write one shard and flush it; its row groups are cut by bytes so that sequences of any length decode evenly."""
    path = folder / f"shard-{number:05d}.parquet"
    ids, hashes, frames, repetitions, kind = [], [], 0, 0, ("", "")
    with _full_disk_is_a_data_error(folder), contextlib.ExitStack() as stack:
        writer = None
        for group in _by_bytes(make(indices)):
            table = to_table(group)
            if writer is None:
                kind = (group[0].layout, group[0].unit)
                writer = stack.enter_context(
                    pq.ParquetWriter(
                        path, table.schema, compression="none", use_dictionary=False, write_statistics=False
                    )
                )
            writer.write_table(table, row_group_size=len(group))
            ids += [sample.sample_id for sample in group]
            hashes += [content_hash(sample) for sample in group]
            frames += sum(sample.frames for sample in group)
            repetitions += sum(sample.count for sample in group)
    if len(ids) != len(indices):
        raise DataError(
            where=str(path), rule=f"{len(ids)} samples for {len(indices)} indices", remedy="mend the reader"
        )
    _flush(path)
    shard = Shard(
        file=path.name,
        rows=len(ids),
        frames=frames,
        repetitions=repetitions,
        bytes=path.stat().st_size,
        sha256=file_sha256(path),
    )
    return _Written(shard, tuple(ids), tuple(hashes), *kind)


def _by_bytes(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    group: list[Sample] = []
    size = 0
    for sample in samples:
        group.append(sample)
        size += sample.joints_MTVC.nbytes
        if size >= ROW_GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


@contextlib.contextmanager
def _hidden_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that takes its place when the block ends well, and vanishes otherwise."""
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        rule, remedy = "another process is writing this dataset", "wait until it is done"
        raise DataError(where=str(folder), rule=rule, remedy=remedy) from None
    with lock:
        # Whoever holds the lock owns these: they are what a killed process left.
        for stale in folder.parent.glob(f".{folder.name}.*.part"):
            shutil.rmtree(stale)
        hidden = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
        try:
            with _full_disk_is_a_data_error(folder):
                yield hidden
                _flush(hidden)
                hidden.chmod(0o755)
                _swap_in(hidden, folder)
        finally:
            for left in folder.parent.glob(f".{folder.name}.*.part"):
                shutil.rmtree(left, ignore_errors=True)


def _swap_in(hidden: Path, folder: Path) -> None:
    """Rename, the old dataset first out of the way and back again should the new one fail to take its place."""
    old = hidden.with_name(f".{folder.name}.replaced.part")
    if folder.exists():
        folder.rename(old)
    try:
        hidden.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
    _flush(folder.parent)


@contextlib.contextmanager
def _full_disk_is_a_data_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        rule, remedy = "no space left on the disk", "free some space and type the same command again"
        raise DataError(where=str(folder), rule=rule, remedy=remedy) from error


@contextlib.contextmanager
def _damage_is_a_data_error(shard: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        rule, remedy = f"cannot be decoded ({error})", "write the dataset again, with --force"
        raise DataError(where=str(shard), rule=rule, remedy=remedy) from error


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Dataset:
    """A dataset folder, read by row.

    Decoded row groups are kept up to `cache_bytes`, the least recently used leave first; samples stay valid after that.
    """

    def __init__(self, folder: Path, manifest: Manifest, cache_bytes: int) -> None:
        self.folder = folder
        self.manifest = manifest
        self._files = [pq.ParquetFile(folder / shard.file, memory_map=True) for shard in manifest.shards]
        self._groups = [
            (number, group) for number, file in enumerate(self._files) for group in range(file.num_row_groups)
        ]
        sizes = [self._files[file].metadata.row_group(group).num_rows for file, group in self._groups]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._cache: OrderedDict[int, tuple[list[Sample], int]] = OrderedDict()
        self._cache_bytes, self._cached_bytes = cache_bytes, 0

    def __len__(self) -> int:
        return self.manifest.samples

    @property
    def shards(self) -> tuple[Path, ...]:
        """Paths of the Parquet files, in row order."""
        return tuple(self.folder / shard.file for shard in self.manifest.shards)

    @cached_property
    def index(self) -> pa.Table:
        """One row per sample without joints and texts: ids, source, action, body part, subject, frames, count."""
        columns = [*_INDEX_COLUMNS, "reps"]
        tables = []
        for file, path in zip(self._files, self.shards, strict=True):
            with _damage_is_a_data_error(path):
                tables.append(file.read(columns=columns))
        table = pa.concat_tables(tables)
        counts = np.diff(table["reps"].combine_chunks().offsets.to_numpy()) // 2
        return (
            table.drop_columns(["reps"])
            .append_column("count", pa.array(counts, pa.int32()))
            .replace_schema_metadata(None)
        )

    def sample(self, row: int) -> Sample:
        """The sample in that row; its joints are read-only.

        Raises:
            IndexError: no such row.
            DataError: the row breaks a rule of the schema.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a dataset of {len(self)}")
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._group(group)[row - int(self._starts[group])]

    def __iter__(self) -> Iterator[Sample]:
        """All samples in row order."""
        return (self.sample(row) for row in range(len(self)))

    def _group(self, number: int) -> list[Sample]:
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number][0]
        file, group = self._groups[number]
        with _damage_is_a_data_error(self.shards[file]):
            table = self._files[file].read_row_group(group)
        first = int(self._starts[number] - self._starts[number - group])
        samples = list(from_table(table, str(self.shards[file]), first))
        self._cache[number] = samples, table.nbytes
        self._cached_bytes += table.nbytes
        while self._cached_bytes > self._cache_bytes and len(self._cache) > 1:
            _, (_, size) = self._cache.popitem(last=False)
            self._cached_bytes -= size
        return samples


def open_dataset(folder: Path, *, cache_bytes: int = CACHE_BYTES) -> Dataset:
    """Open a dataset folder after comparing sizes and row counts with its manifest.

    Raises:
        DataError: see `flag3d_ray.data.manifest.check`.
    """
    return Dataset(folder, check(folder), cache_bytes)
