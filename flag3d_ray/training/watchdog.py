"""A watchdog for runs that hang: a process whose run finishes no epoch for too long is ended, with that as the reason."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flag3d_ray.budget import duration
from flag3d_ray.store import RunFolder

EXIT_CODE = 124  # as of the command `timeout`
POLLS = 10  # looks at the log per limit


@contextmanager
def ended_when_stalled(folder: RunFolder, limit: float) -> Iterator[None]:
    """In the block this process ends when the run's log gains no epoch for `limit` seconds (0: never).

    The process is all that can be ended: nothing wakes a thread that waits in a library. Ray starts the run again from its
    checkpoint, as often as for a lost process; with the local executor the command ends, and goes on when typed again.
    """
    if not limit:
        yield
        return
    done = threading.Event()
    threading.Thread(target=_watch, args=(folder, limit, done), daemon=True, name="watchdog").start()
    try:
        yield
    finally:
        done.set()


def _watch(folder: RunFolder, limit: float, done: threading.Event) -> None:
    epochs, since = _epochs(folder, 0), time.monotonic()
    while not done.wait(limit / POLLS):
        if (now := _epochs(folder, epochs)) != epochs:
            epochs, since = now, time.monotonic()
        elif time.monotonic() - since > limit:
            reason = f"stalled: no epoch for {duration(limit)}"
            print(f"{folder.key} {reason}; the same command continues it", file=sys.stderr, flush=True)
            with suppress(Exception):  # the storage may be what the run hangs on
                folder.write_record(running=False, reason=reason)
            os._exit(EXIT_CODE)


def _epochs(folder: RunFolder, known: int) -> int:
    with suppress(Exception):  # a storage that is away tells of no epoch
        return len(folder.events())
    return known
