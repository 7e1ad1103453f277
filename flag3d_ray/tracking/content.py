"""What a tracker shows of a run, read from the store: parameters, curve, metrics, data, status. No tracker is imported.

Times come from the store, never from the clock: whoever writes the same run twice writes the same rows.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from flag3d_ray import storage
from flag3d_ray.errors import RunError
from flag3d_ray.files import read_json, write_json
from flag3d_ray.lease import leader
from flag3d_ray.progress import Cell, State
from flag3d_ray.run import Run, parameters, run_from_json
from flag3d_ray.storage import StorePath
from flag3d_ray.store import RunFolder, Store

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
LOCK_SECONDS = 60.0
COUNTS = ("n", "dropped")  # of clips, no measures: MLflow's plots would open with one of them
STOPPED = "stopped before its end; the same command continues it"
VALIDATION = "val_mae"
_STATUS: dict[State, Status] = {"finished": "FINISHED", "cached": "FINISHED", "failed": "FAILED", "not run": "KILLED"}


@dataclass(frozen=True)
class Point:
    """The numbers of one epoch. `milliseconds` is when the run wrote them."""

    step: int
    milliseconds: int
    values: dict[str, float]


@dataclass(frozen=True)
class Group:
    """A sweep or table and the keys of its runs, kept beside the runs so that a lost view can be built again."""

    name: str
    experiment: str
    parameters: Mapping[str, str]
    keys: tuple[str, ...] = ()

    def remember(self, root: StorePath, cells: Sequence[Cell]) -> None:
        """Add the cells' keys to what the store at `root` knows of this group.

        On disk under a lock: of two launches that read the same file, the later would forget what the other had added. At a
        URL there is none, and what was forgotten comes back at the other launch's next call.
        """
        path = _group_path(root, self)
        keys = tuple(cell.folder.key for cell in cells if has_record(cell))
        with _alone_with(path):
            old = _read_group(path) if path.exists() else Group(self.name, self.experiment, {})
            new = Group(self.name, self.experiment, dict(self.parameters), tuple(dict.fromkeys([*old.keys, *keys])))
            if new != old:
                write_json(
                    path,
                    {"name": new.name, "experiment": new.experiment} | {"parameters": new.parameters, "keys": new.keys},
                )


def _alone_with(path: StorePath) -> AbstractContextManager[object]:
    if not isinstance(path, Path):
        return nullcontext()
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_suffix(".lock"), timeout=LOCK_SECONDS)


def remembered_groups(root: StorePath) -> Iterator[Group]:
    """All groups that a store has seen."""
    for path in sorted((root / ".groups").glob("*.json"), key=lambda path: path.name):
        yield _read_group(path)


def stored_groups(store: Store, experiment: str) -> list[Group]:
    """The remembered groups, and one more for finished runs that no group knows."""
    groups = list(remembered_groups(store.root))
    known = {key for group in groups for key in group.keys}
    alone = tuple(folder.key for folder in store if folder.key not in known)
    return [*groups, Group("single runs", experiment, {}, alone)] if alone else groups


def has_record(cell: Cell) -> bool:
    """Whether the store knows the run: one whose encoder cannot be reached has no folder of its own."""
    return cell.folder.record_path.exists()


def stored_cell(folder: RunFolder, methods: Sequence[type]) -> Cell:
    """A run as the store alone knows it; `methods` are the classes that its method may have.

    Raises:
        RunError: the record is damaged or was written by a version with other fields.
    """
    record = folder.record()
    if "run" not in record:
        raise RunError(where=folder.key, rule="the record names no run", remedy="delete the folder and run it again")
    run = run_from_json(record["run"], methods)
    status = folder.status
    if status == "finished":
        return Cell(run, folder, "finished", run.train.epochs, run.train.epochs)
    if status == "failed":
        return Cell(run, folder, "failed", detail=record.get("reason", ""))
    if holder := leader(folder.lease):
        return Cell(run, folder, "following", detail=f"led by {holder}")
    return Cell(run, folder, "not run", detail=STOPPED)


def status_of(cell: Cell, *, closing: bool) -> tuple[Status, str]:
    """A tracker's status and the reason of a bad end. When the driver closes, what has not ended counts as killed."""
    if cell.state in _STATUS:
        reason = cell.detail if cell.state in ("failed", "not run") else ""
        return _STATUS[cell.state], reason
    if closing and cell.state != "following":
        return "KILLED", cell.detail or STOPPED
    return "RUNNING", ""


