"""MLflow's server is reached by whom it was started for, under exact names, and gives nothing away to anybody else."""

import http.client
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flag3d_ray.errors import RunError
from flag3d_ray.home import Home
from flag3d_ray.mlflow_password import ensure_password
from flag3d_ray.mlflow_server import Place, Server, running_server
from flag3d_ray.store import Store
from flag3d_ray.tracking import Place as TrackingPlace
from flag3d_ray.tracking import fill_view

EXPERIMENT = "/api/2.0/mlflow/experiments/get?experiment_id=0"
OUT = "../../../../../../../../etc/passwd"
ENCODED = "%2e%2e%2f" * 8 + "etc%2fpasswd"
TRAVERSALS = (
    f"/get-artifact?path={OUT}&run_uuid={{run}}",
    f"/get-artifact?path={ENCODED}&run_uuid={{run}}",
    "/get-artifact?path=/etc/passwd&run_uuid={run}",
    f"/get-artifact?path=a&run_uuid={OUT}",
    f"/ajax-api/2.0/mlflow/get-artifact?path={OUT}&run_uuid={{run}}",
    f"/api/2.0/mlflow/artifacts/list?run_id={{run}}&path={OUT}",
    f"/api/2.0/mlflow-artifacts/artifacts/{OUT}",
    f"/api/2.0/mlflow-artifacts/artifacts/{ENCODED}",
    f"/api/2.0/mlflow-artifacts/artifacts?path={OUT}",
    "/api/2.0/mlflow-artifacts/artifacts//etc/passwd",
    f"/static-files/{OUT}",
    f"/static-files/{ENCODED}",
    f"/{OUT}",
)


@pytest.fixture(autouse=True)
def _no_server_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "no such name", "a" * 300])
def test_all_addresses_at_once_and_what_is_no_address_are_refused(host: str) -> None:
    with pytest.raises(RunError, match=r"127\.0\.0\.1"):
        Place.at(host, 5000)


def test_the_exact_names_that_are_answered_follow_from_the_host() -> None:
    assert Place.at("127.0.0.1", 5000).hosts == ("127.0.0.1:5000", "localhost:5000")
    assert Place.at("127.0.0.2", 5000).hosts == ("127.0.0.2:5000",)
    assert Place("lab-3", "192.0.2.7", 80).hosts == ("lab-3:80", "192.0.2.7:80")


def test_who_reaches_a_place_is_decided_by_its_address_and_not_by_its_name() -> None:
    assert Place.at("localhost", 5000).is_loopback
    assert not Place("localhost", "192.0.2.7", 5000).is_loopback


def test_others_are_never_served_without_a_password(home: Home) -> None:
    with pytest.raises(RunError, match="password"), running_server(home, Place("lab-3", "192.0.2.7", 5000)):
        pass


def test_an_address_of_another_machine_is_refused_before_the_server_starts(home: Home) -> None:
    (home.root / "mlflow.db").touch()
    ensure_password(home.local / "password")
    with (
        pytest.raises(RunError, match=r"--host.*192\.0\.2\.77"),
        running_server(home, Place.at("192.0.2.77", 5000), home.local / "password"),
    ):
        pass


def test_a_server_is_shown_without_what_opens_it() -> None:
    assert "s3cret" not in repr(Server("http://127.0.0.1:5000", "Basic s3cret"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Place, Home]]:
    """A real server with a password, started once: it takes 11 s on two idle cores."""
    home = Home(tmp_path_factory.mktemp("served"))
    fill_view(Store(home.local / "runs"), TrackingPlace(f"sqlite:///{home.local}/mlflow.db", home.local / "mlruns"), ())
    password = home.local.parent / "ui_password"
    ensure_password(password)
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        place = Place.at("127.0.0.2", probe.getsockname()[1])
    with running_server(home, place, password) as running:
        yield running, place, home


def ask(place: Place, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status and body of a request whose path and headers are sent as they are."""
    connection = http.client.HTTPConnection(place.address, place.port, timeout=60)
    try:
        connection.request("GET", path, headers={"Host": place.hosts[0]} | headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.slow
class TestRunningServer:
    """One server, asked by those who may and those who may not."""

    @pytest.mark.parametrize("path", ["/", "/health", "/version", EXPERIMENT, "/static-files/index.html", "/graphql"])
    def test_without_the_password_every_page_is_401(self, server: tuple[Server, Place, Home], path: str) -> None:
        running, place, _ = server
        assert ask(place, path, {})[0] == 401
        assert ask(place, path, {"Authorization": "Basic Zmxh"})[0] == 401
        assert ask(place, path, {"Authorization": running.authorization})[0] != 401

    def test_foreign_hosts_are_403(self, server: tuple[Server, Place, Home]) -> None:
        running, place, _ = server
        known = {"Authorization": running.authorization}
        assert ask(place, EXPERIMENT, known)[0] == 200
        for foreign in ("evil.example", "10.0.0.1", f"localhost:{place.port}", f"{place.address}:1", place.address):
            assert ask(place, EXPERIMENT, known | {"Host": foreign})[0] == 403

    def test_an_artifact_inside_is_given(self, server: tuple[Server, Place, Home]) -> None:
        running, place, home = server
        inside = f"/get-artifact?path=a/b.txt&run_uuid={_run(home)}"
        assert ask(place, inside, {"Authorization": running.authorization}) == (200, b"text")

    @pytest.mark.parametrize("path", TRAVERSALS)
    def test_paths_that_lead_out_are_400_or_404(self, server: tuple[Server, Place, Home], path: str) -> None:
        running, place, home = server
        found = ask(place, path.format(run=_run(home)), {"Authorization": running.authorization})
        assert found[0] in (400, 404), found
        assert b"root:" not in found[1]

    def test_it_listens_where_it_was_asked_to_and_nowhere_else(self, server: tuple[Server, Place, Home]) -> None:
        _, place, _ = server
        found = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        addresses: list[Any] = [one.laddr for one in found]
        assert {address[0] for address in addresses if address[1] == place.port} == {"127.0.0.2"}

    def test_the_password_is_in_no_file_and_no_command_line(self, server: tuple[Server, Place, Home]) -> None:
        _, _, home = server
        secret = (home.root.parent / "ui_password").read_text()
        files = [path for path in home.root.rglob("*") if path.is_file()]
        assert home.root / "mlflow-server.log" in files
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
        mine = psutil.Process(os.getpid()).children(recursive=True)
        assert [one.pid for one in mine if secret in " ".join([*one.cmdline(), *one.environ().values()])] == []


def _run(home: Home) -> str:
    """A run with an artifact, made once."""
    from flag3d_ray.tracking.connect import connect, find_experiment

    place = TrackingPlace(home.mlflow_uri, home.local / "mlruns")
    client = connect(place)
    # Not experiment 0, whose artifacts would lie in the current folder.
    experiment = find_experiment(client, place, "artifacts")
    found = client.search_runs([experiment], max_results=1)
    if not found:
        run = client.create_run(experiment)
        client.log_text(run.info.run_id, "text", "a/b.txt")
        return run.info.run_id
    return found[0].info.run_id
