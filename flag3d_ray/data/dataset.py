"""Reading a dataset folder: by row with a bounded cache, its metadata as one table, its joints as whole arrays."""

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32

from flag3d_ray.data.manifest import Manifest, check
from flag3d_ray.data.schema import DTYPE, ShardFormat, from_table
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample

CACHE_BYTES = 1 << 30
_INDEX_COLUMNS = (
    *("sample_id", "source", "action_id", "action", "body_part", "subject"),
    *("view", "scene", "avatar", "take", "fps", "frames"),
)


class Dataset:
    """A dataset folder, read by row.

    Row groups are kept up to `cache_bytes`, the least recently used leave first; samples stay valid after that. With
    `map_files` shards are mapped into memory, which spares a copy and lets a process that reads all of them hold all of them.
    """

    def __init__(self, folder: Path, manifest: Manifest, cache_bytes: int, map_files: bool) -> None:
        self.folder = folder
        self.manifest = manifest
        # Read ahead, every open file would keep the bytes of its last row group: 0.2 GiB a process at 180,000 clips.
        options = {"memory_map": map_files, "pre_buffer": False}
        self._files = [pq.ParquetFile(folder / shard.file, **options) for shard in manifest.shards]
        self._groups = [
            (number, group) for number, file in enumerate(self._files) for group in range(file.num_row_groups)
        ]
        sizes = [self._files[file].metadata.row_group(group).num_rows for file, group in self._groups]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._cache: OrderedDict[int, _Group] = OrderedDict()
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
        return self._group(group).sample(row - int(self._starts[group]))

    def __iter__(self) -> Iterator[Sample]:
        """All samples in row order."""
        return (self.sample(row) for row in range(len(self)))

    def joints(self, rows: int) -> Iterator[Float32[np.ndarray, "B M T V C"]]:
        """All joints in row order, in new arrays of `rows` sequences (the last may be shorter), without decoding rows.

        For clips of one length: 20 times as fast as `sample`, which makes an object of each row and checks it. Here only
        bytes are counted: content was checked when the dataset was written, and `flag3d data check` does it again.

        Raises:
            DataError: sequences differ in frames or persons, or a shard is damaged.
        """
        shape = self._clip_shape
        batch, filled = np.empty((rows, *shape), np.float32), 0
        for number, group in self._groups:
            clips = self._joints_of(number, group, shape)
            taken = 0
            while taken < len(clips):
                copied = min(rows - filled, len(clips) - taken)
                batch[filled : filled + copied] = clips[taken : taken + copied]
                filled, taken = filled + copied, taken + copied
                if filled == rows:
                    yield batch
                    batch, filled = np.empty((rows, *shape), np.float32), 0
            del clips  # its memory then serves the next group: 130,000 clips a second are decoded, not 60,000
        if filled:
            yield batch[:filled]

    @cached_property
    def _clip_shape(self) -> tuple[int, int, int, int]:
        """M, T, V, C of every sequence. Found once: of 180,000 it takes as long as reading 4096 of them."""
        shapes: set[tuple[int, int]] = set()
        for file, path in zip(self._files, self.shards, strict=True):
            with _damage_is_a_data_error(path):
                found = file.read(columns=["persons", "frames"]).group_by(["persons", "frames"]).aggregate([])
            shapes |= set(zip(found["persons"].to_pylist(), found["frames"].to_pylist(), strict=True))
        if len(shapes) != 1:
            rule = f"its sequences have {len(shapes)} shapes, whole arrays need one"
            raise DataError(
                where=str(self.folder), rule=rule, remedy="read it by row, or make it with clips of one length"
            )
        persons, frames = shapes.pop()
        kind = ShardFormat(self.manifest.layout, self.manifest.unit)
        return persons, frames, kind.joints, kind.channels

    def _joints_of(self, number: int, group: int, shape: tuple[int, int, int, int]) -> Float32[np.ndarray, "B M T V C"]:
        """The bytes of a row group, decoded and not copied."""
        path = self.shards[number]
        with _damage_is_a_data_error(path):
            column = self._files[number].read_row_group(group, columns=["joints"], use_threads=False)["joints"]
        (chunk,) = column.chunks if column.num_chunks == 1 else (column.combine_chunks(),)
        _, offsets, data = chunk.buffers()
        first, last = np.frombuffer(offsets, np.int32)[[chunk.offset, chunk.offset + len(chunk)]]
        values = np.frombuffer(data, DTYPE, count=(last - first) // 4, offset=first)
        if values.size != len(chunk) * int(np.prod(shape)):
            rule = f"row group {group} has {values.size} joint values for {len(chunk)} rows of {shape}"
            raise DataError(where=str(path), rule=rule, remedy="write the dataset again, with --force")
        return values.reshape(len(chunk), *shape)

    def _group(self, number: int) -> "_Group":
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        file, group = self._groups[number]
        with _damage_is_a_data_error(self.shards[file]):
            table = self._files[file].read_row_group(group)
        first = int(self._starts[number] - self._starts[number - group])
        self._cache[number] = _Group(table, str(self.shards[file]), first)
        self._cached_bytes += table.nbytes
        while self._cached_bytes > self._cache_bytes and len(self._cache) > 1:
            _, left = self._cache.popitem(last=False)
            self._cached_bytes -= left.table.nbytes
        return self._cache[number]


@dataclass(frozen=True, eq=False)
class _Group:
    """A row group; its rows are decoded as they are asked for: of clips in random order one row of fifty is wanted."""

    table: pa.Table
    shard: str
    first: int
    samples: dict[int, Sample] = field(default_factory=dict)

    def sample(self, row: int) -> Sample:
        """Row `row` of the group."""
        if row not in self.samples:
            (self.samples[row],) = from_table(self.table.slice(row, 1), self.shard, self.first + row)
        return self.samples[row]


def open_dataset(folder: Path, *, cache_bytes: int = CACHE_BYTES, map_files: bool = True) -> Dataset:
    """Open a dataset folder after comparing sizes and row counts with its manifest; options as in `Dataset`.

    Raises:
        DataError: see `flag3d_ray.data.manifest.check`.
    """
    return Dataset(folder, check(folder), cache_bytes, map_files)


@contextlib.contextmanager
def _damage_is_a_data_error(shard: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        rule, remedy = f"cannot be decoded ({error})", "write the dataset again, with --force"
        raise DataError(where=str(shard), rule=rule, remedy=remedy) from error
