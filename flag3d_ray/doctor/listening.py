"""The TCP ports that this user's Ray and MLflow processes have open, and who can reach them."""

import ipaddress
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_OF_RAY = ("/ray/dashboard/", "/ray/_private/", "/ray/autoscaler/")


@dataclass(frozen=True, order=True)
class Listener:
    """One open port. `program` is what it belongs to: gcs_server, raylet, worker, driver, MLflow, ..."""

    program: str
    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone reaches it."""
        address = ipaddress.ip_address(self.address.partition("%")[0])
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def listeners() -> list[Listener]:
    """All of them, by program and port; processes of other users cannot be looked into."""
    return sorted({one for process in psutil.process_iter() for one in _of(process)})


def _of(process: psutil.Process) -> Iterator[Listener]:
    with suppress(psutil.Error, OSError):  # it has ended, or is another user's
        if process.uids().effective != os.geteuid():
            return
        name = program(process.name(), process.cmdline())
        if not name and "/ray/_raylet" in Path(f"/proc/{process.pid}/maps").read_text(errors="replace"):
            name = "driver"
        for one in process.net_connections("tcp") if name else ():
            if one.status == psutil.CONN_LISTEN:
                yield Listener(name, str(one.laddr[0]), int(one.laddr[1]))


def program(name: str, words: Sequence[str]) -> str:
    """What a process is to Ray or MLflow, from its name and command line; empty for all others."""
    if name in ("gcs_server", "raylet"):
        return name
    title = words[0] if words else ""
    if title.startswith("ray::"):
        return title.removeprefix("ray::") if title.endswith("Agent") else "worker"
    if title.startswith("ray-dashboard") or "ray.util.client.server" in words:
        return "dashboard" if title.startswith("ray-dashboard") else "client server"
    script = next((word for word in words if any(part in word for part in _OF_RAY)), "")
    if script:
        return Path(script).stem
    mlflow = ("mlflow.server", "flag3d_ray.mlflow_password")
    return "MLflow" if any(word.startswith(mlflow) or Path(word).name == "mlflow" for word in words) else ""
