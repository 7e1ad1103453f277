"""Python, packages, processors, memory and disks, each on machines that lack them."""

import os
from pathlib import Path

import pytest

from flag3d_ray.doctor import machine
from flag3d_ray.doctor.check import Check


def only(found) -> Check:
    (check,) = found
    return check


def test_an_old_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.sys, "version_info", (3, 10, 4))
    check = only(machine.python())
    assert check.state == "fail"
    assert "3.11" in check.remedy


def test_packages_that_are_missing_or_too_old_fail_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=2.0", "pyarrow>=9999", "no-such-package>=1", 'other-absent>=1; extra == "dev"']
    monkeypatch.setattr(machine, "requires", lambda name: lines)
    found = {check.name: check for check in machine.packages()}
    assert found["no-such-package"] == Check(
        "no-such-package", "fail", "not installed", 'pip install "no-such-package>=1"'
    )
    assert found["pyarrow"].state == "fail"
    assert ">=9999" in found["pyarrow"].detail
    assert found["packages"].detail.startswith("numpy ")
    assert "other-absent" not in found


def test_a_gpu_beside_a_torch_for_cpus_is_pointed_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "version.py").write_text("cuda: Optional[str] = None\n")
    monkeypatch.setattr(machine, "find_spec", lambda name: type("Spec", (), {"origin": str(tmp_path / "__init__.py")}))
    monkeypatch.setattr(machine, "_nvidia_gpus", lambda: ["NVIDIA H100, 81559 MiB"])
    assert only(machine.accelerator()).state == "warn"
    (tmp_path / "version.py").write_text("cuda: Optional[str] = '12.8'\n")
    check = only(machine.accelerator())
    assert check == Check("accelerator", "pass", "torch built for CUDA 12.8, on NVIDIA H100, 81559 MiB")


def test_a_container_with_fewer_processors_than_the_machine_is_told_how_many_runs_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    quota = tmp_path / "cpu.max"
    quota.write_text("200000 100000\n")
    check = only(machine.cores(quota))
    assert check.state == "warn"
    assert "--concurrent 2" in check.remedy
    quota.write_text("max 100000\n")
    assert only(machine.cores(quota)) == Check("cores", "pass", "64")


def test_the_memory_of_a_container_is_its_limit_less_what_it_uses(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{2 * machine.GIB}\n")
    (tmp_path / "memory.current").write_text(f"{machine.GIB}\n")
    check = only(machine.memory(tmp_path / "memory.max"))
    assert check.state == "warn"
    assert check.detail.startswith("1.0 GiB free of 2.0 GiB")


@pytest.mark.parametrize(("free_gib", "state"), [(4.9, "warn"), (5.1, "pass")])
def test_less_than_five_gib_of_disk_is_a_warning(
    free_gib: float, state: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = type("Usage", (), {"free": int(free_gib * machine.GIB)})
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: usage)
    assert only(machine.disk(tmp_path / "not" / "yet")).state == state


def test_shared_memory_smaller_than_the_object_store_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = type("Usage", (), {"free": 64 * 2**20})
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: usage)
    check = only(machine.shared_memory(tmp_path))
    assert check.state == "warn"
    assert "--shm-size=1024m" in check.remedy


def test_a_home_under_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert only(machine.writable(tmp_path / "file" / "home")).state == "fail"
    assert only(machine.writable(tmp_path / "new")).state == "pass"
