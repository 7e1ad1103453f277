"""An ingested dataset, damaged in every way: manifest, shards, rows and splits; all of it is listed at once."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flag3d_ray.data.doctor.ingested import MOST_JSON_BYTES, examine_dataset
from flag3d_ray.data.findings import Finding, ordered
from flag3d_ray.data.ingest import write_dataset
from flag3d_ray.data.manifest import file_sha256
from flag3d_ray.data.splits import Split, write_split
from flag3d_ray.data.synthetic.generate import CARD, Synthetic, synthetic_sample

SPEC, ACTIONS = Synthetic(takes_per_action=2), 4
SPLIT = Split(
    name="by_action", by="action_id", rule="in order", seed=0, train=("A001", "A002"), valid=("A003",), test=("A004",)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four activities by two people each, in two shards of four rows."""
    folder = tmp_path / "mine"

    def make(rows):
        return (synthetic_sample(SPEC, row) for row in rows)

    write_dataset(folder, make, 2 * ACTIONS, card=CARD, shard_rows=4, finish=lambda hidden: write_split(hidden, SPLIT))
    return folder


def errors(folder: Path) -> list[Finding]:
    found = ordered(examine_dataset(folder).findings, "error")
    assert [finding for finding in found if not finding.remedy] == []
    return found


def rewrite(shard: Path, *changes: Callable[[pa.Table], pa.Table]) -> None:
    """Change a shard and make the manifest agree with it, so that only the rows' own rules are broken."""
    table = pq.read_table(shard)
    for change in changes:
        table = change(table)
    pq.write_table(table, shard, compression="none", use_dictionary=False)
    path = shard.parent / "manifest.json"
    manifest = json.loads(path.read_text())
    entry = next(entry for entry in manifest["shards"] if entry["file"] == shard.name)
    entry |= {"bytes": shard.stat().st_size, "sha256": file_sha256(shard)}
    path.write_text(json.dumps(manifest))


def replaced(column: str, row: int, value: Callable[[Any], Any]) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = value(values[row])
        field = table.schema.field(column)
        return table.set_column(table.schema.get_field_index(column), field, pa.array(values, field.type))

    return change


def with_nan(joints: bytes) -> bytes:
    values = np.frombuffer(joints, np.float32).copy()
    values[24 * 3 * 7 + 5] = np.nan
    return values.tobytes()


def test_a_dataset_without_damage_gives_no_finding_and_everything_is_read(folder: Path) -> None:
    told = []
    report = examine_dataset(folder, lambda *counts: told.append(counts))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert report.findings == ()
    assert (report.sequences, report.repetitions, report.frames) == (8, *_totals(manifest))
    assert told == [(row, 8) for row in range(1, 9)]


def _totals(manifest: dict[str, Any]) -> tuple[int, int]:
    return manifest["totals"]["repetitions"], manifest["totals"]["frames"]


def test_every_broken_row_of_every_shard_is_listed_and_what_is_wrong_with_it_apart(folder: Path) -> None:
    rewrite(
        folder / "shard-00000.parquet",
        replaced("reps", 0, lambda reps: [*reps[:-1], 99999]),
        replaced("joints", 1, with_nan),
        replaced("reps", 1, lambda reps: [reps[1], reps[0], *reps[2:]]),
        replaced("joints", 2, lambda joints: joints[:-4]),
        replaced("keys", 3, lambda keys: [7, *keys[1:]]),
    )
    rewrite(
        folder / "shard-00001.parquet",
        replaced("reps", 1, lambda reps: []),
        replaced("keys", 1, lambda keys: []),
        replaced("captions", 2, lambda captions: captions[:2]),
    )
    found = [(one.file, one.row, one.sample, one.rule) for one in errors(folder)]
    wanted = [
        ("shard-00000.parquet", "row 0 (A001P01R01), repetition", "A001P01R01", "99999) leaves the sequence"),
        ("shard-00000.parquet", "row 1 (A001P02R01)", "A001P02R01", "NaN or infinite joints, first in frame 7"),
        ("shard-00000.parquet", "row 1 (A001P02R01), repetition 1", "A001P02R01", "ends before it starts"),
        ("shard-00000.parquet", "row 2 (A002P02R01)", "A002P02R01", "bytes, shape"),
        ("shard-00000.parquet", "row 3 (A002P03R01)", "A002P03R01", "a key score other than 0 and 1"),
        ("shard-00001.parquet", "row 1 (A003P04R01)", "A003P04R01", "the count is 0"),
        ("shard-00001.parquet", "row 2 (A004P04R01)", "A004P04R01", "2 captions, three levels are needed"),
    ]
    assert len(found) == len(wanted), found
    for one, (file, row, sample, rule) in zip(found, wanted, strict=True):
        assert (one[0], one[1].startswith(row), one[2], rule in one[3]) == (file, True, sample, True), one


def _missing(shard: Path) -> None:
    shard.unlink()


