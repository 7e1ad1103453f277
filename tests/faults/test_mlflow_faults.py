"""A real MLflow server that is away, slow, restarted, or loses answers: runs do not wait, and nothing is missing or twice.

The server listens at 127.0.0.2 and its users reach it at 127.0.0.1, through a proxy that does the harm.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray import mlflow_server
from flag3d_ray.execution import ensure
from flag3d_ray.home import Home
from flag3d_ray.methods.catalogue import RECORDED
from flag3d_ray.mlflow_server import LOOPBACK, Place, running_server
from flag3d_ray.progress import Cell
from flag3d_ray.run import Resources, Run
from flag3d_ray.store import Store
from flag3d_ray.tracking import EXPERIMENT, MlflowView, fill_view
from flag3d_ray.tracking import Place as TrackingPlace
from flag3d_ray.tracking.connect import connect
from flag3d_ray.tracking.content import curve, final_metrics, run_parameters
from tests.cluster_nodes import free_port
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.slow

LOCAL = Resources(executor="local")
SERVER = "127.0.0.2"
EPOCHS = 20
BOUND = 15.0  # seconds that all runs together may take longer; a second for each of their epochs would be 40
DELAY = 1.0
PATIENCE = 240.0  # the server needs 11 s to start on two idle cores
SHORT = 2.0


class Tracking:
    """The server, which can be stopped and started on its database, and the proxy before it."""

    def __init__(self, root: Path) -> None:
        port = free_port()
        self.proxy = TcpProxy((LOOPBACK, port), (SERVER, port))
        self.place = TrackingPlace(f"http://{LOOPBACK}:{port}", root / "mlruns")
        self._home, self._server = Home(root), contextlib.ExitStack()
        self._listens = Place(LOOPBACK, SERVER, port)

    def start(self) -> None:
        self._server.enter_context(running_server(self._home, self._listens))

    def stop(self) -> None:
        self._server.close()

    def heal(self) -> None:
        self.proxy.refuses, self.proxy.delay, self.proxy.loses = False, 0.0, lambda answer: False


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    root = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        patched.setattr(mlflow_server, "_START_SECONDS", PATIENCE)
        fill_view(Store(root / "runs"), TrackingPlace(f"sqlite:///{root}/mlflow.db", root / "mlruns"), ())
        served = Tracking(root)
        with served.proxy:
            served.start()
            try:
                yield served
            finally:
                served.stop()


@pytest.fixture
def runs(tiny_run: Callable[..., Run]) -> list[Run]:
    """Two that end well, and one that diverges."""
    well = [tiny_run(epochs=EPOCHS, seed=seed) for seed in (0, 1)]
    return [*well, tiny_run(epochs=EPOCHS, learning_rate=1e30, recipe="released")]


@pytest.fixture(scope="module")
def quiet_seconds(fresh_home, tiny_run) -> float:
    """How long the runs take without MLflow."""
    return seconds(ensure([tiny_run(epochs=EPOCHS, seed=seed) for seed in (0, 1)], fresh_home(), LOCAL))


def seconds(cells: Sequence[Cell]) -> float:
    return sum(cell.folder.record()["seconds"] for cell in cells)


@dataclass
class When:
    """A watcher that does something once, as soon as the first run is finished."""

    act: Callable[[], None]
    done: bool = False

    def update(self, cells: Sequence[Cell]) -> None:
        if not self.done and any(cell.state in ("fitted", "finished") for cell in cells):
            self.done = True
            self.act()

    def close(self, cells: Sequence[Cell]) -> None:
        self.update(cells)


@dataclass
class Launched:
    """What a launch under MLflow's eyes left: its cells, and what the view said."""

    cells: list[Cell]
    said: list[str]
    view: MlflowView
    group: str


@pytest.fixture
def launch(tracking: Tracking, runs: list[Run], fresh_home, request) -> Iterator[Callable[..., Launched]]:
    """Runs in a home of its own, shown in a group named after the test; `act` happens when the first run is finished."""

    def start(act: Callable[[], None] = lambda: None, patience: float = PATIENCE) -> Launched:
        home, said, group = fresh_home(), [], request.node.name
        view = MlflowView(
            tracking.place.uri, tracking.place.artifacts, EXPERIMENT, group, patience=patience, say=said.append
        )
        return Launched(ensure(runs, home, LOCAL, [When(act), view]), said, view, group)

    yield start
    tracking.heal()


def held(tracking: Tracking, group: str) -> dict[str, Any]:
    """MLflow's runs of a group, by key; the parent's is empty. None is there twice."""
    client = connect(tracking.place)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.`flag3d.group` = '{group}'")
    by_key = {run.data.tags.get("flag3d.key", ""): run for run in found}
    assert len(by_key) == len(found)
    return by_key


