"""Threads per process: a fixed number, since sums in another order round differently."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def set_threads(threads: int) -> None:
    """Let torch compute with this many threads from now on: for the processes that Ray starts for us."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Let torch compute with this many threads, and afterwards with as many as before: the process is our caller's."""
    before = torch.get_num_threads()
    set_threads(threads)
    try:
        yield
    finally:
        set_threads(before)
