"""The doctor on an ingested dataset: manifest and shards belong together, every row, every stored split."""

from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flag3d_ray.data.doctor.entry import INDEX
from flag3d_ray.data.doctor.examine import Examination, Progress, Report
from flag3d_ray.data.doctor.labels import interval_findings
from flag3d_ray.data.doctor.strays import stray_findings
from flag3d_ray.data.findings import Finding
from flag3d_ray.data.manifest import MANIFEST, Manifest, Shard, _check_shard, dataset_digest, file_sha256, load_manifest
from flag3d_ray.data.schema import content_hash, from_table
from flag3d_ray.data.splits import Split, load_split
from flag3d_ray.errors import DataError

MOST_JSON_BYTES = 256 << 20
"""Of a manifest or split, which are read whole."""


def examine_dataset(folder: Path, progress: Progress | None = None) -> Report:
    """Read every row of a dataset folder and check it, and everything that lies beside the shards.

    Args:
        progress: called with (rows done, rows).
    """
    seen = Examination()
    strays = list(stray_findings(folder))
    seen.found(*strays)
    refused = {stray.file for stray in strays}
    try:
        _require_small(folder / MANIFEST)
        manifest = load_manifest(folder)
    except DataError as error:
        seen.found(Finding.of(error, folder))
        return seen.finish([])
    hashes = []
    for shard in manifest.shards:
        if shard.file not in refused and _intact(seen, folder, manifest, shard):
            for digest in _examine_shard(seen, folder, shard):
                hashes.append(digest)
                if progress is not None:
                    progress(len(hashes), manifest.samples)
    whole = [digest for digest in hashes if digest]
    if len(whole) == manifest.samples and dataset_digest(whole) != manifest.digest:
        rule = "the content does not have the manifest's digest"
        seen.found(Finding(severity="error", file=MANIFEST, rule=rule, remedy=_again(folder)))
    splits = list(_splits(seen, folder, refused))
    return seen.finish(splits, complete=len(seen.index) == manifest.samples)


def _intact(seen: Examination, folder: Path, manifest: Manifest, shard: Shard) -> bool:
    """Whether the shard's rows can be read. Another content than the manifest's is a finding, and is read all the same."""
    try:
        _check_shard(folder, manifest, shard)
    except DataError as error:
        seen.found(Finding.of(error, folder, shard.file))
        return False
    if file_sha256(folder / shard.file) != shard.sha256:
        rule = "does not have the manifest's SHA-256: its content was changed"
        seen.found(Finding(severity="error", file=shard.file, rule=rule, remedy=_again(folder)))
    return True


def _examine_shard(seen: Examination, folder: Path, shard: Shard) -> Iterator[str]:
    """Take in the rows of a shard; per row its content hash, empty where it breaks a rule."""
    first = 0
    with pq.ParquetFile(folder / shard.file) as file:
        for group in range(file.num_row_groups):
            number = file.metadata.row_group(group).num_rows
            try:
                table = file.read_row_group(group)
                for row in range(number):
                    yield _examine_row(seen, table.slice(row, 1), shard.file, first + row)
            except (pa.ArrowException, OSError) as error:
                rule = f"rows {first} to {first + number - 1} cannot be decoded ({' '.join(str(error).split())})"
                place = f"row {first}"
                seen.found(Finding(severity="error", file=shard.file, row=place, rule=rule, remedy=_again(folder)))
            first += number


def _examine_row(seen: Examination, row: pa.Table, file: str, number: int) -> str:
    name = row["sample_id"][0].as_py()
    place = f"row {number} ({name})"
    try:
        (sample,) = from_table(row)
    except DataError as error:
        _examine_broken_row(seen, row, file, place, error)
        return ""
    seen.add(sample, file, place)
    return content_hash(sample)


def _examine_broken_row(seen: Examination, row: pa.Table, file: str, place: str, error: DataError) -> None:
    """Repetitions and the rest apart, so that neither hides what is wrong with the other."""
    name, frames = row["sample_id"][0].as_py(), row["frames"][0].as_py()
    bounds = list(pairwise(row["reps"][0].as_py()))[::2]
    marked = list(interval_findings(bounds, frames))
    try:
        (sample,) = from_table(_without_labels(row))
    except DataError as worse:
        found = [_broken(worse), *marked]
    else:
        seen.add(sample, file, place, bounds)
        found = [] if any(one.severity == "error" for one in marked) else [_broken(error)]
    seen.found(*(finding.at(file, place, name) for finding in found))


def _broken(error: DataError) -> Finding:
    return Finding(severity="error", rule=error.rule, remedy=error.remedy)


def _without_labels(row: pa.Table) -> pa.Table:
    for name, value in (("reps", []), ("keys", None)):
        field = row.schema.field(name)
        row = row.set_column(row.schema.get_field_index(name), field, pa.array([value], field.type))
    return row


def _splits(seen: Examination, folder: Path, refused: Collection[str]) -> Iterator[tuple[str, Split]]:
    for path in sorted((folder / "splits").glob("*.json")):
        file = f"splits/{path.name}"
        if file in refused:
            continue
        try:
            _require_small(path)
            split = load_split(folder, path.stem)
            if split.by not in INDEX.names:
                rule = f"apart by {split.by!r}, which is no column"
                raise DataError(where=str(path), rule=rule, remedy="draw the split again (`flag3d data splits`)")
        except DataError as error:
            seen.found(Finding.of(error, folder, file))
        else:
            yield file, split


def _require_small(path: Path) -> None:
    """Raise where a file that is read whole is too large for what it should be."""
    if path.is_file() and path.stat().st_size > MOST_JSON_BYTES:
        rule = f"{path.stat().st_size} bytes, more than {MOST_JSON_BYTES}: it is not read"
        raise DataError(where=str(path), rule=rule, remedy=_again(path.parent))


def _again(folder: Path) -> str:
    return f"write the dataset again: flag3d data ingest (or make) {folder.name} --force"
