"""A real Ray during a sweep: what listens, that nobody gets through without the token, and that the token stays where it is.

Every call is one raw gRPC request (HTTP/2): Ray brings no Python client for gRPC, and a client of Ray's would show the token.
"""

import http.client
import json
import os
import re
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from flag3d_ray.doctor.listening import Listener, program
from flag3d_ray.home import Home
from tests.cluster_nodes import ClusterNodes

OK, UNIMPLEMENTED, UNAUTHENTICATED = 0, 12, 16  # status codes of gRPC
CONTROL = ("gcs_server", "raylet", "driver", "worker")
METHODS = (  # they read and change nothing: a port that let them through would not be harmed
    "NodeInfoGcsService/GetAllNodeInfo",
    "NodeManagerService/GetNodeStats",
    "CoreWorkerService/GetCoreWorkerStats",
    "ObjectManagerService/Pull",
    "ReporterService/GetTraceback",
    "RayletDriver/ClusterInfo",
)
SWEEP = """
import json, socket, sys
from pathlib import Path
import ray
from flag3d_ray.cluster import cluster
from flag3d_ray.doctor.listening import listeners
from flag3d_ray.execution import ensure
from flag3d_ray.home import Home
from flag3d_ray.methods.catalogue import RECORDED
from flag3d_ray.mlflow_server import Place, running_server
from flag3d_ray.run import Resources, run_from_json
from flag3d_ray.tracking import EXPERIMENT, MlflowView

home, resources = Home(Path(sys.argv[1])), Resources(concurrent=1, cpus=2)
runs = [run_from_json(one, RECORDED) for one in json.loads(sys.argv[2])]
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    place = Place.at("127.0.0.1", probe.getsockname()[1])
with cluster(resources):
    view = MlflowView(home.mlflow_uri, home.root / "mlruns", EXPERIMENT, "two seeds", patience=300.0)
    cells = ensure(runs, home, resources, [view])
    worker = ray.remote(num_cpus=0)(type("Worker", (), {"ping": lambda self: 1})).remote()
    ray.get(worker.ping.remote())
    with running_server(home, place):
        print(json.dumps([[cell.state for cell in cells], sorted({one.port for one in listeners()})]), flush=True)
        sys.stdin.readline()
"""


def listening(top: psutil.Process) -> list[tuple[str, str, int]]:
    """(program, address, port) of a process and its children; other clusters on this machine are not asked anything."""
    found = []
    for process in (top, *top.children(recursive=True)):
        name = program(process.name(), process.cmdline()) or "driver"
        for one in process.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN:
                found.append((name, str(one.laddr[0]), int(one.laddr[1])))
    return found


@dataclass(frozen=True)
class Launch:
    """A launch whose runs are done, with Ray, a worker and the UI still open: it waits for a line."""

    process: subprocess.Popen
    states: list[str]
    doctor: set[int]
    token: str
    home: Home
    ray: Path

    def listening(self) -> list[tuple[str, str, int]]:
        return listening(psutil.Process(self.process.pid))


@pytest.fixture(scope="module")
def launch(fresh_home, tiny_run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """Two tiny runs on a local Ray with a token of its own and MLflow as a view, then MLflow's pages."""
    from flag3d_ray.run import to_json

    home, token = fresh_home(), secrets.token_hex(32)
    # Not pytest's folder: the paths of Ray's sockets must stay below 108 characters.
    ray = Path(tempfile.mkdtemp(prefix="ports-"))
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(token)
    file.chmod(0o644)  # as Ray leaves it: the launch closes it
    runs = json.dumps([to_json(tiny_run(seed=seed)) for seed in (0, 1)])
    variables = {"RAY_AUTH_TOKEN_PATH": str(file), "RAY_TMPDIR": str(ray), "RAY_AUTH_MODE": "token"}
    environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_TOKEN"} | variables
    log = home.root / "launch.log"
    with log.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", SWEEP, str(home.root), runs],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
            env=environment,
        )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, log.read_text()
        assert file.stat().st_mode & 0o077 == 0
        assert str(file) in log.read_text()
        states, doctor = json.loads(first)
        yield Launch(process, states, set(doctor), token, home, ray)
    finally:
        for one in [*psutil.Process(process.pid).children(recursive=True), process] if process.poll() is None else ():
            one.kill()
        process.wait()
        shutil.rmtree(ray, ignore_errors=True)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def grpc_status(port: int, method: str, token: str = "") -> int | None:
    """The status of a call with an empty message; None where the port speaks no HTTP/2."""
    heads = {":method": "POST", ":scheme": "http", ":path": f"/ray.rpc.{method}", ":authority": "localhost"}
    heads |= {"content-type": "application/grpc", "te": "trailers"}
    heads |= {"authorization": f"Bearer {token}"} if token else {}
    packed = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in heads.items()
    )
    asked = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"") + _frame(1, 4, 1, packed)
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(asked + _frame(0, 1, 1, bytes(5)))
        try:
            while not (found := re.search(rb"grpc-status[\x01\x02](\d+)", answer)):
                more = connection.recv(65536)
                if not more:
                    return None
                answer += more
        except (TimeoutError, ConnectionResetError):
            return None
    return int(found[1])


