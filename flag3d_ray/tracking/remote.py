"""One MLflow run as this process knows it. Every write may be repeated: what is there already is not written again."""

import os
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from flag3d_ray.files import local_copy
from flag3d_ray.storage import StorePath
from flag3d_ray.tracking.content import Point, Status

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as TrackedRun

_METRICS_PER_CALL = 900  # MLflow refuses more than 1000
_TAG_LENGTH = 5000  # MLflow refuses more than 8000


@dataclass
class RemoteRun:
    """An MLflow run with its tags and parameters, so that unchanged ones cost no call."""

    client: "MlflowClient"
    run_id: str
    artifacts: str
    status: str
    tags: dict[str, str]
    parameters: set[str] = field(default_factory=set)
    curve_is_known: bool = False

    @classmethod
    def found(cls, client: "MlflowClient", run: "TrackedRun") -> "RemoteRun":
        """A run that a search returned."""
        info, data = run.info, run.data
        return cls(client, info.run_id, info.artifact_uri or "", info.status, dict(data.tags), set(data.params))

    @classmethod
    def created(
        cls, client: "MlflowClient", experiment: str, name: str, tags: Mapping[str, str], start: int | None
    ) -> "RemoteRun":
        """A new run that started at `start` (milliseconds; None: now)."""
        info = client.create_run(experiment, start_time=start, tags=dict(tags), run_name=name).info
        return cls(client, info.run_id, info.artifact_uri or "", "RUNNING", dict(tags), curve_is_known=True)

    def log_parameters(self, values: Mapping[str, str]) -> None:
        """Add the parameters that are missing; MLflow never changes one."""
        from mlflow.entities import Param

        missing = {name: value for name, value in values.items() if name not in self.parameters}
        if missing:
            self.client.log_batch(self.run_id, params=[Param(name, value) for name, value in missing.items()])
            self.parameters |= set(missing)

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Set the tags that differ."""
        from mlflow.entities import RunTag

        changed = {k: v[:_TAG_LENGTH] for k, v in values.items() if self.tags.get(k) != v[:_TAG_LENGTH]}
        if changed:
            self.client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in changed.items()])
            self.tags |= changed

    def set_status(self, status: Status, reason: str, end: int | None) -> None:
        """Change the status where it differs. `end` is in milliseconds; None: now."""
        if self.tags.get("flag3d.reason", "") != reason:
            self.set_tags({"flag3d.reason": reason})
        if self.status != status:
            if status == "RUNNING":
                self.client.update_run(self.run_id, status=status)
            else:
                self.client.set_terminated(self.run_id, status, end)
            self.status = status

    def log_curve(self, points: Sequence[Point]) -> None:
        """Add the points later than the last epoch that MLflow holds.

        A tag remembers that epoch. A writer killed before it could set the tag, whose run then repeated the epoch at
        another time, would leave it in the curve twice: so the first call for a run that was found asks MLflow itself.
        """
        cursor = int(self.tags.get("flag3d.epoch", -1))
        new = [point for point in points if point.step > cursor]
        if not new:
            return
        if not self.curve_is_known:
            cursor = max(cursor, self._last_step(new[0]))
            new = [point for point in new if point.step > cursor]
            self.curve_is_known = True
        self.log_points(new)
        self.set_tags({"flag3d.epoch": str(max([cursor, *(point.step for point in new)]))})

    def _last_step(self, point: Point) -> int:
        rows = [row for name in point.values for row in self.client.get_metric_history(self.run_id, name)]
        return max((row.step for row in rows), default=-1)

    def log_points(self, points: Sequence[Point]) -> None:
        """Add rows; a call holds whole points, so that an epoch is there in full or not at all."""
        from mlflow.entities import Metric

        rows: list[Metric] = []
        for point in points:
            if rows and len(rows) + len(point.values) > _METRICS_PER_CALL:
                self.client.log_batch(self.run_id, metrics=rows)
                rows = []
            rows += [Metric(name, value, point.milliseconds, point.step) for name, value in point.values.items()]
        if rows:
            self.client.log_batch(self.run_id, metrics=rows)

    def once(self, name: str, content: bytes, log: Callable[[], object]) -> None:
        """Log something unless a tag says that this content was logged. Killed in between, it is logged over itself."""
        mark = f"{zlib.crc32(content):08x}"
        if self.tags.get(f"flag3d.logged.{name}") != mark:
            log()
            self.set_tags({f"flag3d.logged.{name}": mark})

    def put(self, path: StorePath, folder: str) -> None:
        """An artifact, as a hard link where the disk allows it: a checkpoint is not stored twice."""
        if not isinstance(path, Path):
            with local_copy(path) as copy:
                self.put(copy, folder)
            return
        url = urlparse(self.artifacts)
        if url.scheme not in ("", "file"):
            self.client.log_artifact(self.run_id, str(path), folder)
            return
        target = Path(unquote(url.path)) / folder / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)
