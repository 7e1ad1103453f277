"""Rows come back as they went in, and a damaged row says what is wrong with it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flag3d_ray.data.schema import check_sample, content_hash, from_table, shard_format, to_table
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample


def _sample(frames: int = 30, **changes) -> Sample:
    rng = np.random.default_rng(frames)
    sample = Sample(
        sample_id=f"A001P01R{frames}",
        dataset="made up",
        source="lab",
        action_id="A001",
        action="Press",
        body_part="chest",
        subject="S01",
        take=1,
        fps=30.0,
        layout="flag3d24",
        unit="m",
        captions=("name", "details", "instructions"),
        standards=("one", "two", "three"),
        joints_MTVC=rng.standard_normal((1, frames, 24, 3), dtype=np.float32),
        reps_R2=np.array([[2, 10], [10, 17]], np.int32),
        keys_RS=np.array([[1, 0, 1], [1, 1, 0]], np.int8),
    )
    return replace(sample, **changes)


def _fields(sample: Sample) -> dict:
    values = {name: getattr(sample, name) for name in sample.__dataclass_fields__}
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in values.items()}


def _edited(column: str, value, kind: pa.DataType) -> pa.Table:
    table = to_table([_sample()])
    place = table.schema.get_field_index(column)
    return table.set_column(place, table.schema.field(column), pa.array([value], kind))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"keys_RS": None},
        {"reps_R2": np.empty((0, 2), np.int32), "keys_RS": None},
        {"standards": ("only one",), "keys_RS": np.array([[1], [0]], np.int8)},
        {"view": "front", "scene": "hall", "avatar": "Ada", "image_hw": (480, 854)},
        {"joints_MTVC": np.ones((2, 20, 24, 3), np.float32)},
    ],
)
def test_a_sample_survives_parquet_unchanged(tmp_path, changes):
    samples = [_sample(**changes), replace(_sample(40), sample_id="another")]
    pq.write_table(to_table(samples), tmp_path / "shard.parquet", compression="none")
    back = list(from_table(pq.read_table(tmp_path / "shard.parquet")))
    assert [_fields(sample) for sample in back] == [_fields(sample) for sample in samples]


def test_decoded_joints_are_views_of_the_arrow_buffer():
    table = to_table([_sample(20), _sample(30)])
    _, second = from_table(table)
    data = table["joints"].chunk(0).buffers()[2]
    assert second.joints_MTVC.ctypes.data == data.address + 20 * 24 * 3 * 4
    assert not second.joints_MTVC.flags.writeable


def test_a_slice_of_a_table_decodes_its_own_rows():
    samples = [_sample(frames) for frames in (20, 25, 30, 35)]
    (sample,) = from_table(to_table(samples).slice(2, 1))
    assert np.array_equal(sample.joints_MTVC, samples[2].joints_MTVC)


def test_layout_shape_dtype_and_version_stand_in_the_metadata():
    table = to_table([_sample()])
    found = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert found["flag3d.layout"] == "flag3d24"
    assert (found["flag3d.V"], found["flag3d.C"], found["flag3d.dtype"]) == ("24", "3", "<f4")
    assert shard_format(table.schema, "here").joints == 24


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reps_R2": np.array([[2, 10], [10, 31]], np.int32)}, r"repetition 2 \[10, 31\) leaves"),
        ({"reps_R2": np.array([[-1, 10], [10, 12]], np.int32)}, "repetition 1 .* leaves"),
        ({"reps_R2": np.array([[2, 10], [12, 12]], np.int32)}, "repetition 2 .* is empty"),
        ({"reps_R2": np.array([[10, 2], [12, 13]], np.int32)}, "repetition 1 .* is empty"),
        ({"reps_R2": np.array([[2, 10], [9, 13]], np.int32)}, "repetition 2 starts at 9"),
        ({"keys_RS": np.ones((2, 2), np.int8)}, r"key scores \(2, 2\), need \(2, 3\)"),
        ({"keys_RS": np.full((2, 3), 2, np.int8)}, "other than 0 and 1"),
        ({"layout": "kinect15"}, "unknown joint layout"),
        ({"layout": "ntu25"}, r"joints \[V, C\] = \[24, 3\], layout ntu25 has \[25, 3\]"),
        ({"joints_MTVC": np.empty((1, 0, 24, 3), np.float32)}, "0 frames"),
        ({"fps": 0.0}, "0.0 fps"),
    ],
)
def test_a_sample_that_breaks_a_rule_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        check_sample(_sample(**changes), "here")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_joints_are_refused_with_their_frame(value):
    joints = _sample().joints_MTVC.copy()
    joints[0, 17, 3, 1] = value
    with pytest.raises(DataError, match="first in frame 17"):
        to_table([_sample(joints_MTVC=joints)])


@pytest.mark.parametrize(
    ("column", "value", "kind", "message"),
    [
        ("joints", b"\x00" * 100, pa.binary(), "joints of 100 bytes"),
        ("frames", 29, pa.int32(), "needs 8352"),
        ("reps", [1, 2, 3], pa.list_(pa.int32()), "odd number"),
        ("keys", [1, 1, 1, 0], pa.list_(pa.int8()), "4 key scores for 2 repetitions x 3"),
        ("captions", ["just one"], pa.list_(pa.string()), "1 captions"),
    ],
)
def test_a_damaged_row_names_file_and_row(column, value, kind, message):
    with pytest.raises(DataError, match=message) as caught:
        list(from_table(_edited(column, value, kind), "shard-00003.parquet", first_row=40))
    assert caught.value.where == "shard-00003.parquet, row 40 (A001P01R30)"


def test_another_schema_version_is_refused():
    table = to_table([_sample()])
    future = table.replace_schema_metadata({**table.schema.metadata, b"flag3d.version": b"99"})
    with pytest.raises(DataError, match="schema version 99"):
        list(from_table(future))


def test_foreign_parquet_is_refused():
    with pytest.raises(DataError, match="schema version None"):
        list(from_table(pa.table({"joints": [b""], "sample_id": ["x"]})))


def test_a_shard_has_one_layout():
    other = _sample(layout="smpl24")
    with pytest.raises(DataError, match="2 combinations of layout"):
        to_table([_sample(), other])


def test_the_content_hash_sees_every_field():
    base = content_hash(_sample())
    assert content_hash(_sample()) == base
    joints = _sample().joints_MTVC.copy()
    joints[0, 0, 0, 0] += np.float32(1e-3)
    changes = [
        {"joints_MTVC": joints},
        {"reps_R2": np.array([[2, 10], [10, 18]], np.int32)},
        {"keys_RS": None},
        {"captions": ("name", "details", "other")},
        {"subject": "S02"},
        {"layout": "smpl24"},
        {"fps": 25.0},
    ]
    assert len({base, *(content_hash(_sample(**change)) for change in changes)}) == len(changes) + 1


def test_the_content_hash_ignores_the_width_of_integers():
    assert content_hash(_sample(reps_R2=_sample().reps_R2.astype(np.int64))) == content_hash(_sample())
