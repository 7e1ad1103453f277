"""One `Sample`, one Parquet row; decoding checks every rule before anything downstream can trip over it.

Joints are plain binary (sequences differ in length), the layout, V, C and dtype stand once in the schema's metadata:
decoded by `np.frombuffer` this is 4 to 20 times faster than Arrow lists or tensor extension types.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import layout

SCHEMA_VERSION = 1
DTYPE = "<f4"

_TEXTS = ("sample_id", "dataset", "source", "action_id", "action", "body_part", "subject")
_OPTIONAL_TEXTS = ("view", "scene", "avatar")
_COLUMNS = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in _TEXTS + _OPTIONAL_TEXTS]
    + [
        pa.field("take", pa.int32(), nullable=False),
        pa.field("fps", pa.float64(), nullable=False),
        pa.field("frames", pa.int32(), nullable=False),
        pa.field("persons", pa.int32(), nullable=False),
        pa.field("image_hw", pa.list_(pa.int32())),
        pa.field("captions", pa.list_(pa.string()), nullable=False),
        pa.field("standards", pa.list_(pa.string()), nullable=False),
        pa.field("reps", pa.list_(pa.int32()), nullable=False),
        pa.field("keys", pa.list_(pa.int8())),
        pa.field("joints", pa.binary(), nullable=False),
    ]
)
_INGEST_AGAIN = "write the dataset again (`flag3d data make` or `flag3d data ingest`, with --force)"


@dataclass(frozen=True)
class ShardFormat:
    """What the metadata of a shard's schema says about all of its rows."""

    layout: str
    unit: str

    @property
    def joints(self) -> int:
        """V."""
        return len(layout(self.layout))

    @property
    def channels(self) -> int:
        """C."""
        return layout(self.layout).channels

    def schema(self) -> pa.Schema:
        """The Arrow schema that carries this format."""
        values = {
            "version": SCHEMA_VERSION,
            "layout": self.layout,
            "unit": self.unit,
            "V": self.joints,
            "C": self.channels,
            "dtype": DTYPE,
        }
        return _COLUMNS.with_metadata({f"flag3d.{key}": str(value) for key, value in values.items()})


def shard_format(schema: pa.Schema, where: str) -> ShardFormat:
    """Read the format back from a shard's schema.

    Raises:
        DataError: not written by this package, another schema version, unknown layout, other V, C, dtype or columns.
    """
    found = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    version = found.get("flag3d.version")
    if version != str(SCHEMA_VERSION):
        raise DataError(where=where, rule=f"schema version {version}, this is {SCHEMA_VERSION}", remedy=_INGEST_AGAIN)
    shard = ShardFormat(found.get("flag3d.layout", ""), found.get("flag3d.unit", ""))
    expected = {key.decode(): value.decode() for key, value in shard.schema().metadata.items()}
    wrong = [key for key, value in expected.items() if found.get(key) != value]
    if wrong or not schema.equals(_COLUMNS):
        raise DataError(where=where, rule=f"columns or {wrong or 'types'} are not the schema's", remedy=_INGEST_AGAIN)
    return shard


def to_table(samples: Sequence[Sample]) -> pa.Table:
    """Rows of one shard, in order.

    Raises:
        DataError: no samples, two layouts or units among them, or a sample that breaks a rule of `check_sample`.
    """
    formats = {(sample.layout, sample.unit) for sample in samples}
    if len(formats) != 1:
        raise DataError(
            where="to_table",
            rule=f"{len(formats)} combinations of layout and unit in one shard",
            remedy="write one dataset per joint layout and unit",
        )
    for row, sample in enumerate(samples):
        check_sample(sample, f"sample {sample.sample_id!r} (row {row})")
    return pa.Table.from_pylist([_encode(sample) for sample in samples], ShardFormat(*formats.pop()).schema())


def _encode(sample: Sample) -> dict[str, object]:
    return {
        **{name: getattr(sample, name) for name in (*_TEXTS, *_OPTIONAL_TEXTS, "take", "fps", "frames", "image_hw")},
        "persons": len(sample.joints_MTVC),
        "captions": sample.captions,
        "standards": sample.standards,
        "reps": sample.reps_R2.ravel(),
        "keys": None if sample.keys_RS is None else sample.keys_RS.ravel(),
        "joints": np.ascontiguousarray(sample.joints_MTVC, DTYPE).tobytes(),
    }


def from_table(table: pa.Table, where: str = "table", first_row: int = 0) -> Iterator[Sample]:
    """Decode and check rows. Joints are read-only views of the Arrow buffers: copy before writing into them.

    Args:
        where: the file, for messages.
        first_row: number of the table's first row in that file, for messages.

    Raises:
        DataError: the schema or a row breaks a rule; names file and row.
    """
    shard = shard_format(table.schema, where)
    rows = table.drop_columns(["joints"]).to_pylist()
    binaries = (binary for chunk in table["joints"].chunks for binary in _binaries(chunk))
    for number, (row, joints) in enumerate(zip(rows, binaries, strict=True), start=first_row):
        yield decode_row(row, joints, shard, f"{where}, row {number} ({row['sample_id']})")


