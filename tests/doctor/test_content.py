"""Text encoders, datasets and the MLflow view, sound and damaged."""

import json
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flag3d_ray.doctor import content
from flag3d_ray.doctor.check import Check

NEWEST = next(iter(content._mlflow_schemas()[1]))


def only(found) -> Check:
    (check,) = found
    return check


def write_database(path: Path, revision: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        database.commit()


def test_an_encoder_whose_variable_names_a_wrong_folder_fails_with_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLAG3D_BERT", str(tmp_path))
    found = {check.name: check for check in content.text_encoders()}
    assert found["text encoder bert"].state == "fail"
    assert "model.safetensors" in found["text encoder bert"].detail
    assert found["text encoder lexical"].state == "pass"


def write_dataset(folder: Path, manifest: str, shard: bytes = b"1234") -> None:
    folder.mkdir()
    (folder / "manifest.json").write_text(manifest)
    (folder / "0.parquet").write_bytes(shard)


def test_datasets_are_compared_with_their_manifests_and_none_hides_another(tmp_path: Path) -> None:
    manifest = {"shards": [{"file": "0.parquet", "bytes": 4}], "totals": {"samples": 3}, "digest": "0123456789abcdef"}
    write_dataset(tmp_path / "sound", json.dumps(manifest))
    write_dataset(tmp_path / "cut", json.dumps(manifest), b"12")
    write_dataset(tmp_path / "torn", json.dumps(manifest)[:20])
    (tmp_path / "empty").mkdir()
    (tmp_path / ".half-written").mkdir()
    found = {check.name.removeprefix("dataset "): check for check in content.datasets(tmp_path)}
    assert {name: check.state for name, check in found.items()} == {
        "cut": "fail",
        "empty": "fail",
        "sound": "pass",
        "torn": "fail",
    }
    assert "0.parquet" in found["cut"].detail
    assert "flag3d data check torn" in found["torn"].remedy


@pytest.mark.parametrize(("revision", "state"), [(NEWEST, "pass"), ("451aebb31d03", "warn"), ("feedfeedfeed", "fail")])
def test_the_tracking_database_is_judged_by_its_schema(revision: str, state: str, tmp_path: Path) -> None:
    write_database(tmp_path / "mlflow.db", revision)
    assert only(content.tracking(f"sqlite:///{tmp_path / 'mlflow.db'}")).state == state


def test_a_file_that_is_no_database_fails(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to be read as one" * 50)
    check = only(content.tracking(f"sqlite:///{tmp_path / 'mlflow.db'}"))
    assert check.state == "fail"
    assert "flag3d track" in check.remedy


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    check = only(content.tracking(f"http://user:secret@127.0.0.1:{port}"))
    assert check.state == "warn"
    assert f"127.0.0.1:{port}" in check.detail
    assert "secret" not in check.detail + check.remedy
