"""Bad input through the command line: where, rule and remedy, exit code 2, no traceback, and nothing half-written."""

import errno
import json
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flag3d_ray import files
from flag3d_ray.data import catalogue
from flag3d_ray.data.manifest import file_sha256
from flag3d_ray.evaluation import evaluate
from flag3d_ray.home import Home
from flag3d_ray.sample import Sample

Flag3d = Callable[..., Any]
DATASET = "synthetic-demo"  # the tiny dataset under a name for which the experiments have a protocol
TRAIN = ("train", "fourier", "--preset", "demo", "--executor", "local", "--no-track")
CHECK = ("data", "check", DATASET, "--format", "csv")


class Payload:
    """A pickle of this makes a folder when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def home(tmp_path: Path, write_tiny: Callable[[Path], None]) -> Home:
    home = Home(tmp_path / "home")
    write_tiny(home.dataset(DATASET))
    return home


@pytest.fixture
def shard(home: Home) -> Path:
    return home.dataset(DATASET) / "shard-00001.parquet"


@pytest.fixture
def evil(tmp_path: Path) -> Iterator[bytes]:
    """A pickle; the test fails if anything ever loads it."""
    marker = tmp_path / "loaded"
    yield pickle.dumps(Payload(marker))
    assert not marker.exists(), "the pickle was loaded"


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, tiny_sample: Callable[[int], Sample]) -> list[Sample]:
    """What the reader `ui_prmd` finds, whatever the folder."""
    samples = [replace(tiny_sample(index), subject=f"S{4 + index // 2:02d}") for index in range(8)]
    found = replace(catalogue.READERS["ui_prmd"], find=lambda root: samples, load=lambda sample: sample)
    monkeypatch.setitem(catalogue.READERS, "ui_prmd", found)
    return samples


def _tree(root: Path) -> dict[str, int]:
    """Files with sizes and folders; locks, which are empty and may stay, are left out."""
    found = (path for path in root.rglob("*") if path.suffix != ".lock")
    return {str(path.relative_to(root)): path.stat().st_size if path.is_file() else -1 for path in found}


def _refused(said: Any, *texts: str) -> None:
    """The words stand in the error, or among the findings of a check, whose files are relative to the dataset."""
    assert said.code == 2
    printed = " ".join((said.err or said.out.replace('"', "")).split())
    missing = [text for text in texts if text not in printed]
    assert missing == [], printed
    assert [word for word in ("error", "rule", "remedy") if word not in printed] == []
    assert "Traceback" not in said.err + said.out


def _rewrite(shard: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a shard and make the manifest agree with it, so that only the rows' own rules are broken."""
    table = change(pq.read_table(shard))
    pq.write_table(table, shard, compression="none", use_dictionary=False)
    path = shard.parent / "manifest.json"
    manifest = json.loads(path.read_text())
    entry = next(entry for entry in manifest["shards"] if entry["file"] == shard.name)
    entry |= {"bytes": shard.stat().st_size, "sha256": file_sha256(shard)}
    path.write_text(json.dumps(manifest))


def _replaced(column: str, row: int, value: Callable[[Any], Any]) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = value(values[row])
        place = table.schema.get_field_index(column)
        return table.set_column(place, table.schema.field(column), pa.array(values, table.schema.field(column).type))

    return change


def _with_nan(joints: bytes) -> bytes:
    values = np.frombuffer(joints, np.float32).copy()
    values[24 * 3 * 7 + 5] = np.nan  # frame 7 of 24 joints
    return values.tobytes()


def _layout(name: bytes) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.replace_schema_metadata({**table.schema.metadata, b"flag3d.layout": name})


