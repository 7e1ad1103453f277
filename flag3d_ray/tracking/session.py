"""What MLflow holds of one sweep or table: a parent run, and a child run per run key, found by tags or else created.

The tag `flag3d.role` is `parent`, `run`, or `start` for what other runs of the group only start from.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flag3d_ray.files import read_bytes
from flag3d_ray.lease import leader
from flag3d_ray.progress import Cell
from flag3d_ray.run import Run
from flag3d_ray.store import RunFolder, Store
from flag3d_ray.tracking.connect import Place, connect, find_experiment
from flag3d_ray.tracking.content import (
    Group,
    curve,
    final_metrics,
    fingerprint,
    group_status,
    has_record,
    record_tags,
    run_parameters,
    span,
    status_of,
)
from flag3d_ray.tracking.remote import RemoteRun

if TYPE_CHECKING:
    from mlflow import MlflowClient

ORPHAN = "its driver ended without closing it"
_DIGEST_LENGTH = 36  # MLflow refuses longer digests of datasets
_PAGE = 1000
_PARENT = ""  # has no key


class Session:
    """A connection that brings MLflow to the state of the cells it is given."""

    def __init__(self, client: "MlflowClient", experiment: str, group: Group) -> None:
        self._client, self._experiment, self._group = client, experiment, group
        self._seen: dict[str, tuple] = {}
        self._children: dict[str, RemoteRun] = {}  # and, while they are looked for, their parent
        self._starts: set[Run] = set()
        for run in list(self._search()):
            key = run.tags.get("flag3d.key", _PARENT)
            if key in self._children:
                client.delete_run(run.run_id)  # made by a request whose answer was lost, and then once more
            else:
                self._children[key] = run
        parent = self._children.pop(_PARENT, None)
        self._parent = parent or self._create({"flag3d.role": "parent"}, group.name, None)

    @classmethod
    def open(cls, place: Place, group: Group, store: Store, current: Sequence[Cell]) -> "Session":
        """Connect, find what is there, and close the runs that a killed driver left open."""
        client = connect(place)
        session = cls(client, find_experiment(client, place, group.experiment), group)
        session._close_orphans({cell.folder.key for cell in current}, store)
        return session

    def write(self, cells: Sequence[Cell], *, closing: bool) -> None:
        """Write what changed. The first error is raised after the other cells were written."""
        errors: list[Exception] = []
        self._starts |= {cell.run.parent for cell in cells if cell.run.parent is not None}
        for cell in filter(has_record, cells):
            files = (cell.folder.record_path, cell.folder.events_path, cell.folder.metrics_path)
            seen = (cell.state, cell.detail, closing, *(fingerprint(path) for path in files))
            if self._seen.get(cell.folder.key) == seen:
                continue
            try:
                self._write_cell(cell, closing=closing)
                self._seen[cell.folder.key] = seen
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
        self._write_parent(cells, closing=closing)

    def _write_cell(self, cell: Cell, *, closing: bool) -> None:
        run = self._child(cell)
        run.log_parameters(run_parameters(cell.run))
        state = "finished" if cell.state == "cached" else cell.state
        role = {"flag3d.role": "start" if cell.run in self._starts else "run"}
        parent = {"mlflow.parentRunId": self._parent.run_id}
        run.set_tags({"flag3d.state": state} | role | parent | record_tags(cell.folder))
        self._log_inputs(run, cell)
        run.log_curve(curve(cell.folder.events()))
        if cell.state in ("finished", "cached"):
            self._log_results(run, cell)
        run.set_status(*status_of(cell, closing=closing), span(cell.folder)[1])

    def _write_parent(self, cells: Sequence[Cell], *, closing: bool) -> None:
        self._parent.log_parameters(self._group.parameters)
        absent = [
            f"{cell.run.label}: {cell.detail}" for cell in cells if cell.state == "not run" and not has_record(cell)
        ]
        self._parent.set_tags({"flag3d.not_run": "; ".join(absent)})
        ends = [end for cell in cells if (end := span(cell.folder)[1]) is not None]
        self._parent.set_status(group_status(cells, closing=closing), "", max(ends, default=None))

    def _child(self, cell: Cell) -> RemoteRun:
        key = cell.folder.key
        if key not in self._children:
            tags = {"flag3d.key": key, "mlflow.parentRunId": self._parent.run_id}
            self._children[key] = self._create(tags, cell.run.label, span(cell.folder)[0])
        return self._children[key]

    def _create(self, tags: dict[str, str], name: str, start: int | None) -> RemoteRun:
        tags = {"flag3d.group": self._group.name} | tags
        return RemoteRun.created(self._client, self._experiment, name, tags, start)

    def _search(self) -> Iterator[RemoteRun]:
        query, token = f"tags.`flag3d.group` = '{self._group.name}'", None
        while True:
            page = self._client.search_runs(
                [self._experiment], query, max_results=_PAGE, order_by=["start_time ASC"], page_token=token
            )
            yield from (RemoteRun.found(self._client, run) for run in page)
            token = page.token
            if not token:
                return

    def _close_orphans(self, current: set[str], store: Store) -> None:
        for key, run in self._children.items():
            folder = store.folder(key)
            if run.status == "RUNNING" and key not in current and leader(folder.lease) is None:
                ended = folder.status == "finished"
                run.set_status("FINISHED" if ended else "KILLED", "" if ended else ORPHAN, None)

    def _log_inputs(self, run: RemoteRun, cell: Cell) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        record = cell.folder.record()
        if digest := record.get("digests", {}).get("dataset"):
            name = cell.run.data.dataset
            dataset = Dataset(name, digest[:_DIGEST_LENGTH], "local", json.dumps({"uri": name}))
            inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", cell.run.data.split)])]
            run.once("dataset", digest.encode(), lambda: self._client.log_inputs(run.run_id, inputs))
        if captions := record.get("captions"):
            text = json.dumps(captions, sort_keys=True, indent=1, ensure_ascii=False)
            run.once("captions", text.encode(), lambda: self._client.log_text(run.run_id, text, "captions.json"))

    def _log_results(self, run: RemoteRun, cell: Cell) -> None:
        folder = cell.folder
        metrics = read_bytes(folder.metrics_path)
        run.once("metrics", metrics, lambda: run.log_points([final_metrics(folder)]))
        run.once("record", read_bytes(folder.record_path), lambda: run.put(folder.record_path, "record"))
        if mark := fingerprint(folder.model):
            run.once("checkpoint", mark.encode(), lambda: run.put(folder.model, "checkpoint"))
            run.once("model", b"", lambda: self._log_model(run, cell))
        if mark := fingerprint(folder.predictions):
            run.once("density", mark.encode(), lambda: self._log_density(run, folder))

    def _log_model(self, run: RemoteRun, cell: Cell) -> None:
        from mlflow.entities import LoggedModelOutput

        found = self._client.search_logged_models([self._experiment], f"source_run_id = '{run.run_id}'")
        if not found:
            name = f"{cell.run.method.name}-{cell.folder.key[:8]}".replace(".", "_")
            tags = {"flag3d.key": cell.folder.key, "flag3d.checkpoint": str(cell.folder.model)}
            found = [self._client.create_logged_model(self._experiment, name, run.run_id, tags, model_type="counting")]
        self._client.finalize_logged_model(found[0].model_id, "READY")
        outputs = self._client.get_run(run.run_id).outputs
        if outputs is None or not outputs.model_outputs:  # MLflow fails on an output that it has already
            self._client.log_outputs(run.run_id, [LoggedModelOutput(found[0].model_id, step=0)])

    def _log_density(self, run: RemoteRun, folder: RunFolder) -> None:
        from flag3d_ray.viz.density_plot import write_density_plot

        with tempfile.TemporaryDirectory() as scratch:
            picture = Path(scratch) / "density.png"
            if write_density_plot(folder.predictions, picture):
                self._client.log_artifact(run.run_id, str(picture), "figures")