def http_answer(port: int, path: str = "/", method: str = "POST", token: str = "") -> tuple[int, bytes]:
    """Status and body of a request; 0 where the port speaks no HTTP/1."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.BadStatusLine:
        return 0, b""
    finally:
        connection.close()


def without_token(port: int) -> str:
    """What a port gives callers without the token and with another: `refused`, `metrics`, or what it gave."""
    for token in ("", secrets.token_hex(32)):
        found = {grpc_status(port, method, token) for method in METHODS}
        if found == {None}:
            answers = http_answer(port, token=token), http_answer(port, method="GET", token=token)
            if {status for status, _ in answers} == {405, 200} and answers[1][1].startswith(b"# HELP"):
                return "metrics"
            if not {status for status, _ in answers} <= {401, 403}:
                return f"HTTP {answers}"
        elif not {UNAUTHENTICATED} <= found <= {UNAUTHENTICATED, UNIMPLEMENTED}:
            return f"gRPC {found}"
    return "refused"


@pytest.mark.slow
class TestLaunch:
    """One launch; the last test lets it end."""

    def test_nothing_is_open_to_other_machines(self, launch: Launch) -> None:
        found = launch.listening()
        assert {*CONTROL, "MLflow"} <= {name for name, _, _ in found}
        assert [one for one in found if not Listener(*one).is_loopback] == []

    def test_the_doctor_lists_every_port(self, launch: Launch) -> None:
        assert {port for _, _, port in launch.listening()} <= launch.doctor

    def test_every_port_of_ray_refuses_calls_without_the_token_and_with_another(self, launch: Launch) -> None:
        found = {(name, port): without_token(port) for name, _, port in launch.listening() if name != "MLflow"}
        assert {name for name, _ in found} >= {*CONTROL, "RuntimeEnvAgent"}
        assert {said for (name, _), said in found.items() if name in CONTROL} == {"refused"}
        assert set(found.values()) <= {
            "refused",
            "metrics",
        }  # metrics, for this machine, where ray[default] is installed

    def test_the_token_opens_what_was_closed(self, launch: Launch) -> None:
        (port,) = [port for name, _, port in launch.listening() if name == "gcs_server"]
        assert grpc_status(port, METHODS[0], launch.token) == OK

    def test_the_token_is_in_no_file_of_the_home_of_mlflow_or_of_rays_logs(self, launch: Launch) -> None:
        out, _ = launch.process.communicate("go on\n", timeout=300)
        assert launch.states == ["finished", "finished"]
        assert (launch.home.root / "mlflow.db").exists()
        files = [path for root in (launch.home.root, launch.ray) for path in root.rglob("*") if path.is_file()]
        assert {"record.json", "events.jsonl", "launch.log", "raylet.out"} <= {path.name for path in files}
        assert [str(path) for path in files if launch.token.encode() in path.read_bytes()] == []
        assert launch.token not in out


@pytest.mark.slow
def test_a_process_that_would_not_show_the_token_is_told_so_before_anything_starts(tmp_path: Path) -> None:
    uses = (
        "from flag3d_ray.cluster import cluster; from flag3d_ray.run import Resources; cluster(Resources()).__enter__()"
    )
    code = f"import ray; {uses}"
    variables = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"), "RAY_TMPDIR": str(tmp_path)}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "import flag3d_ray before ray" in done.stderr
    assert not (tmp_path / "ray").exists()


@pytest.fixture(scope="module")
def head() -> Iterator[ClusterNodes]:
    """A head as `ray start` makes it, with its dashboard and job server."""
    pytest.importorskip("aiohttp_cors", reason="the job server needs ray[default]")
    with ClusterNodes(workers=0) as nodes:
        yield nodes


@pytest.mark.slow
class TestHead:
    """What others reach of a cluster of several machines."""

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/version"),
            ("GET", "/api/jobs/"),
            ("POST", "/api/jobs/"),
            ("DELETE", "/api/jobs/x"),
            ("GET", "/nodes?view=summary"),
            ("GET", "/api/v0/tasks"),
            ("GET", "/logs"),
        ],
    )
    def test_the_job_server_answers_nobody_without_the_token(self, head: ClusterNodes, method: str, path: str) -> None:
        port = int(head.address.rpartition(":")[2])
        assert http_answer(port, path, method)[0] == 401
        assert http_answer(port, path, method, secrets.token_hex(32))[0] in (401, 403)
        assert http_answer(port, path, method, Path(head.environment["RAY_AUTH_TOKEN_PATH"]).read_text())[0] != 401

    def test_its_dashboard_is_for_this_machine_and_leads_to_no_file(self, head: ClusterNodes) -> None:
        port = int(head.address.rpartition(":")[2])
        assert {address for _, address, one in listening(psutil.Process()) if one == port} == {"127.0.0.1"}
        for path in ("/static/../../../../etc/passwd", "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/../../etc/passwd"):
            status, body = http_answer(port, path, "GET")
            assert status in (400, 401, 403, 404)
            assert b"root:" not in body

    def test_what_other_machines_reach_refuses_them_or_is_metrics(self, head: ClusterNodes) -> None:
        wide = [(name, port) for name, address, port in listening(psutil.Process()) if address in ("::", "0.0.0.0")]
        found = {(name, port): without_token(port) for name, port in wide}
        assert {"gcs_server", "raylet"} <= {name for name, _ in found}
        assert {said for (name, _), said in found.items() if name in CONTROL} == {"refused"}
        assert set(found.values()) <= {"refused", "metrics"}, found
