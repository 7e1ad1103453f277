"""Writing a dataset folder.

Every sample is a function of its index. A range of indices is written by this process or by a task of a Ray Data pipeline,
with the same bytes; a receipt says that it is done. The folder appears at once, complete, or not at all, and typing the
command again goes on with the ranges that have no receipt.
"""

import contextlib
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from flag3d_ray.data.manifest import Card, Manifest, Shard, check, dataset_digest, file_sha256, write_manifest
from flag3d_ray.data.schema import content_hash, to_table
from flag3d_ray.data.workplace import hidden_folder
from flag3d_ray.errors import DataError, Flag3dError
from flag3d_ray.files import disk_full_is_named, flush, read_json, write_json
from flag3d_ray.sample import Sample

Executor = Literal["local", "ray"]
Make = Callable[[range], Iterable[Sample]]
Progress = Callable[[int, int], None]

# A row read at random costs its whole group: 13 ms at 16 MiB, 3 ms at 2 MiB, once the data outgrows the cache.
ROW_GROUP_BYTES = 2 << 20
SHARD_BYTES = 128 << 20
RANGE_ROWS = 256
_RECEIPTS = "receipts"


@dataclass(frozen=True)
class _Written:
    """The receipt of a range of indices: its shards, and what the manifest must know of its samples."""

    shards: tuple[Shard, ...]
    sample_ids: tuple[str, ...]
    hashes: tuple[str, ...]
    layout: str
    unit: str

    @property
    def rows(self) -> int:
        return len(self.sample_ids)


def write_dataset(
    folder: Path,
    make: Make,
    total: int,
    *,
    card: Card,
    generator: Mapping[str, Any] | None = None,
    work: str = "",
    executor: Executor = "local",
    shard_rows: int = RANGE_ROWS,
    progress: Progress | None = None,
    finish: Callable[[Path], None] | None = None,
    force: bool = False,
) -> Manifest:
    """Write `total` samples as a dataset called like its folder.

    Args:
        make: gives the samples of a range of indices, in order; each a function of its index alone.
        work: identity of the making (`workplace.work_digest`): an interrupted call goes on at the next one with the same
            identity. Empty: nothing is kept.
        executor: "ray" runs a Ray Data pipeline in the cluster that the caller has initialised; its nodes see `folder`.
        shard_rows: indices per range, and most rows per shard; a range of more than 128 MiB becomes several shards.
        progress: called with (rows done, total) after each range, and first with what an earlier call had done.
        finish: called with the still hidden folder, to add split files before it appears.
        force: replace an existing dataset, which stays until the new one is complete.

    Raises:
        DataError: the folder exists and `force` is off, another process writes it, a sample breaks a rule, two samples
            share an id, or layouts differ. Nothing is left behind then.
        DiskFull: no space is left; what is written stays for the next call where `work` is given.
    """
    if folder.exists() and not force:
        raise DataError(where=str(folder), rule="exists already", remedy="add --force to replace it")
    with disk_full_is_named(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    ranges = {n: range(at, min(at + shard_rows, total)) for n, at in enumerate(range(0, total, shard_rows))}
    with hidden_folder(folder, work) as hidden:
        left = [number for number in ranges if not _receipt(hidden, number).exists()]
        done = sum(len(ranges[number]) for number in ranges if number not in set(left))
        if progress is not None and done:
            progress(done, total)
        run = _run_with_ray if executor == "ray" else _run_here
        for number in run(hidden, make, {number: ranges[number] for number in left}):
            done += len(ranges[number])
            if progress is not None:
                progress(done, total)
        write_manifest(hidden, _manifest(folder, [_read_receipt(hidden, n) for n in ranges], card, generator or {}))
        shutil.rmtree(hidden / _RECEIPTS)
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
        shards=tuple(shard for one in written for shard in one.shards),
        generator=dict(generator),
    )


def _run_here(folder: Path, make: Make, ranges: Mapping[int, range]) -> Iterator[int]:
    for number, indices in ranges.items():
        _write_range(folder, number, make, indices)
        yield number