def assert_complete(tracking: Tracking, launched: Launched) -> None:
    """MLflow holds what the store holds: every run, parameter and row once, every end with its reason."""
    client, found = connect(tracking.place), held(tracking, launched.group)
    assert set(found) == {"", *(cell.folder.key for cell in launched.cells)}
    assert found[""].info.status == "FAILED"
    for cell in launched.cells:
        run, folder = found[cell.folder.key], cell.folder
        assert run.data.params == run_parameters(cell.run)
        points = curve(folder.events()) + ([final_metrics(folder)] if cell.state == "finished" else [])
        stored = sorted((name, point.step, value) for point in points for name, value in point.values.items())
        history = [row for name in run.data.metrics for row in client.get_metric_history(run.info.run_id, name)]
        assert sorted((row.key, row.step, row.value) for row in history) == stored
        ended = {"finished": ("FINISHED", ""), "failed": ("FAILED", cell.detail)}[cell.state]
        assert (run.info.status, run.data.tags.get("flag3d.reason", "")) == ended
        models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
        assert len(models) == (cell.state == "finished")


def assert_untouched(launched: Launched, quiet_seconds: float) -> None:
    """The runs ended as they should, and did not wait for MLflow."""
    assert [cell.state for cell in launched.cells] == ["finished", "finished", "failed"]
    assert seconds(launched.cells[:2]) < quiet_seconds + BOUND


def test_mlflow_that_is_away_at_the_start_is_filled_in_when_it_comes(tracking, launch, quiet_seconds):
    tracking.proxy.refuses = True

    launched = launch(act=tracking.heal)

    assert_untouched(launched, quiet_seconds)
    assert_complete(tracking, launched)
    assert launched.view.away_since is None
    away, again = launched.said
    assert away.startswith("MLflow is away since 2")
    assert "flag3d track --fill" in away
    assert again.startswith("MLflow answers again")


def test_a_server_that_is_stopped_in_the_middle_and_started_on_its_database_misses_nothing(
    tracking, launch, quiet_seconds
):
    def restart() -> None:
        tracking.stop()
        tracking.start()

    restarting = threading.Thread(target=restart)
    launched = launch(act=restarting.start)
    restarting.join()

    assert_untouched(launched, quiet_seconds)
    assert_complete(tracking, launched)


def test_mlflow_that_is_away_at_the_end_is_filled_in_by_the_command_that_the_launch_names(
    tracking, launch, quiet_seconds, flag3d, monkeypatch
):
    launched = launch(act=lambda: setattr(tracking.proxy, "refuses", True), patience=SHORT)

    assert_untouched(launched, quiet_seconds)
    assert launched.said[-1].startswith("MLflow is not complete, away since 2")
    assert launched.said[-1].endswith("fill it in: flag3d track --fill")
    tracking.heal()
    assert "RUNNING" in {run.info.status for run in held(tracking, launched.group).values()}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.place.uri)
    home = launched.cells[0].folder.path.parents[1]
    for _ in range(2):  # again, it adds nothing
        assert flag3d("track", "--fill", "--home", home).code == 0
        assert_complete(tracking, launched)


def test_a_slow_mlflow_delays_no_run(tracking, launch, quiet_seconds):
    tracking.proxy.delay = DELAY

    launched = launch(patience=SHORT)

    assert_untouched(launched, quiet_seconds)
    tracking.heal()
    launched.view._thread.join(PATIENCE)  # its last words: the end of a process cuts them off
    fill_view(Store(launched.cells[0].folder.path.parent), tracking.place, RECORDED)
    assert_complete(tracking, launched)


def test_requests_whose_answers_are_lost_write_nothing_twice(tracking, launch, quiet_seconds):
    tracking.proxy.loses = lambda answer: answer % 29 == 3

    launched = launch()

    assert_untouched(launched, quiet_seconds)
    tracking.heal()
    assert_complete(tracking, launched)


def test_a_run_that_mlflow_made_twice_is_kept_once(tracking, launch):
    launched = launch()
    client, (key, *_) = connect(tracking.place), (cell.folder.key for cell in launched.cells)
    first = held(tracking, launched.group)[key]
    tags = {"flag3d.group": launched.group}
    for late in (tags, tags | {"flag3d.key": key}):  # a request that was given up, and done by the server after all
        client.create_run(first.info.experiment_id, tags=late)

    fill_view(Store(launched.cells[0].folder.path.parent), tracking.place, RECORDED)

    assert held(tracking, launched.group)[key].info.run_id == first.info.run_id
    assert_complete(tracking, launched)
