"""The demonstration: fusion x text encoder x caption level, all 18 arms, then a search over the same space.

Paper: the factors of FLAG3D++'s Tables 3, 4 and 6, crossed; the paper varies one at a time.
Command: make demo
Expected time: under eight minutes on two cores, seconds the second time.
Expected output: 18 arms with their MAE, the best of them and which factor matters most, and Table 3's rows at the
`demo` preset. It shows the platform at work, not the method at its best: a small network, and few clips for the language.
"""

from typing import Any

from experiments import protocol, table03_counting
from experiments.protocol import Level
from flag3d_ray.methods.counting.hl_rac import Fusion
from flag3d_ray.run import Ablation, Run, Sweep
from flag3d_ray.tables import Table

SEEDS = (0,)
# Encoders that need no network.
ENCODERS = ("minilm", "lexical")
TRIALS = 18


def arm(fusion: Fusion, encoder: str, level: Level) -> Run:
    """One cell of the cross."""
    size = protocol.DEMO
    return protocol.learned(size, size.dataset, protocol.hl_rac(size, fusion), protocol.text(size, encoder, level))


def ablation() -> Ablation:
    """Every arm, none stopped early."""
    arms = tuple(
        (f"{fusion}, {encoder}, level {level}", arm(fusion, encoder, level))
        for fusion in protocol.FUSIONS
        for encoder in ENCODERS
        for level in protocol.LEVELS
    )
    return Ablation(name="demo-ablation", arms=arms, seeds=SEEDS)


def space(trial: Any) -> Run:
    """The same cells as a search space: the learning rate stays the preset's, so that trials answer from the store."""
    return arm(
        trial.suggest_categorical("fusion", protocol.FUSIONS),
        trial.suggest_categorical("text_encoder", ENCODERS),
        trial.suggest_categorical("caption_level", protocol.LEVELS),
    )


def sweep() -> Sweep:
    """As many trials as there are arms; a sampler may visit a good arm again and a bad one never."""
    return Sweep(name="demo-search", space=space, trials=TRIALS)


def table() -> Table:
    """Table 3 at the demo's size; its HL-RAC rows are arms of the ablation."""
    return table03_counting.table(preset=protocol.DEMO.name, seeds=SEEDS)
