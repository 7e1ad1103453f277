"""The doctor finds what would stop a launch, names a remedy for each finding, and changes nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from flag3d_ray import doctor
from flag3d_ray.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


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

    monkeypatch.setattr(doctor.machine.psutil, "virtual_memory", broken)
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
