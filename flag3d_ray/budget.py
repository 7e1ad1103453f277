"""A budget: the time a command may take, typed as time, or as money at a machine's price per hour.

What needs more is refused before anything starts. What uses it up while it runs stops at the end of an epoch, keeps its
checkpoint, and goes on when the same command is typed again. Either way the command line ends with exit code 3.
"""

import re
import time
from dataclasses import dataclass

from flag3d_ray.errors import Flag3dError, RunError

EXIT_CODE = 3
_TIME = re.compile(r"(?=.)(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?")
_UNITS = (3600.0, 60.0, 1.0)


class BudgetError(Flag3dError):
    """What is asked for needs more than its budget, or has used it up."""


class BudgetSpent(BudgetError):
    """Raised between two epochs when the time is used up; the run is not failed, it continues from its checkpoint."""


@dataclass(frozen=True)
class Budget:
    """`asked` is what was typed, `seconds` the wall time that it buys."""

    asked: str
    seconds: float


def parse_budget(text: str, price_per_hour: float | None = None) -> Budget:
    """`90s`, `5m`, `2h`, `1h30m`; a number without a unit is money, at the price per hour of the machine.

    Raises:
        RunError: neither; not above zero; or money without a price.
    """
    remedy = "write 90s, 5m, 2h or 1h30m, or an amount of money with --price-per-hour"
    try:
        if timed := _TIME.fullmatch(text):
            seconds = sum(float(part) * unit for part, unit in zip(timed.groups(), _UNITS, strict=True) if part)
        elif price_per_hour is None or price_per_hour <= 0:
            float(text)
            rule = "an amount of money, and no price above zero"
            raise RunError(where=f"--budget {text}", rule=rule, remedy="add --price-per-hour, or a unit: 90s, 5m, 2h")
        else:
            seconds = 3600 * float(text) / price_per_hour
    except ValueError:
        raise RunError(where=f"--budget {text}", rule="neither a time nor an amount", remedy=remedy) from None
    if not 0 < seconds < float("inf"):
        raise RunError(where=f"--budget {text}", rule="not above zero", remedy=remedy)
    return Budget(text, seconds)


def is_spent(deadline: float | None) -> bool:
    """Whether a deadline (seconds since the epoch, so that every process and host can read it) has passed."""
    return deadline is not None and time.time() >= deadline


def duration(seconds: float) -> str:
    """`0.4 s`, `40 s`, `2.5 min`, `12 min`, `3.5 h`."""
    unit, size = ("s", 1) if seconds < 90 else ("min", 60) if seconds < 5400 else ("h", 3600)
    return f"{seconds / size:.{int(seconds < 10 * size)}f} {unit}"
