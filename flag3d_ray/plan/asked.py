"""What the launching verbs would do, as runs; and the smaller commands to fall back on, the least change first."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flag3d_ray import declarations
from flag3d_ray.costs import GRACE_EPOCHS
from flag3d_ray.home import Home
from flag3d_ray.plan.estimate import Asked, Plan, Stage
from flag3d_ray.run import Run, Sweep
from flag3d_ray.tables import load_table

SMALLER = {"paper": ("tiny", "demo"), "tiny": ("demo",)}
"""Preset -> the smaller ones, largest first."""
ONE_ARM = "hl_rac_multiplication"
Planner = Callable[[Asked], Plan]


def ask_demo(home: Home) -> Asked:
    """`flag3d demo`: the ablation, the search whose trials the store answers, and Table 3."""
    declared = declarations.demo()
    searched = Stage((), trials=_missing(declared.sweep(), home))
    return Asked("flag3d demo", (Stage(declared.ablation().runs()), searched, Stage(declared.table().runs())))


def ask_table(
    name: str, *, preset: str, dataset: str = "", seeds: Sequence[int] = (0, 1, 2), text_encoder: str = ""
) -> Asked:
    """`flag3d table NAME` with these options."""
    declared = load_table(name, preset=preset, dataset=dataset, seeds=seeds, text_encoder=text_encoder)
    words = [f"flag3d table {name} --preset {preset} --seeds {','.join(map(str, seeds))}"]
    words += [f"--dataset {dataset}"] if dataset else []
    words += [f"--text-encoder {text_encoder}"] if text_encoder else []
    return Asked(" ".join(words), (Stage(declared.runs()),))


def ask_sweep(name: str, home: Home, *, preset: str, dataset: str, trials: int) -> Asked:
    """`flag3d sweep NAME`: the trials that are missing, at values drawn from the space; bad ones may stop early."""
    sweep = declarations.load_sweep(name, preset=preset, dataset=dataset, trials=trials)
    missing = _missing(sweep, home)
    runs = tuple(dict.fromkeys(drawn_runs(sweep, missing)))
    words = f"flag3d sweep {name} --preset {preset} --trials {trials} --dataset {dataset}"
    return Asked(words, (Stage(runs, missing - len(runs), GRACE_EPOCHS),))


def ask_arm(preset: str) -> Asked:
    """`flag3d train` of one arm of Table 3."""
    rows = load_table("3", preset=preset, dataset="", seeds=(0,), text_encoder="").rows
    (runs,) = (row.runs for row in rows if row.method == ONE_ARM)
    return Asked(f"flag3d train {ONE_ARM} --preset {preset}", (Stage(runs),))


def smaller_demos() -> Iterator[Asked]:
    """Parts of the demo."""
    yield ask_table("3", preset="demo", seeds=(0,))
    yield ask_table("6", preset="demo", seeds=(0,))
    yield ask_arm("demo")


def smaller_tables(name: str, *, preset: str, seeds: Sequence[int], **options: str) -> Iterator[Asked]:
    """Fewer seeds, then smaller presets with all and with fewer of them, then one arm."""
    for size in (preset, *SMALLER.get(preset, ())):
        for number in range(len(seeds) - (size == preset), 0, -1):
            yield ask_table(name, preset=size, seeds=seeds[:number], **options)
    yield ask_arm(SMALLER.get(preset, (preset,))[-1])


def smaller_sweeps(name: str, home: Home, *, preset: str, dataset: str, trials: int) -> Iterator[Asked]:
    """Fewer trials, by halves."""
    while trials > 1:
        trials //= 2
        yield ask_sweep(name, home, preset=preset, dataset=dataset, trials=trials)


def cheapest_change(alternatives: Iterator[Asked], plan: Planner, seconds: float) -> Plan | None:
    """The first smaller command whose likely duration fits; None where none does."""
    return next((found for asked in alternatives if (found := plan(asked)).seconds.likely <= seconds), None)


class Drawn:
    """Stands in for a trial of Optuna, without it: every value is drawn at random."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        return self._random.choice(list(choices))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number between the bounds; with `log` its logarithm is drawn evenly."""
        part = self._random.random()
        return low * (high / low) ** part if log else low + (high - low) * part

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """A whole number between the bounds."""
        return self._random.randint(low, high)


def drawn_runs(sweep: Sweep, number: int) -> list[Run]:
    """Runs as a search might try them."""
    return [sweep.space(Drawn(sweep.seed + trial)) for trial in range(number)]


def _missing(sweep: Sweep, home: Home) -> int:
    """Trials that the study lacks; a home without studies lacks all, and neither Ray nor Optuna is loaded to see that."""
    if not (home.local / "studies.db").exists():
        return sweep.trials
    from flag3d_ray.study import completed_trials

    return max(sweep.trials - completed_trials(sweep, home), 0)
