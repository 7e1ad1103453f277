"""MLflow's pages for the runs of a home: one server for this machine, or for others who know its password."""

import contextlib
import json
import signal
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from flag3d_ray.home import Home
from flag3d_ray.mlflow_password import USER, ensure_password, password_file
from flag3d_ray.mlflow_server import LOOPBACK, Place, Server, running_server

_COMPARED = 50  # runs in a link: browsers and MLflow's page stay usable
_GROUPS = 5  # sweeps and tables that get a link


def serve(
    home: Home, port: int = 5000, host: str = LOOPBACK, *, password: bool = False, say: Callable[[str], None] = print
) -> None:
    """Start the server, print its links, and wait for Ctrl-C.

    Args:
        host: a name or an IPv4 address of this machine; where others reach it, a password is asked for in any case.

    Raises:
        RunError: another host than this machine, no database yet, a port in use, or a server that does not come up.
    """
    place = Place.at(host, port)
    file = password_file() if password or not place.is_loopback else None
    say("starting MLflow; this takes a quarter of a minute")
    is_new = file is not None and ensure_password(file)
    with _terminated_like_interrupted(), running_server(home, place, file) as server:
        if file is not None:
            shown = file.read_text(encoding="utf-8").strip()
            say(f"user {USER}, password {shown}, shown this once" if is_new else f"user {USER}, password in {file}")
        if not place.is_loopback:
            say("password and pages travel unencrypted: in a network that is not yours use ssh -L instead")
        for line in links(server):
            say(line)
        say("stop with Ctrl-C")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def links(server: Server) -> list[str]:
    """Lines with the experiments' pages, and for the newest sweeps and tables a page that compares their runs."""
    experiments = _ask(server, "experiments/search", {"max_results": 100}).get("experiments", [])
    ids = [item["experiment_id"] for item in experiments]
    lines = [
        f"{e['name']}: {server.url}/#/experiments/{e['experiment_id']}"
        for e in experiments
        if e["experiment_id"] != "0"
    ]
    for parent in _runs(server, ids, "tags.`flag3d.role` = 'parent'", _GROUPS):
        info = parent["info"]
        children = f"tags.`mlflow.parentRunId` = '{info['run_id']}' AND tags.`flag3d.role` = 'run'"
        if runs := _runs(server, ids, children, _COMPARED):
            lines.append(f"compare {info['run_name']}: {compare_link(server.url, info['experiment_id'], _ids(runs))}")
    return lines or [f"no runs yet: {server.url}"]


def compare_link(url: str, experiment: str, runs: list[str]) -> str:
    """MLflow's page that shows runs side by side."""

    def listed(values: list[str]) -> str:
        return quote(json.dumps(values, separators=(",", ":")))

    return f"{url}/#/compare-runs?runs={listed(runs)}&experiments={listed([experiment])}"


def _ids(runs: list[dict[str, Any]]) -> list[str]:
    return [run["info"]["run_id"] for run in runs]


def _runs(server: Server, experiments: list[str], query: str, most: int) -> list[dict[str, Any]]:
    body = {"experiment_ids": experiments, "filter": query, "max_results": most, "order_by": ["start_time DESC"]}
    return _ask(server, "runs/search", body).get("runs", [])


def _ask(server: Server, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    request = server.request(f"/api/2.0/mlflow/{verb}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


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