def _run_with_ray(folder: Path, make: Make, ranges: Mapping[int, range]) -> Iterator[int]:
    """A Ray Data pipeline over the ranges; samples go to disk where they are made, only numbers come back."""
    import ray.data
    from ray.exceptions import RayError

    if not ranges:
        return
    _only_warnings("ray.data")
    ray.data.DataContext.get_current().raise_original_map_exception = True  # ours, to be shown as such
    items = [{"number": number, "start": one.start, "stop": one.stop} for number, one in ranges.items()]
    pipeline = ray.data.from_items(items, override_num_blocks=len(items)).map(
        partial(_write_row, folder, make),
        num_cpus=1,  # one range per core at a time, one BLAS thread per task: more only makes tasks wait for each other
        runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
    )
    try:
        for row in pipeline.iter_rows():
            yield int(row["number"])
    except RayError as error:
        raise _ours(error) from error


def _only_warnings(logger: str) -> None:
    """On the terminal; Ray's own log files keep everything. It reports each execution in three lines, beside our progress."""
    for handler in logging.getLogger(logger).handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.WARNING)


def _ours(error: BaseException) -> BaseException:
    """The error of this package that a task raised and Ray wrapped, else Ray's own."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, Flag3dError):
        inner = getattr(inner, "cause", None) or inner.__cause__
    return inner or error


def _write_row(folder: Path, make: Make, row: dict[str, Any]) -> dict[str, Any]:
    _write_range(folder, int(row["number"]), make, range(int(row["start"]), int(row["stop"])))
    return {"number": int(row["number"])}


def _write_range(folder: Path, number: int, make: Make, indices: range) -> None:
    """Write the shards of a range, flush them, then its receipt."""
    ids, hashes, shards, kind = [], [], [], ("", "")
    with disk_full_is_named(folder):
        for place, groups in enumerate(_by_shards(_by_bytes(make(indices)))):
            path = folder / (f"shard-{number:05d}.parquet" if place == 0 else f"shard-{number:05d}-{place:02d}.parquet")
            shards.append(_write_shard(path, groups, ids, hashes))
            kind = _kind_of(path)
    if len(ids) != len(indices):
        rule = f"{len(ids)} samples for {len(indices)} indices"
        raise DataError(where=f"{folder}, range {number}", rule=rule, remedy="mend the reader")
    write_json(_receipt(folder, number), asdict(_Written(tuple(shards), tuple(ids), tuple(hashes), *kind)))


def _write_shard(path: Path, groups: Iterable[list[Sample]], ids: list[str], hashes: list[str]) -> Shard:
    """One Parquet file; its row groups are cut by bytes so that sequences of any length decode evenly."""
    rows, frames, repetitions = 0, 0, 0
    with contextlib.ExitStack() as stack:
        writer = None
        for group in groups:
            table = to_table(group)
            if writer is None:
                writer = stack.enter_context(_writer(path, table.schema))
            writer.write_table(table, row_group_size=len(group))
            ids += [sample.sample_id for sample in group]
            hashes += [content_hash(sample) for sample in group]
            rows += len(group)
            frames += sum(sample.frames for sample in group)
            repetitions += sum(sample.count for sample in group)
    flush(path)
    size, digest = path.stat().st_size, file_sha256(path)
    return Shard(file=path.name, rows=rows, frames=frames, repetitions=repetitions, bytes=size, sha256=digest)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="none", use_dictionary=False, write_statistics=False)


def _kind_of(path: Path) -> tuple[str, str]:
    """Layout and unit, as the shard says."""
    from flag3d_ray.data.schema import shard_format

    found = shard_format(pq.read_schema(path), str(path))
    return found.layout, found.unit


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


def _by_shards(groups: Iterator[list[Sample]]) -> Iterator[Iterator[list[Sample]]]:
    """Row groups up to `SHARD_BYTES`, shard after shard; each must be consumed before the next."""
    waiting: list[list[Sample]] = []

    def until_full() -> Iterator[list[Sample]]:
        size = 0
        while size < SHARD_BYTES and (group := waiting.pop() if waiting else next(groups, None)) is not None:
            size += sum(sample.joints_MTVC.nbytes for sample in group)
            yield group

    while (first := next(groups, None)) is not None:
        waiting.append(first)
        yield until_full()


def _receipt(folder: Path, number: int) -> Path:
    return folder / _RECEIPTS / f"{number:05d}.json"


def _read_receipt(folder: Path, number: int) -> _Written:
    values = read_json(_receipt(folder, number))
    shards = tuple(Shard(**shard) for shard in values["shards"])
    return _Written(shards, tuple(values["sample_ids"]), tuple(values["hashes"]), values["layout"], values["unit"])
