"""Whose ports are open, and to whom: of processes that look like Ray's and MLflow's, and of others."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from flag3d_ray.doctor.listening import Listener, listeners, program

LISTEN = (
    "import socket, sys; s = socket.create_server(('127.0.0.2', 0)); print(s.getsockname()[1], flush=True); input()"
)


@pytest.fixture(params=["mlflow.server.fastapi_app:app", "something.else:app"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """A process with that word in its command line, and the port on which it listens."""
    command = [sys.executable, "-c", LISTEN, request.param]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield request.param, int(process.stdout.readline())
        process.kill()


def test_ports_of_mlflow_are_found_and_those_of_other_programs_are_not(server: tuple[str, int]) -> None:
    word, port = server
    found = [one for one in listeners() if one.port == port]
    assert found == ([Listener("MLflow", "127.0.0.2", port)] if word.startswith("mlflow") else [])


@pytest.mark.parametrize(
    ("name", "words", "known_as"),
    [
        ("gcs_server", ["/ray/core/src/ray/gcs/gcs_server", "--log_dir=/tmp"], "gcs_server"),
        ("raylet", ["/ray/core/src/ray/raylet/raylet"], "raylet"),
        ("ray::Trainable.", ["ray::Trainable.train", "", ""], "worker"),
        ("ray::DashboardA", ["ray::DashboardAgent"], "DashboardAgent"),
        ("python", ["python", "-u", "/venv/ray/dashboard/dashboard.py", "--port=8265"], "dashboard"),
        ("ray-dashboard-S", ["ray-dashboard-ServeHead-0", "(python", "-c"], "dashboard"),
        ("python", ["python", "-m", "ray.util.client.server", "--port=10001"], "client server"),
        ("mlflow", ["python", "/venv/bin/mlflow", "server"], "MLflow"),
        ("sshd", ["sshd: user [priv]"], ""),
        ("kernel", [], ""),
    ],
)
def test_programs_are_known_by_name_and_command_line(name: str, words: list[str], known_as: str) -> None:
    assert program(name, words) == known_as


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.7", False),
        ("fe80::1%eth0", False),
    ],
)
def test_only_loopback_addresses_are_out_of_others_reach(address: str, is_loopback: bool) -> None:
    assert Listener("raylet", address, 1).is_loopback is is_loopback