@pytest.mark.parametrize("verb", [CHECK, TRAIN], ids=["check", "train"])
class TestBrokenShard:
    """Found by the check, and by a launch before anything is recorded."""

    def test_a_missing_shard(self, flag3d: Flag3d, home: Home, shard: Path, verb: tuple[str, ...]) -> None:
        shard.unlink()
        before = _tree(home.local)
        _refused(flag3d(*verb, "--home", home.root), f"{shard.name} is missing", "--force")
        assert _tree(home.local) == before

    def test_a_cut_shard(self, flag3d: Flag3d, home: Home, shard: Path, verb: tuple[str, ...]) -> None:
        size = shard.stat().st_size
        os.truncate(shard, size // 2)
        before = _tree(home.local)
        _refused(flag3d(*verb, "--home", home.root), shard.name, f"{size // 2} bytes, the manifest says {size}")
        assert _tree(home.local) == before

    def test_a_shard_that_is_no_parquet(self, flag3d: Flag3d, home: Home, shard: Path, verb: tuple[str, ...]) -> None:
        shard.write_bytes(b"x" * shard.stat().st_size)
        before = _tree(home.local)
        _refused(flag3d(*verb, "--home", home.root), f"{shard.name} is not readable Parquet")
        assert _tree(home.local) == before

    def test_a_pickle(self, flag3d: Flag3d, home: Home, shard: Path, verb: tuple[str, ...], evil: bytes) -> None:
        shard.write_bytes(evil)
        before = _tree(home.local)
        _refused(flag3d(*verb, "--home", home.root), shard.name, "this is a pickle", "convert it")
        assert _tree(home.local) == before

    def test_an_unknown_layout(self, flag3d: Flag3d, home: Home, shard: Path, verb: tuple[str, ...]) -> None:
        _rewrite(shard, _layout(b"octopus8"))
        before = _tree(home.local)
        _refused(flag3d(*verb, "--home", home.root), "octopus8", "flag3d24")
        assert _tree(home.local) == before

    @pytest.mark.parametrize(
        ("change", "rule"),
        [
            (lambda manifest: manifest["shards"][1].update(rows=7), "has 6 rows, the manifest says 7"),
            (lambda manifest: manifest["shards"][1].update(file="../shard.parquet"), "not a plain file name"),
            (lambda manifest: manifest.update(schema_version=0), "schema version 0, this is 1"),
            (lambda manifest: manifest.update(layout="coco17"), "the manifest says otherwise"),
            (lambda manifest: manifest.pop("card"), "manifest.json cannot be read"),
        ],
        ids=["rows", "name", "version", "layout", "card"],
    )
    def test_a_manifest_that_does_not_match(
        self, flag3d: Flag3d, home: Home, shard: Path, verb: tuple[str, ...], change: Callable[[Any], Any], rule: str
    ) -> None:
        path = shard.parent / "manifest.json"
        manifest = json.loads(path.read_text())
        change(manifest)
        path.write_text(json.dumps(manifest))
        before = _tree(home.local)
        _refused(flag3d(*verb, "--home", home.root), rule, "--force")
        assert _tree(home.local) == before

    def test_a_manifest_that_is_torn(self, flag3d: Flag3d, home: Home, shard: Path, verb: tuple[str, ...]) -> None:
        path = shard.parent / "manifest.json"
        path.write_text(path.read_text()[:100])
        _refused(flag3d(*verb, "--home", home.root), "manifest.json", "not valid JSON", "--force")


def test_a_changed_byte_is_found_by_the_check(flag3d: Flag3d, home: Home, shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    _refused(flag3d(*CHECK, "--home", home.root), shard.name, "SHA-256", "--force")


BROKEN_ROWS = {
    "nan": (_replaced("joints", 2, _with_nan), "NaN or infinite joints, first in frame 7", "repair or leave out"),
    "outside": (_replaced("reps", 2, lambda reps: [*reps[:-1], 9999]), "leaves the sequence of", "correct the"),
    "joints": (_replaced("joints", 2, lambda joints: joints[:-4]), "bytes, shape", "correct the annotation"),
}


@pytest.mark.parametrize("name", BROKEN_ROWS)
def test_a_row_that_breaks_a_rule_is_named_with_its_file(flag3d: Flag3d, home: Home, shard: Path, name: str) -> None:
    change, rule, remedy = BROKEN_ROWS[name]
    _rewrite(shard, change)
    _refused(flag3d(*CHECK, "--home", home.root), f"{shard.name},row 2 (A005-S01)", rule, remedy)


@pytest.mark.parametrize("name", BROKEN_ROWS)
def test_a_run_on_such_a_row_says_the_same_and_leaves_no_result(
    flag3d: Flag3d, home: Home, shard: Path, name: str
) -> None:
    change, rule, remedy = BROKEN_ROWS[name]
    _rewrite(shard, change)
    said = flag3d(*TRAIN, "--home", home.root)
    _refused(said, f"{shard}, row 2 (A005-S01)", rule, remedy)
    (folder,) = home.store
    assert not folder.metrics_path.exists()
    assert not folder.predictions.exists()


def test_pages_that_cannot_be_decoded_are_named(flag3d: Flag3d, home: Home) -> None:
    shard = home.dataset(DATASET) / "shard-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[4:400] = b"\xff" * 396
    shard.write_bytes(content)
    _refused(flag3d(*TRAIN, "--home", home.root), shard.name, "cannot be decoded", "--force")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda sample: replace(sample, joints_MTVC=sample.joints_MTVC * np.float32(np.nan)), "NaN or infinite joints"),
        (lambda sample: replace(sample, reps_R2=sample.reps_R2 + np.int32(50)), "leaves the sequence of"),
        (lambda sample: replace(sample, layout="octopus8"), "octopus8"),
    ],
    ids=["nan", "outside", "layout"],
)
def test_a_reader_that_breaks_a_rule_writes_no_dataset(
    flag3d: Flag3d, tmp_path: Path, reader: list[Sample], change: Callable[[Sample], Sample], rule: str
) -> None:
    reader[:] = [change(sample) for sample in reader]
    said = flag3d("data", "ingest", "ui_prmd", tmp_path, "--home", tmp_path / "home")
    _refused(said, rule)
    assert set(_tree(tmp_path / "home")) <= {"data"}


