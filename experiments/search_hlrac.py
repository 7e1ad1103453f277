"""A search for HL-RAC's best setting: fusion, text encoder, caption level, learning rate.

Paper: FLAG3D++ varies the first three one at a time (Tables 3, 4 and 6) and prints no learning rate.
Command: flag3d sweep hlrac --preset tiny
Expected time: see the README; the study persists, and the same command continues it.
Expected output: the best run by validation MAE (held-out actions of the training side, never the test side) and the
importance of each parameter.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from experiments import protocol
from flag3d_ray.run import Run, Sweep

# Encoders that need no network; a search must be able to run every point of its space.
ENCODERS = ("minilm", "lexical")
LEARNING_RATES = (1e-4, 5e-3)
TRIALS = 24


def space(trial: Any, preset: str = "tiny", dataset: str = "") -> Run:
    """The run of a trial; the learning rate has two significant digits, so that trials and tables can share runs."""
    size = protocol.preset(preset)
    method = protocol.hl_rac(size, trial.suggest_categorical("fusion", protocol.FUSIONS))
    encoder = trial.suggest_categorical("text_encoder", ENCODERS)
    level = trial.suggest_categorical("caption_level", protocol.LEVELS)
    rate = two_digits(trial.suggest_float("learning_rate", *LEARNING_RATES, log=True))
    run = protocol.learned(size, dataset or size.dataset, method, protocol.text(size, encoder, level))
    return replace(run, train=replace(run.train, learning_rate=rate))


def sweep(*, preset: str = "tiny", dataset: str = "", trials: int = TRIALS, seed: int = 0) -> Sweep:
    """The search with a preset on a dataset; each pair has its own study."""
    dataset = dataset or protocol.preset(preset).dataset
    searched = partial(space, preset=preset, dataset=dataset)
    return Sweep(name=f"hlrac-{preset}-{dataset}", space=searched, trials=trials, seed=seed)


def two_digits(value: float) -> float:
    """Rounded to two significant digits: 0.001234 becomes 0.0012."""
    return float(f"{value:.1e}")
