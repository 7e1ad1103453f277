"""The store is the truth: one directory per run, named by its key.

    record.json           the run, its status, the reason of its end, provenance, cost
    checkpoint/           safetensors: `last` to resume from, `model` to predict with
    events.jsonl          one line per epoch
    predictions.parquet   one row per test clip
    metrics.json          computed from the predictions

Every file but the event log appears whole or not at all. The log is appended line by line; a torn last line is ignored.
A store may lie at a URL (`storage.py`), where nothing can be appended: the log, a few kilobytes, is then written anew.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flag3d_ray import storage
from flag3d_ray.files import disk_full_is_named, is_there, read_bytes, read_json, write_bytes, write_json
from flag3d_ray.storage import StorePath

Status = Literal["missing", "started", "fitted", "finished", "failed"]
Json = dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: StorePath

    @property
    def key(self) -> str:
        """The run's identity."""
        return self.path.name

    @property
    def record_path(self) -> StorePath:
        return self.path / "record.json"

    @property
    def events_path(self) -> StorePath:
        return self.path / "events.jsonl"

    @property
    def last_checkpoint(self) -> StorePath:
        return self.path / "checkpoint" / "last.safetensors"

    @property
    def model(self) -> StorePath:
        return self.path / "checkpoint" / "model.safetensors"

    @property
    def predictions(self) -> StorePath:
        return self.path / "predictions.parquet"

    @property
    def metrics_path(self) -> StorePath:
        return self.path / "metrics.json"

    @property
    def lease(self) -> StorePath:
        return self.path / "lease.json"

    def record(self) -> Json:
        """What is known of the run; empty before it starts."""
        try:
            return read_json(self.record_path)
        except FileNotFoundError:
            return {}

    def write_record(self, **changes: Any) -> None:
        """Add to the record and replace it atomically."""
        write_json(self.record_path, self.record() | changes)

    @property
    def status(self) -> Status:
        """`fitted` has a model but no metrics yet; `failed` is tried again only when the user asks for it."""
        if is_there(self.metrics_path):
            return "finished"
        status = self.record().get("status", "missing")
        return "started" if status == "fitted" and not self.model.exists() else status

    def metrics(self) -> dict[str, float]:
        """The metrics of a finished run."""
        return read_json(self.metrics_path)

    def append_event(self, event: Json) -> None:
        """Add one line to the log. A line torn by a crash is cut off first, so that it cannot swallow this one."""
        line = json.dumps({"time": time.time()} | event, sort_keys=True, allow_nan=False) + "\n"
        if not isinstance(self.events_path, Path):
            write_bytes(self.events_path, self._log() + line.encode())
            return
        self.events_path.parent.mkdir(parents=True, exist_ok=True)
        self._cut_torn_line()
        with disk_full_is_named(self.events_path), self.events_path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())  # a checkpoint that is ahead of the log after a power cut would not be believed

    def events(self) -> list[Json]:
        """All whole lines of the log, oldest first."""
        data = self._log()
        return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].decode("utf-8").splitlines()]

    def forget_events_from(self, epoch: int) -> None:
        """Drop epochs that a resumed run is about to repeat, so that each epoch stands in the log once."""
        known = self.events()
        kept = [event for event in known if event.get("epoch", -1) < epoch]
        if kept == known:
            return
        lines = "".join(json.dumps(event, sort_keys=True) + "\n" for event in kept)
        write_bytes(self.events_path, lines.encode())

    def forget_failure(self) -> None:
        """Open a failed run again: from its beginning, or from its model where only its evaluation failed (`fitted`)."""
        if self.record().get("fitted") and self.model.exists():
            self.write_record(status="fitted", reason="", fitted=False)
        else:
            self.clear()

    def clear(self) -> None:
        """Delete all of the run's files but its lease and the lock on it, which another process may hold."""
        if not isinstance(self.path, Path):
            kept = f"{self.lease.stem}."
            storage.remove(self.path, (name for name in storage.names(self.path) if not name.startswith(kept)))
            return
        kept = {self.lease, self.lease.with_suffix(".lock")}
        for entry in self.path.iterdir() if self.path.exists() else ():
            if entry not in kept:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _log(self) -> bytes:
        try:
            return read_bytes(self.events_path)
        except FileNotFoundError:
            return b""

    def _cut_torn_line(self) -> None:
        data = self._log()
        if data and not data.endswith(b"\n"):
            write_bytes(self.events_path, data[: data.rfind(b"\n") + 1])


@dataclass(frozen=True)
class Store:
    """All runs under one folder."""

    root: StorePath

    def folder(self, key: str) -> RunFolder:
        """The folder of a run, existing or not."""
        return RunFolder(self.root / key)

    def __iter__(self) -> Iterator[RunFolder]:
        if self.root.exists():
            paths = sorted(self.root.iterdir(), key=lambda path: path.name)
            yield from (RunFolder(path) for path in paths if (path / "record.json").exists())
