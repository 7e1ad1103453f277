"""MLflow's pages for the runs of a home: one server process on this machine only, stopped with Ctrl-C."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flag3d_ray.errors import RunError
from flag3d_ray.home import Home

LOOPBACK = "127.0.0.1"
_START_SECONDS = 120.0  # 11 s on two idle cores
_STOP_SECONDS = 10.0
_COMPARED = 50  # runs in a link: browsers and MLflow's page stay usable
_GROUPS = 5  # sweeps and tables that get a link
_SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve(home: Home, port: int = 5000, host: str = LOOPBACK, *, say: Callable[[str], None] = print) -> None:
    """Start the server, print its links, and wait for Ctrl-C.

    Raises:
        RunError: another host than this machine, no database yet, a port in use, or a server that does not come up.
    """
    if host not in (LOOPBACK, "localhost"):
        rule = f"{host} can be reached from outside, and whoever reaches MLflow may change and delete runs"
        raise RunError(
            where="--host",
            rule=rule,
            remedy=f"leave it at {LOOPBACK} and use an SSH tunnel: ssh -L {port}:{LOOPBACK}:{port}",
        )
    say("starting MLflow; this takes a quarter of a minute")
    with _terminated_like_interrupted(), running_server(home, port) as address:
        for line in links(address):
            say(line)
        say("stop with Ctrl-C")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


@contextlib.contextmanager
def running_server(home: Home, port: int) -> Iterator[str]:
    """A healthy server on 127.0.0.1 for the time of the block; gives its address.

    Raises:
        RunError: no database yet, a port in use, or a server that ends or hangs before it answers.
    """
    database = _database(home)
    _require_free(port)
    log = home.root / "mlflow-server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(database, home.root / "mlruns", port),
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | _SETTINGS,
            cwd=home.root,
            start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and we end the whole group once
        )
    try:
        _wait_until_healthy(process, f"http://{LOOPBACK}:{port}", log)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        _stop(process)


def links(address: str) -> list[str]:
    """Lines with the experiments' pages, and for the newest sweeps and tables a page that compares their runs."""
    experiments = _ask(address, "experiments/search", {"max_results": 100}).get("experiments", [])
    ids = [item["experiment_id"] for item in experiments]
    lines = [
        f"{e['name']}: {address}/#/experiments/{e['experiment_id']}" for e in experiments if e["experiment_id"] != "0"
    ]
    for parent in _runs(address, ids, "tags.`flag3d.role` = 'parent'", _GROUPS):
        info = parent["info"]
        children = f"tags.`mlflow.parentRunId` = '{info['run_id']}' AND tags.`flag3d.role` = 'run'"
        if runs := _runs(address, ids, children, _COMPARED):
            lines.append(f"compare {info['run_name']}: {compare_link(address, info['experiment_id'], _ids(runs))}")
    return lines or [f"no runs yet: {address}"]


def compare_link(address: str, experiment: str, runs: list[str]) -> str:
    """MLflow's page that shows runs side by side."""

    def listed(values: list[str]) -> str:
        return quote(json.dumps(values, separators=(",", ":")))

    return f"{address}/#/compare-runs?runs={listed(runs)}&experiments={listed([experiment])}"


def _ids(runs: list[dict[str, Any]]) -> list[str]:
    return [run["info"]["run_id"] for run in runs]


def _runs(address: str, experiments: list[str], query: str, most: int) -> list[dict[str, Any]]:
    body = {"experiment_ids": experiments, "filter": query, "max_results": most, "order_by": ["start_time DESC"]}
    return _ask(address, "runs/search", body).get("runs", [])


def _ask(address: str, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/api/2.0/mlflow/{verb}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def _database(home: Home) -> Path:
    if not home.mlflow_uri.startswith("sqlite:///"):
        rule = f"MLFLOW_TRACKING_URI names a server: {home.mlflow_uri}"
        raise RunError(where="flag3d ui", rule=rule, remedy="open that address, or unset the variable")
    database = Path(home.mlflow_uri.removeprefix("sqlite:///"))
    if not database.exists():
        remedy = "start a run, or fill MLflow from the store: flag3d track --fill"
        raise RunError(where=str(database), rule="there is no MLflow database yet", remedy=remedy)
    return database


def _command(database: Path, artifacts: Path, port: int) -> list[str]:
    """Exact hosts and origins: MLflow would else answer to every private address."""
    hosts = [f"{name}:{port}" for name in (LOOPBACK, "localhost")]
    options = {
        "--backend-store-uri": f"sqlite:///{database}",
        "--artifacts-destination": artifacts.as_uri(),
        "--host": LOOPBACK,
        "--port": str(port),
        "--workers": "1",
        "--allowed-hosts": ",".join(hosts),
        "--cors-allowed-origins": ",".join(f"http://{host}" for host in hosts),
        "--x-frame-options": "DENY",
    }
    return [sys.executable, "-m", "mlflow", "server", *(word for option in options.items() for word in option)]


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise RunError(
                where=f"port {port}", rule=str(error), remedy=f"choose another: --port {port + 1}"
            ) from error


def _wait_until_healthy(process: subprocess.Popen, address: str, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"{address}/health", timeout=5),
        ):
            return
        time.sleep(0.3)
    last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
    raise RunError(where="MLflow's server", rule=f"it did not come up: {last[0]}", remedy=f"read {log}")


def _stop(process: subprocess.Popen) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
            return


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends the server too, which would outlive us otherwise."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
