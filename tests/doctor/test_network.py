"""Ray's address, Ray's token, and the ports that are open."""

import socket
from pathlib import Path

import pytest

from flag3d_ray.doctor import network
from flag3d_ray.doctor.check import Check
from flag3d_ray.doctor.listening import Listener
from flag3d_ray.ray_token import MODE, TOKEN, TOKEN_FILE


def only(found) -> Check:
    (check,) = found
    return check


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file of this test's own that holds the token."""
    for name in (MODE, TOKEN):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "token").chmod(0o600)
    return tmp_path / "token"


def test_an_address_that_nobody_answers_is_stale(tmp_path: Path) -> None:
    file = tmp_path / "ray_current_cluster"
    assert only(network.ray_address(file)).state == "pass"
    with socket.create_server(("127.0.0.1", 0)) as server:
        file.write_text(f"127.0.0.1:{server.getsockname()[1]}\n")
        assert only(network.ray_address(file)).state == "pass"
    stale = only(network.ray_address(file))
    assert stale.state == "warn"
    assert f"rm {file}" in stale.remedy


def test_ray_without_its_token_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE, "disabled")
    assert only(network.ray_token()).state == "warn"


def test_a_token_that_others_can_read_or_inherit_is_a_warning_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, token: Path
) -> None:
    assert only(network.ray_token()).state == "pass"
    token.chmod(0o640)
    readable = only(network.ray_token())
    assert readable.state == "warn"
    assert f"chmod 600 {token}" in readable.remedy
    monkeypatch.setenv(TOKEN, "s3cret")
    inherited = only(network.ray_token())
    assert inherited.state == "warn"
    assert "s3cret" not in f"{readable}{inherited}"


def test_no_token_yet_is_no_problem(token: Path) -> None:
    token.unlink()
    assert only(network.ray_token()).state == "pass"
    assert not token.exists()


def test_ports_are_told_apart_by_who_can_reach_them() -> None:
    found = [
        Listener("MLflow", "127.0.0.1", 5000),
        Listener("gcs_server", "::", 6379),
        Listener("worker", "0.0.0.0", 40001),
        Listener("worker", "::", 40002),
    ]
    near, far = network.ports(found)
    assert near == Check("ports", "pass", "open to this machine only: MLflow 5000")
    assert far.state == "warn"
    assert far.detail.endswith(": gcs_server 6379, worker 40001 40002")
    assert "docs/security.md" in far.remedy
    assert only(network.ports([])).state == "pass"
