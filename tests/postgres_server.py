"""A real PostgreSQL server for tests, on a free port of the loopback, with a user and a password of its own."""

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.cluster_nodes import free_port

FOLDERS = "/usr/lib/postgresql/*/bin"  # Debian keeps its programs off the path


def programs() -> Path | None:
    """The folder with `initdb` and `pg_ctl`, or None where there is none."""
    found = shutil.which("initdb")
    known = [Path(found).resolve().parent] if found else sorted(Path("/").glob(f"{FOLDERS[1:]}"))
    return known[-1] if known else None


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: the user that its package made, or else nobody."""
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


@contextlib.contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """The address of an empty database `flag3d`, password included; the server ends with the block."""
    where = programs()
    assert where is not None, "install postgresql"
    user, port, password = _unprivileged(), free_port(), secrets.token_hex(8)
    secret = folder / "password"
    secret.write_text(password, encoding="utf-8")
    if user is not None:
        for path in (folder, secret):
            shutil.chown(path, user)

    def call(*words: str) -> None:
        done = subprocess.run(words, user=user, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    data, log = folder / "data", folder / "server.log"
    call(
        str(where / "initdb"),
        *("--pgdata", str(data), "--username", "flag3d", "--pwfile", str(secret), "--auth", "scram-sha-256"),
        "--no-sync",
    )
    options = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories='' -c fsync=off"
    control = (str(where / "pg_ctl"), "--pgdata", str(data))
    # Its own output goes to the file: a pipe would stay open as long as the server runs.
    call(*control, "--log", str(log), "--options", options, "--wait", "start")
    try:
        yield f"postgresql://flag3d:{password}@127.0.0.1:{port}/postgres"
    finally:
        call(*control, "--mode", "immediate", "--wait", "stop")
