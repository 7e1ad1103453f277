"""A Ray cluster of several nodes on this machine, for tests: each node has its own processes and ports, all one token."""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import psutil

OBJECT_STORE_BYTES = 100 * 10**6
START_SECONDS = 300.0  # half a minute on two idle cores
LOOPBACK = "127.0.0.1"


class ClusterNodes:
    """A head without CPUs and `workers` nodes with `cpus` each; a context that ends every process it started.

    `address` is the job server's, `environment` what a client needs to reach it (a token of its own, in a file).
    """

    def __init__(self, workers: int = 2, cpus: int = 1, variables: Mapping[str, str] | None = None) -> None:
        self._workers, self._cpus = workers, cpus
        # Not pytest's folder: the paths of Ray's sockets must stay below 108 characters.
        self._folder = tempfile.TemporaryDirectory(prefix="nodes-", ignore_cleanup_errors=True)
        token = Path(self._folder.name) / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32), encoding="utf-8")
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        self._token, self._variables = token.read_text(encoding="utf-8"), dict(variables or {})
        self._processes: list[subprocess.Popen] = []

    def __enter__(self) -> "ClusterNodes":
        gcs, dashboard = free_port(), free_port()
        self.address = f"http://{LOOPBACK}:{dashboard}"
        try:
            head = ["--head", f"--port={gcs}", f"--dashboard-host={LOOPBACK}", f"--dashboard-port={dashboard}"]
            self._start(*head, "--num-cpus=0", f"--ray-client-server-port={free_port()}")
            self._wait_for(1)
            for _ in range(self._workers):
                self._start(f"--address={LOOPBACK}:{gcs}", f"--num-cpus={self._cpus}")
            self._wait_for(1 + self._workers)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def kill(self, ray_node: str) -> None:
        """End a node as a power cut would, by the identifier that Ray gave it."""
        (process,) = [process for process in self._processes if self._is_of(process, ray_node)]
        self._end(process)

    def alive(self) -> list[str]:
        """Identifiers of the nodes that Ray believes to be alive, the head's among them."""
        request = urllib.request.Request(
            f"{self.address}/nodes?view=summary", headers={"Authorization": f"Bearer {self._token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            nodes = json.load(answer)["data"]["summary"]
        return [node["raylet"]["nodeId"] for node in nodes if node["raylet"]["state"] == "ALIVE"]

    def stop(self) -> None:
        """End every process; nothing of the cluster is left."""
        for process in reversed(self._processes):
            self._end(process)
        self._folder.cleanup()

    def _start(self, *options: str) -> None:
        ports = (f"--dashboard-agent-listen-port={free_port()}", f"--node-ip-address={LOOPBACK}")
        # In a folder that they share, each node would replace the upload under the others' feet.
        places = (
            f"--temp-dir={self._folder.name}/{len(self._processes)}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
        )
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *options, *ports, *places, "--block"]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # a job's `python` is this one
        variables = os.environ | self.environment | {"RAY_USAGE_STATS_ENABLED": "0", "PATH": path} | self._variables
        log = Path(self._folder.name) / f"node-{len(self._processes)}.txt"
        with log.open("wb") as out:
            started = subprocess.Popen(command, env=variables, stdout=out, stderr=out, start_new_session=True)
        self._processes.append(started)

    def _wait_for(self, nodes: int) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if any(process.poll() is not None for process in self._processes):
                break
            try:
                if len(self.alive()) == nodes:
                    return
            except (OSError, urllib.error.URLError, KeyError, ValueError):
                pass
            time.sleep(0.5)
        logs = "\n".join(path.read_text(errors="replace") for path in Path(self._folder.name).glob("node-*.txt"))
        raise RuntimeError(f"{nodes} nodes did not start within {START_SECONDS:.0f} s:\n{logs}")

    def _is_of(self, process: subprocess.Popen, ray_node: str) -> bool:
        return any(f"--node_id={ray_node}" in words_of(child) for child in _tree(process))

    def _end(self, process: subprocess.Popen) -> None:
        tree = _tree(process)
        for member in tree:
            if member.is_running():
                member.kill()
        psutil.wait_procs(tree, timeout=20)
        process.poll()


def words_of(process: psutil.Process) -> list[str]:
    """A process's command line; empty where it has ended meanwhile: Ray's workers come and go."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _tree(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        top = psutil.Process(process.pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]