def group_status(cells: Sequence[Cell], *, closing: bool) -> Status:
    """The worst status of the cells, still running before all others."""
    found = {status_of(cell, closing=closing)[0] for cell in cells}
    order: tuple[Status, ...] = ("RUNNING", "FAILED", "KILLED")
    for status in order:
        if status in found:
            return status
    return "FINISHED"


def run_parameters(run: Run) -> dict[str, str]:
    """Flat parameters, and short names for the columns of a compare page."""
    flat = {name: value for name, value in parameters(run).items() if run.method.language or ".text." not in name}
    short = {"method": run.method.name, "fusion": flat.get("method.fusion"), "seed": str(run.seed)}
    short |= {"text_encoder": flat.get("data.text.encoder"), "caption_level": flat.get("data.text.caption_level")}
    if run.init_from is not None:
        short["init_from"] = run.init_from.label
    return flat | {name: value for name, value in short.items() if value is not None}


def curve(events: Sequence[Mapping[str, Any]]) -> list[Point]:
    """The epochs of a log; what is not a number is left out.

    The validation error comes first: MLflow's compare page opens with the metric that was written first.
    """
    points = []
    for event in events:
        if "epoch" in event:
            ordered = sorted(event.items(), key=lambda item: item[0] != VALIDATION)
            values = {f"training/{metric_name(key)}": value for key, value in ordered if _is_curve(key, value)}
            points.append(Point(event["epoch"], int(event["time"] * 1000), values))
    return points


def final_metrics(folder: RunFolder) -> Point:
    """The metrics of a finished run as `test/NAME`, dated by their file, without the counts of clips."""
    measured = {key: value for key, value in folder.metrics().items() if _is_number(value) and key not in COUNTS}
    numbers = {f"test/{metric_name(key)}": value for key, value in measured.items()}
    return Point(0, milliseconds(folder.metrics_path), numbers)


def span(folder: RunFolder) -> tuple[int | None, int | None]:
    """When a run began and when it ended, in milliseconds, as far as its files tell."""
    events = folder.events()
    first = events[0]["time"] - events[0].get("seconds", 0.0) if events else None
    ends = folder.metrics_path if folder.metrics_path.exists() else folder.record_path
    return None if first is None else int(first * 1000), milliseconds(ends) if ends.exists() else None


def record_tags(folder: RunFolder) -> dict[str, str]:
    """Where a run's numbers came from: folder, digests, commit."""
    record = folder.record()
    facts = record.get("provenance", {})
    tags = {f"flag3d.digest.{name}": digest for name, digest in record.get("digests", {}).items()}
    tags |= {f"flag3d.{name}": facts[name] for name in ("commit", "uncommitted") if name in facts}
    return tags | {"flag3d.folder": str(folder.path)}


def fingerprint(path: StorePath) -> str:
    """Changes whenever a file is replaced or grows; empty where there is none."""
    try:
        if not isinstance(path, Path):
            return storage.mark(path)
        stat = path.stat()
    except FileNotFoundError:
        return ""
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def milliseconds(path: StorePath) -> int:
    """The time of a file."""
    return path.stat().st_mtime_ns // 1_000_000


def metric_name(name: str) -> str:
    """A name that MLflow accepts: it refuses, for one, the sign @."""
    return re.sub(r"[^\w\-. :/]", "_", name)


def _is_curve(key: str, value: Any) -> bool:
    return key not in ("epoch", "time") and _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _group_path(root: StorePath, group: Group) -> StorePath:
    name = hashlib.sha256(f"{group.experiment}\n{group.name}".encode()).hexdigest()[:16]
    return root / ".groups" / f"{name}.json"


def _read_group(path: StorePath) -> Group:
    data = read_json(path)
    return Group(data["name"], data["experiment"], data["parameters"], tuple(data["keys"]))
