import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psutil
import pytest

from flag3d_ray import ui
from flag3d_ray.errors import RunError
from flag3d_ray.home import Home
from flag3d_ray.mlflow_server import Place, Server, running_server
from flag3d_ray.store import Store
from flag3d_ray.tracking import EXPERIMENT, MlflowView, fill_view
from flag3d_ray.tracking import Place as TrackingPlace
from flag3d_ray.ui import compare_link, links, serve


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No tracking server in the environment, and a folder of the test's own for the password."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir()
    return Home.at(tmp_path / "home")


def test_without_a_database_the_remedy_is_named(home: Home) -> None:
    with pytest.raises(RunError, match="flag3d track --fill"):
        serve(home, say=lambda text: None)


def test_a_port_in_use_is_refused_before_the_server_starts(home: Home) -> None:
    (home.root / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RunError, match="choose another"):
            serve(home, taken.getsockname()[1], say=lambda text: None)


def test_a_tracking_server_of_ones_own_is_not_served_twice_nor_its_password_shown(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@127.0.0.1:5000")
    with pytest.raises(RunError, match="open that address") as refused:
        serve(home, say=lambda text: None)
    assert "s3cret" not in str(refused.value)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Place, Path | None]]:
    """Servers that `serve` starts, none of them real; it returns at once."""
    asked: list[tuple[Place, Path | None]] = []

    class Ends:
        def __init__(self, home: Home, place: Place, password: Path | None = None) -> None:
            asked.append((place, password))
            self.url = place.url

        def __enter__(self) -> Server:
            return Server(self.url)

        def __exit__(self, *_: object) -> None: ...

    def interrupted(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ui, "running_server", Ends)
    monkeypatch.setattr(ui, "links", lambda server: [f"no runs yet: {server.url}"])
    monkeypatch.setattr(ui.threading.Event, "wait", interrupted)
    return asked


def test_this_machine_alone_is_served_unless_another_host_is_named(home: Home, started: list) -> None:
    serve(home, say=lambda text: None)
    assert started == [(Place("127.0.0.1", "127.0.0.1", 5000), None)]


def test_a_host_that_others_reach_is_served_with_a_password_that_is_shown_once(home: Home, started: list) -> None:
    said: list[str] = []
    serve(home, host="192.0.2.7", say=said.append)
    ((place, file),) = started
    assert place.hosts == ("192.0.2.7:5000",)
    secret = file.read_text()
    assert sum(secret in line for line in said) == 1
    assert any("unencrypted" in line and "ssh -L" in line for line in said)
    said.clear()
    serve(home, host="192.0.2.7", say=said.append)
    assert file.read_text() == secret
    assert not any(secret in line for line in said)
    assert any(str(file) in line for line in said)


def test_a_password_can_be_asked_for_on_this_machine_too(home: Home, started: list) -> None:
    serve(home, password=True, say=lambda text: None)
    ((place, file),) = started
    assert place.is_loopback
    assert file is not None


def test_the_compare_link_carries_runs_and_experiment_as_json() -> None:
    link = compare_link("http://127.0.0.1:5000", "1", ["a", "b"])
    assert unquote(link) == 'http://127.0.0.1:5000/#/compare-runs?runs=["a","b"]&experiments=["1"]'
    assert '"' not in link


@pytest.mark.slow
def test_the_server_answers_this_machine_alone_and_takes_what_waited_for_it(home: Home) -> None:
    port = free_port()
    fill_view(Store(home.local / "runs"), TrackingPlace(home.mlflow_uri, home.local / "mlruns"), ())
    waiting = MlflowView(f"http://127.0.0.1:{port}", home.local / "mlruns", EXPERIMENT, "table 3", {"table": "3"})
    waiting.update([stored_cell(home)])
    wait_for(lambda: waiting.away_since is not None)
    with running_server(home, Place.at("127.0.0.1", port)) as server:
        assert server.url == f"http://127.0.0.1:{port}"
        assert status(port, "/api/2.0/mlflow/experiments/get?experiment_id=0", f"127.0.0.1:{port}") == 200
        for foreign in ("evil.example", "192.168.1.7", f"192.168.1.7:{port}", f"localhost:{port + 1}"):
            assert status(port, "/api/2.0/mlflow/experiments/get?experiment_id=0", foreign) == 403
        assert listening(port) == {"127.0.0.1"}
        wait_for(lambda: waiting.away_since is None)
        waiting.close([stored_cell(home)])
        assert waiting.problem == ""
        lines = links(server)
    assert lines[0].startswith(f"{EXPERIMENT}: http://127.0.0.1:{port}/#/experiments/")
    assert lines[1].startswith("compare table 3: ")
    assert len(json.loads(unquote(lines[1]).split("runs=")[1].split("&")[0])) == 1
    assert listening(port) == set()


def stored_cell(home: Home):
    from flag3d_ray.files import write_json
    from flag3d_ray.methods.counting.random_count import Random
    from flag3d_ray.progress import Cell
    from flag3d_ray.run import Run, to_json

    run, folder = Run(method=Random()), home.store.folder("key0")
    folder.write_record(run=to_json(run), digests={"dataset": "d" * 64})
    write_json(folder.metrics_path, {"mae": 0.5})
    return Cell(run, folder, "finished")


def status(port: int, path: str, host: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()


def listening(port: int) -> set[str]:
    found = psutil.net_connections("tcp")
    addresses: list[Any] = [item.laddr for item in found if item.status == psutil.CONN_LISTEN]
    return {address[0] for address in addresses if address[1] == port}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
