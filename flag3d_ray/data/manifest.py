"""`manifest.json` of a dataset folder: what the data is, its shards, and a digest of its content.

The digest goes over the sorted hashes of the samples, so it does not depend on how rows are cut into shards; it is part
of the key of every run on this data. Sizes and row counts are compared at every opening, hashes by `check(deep=True)`.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flag3d_ray.data.schema import SCHEMA_VERSION, content_hash, from_table, shard_format
from flag3d_ray.errors import DataError, Flag3dError
from flag3d_ray.files import read_json, write_json

MANIFEST = "manifest.json"
_PICKLE_SUFFIXES = (".pkl", ".pickle")


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a dataset is and is not. Loading requires one: frame rate, unit and axes cannot be guessed from numbers."""

    description: str
    limits: str
    licence: str
    unit: str
    fps: str
    axes: str
    citation: str = ""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One Parquet file: name inside the folder, rows, frames over all rows, bytes, SHA-256 of the file."""

    file: str
    rows: int
    frames: int
    repetitions: int
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of `manifest.json`. `generator` holds the parameters that make the data again, or the source read."""

    name: str
    layout: str
    unit: str
    digest: str
    card: Card
    shards: tuple[Shard, ...]
    generator: Mapping[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def samples(self) -> int:
        """Rows over all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def frames(self) -> int:
        """Frames over all shards."""
        return sum(shard.frames for shard in self.shards)

    @property
    def repetitions(self) -> int:
        """Annotated repetitions over all shards."""
        return sum(shard.repetitions for shard in self.shards)


def dataset_digest(content_hashes: Iterable[str]) -> str:
    """Digest of a set of samples, whatever their order and shards."""
    return hashlib.sha256("\n".join(sorted(content_hashes)).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, whole or not at all, with the totals beside the shards for human readers."""
    totals = {"samples": manifest.samples, "frames": manifest.frames, "repetitions": manifest.repetitions}
    write_json(folder / MANIFEST, {**asdict(manifest), "totals": totals})


def load_manifest(folder: Path) -> Manifest:
    """Read `manifest.json`; the shards are not touched (see `check`).

    Raises:
        DataError: no dataset there, unreadable manifest, another schema version, a field is missing, a shard's name
            leaves the folder.
    """
    path = folder / MANIFEST
    if not path.is_file():
        rule = "no manifest.json" if folder.is_dir() else "no such dataset"
        raise DataError(where=str(folder), rule=rule, remedy=f"make it: {_again(folder)}")
    try:
        values = dict(read_json(path))
        values.pop("totals", None)
        version = values.get("schema_version")
        if version != SCHEMA_VERSION:
            raise _mismatch(folder, f"schema version {version}, this is {SCHEMA_VERSION}")
        shards = tuple(Shard(**shard) for shard in values.pop("shards"))
        manifest = Manifest(card=Card(**values.pop("card")), shards=shards, **values)
    except DataError:
        raise
    except (Flag3dError, KeyError, TypeError, ValueError) as error:
        raise _mismatch(folder, f"manifest.json cannot be read: {error}") from error
    for shard in shards:
        if Path(shard.file).name != shard.file:
            raise _mismatch(folder, f"the shard name {shard.file!r} is not a plain file name")
    return manifest


def check(folder: Path, *, deep: bool = False) -> Manifest:
    """Compare a dataset folder with its manifest: sizes and row counts; with `deep` also hashes and every row's rules.

    Raises:
        DataError: a shard is missing, damaged or a pickle, or manifest and content do not belong together.
    """
    manifest = load_manifest(folder)
    for shard in manifest.shards:
        _check_shard(folder, manifest, shard)
    if deep:
        _check_content(folder, manifest)
    return manifest


def refuse_pickle(path: Path) -> None:
    """Pickles run code when they are loaded, so nothing here ever loads one.

    Raises:
        DataError: the file's name or first byte is a pickle's.
    """
    with path.open("rb") as file:
        first = file.read(1)
    if path.suffix in _PICKLE_SUFFIXES or first == b"\x80":
        raise DataError(
            where=str(path),
            rule="this is a pickle, which could run any code when loaded",
            remedy="convert it to .npz or Parquet where it came from",
        )


def _check_shard(folder: Path, manifest: Manifest, shard: Shard) -> None:
    path = folder / shard.file
    if not path.is_file():
        raise _mismatch(folder, f"{shard.file} is missing")
    refuse_pickle(path)
    if path.stat().st_size != shard.bytes:
        raise _mismatch(folder, f"{shard.file} has {path.stat().st_size} bytes, the manifest says {shard.bytes}")
    try:
        footer = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _mismatch(folder, f"{shard.file} is not readable Parquet ({error})") from error
    with footer:
        if footer.metadata.num_rows != shard.rows:
            raise _mismatch(folder, f"{shard.file} has {footer.metadata.num_rows} rows, the manifest says {shard.rows}")
        found = shard_format(footer.schema_arrow, str(path))
    if (found.layout, found.unit) != (manifest.layout, manifest.unit):
        raise _mismatch(folder, f"{shard.file} holds {found.layout} in {found.unit}, the manifest says otherwise")


def _check_content(folder: Path, manifest: Manifest) -> None:
    hashes: list[str] = []
    for shard in manifest.shards:
        path = folder / shard.file
        if file_sha256(path) != shard.sha256:
            raise _mismatch(folder, f"{shard.file} does not have the manifest's SHA-256: its content was changed")
        row = 0
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                samples = list(from_table(file.read_row_group(group), str(path), row))
                hashes.extend(content_hash(sample) for sample in samples)
                row += len(samples)
    if dataset_digest(hashes) != manifest.digest:
        raise _mismatch(folder, "the content does not have the manifest's digest")


def _mismatch(folder: Path, rule: str) -> DataError:
    return DataError(where=str(folder), rule=rule, remedy=f"make it again: {_again(folder)}")


def _again(folder: Path) -> str:
    return f"flag3d data make {folder.name} --force (or `flag3d data ingest` for data of your own)"
