"""Leases: one driver leads a run. A second launch finds the lease, says whose it is, and follows.

A lease is a JSON file that names host, process and the process's start, written under a file lock. On one host a lease is
dead as soon as its process is; from another host it is dead when its heartbeat (the file's time) is older than `STALE` seconds.
At a URL a lease has generations instead of a lock (`object_lease.py`).
"""

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from filelock import FileLock

from flag3d_ray import object_lease
from flag3d_ray.files import write_json
from flag3d_ray.storage import StorageLost, StorePath

if TYPE_CHECKING:
    from upath import UPath

HEARTBEAT = 10.0
STALE = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who leads a run; `started` is what the function of that name gives."""

    host: str
    pid: int
    started: float

    @classmethod
    def this_process(cls) -> "Holder":
        return cls(socket.gethostname(), os.getpid(), started(psutil.Process()))

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"

    def alive(self, heartbeat_age: Callable[[], float | None]) -> bool:
        """Whether the holder still works, judged by its process here or by its heartbeat elsewhere (seconds; None: gone)."""
        if self.host == socket.gethostname():
            try:
                return started(psutil.Process(self.pid)) == self.started
            except psutil.NoSuchProcess:
                return False
        age = heartbeat_age()
        return age is not None and age < STALE


def started(process: psutil.Process) -> float:
    """Seconds from this machine's start to the process's, in clock ticks: it stays what it is when somebody sets the clock.

    The time of day of a start does not: Linux derives it from the clock as it is now, and NTP moves it by a second.
    """
    return round(process.create_time() - psutil.boot_time(), 2)


def read_holder(path: StorePath) -> Holder | None:
    """The holder written in a lease, or None where there is no lease or a torn one."""
    if not isinstance(path, Path):
        return _holder(object_lease.current(path)[1])
    try:
        return _holder(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def leader(path: StorePath) -> Holder | None:
    """Who leads now, or None if nobody alive does."""
    if not isinstance(path, Path):
        number, content = object_lease.current(path)
        return _living(_holder(content), partial(object_lease.age, path, number))
    return _living(read_holder(path), partial(_age, path))


def _holder(content: Any) -> Holder | None:
    try:
        return Holder(**content)
    except TypeError:
        return None


def _living(holder: Holder | None, heartbeat_age: Callable[[], float | None]) -> Holder | None:
    return holder if holder is not None and holder.alive(heartbeat_age) else None


def _age(path: Path) -> float | None:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return None


class Leases:
    """The leases this process holds. Use as a context manager: a thread keeps them fresh, the end releases them."""

    def __init__(self) -> None:
        self._me = Holder.this_process()
        self._held: dict[StorePath, int] = {}  # with the generation, 0 where a lease has none
        self._writing = threading.Lock()  # a heartbeat after a release would take the lease again
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="lease-heartbeat")

    def __enter__(self) -> "Leases":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for path in tuple(self._held):
            try:
                self.release([path])
            except (StorageLost, OSError) as error:  # others take it over when they find it too old
                _log.warning("a lease could not be given back: %s", error)

    def acquire(self, path: StorePath) -> Holder | None:
        """Take the lease; returns None on success and the living holder otherwise. A dead holder's lease is taken over."""
        return self._take_file(path) if isinstance(path, Path) else self._take_generation(path)

    def release(self, paths: Iterable[StorePath]) -> None:
        """Give leases back."""
        for path in paths:
            with self._writing:
                number = self._held.pop(path, 0)
                if read_holder(path) != self._me:
                    continue
                if isinstance(path, Path):
                    path.unlink(missing_ok=True)
                elif number:
                    object_lease.rewrite(path, number, {})

    def _take_file(self, path: Path) -> Holder | None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=STALE):
            holder = leader(path)
            if holder is not None and holder != self._me:
                return holder
            write_json(path, asdict(self._me))
        self._held[path] = 0
        return None

    def _take_generation(self, path: "UPath") -> Holder | None:
        while True:
            number, content = object_lease.current(path)
            holder = _living(_holder(content), partial(object_lease.age, path, number))
            if holder is not None and holder != self._me:
                return holder
            if holder is None and object_lease.take(path, number, asdict(self._me)):
                number += 1
            elif holder is None:
                continue  # somebody else was faster: see who
            self._held[path] = number
            return None

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            for path in tuple(self._held):
                try:
                    with self._writing:
                        self._refresh(path)
                except (StorageLost, OSError) as error:  # it may come back before anybody finds this heartbeat too old
                    _log.warning("a lease could not be refreshed: %s", error)

    def _refresh(self, path: StorePath) -> None:
        number = self._held.get(path)
        if number is None:  # released meanwhile
            return
        if read_holder(path) != self._me:  # taken over by another host that found this heartbeat too old
            self._held.pop(path)
        elif isinstance(path, Path):
            with contextlib.suppress(FileNotFoundError):
                os.utime(path)
        else:
            object_lease.rewrite(path, number, asdict(self._me))
