"""How a launch is asked to end early: by Ctrl-C, or by SIGTERM as from `kill`, a scheduler or a machine that shuts down.

Both raise in the main thread, so that what belongs to an end happens: records say why, leases are released, Ray is stopped.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = "interrupted"
TERMINATED = "terminated"
"""Reasons in the record of a run that did not end: Ctrl-C and SIGTERM. It goes on when it is asked for again."""
_sigterm_came = threading.Event()
"""Ray makes a plain KeyboardInterrupt of what a signal's handler raises while it waits for other processes."""


class Terminated(KeyboardInterrupt):
    """SIGTERM; a KeyboardInterrupt, so that whatever lets Ctrl-C pass lets it pass too."""


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """In the block SIGTERM raises `Terminated`. Signals reach the main thread only; in others the block changes nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminated(signal_number: int, frame: object) -> None:
        _sigterm_came.set()
        raise Terminated

    _sigterm_came.clear()
    before = signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def own_signals() -> Iterator[None]:
    """Handlers that a library sets in the block are taken back at its end, where the program had handlers of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)


def exit_code(interruption: KeyboardInterrupt) -> int:
    """As shells have it, 128 and the signal's number: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (signal.SIGTERM if _is_sigterm(interruption) else signal.SIGINT)


def reason_of(end: BaseException) -> str:
    """Why a launch ended before its runs did, for their records."""
    if isinstance(end, SystemExit) or _is_sigterm(end):
        return TERMINATED
    return INTERRUPTED if isinstance(end, KeyboardInterrupt) else str(end) or type(end).__name__


def _is_sigterm(end: BaseException) -> bool:
    return isinstance(end, Terminated) or (isinstance(end, KeyboardInterrupt) and _sigterm_came.is_set())
