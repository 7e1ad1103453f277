"""Random numbers of a training loss that depend on what is drawn for, not on who draws: no global random state."""

import hashlib

import torch


def clip_generator(seed: int, step: int, clip_id: str) -> torch.Generator:
    """A generator on the CPU for one clip in one training step.

    Its numbers are the same whatever other clips stand in the batch, on however many workers the batch lies, and after
    a resumption, as long as the three arguments are.
    """
    digest = hashlib.sha256(f"{seed}/{step}/{clip_id}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