def _binaries(chunk: pa.BinaryArray) -> Iterator[pa.Buffer]:
    """Each value as a slice of the array's own buffer; `chunk[i].as_buffer()` would copy it."""
    _, offsets, data = chunk.buffers()
    bounds = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1].tolist()
    return (data.slice(start, end - start) for start, end in pairwise(bounds))


def decode_row(row: Mapping, joints: pa.Buffer, shard: ShardFormat, where: str) -> Sample:
    """One row as a checked sample; `joints` is the row's binary, the rest plain Python values.

    Raises:
        DataError: see `check_sample`; also a wrong number of bytes, values or captions.
    """
    shape = (row["persons"], row["frames"], shard.joints, shard.channels)
    needed = int(np.prod(shape)) * np.dtype(DTYPE).itemsize
    if joints.size != needed:
        raise _broken(where, f"joints of {joints.size} bytes, shape {shape} needs {needed}")
    repetitions, standards = len(row["reps"]) // 2, len(row["standards"])
    if len(row["reps"]) % 2:
        raise _broken(where, "an odd number of repetition bounds")
    keys = row["keys"]
    if keys is not None and len(keys) != repetitions * standards:
        raise _broken(where, f"{len(keys)} key scores for {repetitions} repetitions x {standards} standards")
    if len(row["captions"]) != 3:
        raise _broken(where, f"{len(row['captions'])} captions, three levels are needed")
    sample = Sample(
        **{name: row[name] for name in (*_TEXTS, *_OPTIONAL_TEXTS, "take", "fps")},
        layout=shard.layout,
        unit=shard.unit,
        captions=tuple(row["captions"]),
        standards=tuple(row["standards"]),
        joints_MTVC=np.frombuffer(joints, DTYPE).reshape(shape),
        reps_R2=np.array(row["reps"], np.int32).reshape(repetitions, 2),
        keys_RS=None if keys is None else np.array(keys, np.int8).reshape(repetitions, standards),
        image_hw=None if row["image_hw"] is None else tuple(row["image_hw"]),
    )
    check_sample(sample, where)
    return sample


def check_sample(sample: Sample, where: str) -> None:
    """Every rule that a row must obey.

    Raises:
        DataError: unknown layout, wrong axes, NaN or infinite joints, no frames, an interval that is empty, overlaps or
            leaves the sequence, key scores of the wrong shape or other than 0 and 1, fps <= 0.
    """
    skeleton = layout(sample.layout)
    persons, frames, *axes = sample.joints_MTVC.shape
    if axes != [len(skeleton), skeleton.channels]:
        raise _broken(
            where, f"joints [V, C] = {axes}, layout {skeleton.name} has [{len(skeleton)}, {skeleton.channels}]"
        )
    if persons < 1 or frames < 1 or not sample.fps > 0:
        raise _broken(where, f"{persons} persons, {frames} frames at {sample.fps} fps")
    if not np.isfinite(sample.joints_MTVC).all():
        frame = int(np.argwhere(~np.isfinite(sample.joints_MTVC))[0, 1])
        raise _broken(where, f"NaN or infinite joints, first in frame {frame}", "repair or leave out the recording")
    _check_repetitions(sample.reps_R2, frames, where)
    keys_RS = sample.keys_RS
    if keys_RS is None:
        return
    if keys_RS.shape != (sample.count, len(sample.standards)):
        raise _broken(where, f"key scores {keys_RS.shape}, need {(sample.count, len(sample.standards))}")
    if not np.isin(keys_RS, (0, 1)).all():
        raise _broken(where, "a key score other than 0 and 1")


def _check_repetitions(reps_R2: Int[np.ndarray, "R 2"], frames: int, where: str) -> None:
    bounds = reps_R2.tolist()
    for number, (start, end) in enumerate(bounds, start=1):
        if start < 0 or end > frames:
            raise _broken(where, f"repetition {number} [{start}, {end}) leaves the sequence of {frames} frames")
        if end <= start:
            raise _broken(where, f"repetition {number} [{start}, {end}) is empty (its end is exclusive)")
    for number, ((_, end), (start, _)) in enumerate(pairwise(bounds), start=2):
        if start < end:
            raise _broken(where, f"repetition {number} starts at {start}, before the one ahead of it ends at {end}")


def _broken(where: str, rule: str, remedy: str = "correct the annotation and write the dataset again") -> DataError:
    return DataError(where=where, rule=rule, remedy=remedy)


def content_hash(sample: Sample) -> str:
    """SHA-256 over everything a sample holds, independent of shards, row order and file format."""
    row = _encode(sample)
    digest = hashlib.sha256(row.pop("joints"))  # type: ignore[arg-type]
    plain = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in row.items()}
    plain.update(layout=sample.layout, unit=sample.unit, version=SCHEMA_VERSION)
    digest.update(json.dumps(plain, sort_keys=True, ensure_ascii=True).encode())
    return digest.hexdigest()