def _truncated(shard: Path) -> None:
    os.truncate(shard, shard.stat().st_size // 2)


def _huge(shard: Path) -> None:
    os.truncate(shard, 10 * 2**30)


def _no_parquet(shard: Path) -> None:
    shard.write_bytes(b"x" * shard.stat().st_size)


def _pickled(shard: Path) -> None:
    shard.write_bytes(pickle.dumps(str))


def _linked(shard: Path) -> None:
    away = shard.parents[1] / "away.parquet"
    shard.rename(away)
    shard.symlink_to(away)


def _undecodable(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[4:400] = b"\xff" * 396
    shard.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "rules"),
    [
        (_missing, ["is missing"]),
        (_truncated, ["bytes, the manifest says"]),
        (_huge, ["10737418240 bytes, the manifest says"]),
        (_no_parquet, ["is not readable Parquet"]),
        (_pickled, ["a pickle"]),
        (_linked, ["outside the folder"]),
        (_undecodable, ["does not have the manifest's SHA-256", "rows 0 to 3 cannot be decoded"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_shard_is_named_and_the_rows_of_the_other_one_are_checked(
    folder: Path, damage: Callable[[Path], None], rules: list[str]
) -> None:
    rewrite(folder / "shard-00001.parquet", replaced("reps", 0, lambda reps: [*reps[:-1], 99999]))
    damage(folder / "shard-00000.parquet")
    report = examine_dataset(folder)
    found = ordered(report.findings, "error")
    of_shard = [one for one in found if one.file == "shard-00000.parquet"]
    assert len(of_shard) == len(rules)
    for rule in rules:
        assert any(rule in one.rule for one in of_shard), rule
    assert any("99999) leaves" in one.rule and one.file == "shard-00001.parquet" for one in found)
    assert report.sequences == 4
    assert not any(one.file.startswith("splits/") for one in found), "of what was not read nothing is known"


def test_a_changed_byte_is_found_by_its_hash_and_by_the_digest_of_the_content(folder: Path) -> None:
    shard = folder / "shard-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert [(one.file, one.rule.split(":")[0]) for one in errors(folder)] == [
        ("manifest.json", "the content does not have the manifest's digest"),
        ("shard-00000.parquet", "does not have the manifest's SHA-256"),
    ]


@pytest.mark.parametrize(
    ("text", "rule"),
    [("{", "not valid JSON"), ("[]", "schema version None"), ('{"schema_version": 1}', "cannot be read")],
)
def test_a_manifest_that_is_none_is_one_error(folder: Path, text: str, rule: str) -> None:
    (folder / "manifest.json").write_text(text)
    (found,) = errors(folder)
    assert rule in found.rule


def test_huge_tables_are_refused_without_being_read(folder: Path) -> None:
    with (folder / "splits" / "huge.json").open("wb") as file:
        file.truncate(MOST_JSON_BYTES + 1)
    (found,) = errors(folder)
    assert (found.file, "it is not read" in found.rule) == ("splits/huge.json", True)
    os.truncate(folder / "manifest.json", MOST_JSON_BYTES + 1)
    assert "manifest.json" in [one.file for one in errors(folder)]


def _edit_split(folder: Path, **changed: object) -> None:
    path = folder / "splits" / "by_action.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"test": ["A001"]}, "A001 stands in train and in test: a leak"),
        ({"test": ["A005"]}, "edited by hand"),
        ({"train": None}, "cannot be read"),
    ],
    ids=["leak", "edited", "torn"],
)
def test_a_split_that_was_edited_is_an_error(folder: Path, changed: dict[str, object], rule: str) -> None:
    _edit_split(folder, **changed)
    (found,) = errors(folder)
    assert (found.file, rule in found.rule) == ("splits/by_action.json", True)


def test_a_split_by_a_column_that_does_not_exist_is_an_error(folder: Path) -> None:
    parts = {"train": ["red"], "valid": [], "test": []}
    digest = hashlib.sha256(json.dumps({"by": "colour", **parts}, sort_keys=True).encode()).hexdigest()
    split = {"name": "odd", "by": "colour", "rule": "", "seed": 0, "digest": digest, **parts}
    (folder / "splits" / "odd.json").write_text(json.dumps(split))
    assert [one.file for one in errors(folder)] == ["splits/odd.json"]


def test_a_split_that_names_what_does_not_exist_and_leaves_out_what_does_is_found(folder: Path) -> None:
    write_split(folder, Split(name="old", by="subject", rule="", seed=0, train=("S77",), valid=(), test=("S01",)))
    found = [one for one in examine_dataset(folder).findings if one.file == "splits/old.json"]
    assert {one.severity for one in found} == {"error", "warning", "note"}
    assert any(one.rule.startswith("4 subject stand in no part: S02, S03, S04") for one in found)


def test_the_same_sequence_in_training_and_test_is_a_leak_and_named_for_an_exclusion_list(folder: Path) -> None:
    (joints,) = pq.read_table(folder / "shard-00001.parquet", columns=["joints"])["joints"].to_pylist()[2:3]
    frames = len(joints) // (24 * 3 * 4)
    rewrite(
        folder / "shard-00000.parquet",
        replaced("joints", 0, lambda _: joints),
        replaced("frames", 0, lambda _: frames),
        replaced("reps", 0, lambda _: [0, frames]),
        replaced("keys", 0, lambda _: [1, 1, 1]),
    )
    found = [one for one in errors(folder) if one.sample]
    assert [(one.file, one.row, one.sample) for one in found] == [
        ("shard-00000.parquet", "row 0 (A001P01R01)", "A001P01R01")
    ]
    assert f"shares {frames} frames with A004P04R01, in test" in found[0].rule


def test_two_rows_with_one_id_are_found(folder: Path) -> None:
    rewrite(folder / "shard-00000.parquet", replaced("sample_id", 1, lambda _: "A001P01R01"))
    found = [one for one in errors(folder) if one.sample]
    assert [one.row for one in found] == ["row 1 (A001P01R01)"]
    assert "stands in shard-00000.parquet, row 0 (A001P01R01) too" in found[0].rule


def test_a_dataset_reached_by_a_link_is_no_link_out_of_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert examine_dataset(tmp_path / "link").findings == ()
