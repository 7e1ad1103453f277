"""Ray's address, Ray's token, and every port that Ray and MLflow have open."""

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from flag3d_ray.doctor.check import Check
from flag3d_ray.doctor.listening import Listener
from flag3d_ray.private_file import readable_by_others
from flag3d_ray.ray_token import MODE, TOKEN, token_file

CONNECT_SECONDS = 0.5


def ray_address(file: Path) -> Iterator[Check]:
    """The address that Ray remembers. A crashed head leaves it behind, and trials then wait for a dead cluster."""
    address = file.read_text().strip() if file.exists() else ""
    if not address:
        yield Check("ray", "pass", "no cluster is running here; a launch starts its own")
    elif answers(address):
        yield Check("ray", "pass", f"a cluster answers at {address}; `--address auto` uses it")
    else:
        yield Check("ray", "warn", f"{file} names {address}, where nothing answers", f"ray stop, then rm {file}")


def ray_address_file() -> Path:
    """Where Ray keeps it, in Ray's own order of preference."""
    folder = os.environ.get("RAY_TMPDIR") or (os.environ.get("TMPDIR") if sys.platform == "linux" else None) or "/tmp"
    return Path(folder) / "ray" / "ray_current_cluster"


def ray_token() -> Iterator[Check]:
    """Without the token whoever reaches Ray's ports runs code here; with a readable one, whoever has an account here."""
    if os.environ.get(MODE, "token").lower() != "token":
        detail = f"{MODE}={os.environ[MODE]}: whoever reaches Ray's ports may run code"
        yield Check("ray token", "warn", detail, f"unset {MODE}")
        return
    file = token_file()
    if os.environ.get(TOKEN):
        detail = f"Ray's ports ask for the token of {TOKEN}, which every process inherits that you start from here"
        yield Check("ray token", "warn", detail, f"write it to {file} with mode 0600, and unset {TOKEN}")
    elif not file.exists():
        yield Check("ray token", "pass", f"Ray's ports ask for a token; the first launch makes it in {file}")
    elif readable_by_others(file):
        yield Check("ray token", "warn", f"others can read {file}", f"chmod 600 {file}; the next launch does it too")
    else:
        yield Check("ray token", "pass", f"Ray's ports ask for the token in {file}, which only you can read")


def ports(found: Sequence[Listener]) -> Iterator[Check]:
    """Which programs listen, apart by who can reach them. A cluster of several machines binds to every address."""
    if not found:
        yield Check("ports", "pass", "neither Ray nor MLflow listens here now")
    if near := [one for one in found if one.is_loopback]:
        yield Check("ports", "pass", f"open to this machine only: {_listed(near)}")
    if far := [one for one in found if not one.is_loopback]:
        detail = f"open to other machines, unless a firewall is in between: {_listed(far)}"
        remedy = (
            "close them by the firewall rule of docs/security.md: Ray's control ports ask for its token, but its ports for "
            "metrics answer everybody"
        )
        yield Check("ports", "warn", detail, remedy)


def _listed(found: Sequence[Listener]) -> str:
    numbers: dict[str, dict[int, None]] = {}
    for one in found:
        numbers.setdefault(one.program, {})[one.port] = None
    return ", ".join(f"{program} {' '.join(map(str, some))}" for program, some in numbers.items())


def answers(address: str) -> bool:
    """Whether something listens at `HOST:PORT`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True
