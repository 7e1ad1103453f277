"""MLflow's view in PostgreSQL: written and served as in SQLite, and its password stays where it was given."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from flag3d_ray.errors import RunError
from flag3d_ray.execution import ensure
from flag3d_ray.home import Home
from flag3d_ray.methods.catalogue import RECORDED
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.mlflow_server import Place as Listens
from flag3d_ray.mlflow_server import running_server
from flag3d_ray.run import Resources, Run
from flag3d_ray.tracking import EXPERIMENT, MlflowView, Place, connect, fill_view
from flag3d_ray.ui import links
from tests.cluster_nodes import free_port
from tests.postgres_server import postgres_server, programs

pytestmark = [
    pytest.mark.slow,
    # MLflow's own connections: nothing closes those of a store that is collected.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <function BaseConnection:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.skipif(programs() is None, reason="no PostgreSQL on this machine: install postgresql"),
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("postgres")
    for parent in (folder.parent, folder.parent.parent):
        parent.chmod(0o755)  # the server is another user where the tests are root
    with postgres_server(folder) as uri:
        yield uri


@pytest.fixture
def runs(tiny_run: Callable[..., Run]) -> list[Run]:
    return [tiny_run(epochs=2), tiny_run(Fourier())]


def test_a_launch_is_shown_in_postgresql_once_and_its_server_answers(uri, runs, fresh_home, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    home, said = fresh_home(), []
    view = MlflowView(home.mlflow_uri, home.local / "mlruns", EXPERIMENT, "team", patience=240.0, say=said.append)
    cells = ensure(runs, home, Resources(executor="local"), [view])

    fill_view(home.store, Place(home.mlflow_uri, home.local / "mlruns"), RECORDED)

    client = connect.connect(Place(uri, home.local / "mlruns"))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags.get("flag3d.key", "") for run in found) == [
        "",
        *sorted(cell.folder.key for cell in cells),
    ]
    assert {run.info.status for run in found} == {"FINISHED"}
    assert said == []
    with running_server(home, Listens.at("127.0.0.1", free_port())) as server:
        assert any(line.startswith("compare team") for line in links(server))
        password = uri.split(":")[2].split("@")[0]
        assert not any(password in " ".join(process.cmdline()) for process in psutil.Process().children(recursive=True))
    written = [path for path in Path(home.local).rglob("*") if path.is_file()]
    assert not [path for path in written if password.encode() in path.read_bytes()]


@pytest.mark.parametrize("wrong", ["password", "port"])
def test_a_database_that_does_not_let_us_in_is_said_at_once_without_its_password(uri, fresh_home, monkeypatch, wrong):
    host = uri.split("@")[1]
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI",
        {
            "password": f"postgresql://flag3d:guessed-word@{host}",
            "port": f"postgresql://flag3d:guessed-word@127.0.0.1:{free_port()}/postgres",
        }[wrong],
    )
    home = fresh_home()

    with pytest.raises(RunError, match="type the command again") as caught:
        fill_view(home.store, Place(home.mlflow_uri, home.local / "mlruns"), RECORDED)

    assert "guessed-word" not in str(caught.value)


def test_without_the_driver_the_remedy_is_to_install_it(fresh_home, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://flag3d@127.0.0.1/flag3d")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    home = fresh_home()

    for ask in (lambda: fill_view(home.store, Place(home.mlflow_uri, home.local), RECORDED), lambda: _serve(home)):
        with pytest.raises(RunError, match=r"flag3d_ray\[postgres\]"):
            ask()


def _serve(home: Home) -> None:
    with running_server(home, Listens.at("127.0.0.1", free_port())):
        pass
