"""Chaos on purpose: processes of runs are killed at random, to show on one's own cluster that no number depends on it.

A kill is drawn from seed, run and epoch, so that the same command kills at the same places, and falls at a random moment of
the epoch that follows. A finished epoch is never repeated, so each of them kills once at most and every run ends.
"""

import os
import random
import signal
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flag3d_ray.errors import RunError
from flag3d_ray.run import Resources
from flag3d_ray.store import RunFolder


@dataclass(frozen=True)
class Chaos:
    """`kill` is the probability, per finished epoch, that the process of the run is killed in the next one. 0 < kill <= 1."""

    kill: float
    seed: int = 0

    def __str__(self) -> str:
        return f"kill={self.kill:g},seed={self.seed}"

    def require(self, resources: Resources) -> None:
        """Raise where there is no process to kill.

        Raises:
            RunError: the local executor.
        """
        if resources.executor == "local":
            rule = "with the local executor a run is part of this command, which would be killed itself"
            raise RunError(where=f"--chaos {self}", rule=rule, remedy="add --executor ray, or leave --chaos out")

    def moment(self, key: str, epoch: int) -> float | None:
        """When a run's process is killed after this epoch, as a share of the epoch's duration; None where it is spared."""
        draw = random.Random(f"{self.seed} {key} {epoch}")
        return draw.random() if draw.random() < self.kill else None

    def losses(self, key: str, epochs: int) -> int:
        """How many processes a run may lose to it."""
        return sum(self.moment(key, epoch) is not None for epoch in range(epochs))


def parse_chaos(text: str) -> Chaos | None:
    """`kill=0.1`, or `kill=0.1,seed=3` for other victims; None for an empty text.

    Raises:
        RunError: anything else, or a probability that is not above 0 and at most 1.
    """
    if not text:
        return None
    remedy = "write kill=0.1, or kill=0.1,seed=3 for other victims"
    try:
        words = dict(part.split("=", 1) for part in text.split(","))
        chaos = Chaos(float(words.pop("kill")), int(words.pop("seed", 0)))
    except (ValueError, KeyError):
        raise RunError(where=f"--chaos {text}", rule="no probability of a kill", remedy=remedy) from None
    if words or not 0 < chaos.kill <= 1:
        rule = f"unknown: {', '.join(words)}" if words else "a probability above 0 and at most 1 is asked for"
        raise RunError(where=f"--chaos {text}", rule=rule, remedy=remedy)
    return chaos


def strike(chaos: Chaos | None, folder: RunFolder, event: Mapping[str, Any]) -> None:
    """Called by a run's own process after each epoch: kills it in the next one where the draw says so."""
    moment = None if chaos is None else chaos.moment(folder.key, event["epoch"])
    if moment is not None:
        timer = threading.Timer(moment * event["seconds"], _kill_this_process, (folder,))
        timer.daemon = True
        timer.start()


def _kill_this_process(folder: RunFolder) -> None:
    if folder.record().get("running"):  # else the run has ended, and its process may be at work for another one
        os.kill(os.getpid(), signal.SIGKILL)


def starts(folders: Iterable[RunFolder]) -> dict[str, int]:
    """How often each run has been started so far, by its key."""
    return {folder.key: len(folder.record().get("places", [])) for folder in folders}


def announced(chaos: Chaos) -> str:
    """What a launch says before it begins."""
    odds = f"after each epoch a run's process is killed with probability {chaos.kill:g} (seed {chaos.seed})"
    return f"CHAOS {chaos}: {odds}. Runs go on from their checkpoints, and no number changes."


def survived(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """What a launch says at its end, from the starts of its runs before and after it."""
    new = {key: number - before.get(key, 0) for key, number in after.items()}
    again = [number - 1 for number in new.values() if number > 1]
    if again:
        return (
            f"CHAOS: {sum(again)} processes of {len(again)} runs were lost, and started again from their checkpoints."
        )
    fitted = sum(number > 0 for number in new.values())
    why = (
        f"{fitted} runs were started, and all were spared"
        if fitted
        else "all runs were in the store, take an empty --home"
    )
    return f"CHAOS: no process was lost ({why})."
