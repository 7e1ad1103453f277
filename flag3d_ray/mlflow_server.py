"""MLflow's server as one process of ours: where it listens, whom it answers, how it starts and ends."""

import contextlib
import errno
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from flag3d_ray.errors import RunError
from flag3d_ray.home import Home
from flag3d_ray.mlflow_password import APP, FILE_VARIABLE, authorization
from flag3d_ray.tracking.connect import require_driver, without_password

LOOPBACK = "127.0.0.1"
_START_SECONDS = 120.0  # 11 s on two idle cores
_STOP_SECONDS = 10.0
_SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@dataclass(frozen=True)
class Place:
    """Where a server listens: the name that its users type, the one address that it binds, the port."""

    host: str
    address: str
    port: int

    @classmethod
    def at(cls, host: str, port: int) -> "Place":
        """The place of a name or an IPv4 address of this machine.

        Raises:
            RunError: it is no name, or stands for all addresses: the server answers to exact names only.
        """
        try:
            address = str(socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
        except (OSError, UnicodeError) as error:
            rule = f"no name or IPv4 address: {error}"
            raise RunError(where=f"--host {host}", rule=rule, remedy=f"name {_own_addresses()}") from error
        if ipaddress.ip_address(address).is_unspecified:
            rule = "it stands for all addresses of this machine, and the server answers to exact names only"
            raise RunError(where=f"--host {host}", rule=rule, remedy=f"name the one that is used: {_own_addresses()}")
        return cls(host, address, port)

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone reaches it."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The Host headers that are answered, exactly; MLflow would else answer to every private address."""
        names = (self.host, self.address, *(["localhost"] if self.address == LOOPBACK else []))
        return tuple(f"{name}:{self.port}" for name in dict.fromkeys(names))


@dataclass(frozen=True)
class Server:
    """A server that answers at `url`, to callers that send `authorization` where it is not empty."""

    url: str
    authorization: str = field(default="", repr=False)

    def request(self, path: str, body: bytes | None = None) -> urllib.request.Request:
        """A request for `path`, with the header that the server asks for."""
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": self.authorization} if self.authorization else {}
        return urllib.request.Request(f"{self.url}{path}", body, headers)


@contextlib.contextmanager
def running_server(home: Home, place: Place, password: Path | None = None) -> Iterator[Server]:
    """A healthy server for the time of the block.

    Args:
        password: the file with the password that every caller must know; None only on a loopback address.

    Raises:
        RunError: no database yet, an address that is not here or a port in use, or a server that ends or hangs before it
            answers.
    """
    if password is None and not place.is_loopback:
        rule = "others reach it, and whoever reaches MLflow may change and delete runs"
        raise RunError(where=place.url, rule=rule, remedy="ask for a password")
    database = _database(home)
    _require_free(place)
    log = home.local / "mlflow-server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_command(home.local / "mlruns", place), *(["--app-name", APP] if password else [])],
            stdout=output,
            stderr=subprocess.STDOUT,
            # The database's address may hold a password, which every user of the machine could read in a command line.
            env=os.environ
            | _SETTINGS
            | {"MLFLOW_BACKEND_STORE_URI": database}
            | ({FILE_VARIABLE: str(password)} if password else {}),
            cwd=home.local,
            start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and we end the whole group once
        )
    server = Server(place.url, authorization(password) if password else "")
    try:
        _wait_until_healthy(process, server, log)
        yield server
    finally:
        _stop(process)


def _database(home: Home) -> str:
    """The address of the database that the server stands on: SQLite in the home, or PostgreSQL."""
    uri = home.mlflow_uri
    if uri.startswith("postgresql"):
        require_driver(uri)
        return uri
    if not uri.startswith("sqlite:///"):
        # Not the address as it was given: it may hold a password.
        rule = "MLFLOW_TRACKING_URI names a server"
        raise RunError(where="flag3d ui", rule=rule, remedy="open that address, or unset the variable")
    database = Path(uri.removeprefix("sqlite:///"))
    if not database.exists():
        remedy = "start a run, or fill MLflow from the store: flag3d track --fill"
        raise RunError(where=str(database), rule="there is no MLflow database yet", remedy=remedy)
    return f"sqlite:///{database}"


def _command(artifacts: Path, place: Place) -> list[str]:
    options = {
        "--artifacts-destination": artifacts.as_uri(),
        "--host": place.address,
        "--port": str(place.port),
        "--workers": "1",
        "--allowed-hosts": ",".join(place.hosts),
        "--cors-allowed-origins": ",".join(f"http://{host}" for host in place.hosts),
        "--x-frame-options": "DENY",
    }
    return [sys.executable, "-m", "mlflow", "server", *(word for option in options.items() for word in option)]


def _require_free(place: Place) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((place.address, place.port))
        except OSError as error:
            elsewhere = error.errno == errno.EADDRNOTAVAIL
            remedy = f"name {_own_addresses()}" if elsewhere else f"choose another: --port {place.port + 1}"
            where = f"--host {place.host}" if elsewhere else f"port {place.port}"
            raise RunError(where=where, rule=error.strerror or str(error), remedy=remedy) from error


def _own_addresses() -> str:
    found = [one.address for card in psutil.net_if_addrs().values() for one in card if one.family == socket.AF_INET]
    return " or ".join(dict.fromkeys([*found, LOOPBACK]))


def _wait_until_healthy(process: subprocess.Popen, server: Server, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(server.request("/health"), timeout=5),
        ):
            return
        time.sleep(0.3)
    last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
    raise RunError(
        where="MLflow's server", rule=f"it did not come up: {without_password(last[0])}", remedy=f"read {log}"
    )


def _stop(process: subprocess.Popen) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
            return
