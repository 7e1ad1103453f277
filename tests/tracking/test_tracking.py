"""A real MLflow on SQLite in a temporary folder: nothing is replaced by a double."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flag3d_ray.errors import RunError
from flag3d_ray.files import write_json
from flag3d_ray.progress import Cell
from flag3d_ray.run import DataSpec, Run, Text, TrainSpec, to_json
from flag3d_ray.store import RunFolder, Store
from flag3d_ray.tracking import EXPERIMENT, MlflowView, Place, fill_view
from flag3d_ray.tracking.content import curve


@dataclass(frozen=True, kw_only=True)
class Model:
    fusion: str = "film"
    name: ClassVar[str] = "model"
    task: ClassVar[str] = "counting"
    paper: ClassVar[str] = ""
    language: ClassVar[bool] = True

    def build(self, shapes: Any, seed: int) -> Any: ...


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to create its tables: once for the file, copied for each test."""
    root = tmp_path_factory.mktemp("empty")
    fill_view(Store(root / "runs"), Place(f"sqlite:///{root / 'mlflow.db'}", root / "mlruns"), (Model,))
    return root / "mlflow.db"


@pytest.fixture
def place(tmp_path: Path, empty_database: Path) -> Place:
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return Place(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def make_run(seed: int) -> Run:
    return Run(method=Model(), data=DataSpec(text=Text(caption_level=2)), train=TrainSpec(epochs=3), seed=seed)


def started(store: Store, seed: int, epochs: int = 2) -> Cell:
    folder = store.folder(f"key{seed}")
    digests = {"dataset": "d" * 64, "split": "5" * 64}
    captions = {"A001": "raise both arms"}
    folder.write_record(run=to_json(make_run(seed)), digests=digests, captions=captions, status="started")
    for epoch in range(epochs):
        folder.append_event({"epoch": epoch, "loss": 1.0 / (epoch + 1), "note": "text", "seconds": 0.1})
    return Cell(make_run(seed), folder, "running", epochs, 3)


def finished(store: Store, seed: int) -> Cell:
    cell = started(store, seed, epochs=3)
    (cell.folder.path / "checkpoint").mkdir()
    cell.folder.model.write_bytes(b"weights")
    density = np.full(8, 0.25, dtype=np.float32).tobytes()
    columns = {"clip_id": ["a", "b"], "action_id": ["A001"] * 2, "truth": [2.0, 2.0], "count": [2.0, 3.0]}
    pq.write_table(
        pa.table(columns | {"density": [density] * 2, "truth_density": [density] * 2}), cell.folder.predictions
    )
    write_json(cell.folder.metrics_path, {"mae": 0.25, "obo/1": 1.0})
    return replace(cell, state="finished")


def failed(store: Store, seed: int) -> Cell:
    cell = started(store, seed, epochs=1)
    cell.folder.write_record(status="failed", reason="Diverged: the loss is not finite")
    return replace(cell, state="failed", detail="Diverged: the loss is not finite")


def show(place: Place, cells: list[Cell], group: str = "table 3") -> MlflowView:
    view = MlflowView(place.uri, place.artifacts, EXPERIMENT, group, {"table": "3"}, say=lambda text: None)
    view.close(cells)
    assert view.problem == ""
    return view


def tracked(place: Place) -> list:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=place.uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    return list(client.search_runs([experiment.experiment_id], order_by=["start_time ASC"]))


def child(place: Place, key: str) -> Any:
    (run,) = [run for run in tracked(place) if run.data.tags.get("flag3d.key") == key]
    return run


def content(place: Place) -> dict[str, tuple]:
    """All that a view holds, without MLflow's own ids and times."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=place.uri)
    found = {}
    for run in tracked(place):
        history = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
        rows = sorted((row.key, row.step, row.timestamp, row.value) for name in history for row in history[name])
        tags = {name: value for name, value in run.data.tags.items() if name.startswith("flag3d.")}
        files = sorted(
            info.path for folder in client.list_artifacts(run.info.run_id) for info in _files(client, run, folder)
        )
        name = f"{tags['flag3d.group']}/{tags.get('flag3d.key', 'parent')}"
        assert name not in found
        data = sorted((item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs)
        found[name] = (run.data.params, rows, tags, run.info.status, files, data)
    return found


def _files(client: Any, run: Any, info: Any) -> list:
    return client.list_artifacts(run.info.run_id, info.path) if info.is_dir else [info]


def test_a_run_is_a_child_with_parameters_curve_metrics_data_and_artifacts(place: Place, store: Store) -> None:
    show(place, [finished(store, 0)])
    params, rows, tags, status, files, data = content(place)["table 3/key0"]
    assert {
        "fusion": "film",
        "text_encoder": "bert",
        "caption_level": "2",
        "method": "model",
        "seed": "0",
    }.items() <= params.items()
    assert params["train.learning_rate"] == "0.0003"
    assert [(key, step, value) for key, step, _, value in rows if key == "training/loss"] == [
        ("training/loss", 0, 1.0),
        ("training/loss", 1, 0.5),
        ("training/loss", 2, 1 / 3),
    ]
    assert {key: value for key, _, _, value in rows if key.startswith("test/")} == {"test/mae": 0.25, "test/obo/1": 1.0}
    assert files == ["captions.json", "checkpoint/model.safetensors", "figures/density.png", "record/record.json"]
    assert data == [("synthetic", "d" * 36)]
    assert status == "FINISHED"
    assert tags["flag3d.digest.split"] == "5" * 64


def test_children_name_their_parent_by_its_tag(place: Place, store: Store) -> None:
    show(place, [finished(store, 0), finished(store, 1)])
    (parent,) = [run for run in tracked(place) if run.data.tags["flag3d.role"] == "parent"]
    children = [run for run in tracked(place) if run.data.tags["flag3d.role"] == "run"]
    assert [run.data.tags["mlflow.parentRunId"] for run in children] == [parent.info.run_id] * 2
    assert parent.data.params == {"table": "3"}
    assert parent.info.status == "FINISHED"


def test_writing_twice_changes_nothing(place: Place, store: Store) -> None:
    cells = [finished(store, 0), failed(store, 1)]
    show(place, cells)
    before = content(place)
    show(place, cells)
    assert fill_view(store, place, (Model,)) == []
    assert content(place) == before


def test_a_run_of_two_groups_has_a_child_in_each(place: Place, store: Store) -> None:
    cell = finished(store, 0)
    show(place, [cell], "table 3")
    show(place, [replace(cell, state="cached")], "table 5")
    found = content(place)
    assert set(found) == {"table 3/parent", "table 3/key0", "table 5/parent", "table 5/key0"}
    assert found["table 3/key0"][:2] == found["table 5/key0"][:2]


def test_a_writer_killed_before_its_marks_repeats_no_row(place: Place, store: Store) -> None:
    from mlflow import MlflowClient

    cells = [finished(store, 0)]
    show(place, cells)
    before = content(place)
    client, run = MlflowClient(tracking_uri=place.uri), child(place, "key0")
    for name in [tag for tag in run.data.tags if tag.startswith(("flag3d.logged.", "flag3d.epoch"))]:
        client.delete_tag(run.info.run_id, name)
    show(place, cells)
    assert content(place) == before
    experiment = run.info.experiment_id
    assert len(client.search_logged_models([experiment])) == 1


def test_an_epoch_that_a_resumed_run_repeats_stands_in_the_curve_once(place: Place, store: Store) -> None:
    cell = started(store, 0, epochs=2)
    show(place, [cell])
    cell.folder.forget_events_from(1)
    cell.folder.append_event({"epoch": 1, "loss": 0.5, "seconds": 0.2})
    cell.folder.append_event({"epoch": 2, "loss": 0.25, "seconds": 0.2})
    show(place, [cell])
    rows = content(place)["table 3/key0"][1]
    assert [(step, value) for key, step, _, value in rows if key == "training/loss"] == [(0, 1.0), (1, 0.5), (2, 0.25)]


def test_what_has_not_ended_is_killed_with_a_reason_and_runs_again_later(place: Place, store: Store) -> None:
    cell = started(store, 0)
    show(place, [cell, failed(store, 1)])
    stopped, broken = child(place, "key0"), child(place, "key1")
    assert (stopped.info.status, broken.info.status) == ("KILLED", "FAILED")
    assert "stopped before its end" in stopped.data.tags["flag3d.reason"]
    assert broken.data.tags["flag3d.reason"] == "Diverged: the loss is not finite"
    view = MlflowView(place.uri, place.artifacts, EXPERIMENT, "table 3")
    view.update([cell])
    wait_for(lambda: child(place, "key0").info.status == "RUNNING")
    view.close([finished_now(cell)])
    assert child(place, "key0").info.status == "FINISHED"
    assert child(place, "key0").data.tags["flag3d.reason"] == ""


def finished_now(cell: Cell) -> Cell:
    write_json(cell.folder.metrics_path, {"mae": 0.5})
    return replace(cell, state="finished")


def test_runs_that_a_killed_driver_left_open_are_closed_with_a_reason(place: Place, store: Store) -> None:
    view = MlflowView(place.uri, place.artifacts, EXPERIMENT, "table 3", say=lambda text: None)
    view.update([started(store, 0)])
    wait_for(lambda: [run for run in tracked(place) if run.data.tags.get("flag3d.key") == "key0"])
    show(place, [finished(store, 1)])
    orphan = child(place, "key0")
    assert orphan.info.status == "KILLED"
    assert "driver ended" in orphan.data.tags["flag3d.reason"]
    view.close([])


def test_runs_that_could_not_start_are_named_at_the_parent(place: Place, store: Store) -> None:
    unreachable = Cell(make_run(7), RunFolder(store.root / "unreachable"), "not run", detail="no weights")
    show(place, [finished(store, 0), unreachable])
    (parent,) = [run for run in tracked(place) if run.data.tags["flag3d.role"] == "parent"]
    assert "no weights" in parent.data.tags["flag3d.not_run"]
    assert parent.info.status == "KILLED"
    assert len(tracked(place)) == 2


def test_a_lost_view_is_built_again_from_the_store(
    place: Place, store: Store, tmp_path: Path, empty_database: Path
) -> None:
    show(place, [finished(store, 0), failed(store, 1), started(store, 2)])
    again = Place(f"sqlite:///{shutil.copyfile(empty_database, tmp_path / 'again.db')}", tmp_path / "again")
    assert fill_view(store, again, (Model,)) == []
    first, second = content(place), content(again)
    for values in (*first.values(), *second.values()):
        values[2].pop("flag3d.state", None)
    assert second == first


def test_training_does_not_wait_for_an_mlflow_that_is_away(place: Place, store: Store) -> None:
    said: list[str] = []
    view = MlflowView(
        f"http://127.0.0.1:{closed_port()}",
        place.artifacts,
        EXPERIMENT,
        "table 3",
        {"table": "3"},
        patience=0.5,
        say=said.append,
    )
    cells = [finished(store, 0), failed(store, 1)]
    began = time.perf_counter()
    for _ in range(20):
        view.update(cells)
    assert time.perf_counter() - began < 0.05
    wait_for(lambda: view.away_since is not None)
    view.close(cells)
    assert "flag3d track --fill" in said[0]
    fill_view(store, place, (Model,))
    filled = content(place)
    show(place, cells)
    assert content(place) == filled
    assert set(filled) == {"table 3/parent", "table 3/key0", "table 3/key1"}


def test_everything_is_filled_in_once_mlflow_is_back(place: Place, store: Store) -> None:
    database = Path(place.uri.removeprefix("sqlite:///"))
    away = database.with_suffix(".away")
    database.rename(away)
    database.mkdir()
    view = MlflowView(place.uri, place.artifacts, EXPERIMENT, "table 3", {"table": "3"})
    view.update([finished(store, 0)])
    wait_for(lambda: view.away_since is not None)
    database.rmdir()
    away.rename(database)
    view.close([finished_now(started(store, 1)), replace(started(store, 2), state="failed", detail="x")])
    assert view.away_since is None
    assert {run.info.status for run in tracked(place)} == {"FAILED", "FINISHED"}


def test_a_record_of_another_version_is_left_out_and_named(place: Place, store: Store) -> None:
    finished(store, 0)
    store.folder("old").write_record(run={"type": "Gone"}, status="fitted")
    (left_out,) = fill_view(store, place, (Model,))
    assert left_out.startswith("old")
    assert child(place, "key0").info.status == "FINISHED"


def test_filling_an_mlflow_that_is_away_is_refused(store: Store, tmp_path: Path) -> None:
    finished(store, 0)
    with pytest.raises(RunError, match="type the command again"):
        fill_view(store, Place(f"http://127.0.0.1:{closed_port()}", tmp_path), (Model,))


def test_a_checkpoint_is_not_stored_twice(place: Place, store: Store) -> None:
    cell = finished(store, 0)
    show(place, [cell])
    (linked,) = place.artifacts.rglob("model.safetensors")
    assert linked.samefile(str(cell.folder.model))


def test_importing_the_package_does_not_import_mlflow() -> None:
    code = "import sys, flag3d_ray.tracking, flag3d_ray.ui; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


_WRITER = """
import sys, time
sys.path.insert(0, {tests!r})
from test_tracking import EXPERIMENT, MlflowView, Store, finished
from pathlib import Path
root = Path({root!r})
cells = [finished(Store(root / "runs"), seed) for seed in range(12)]
print("ready", flush=True)
MlflowView(f"sqlite:///{{root / 'mlflow.db'}}", root / "mlruns", EXPERIMENT, "table 3", {{"table": "3"}}).update(cells)
time.sleep(600)
"""


@pytest.mark.slow
def test_after_a_killed_writer_the_view_is_complete_and_holds_nothing_twice(
    place: Place, store: Store, tmp_path: Path
) -> None:
    code = _WRITER.format(tests=str(Path(__file__).parent), root=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        wait_for(lambda: list(place.artifacts.rglob("density.png")), seconds=120)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert len(tracked(place)) < 13, "the writer was done before it was killed"
    assert fill_view(store, place, (Model,)) == []
    again = content(place)
    assert len(again) == 13
    for key in range(12):
        names = [row[0] for row in again[f"table 3/key{key}"][1]]
        assert sorted(names) == ["test/mae", "test/obo/1"] + ["training/loss"] * 3 + ["training/seconds"] * 3


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_the_validation_error_is_the_first_metric_of_an_epoch() -> None:
    (point,) = curve([{"epoch": 0, "time": 1.0, "clips_per_second": 9.0, "loss": 2.0, "val_mae": 0.5}])
    assert [*point.values] == ["training/val_mae", "training/clips_per_second", "training/loss"]
