"""Experiments are found by name when a command runs: the package never imports them."""

import importlib
from types import ModuleType
from typing import Any

from flag3d_ray.errors import RunError
from flag3d_ray.figures import FeatureFigure, JointWeightFigure
from flag3d_ray.run import Sweep


def demo() -> ModuleType:
    """The demo's declarations: `ablation()`, `sweep()`, `table()`."""
    return importlib.import_module("experiments.demo")


def default_dataset(preset: str) -> str:
    """The dataset of a preset, for who names none.

    Raises:
        RunError: there is no such preset.
    """
    return importlib.import_module("experiments.protocol").preset(preset).dataset


def statistics() -> ModuleType:
    """Table 2's declarations: `printed_rows()`, `printed_beside(dataset)`."""
    return importlib.import_module("experiments.table02_statistics")


def feature_figure(**options: Any) -> FeatureFigure:
    """Figure 8; `options` as its `figure` function takes them."""
    return importlib.import_module("experiments.figure08_features").figure(**options)


def joint_weight_figure(**options: Any) -> JointWeightFigure:
    """Figure 9; `options` as its `figure` function takes them."""
    return importlib.import_module("experiments.figure09_joint_weights").figure(**options)


def load_sweep(name: str, **options: Any) -> Sweep:
    """A search declared in `experiments`, by its name; `options` as its `sweep` function takes them.

    Raises:
        RunError: no such search is declared.
    """
    known: dict[str, str] = importlib.import_module("experiments").SWEEPS
    if name not in known:
        remedy = f"choose one of {', '.join(sorted(known))}"
        raise RunError(where=f"search {name!r}", rule="not declared in experiments", remedy=remedy)
    return importlib.import_module(known[name]).sweep(**options)
