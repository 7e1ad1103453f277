"""Peak memory of this process and all it started: the sum of proportional set sizes, sampled in a thread.

A page that processes share (code, Ray's object store in /dev/shm) is counted once, in shares. The object store's own
use is sampled beside it.
"""

import contextlib
import threading
from pathlib import Path

import psutil

_EVERY_SECONDS = 0.5


class PeakMemory:
    """A context; afterwards `pss` and `shared` hold the peaks in bytes."""

    def __init__(self) -> None:
        self.pss = self.shared = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(_EVERY_SECONDS):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += process.memory_full_info().pss
            self.pss = max(self.pss, total)
            self.shared = max(self.shared, _object_store())

    def __str__(self) -> str:
        return f"peak {self.pss / 2**30:.2f} GiB PSS, of it object store at most {self.shared / 2**30:.2f} GiB"


def _object_store() -> int:
    """Bytes in use in /dev/shm, where Ray keeps its objects."""
    usage = psutil.disk_usage("/dev/shm") if Path("/dev/shm").exists() else None
    return usage.used if usage else 0
