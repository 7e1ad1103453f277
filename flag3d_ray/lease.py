"""Leases: one driver leads a run. A second launch finds the lease, says whose it is, and follows.

A lease is a JSON file that names host, process and the process's start, written under a file lock. On one host a lease is
dead as soon as its process is; from another host it is dead when its heartbeat (the file's time) is older than `STALE` seconds.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock

from flag3d_ray.files import write_json

HEARTBEAT = 10.0
STALE = 60.0


@dataclass(frozen=True)
class Holder:
    """Who leads a run."""

    host: str
    pid: int
    started: float

    @classmethod
    def this_process(cls) -> "Holder":
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"

    def alive(self, path: Path) -> bool:
        """Whether the holder still works, judged by its process here or by its heartbeat elsewhere."""
        if self.host == socket.gethostname():
            try:
                return abs(psutil.Process(self.pid).create_time() - self.started) < 1.0
            except psutil.NoSuchProcess:
                return False
        try:
            return time.time() - path.stat().st_mtime < STALE
        except FileNotFoundError:
            return False


def read_holder(path: Path) -> Holder | None:
    """The holder written in a lease, or None where there is no lease or a torn one."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def leader(path: Path) -> Holder | None:
    """Who leads now, or None if nobody alive does."""
    holder = read_holder(path)
    return holder if holder is not None and holder.alive(path) else None


class Leases:
    """The leases this process holds. Use as a context manager: a thread keeps them fresh, the end releases them."""

    def __init__(self) -> None:
        self._me = Holder.this_process()
        self._held: set[Path] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="lease-heartbeat")

    def __enter__(self) -> "Leases":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.release(tuple(self._held))

    def acquire(self, path: Path) -> Holder | None:
        """Take the lease; returns None on success and the living holder otherwise. A dead holder's lease is taken over."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=STALE):
            holder = leader(path)
            if holder is not None and holder != self._me:
                return holder
            write_json(path, asdict(self._me))
        self._held.add(path)
        return None

    def release(self, paths: Iterable[Path]) -> None:
        """Give leases back."""
        for path in paths:
            if read_holder(path) == self._me:
                path.unlink(missing_ok=True)
            self._held.discard(path)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            for path in tuple(self._held):
                if read_holder(path) == self._me:
                    with contextlib.suppress(FileNotFoundError):
                        os.utime(path)
                else:  # taken over by another host that found this heartbeat too old
                    self._held.discard(path)
