"""What a check of the machine found."""

from dataclasses import dataclass
from typing import Literal

State = Literal["pass", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One finding. `warn`: it works, with a drawback; `fail`: it will not work. `remedy` is empty on `pass`."""

    name: str
    state: State
    detail: str
    remedy: str = ""
