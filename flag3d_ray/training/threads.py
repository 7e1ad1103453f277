"""Threads per process: a fixed number, since sums in another order round differently."""

import torch


def set_threads(threads: int) -> None:
    """Let torch compute with this many threads from now on."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