def test_an_encoder_that_cannot_be_reached(
    flag3d: Flag3d, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    before = _tree(home.local)
    said = flag3d("train", "hl_rac_addition", *TRAIN[2:], "--text-encoder", "bert", "--home", home.root)
    _refused(said, "text encoder 'bert'", "FLAG3D_BERT", "hf download", "'minilm' and 'lexical'")
    assert _tree(home.local) == before


def test_pickled_encoder_weights_are_not_loaded(
    flag3d: Flag3d, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil: bytes
) -> None:
    weights = tmp_path / "bert"
    weights.mkdir()
    (weights / "pytorch_model.bin").write_bytes(evil)
    (weights / "config.json").write_text("{}")
    (weights / "tokenizer.json").write_text("{}")
    monkeypatch.setenv("FLAG3D_BERT", str(weights))
    said = flag3d("train", "hl_rac_addition", *TRAIN[2:], "--text-encoder", "bert", "--home", home.root)
    _refused(said, str(weights), "pytorch_model.bin is a pickle, which is never loaded", "safe_serialization=True")


def test_a_pickle_in_place_of_a_checkpoint_is_not_loaded(flag3d: Flag3d, home: Home, evil: bytes) -> None:
    assert flag3d(*TRAIN, "--home", home.root).code == 0
    (folder,) = home.store
    folder.metrics_path.unlink()
    folder.model.write_bytes(evil)
    evaluate._loaded.cache_clear()
    assert flag3d(*TRAIN, "--home", home.root).code == 0
    assert folder.record()["recovery"] == "model.safetensors was damaged; started from its beginning"


def test_a_pickle_in_place_of_predictions_is_not_loaded(flag3d: Flag3d, home: Home, evil: bytes) -> None:
    assert flag3d(*TRAIN, "--home", home.root).code == 0
    (folder,) = home.store
    folder.predictions.write_bytes(evil)
    said = flag3d("table", 3, "--preset", "demo", "--no-run", "--seeds", 0, "--home", home.root)
    _refused(said, str(folder.predictions), "missing or damaged", "delete metrics.json beside it")


def test_a_pickle_in_place_of_a_recording_is_not_loaded(flag3d: Flag3d, tmp_path: Path, evil: bytes) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    (recordings / "m01_s01_correct.npz").write_bytes(evil)
    said = flag3d("data", "ingest", "ui_prmd", recordings, "--home", tmp_path / "home")
    _refused(said, "m01_s01_correct.npz", "this is a pickle, which could run any code when loaded")
    assert all(size == -1 for size in _tree(tmp_path / "home").values())


def _no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_while_a_dataset_is_written(
    flag3d: Flag3d, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: list[Sample]
) -> None:
    words = ("data", "ingest", "ui_prmd", tmp_path, "--home", tmp_path / "home")
    with monkeypatch.context() as full:
        full.setattr(pq.ParquetWriter, "write_table", _no_space)
        _refused(flag3d(*words), str(tmp_path / "home"), "no space left", "same command again")
    assert not (tmp_path / "home" / "data" / "ui_prmd").exists()
    assert flag3d(*words).code == 0
    assert [path for path in _tree(tmp_path / "home") if ".part" in path] == []


@pytest.mark.parametrize("name", ["model.safetensors", "predictions.parquet", "metrics.json", "record.json"])
def test_a_full_disk_while_a_run_is_written(
    flag3d: Flag3d, home: Home, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    sync = files.flush

    def full_for_one_file(path: Path) -> None:
        _no_space() if name in path.name else sync(path)

    with monkeypatch.context() as full:
        full.setattr(files, "flush", full_for_one_file)
        _refused(flag3d(*TRAIN, "--home", home.root), name, "no space left", "same command again")
    assert [path for path in _tree(home.local) if path.endswith(".part")] == []
    assert [path for path in _tree(home.local) if Path(path).name == name] == []
    said = flag3d(*TRAIN, "--home", home.root)
    assert said.code == 0, "the same command goes on, without --retry-failed"
    (folder,) = home.store
    assert folder.status == "finished"


def test_a_home_whose_record_is_damaged_says_which(flag3d: Flag3d, home: Home) -> None:
    assert flag3d(*TRAIN, "--home", home.root).code == 0
    (folder,) = home.store
    folder.metrics_path.unlink()
    folder.record_path.write_text('{"status": "fin')
    _refused(flag3d(*TRAIN, "--home", home.root), str(folder.record_path), "not valid JSON", "delete it")
