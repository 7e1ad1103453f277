"""The doctor finds what would stop a launch, names a remedy for each finding, and changes nothing."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from flag3d_ray import doctor
from flag3d_ray.doctor import Check
from flag3d_ray.home import Home

NEWEST = next(iter(doctor._mlflow_schemas()[1]))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def only(found) -> Check:
    (check,) = found
    return check


def write_database(path: Path, revision: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        database.commit()


def test_every_finding_that_is_not_a_pass_names_a_remedy(home: Home) -> None:
    for check in doctor.checks(home):
        assert check.detail, check.name
        assert (check.state == "pass") == (check.remedy == ""), check


def test_looking_creates_nothing(home: Home) -> None:
    doctor.checks(home)
    assert not home.root.exists()


def test_a_probe_that_breaks_is_a_finding_and_hides_no_other(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no such thing here")

    monkeypatch.setattr(doctor.psutil, "virtual_memory", broken)
    found = {check.name: check for check in doctor.checks(home)}
    assert found["memory"].state == "fail"
    assert "no such thing here" in found["memory"].detail
    assert "python" in found
    assert "datasets" in found


@pytest.mark.slow
def test_neither_torch_nor_mlflow_is_imported_and_ray_does_not_start(home: Home) -> None:
    code = (
        "import sys; from pathlib import Path; from flag3d_ray.doctor import checks; from flag3d_ray.home import Home;"
        "checks(Home(Path(sys.argv[1])));"
        "assert not {'torch', 'mlflow', 'transformers'} & set(sys.modules);"
        "import ray; assert not ray.is_initialized()"
    )
    done = subprocess.run([sys.executable, "-c", code, str(home.root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_old_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "version_info", (3, 10, 4))
    check = only(doctor.python())
    assert check.state == "fail"
    assert "3.11" in check.remedy


def test_packages_that_are_missing_or_too_old_fail_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=2.0", "pyarrow>=9999", "no-such-package>=1", 'other-absent>=1; extra == "dev"']
    monkeypatch.setattr(doctor, "requires", lambda name: lines)
    found = {check.name: check for check in doctor.packages()}
    assert found["no-such-package"] == Check(
        "no-such-package", "fail", "not installed", 'pip install "no-such-package>=1"'
    )
    assert found["pyarrow"].state == "fail"
    assert ">=9999" in found["pyarrow"].detail
    assert found["packages"].detail.startswith("numpy ")
    assert "other-absent" not in found


def test_a_gpu_beside_a_torch_for_cpus_is_pointed_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "version.py").write_text("cuda: Optional[str] = None\n")
    monkeypatch.setattr(doctor, "find_spec", lambda name: type("Spec", (), {"origin": str(tmp_path / "__init__.py")}))
    monkeypatch.setattr(doctor, "_nvidia_gpus", lambda: ["NVIDIA H100, 81559 MiB"])
    assert only(doctor.accelerator()).state == "warn"
    (tmp_path / "version.py").write_text("cuda: Optional[str] = '12.8'\n")
    check = only(doctor.accelerator())
    assert check == Check("accelerator", "pass", "torch built for CUDA 12.8, on NVIDIA H100, 81559 MiB")


def test_a_container_with_fewer_processors_than_the_machine_is_told_how_many_runs_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    quota = tmp_path / "cpu.max"
    quota.write_text("200000 100000\n")
    check = only(doctor.cores(quota))
    assert check.state == "warn"
    assert "--concurrent 2" in check.remedy
    quota.write_text("max 100000\n")
    assert only(doctor.cores(quota)) == Check("cores", "pass", "64")


def test_the_memory_of_a_container_is_its_limit_less_what_it_uses(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{2 * doctor.GIB}\n")
    (tmp_path / "memory.current").write_text(f"{doctor.GIB}\n")
    check = only(doctor.memory(tmp_path / "memory.max"))
    assert check.state == "warn"
    assert check.detail.startswith("1.0 GiB free of 2.0 GiB")


@pytest.mark.parametrize(("free_gib", "state"), [(4.9, "warn"), (5.1, "pass")])
def test_less_than_five_gib_of_disk_is_a_warning(
    free_gib: float, state: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = type("Usage", (), {"free": int(free_gib * doctor.GIB)})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert only(doctor.disk(tmp_path / "not" / "yet")).state == state


def test_shared_memory_smaller_than_the_object_store_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = type("Usage", (), {"free": 64 * 2**20})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    check = only(doctor.shared_memory(tmp_path))
    assert check.state == "warn"
    assert "--shm-size=1024m" in check.remedy


def test_an_encoder_whose_variable_names_a_wrong_folder_fails_with_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLAG3D_BERT", str(tmp_path))
    found = {check.name: check for check in doctor.text_encoders()}
    assert found["text encoder bert"].state == "fail"
    assert "model.safetensors" in found["text encoder bert"].detail
    assert found["text encoder lexical"].state == "pass"


def test_an_address_that_nobody_answers_is_stale(tmp_path: Path) -> None:
    file = tmp_path / "ray_current_cluster"
    assert only(doctor.ray_address(file)).state == "pass"
    with socket.create_server(("127.0.0.1", 0)) as server:
        file.write_text(f"127.0.0.1:{server.getsockname()[1]}\n")
        assert only(doctor.ray_address(file)).state == "pass"
    stale = only(doctor.ray_address(file))
    assert stale.state == "warn"
    assert f"rm {file}" in stale.remedy


def test_ray_without_its_token_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert only(doctor.ray_token()).state == "warn"


def test_a_home_under_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert only(doctor.writable(tmp_path / "file" / "home")).state == "fail"
    assert only(doctor.writable(tmp_path / "new")).state == "pass"


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
    found = {check.name.removeprefix("dataset "): check for check in doctor.datasets(tmp_path)}
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
    assert only(doctor.tracking(f"sqlite:///{tmp_path / 'mlflow.db'}")).state == state


def test_a_file_that_is_no_database_fails(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to be read as one" * 50)
    check = only(doctor.tracking(f"sqlite:///{tmp_path / 'mlflow.db'}"))
    assert check.state == "fail"
    assert "flag3d track" in check.remedy


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    check = only(doctor.tracking(f"http://user:secret@127.0.0.1:{port}"))
    assert check.state == "warn"
    assert f"127.0.0.1:{port}" in check.detail
    assert "secret" not in check.detail + check.remedy
