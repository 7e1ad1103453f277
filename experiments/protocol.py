"""The paper's protocol, said once: splits, clips, crops, training, and the three sizes (`DEMO`, `TINY`, `PAPER`).

FLAG3D++ (Sections 4.2 and 5.1): 128 frames, ten crops per sequence for training and test, the test side's actions
unseen. The paper prints neither epochs nor learning rate; `TrainSpec`'s recipe `ours` is used for every learned method,
so that methods are compared under one training.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from flag3d_ray.errors import RunError
from flag3d_ray.methods.base import Method
from flag3d_ray.methods.counting.hl_rac import HLRAC, DensityNetwork, Fusion
from flag3d_ray.methods.counting.transrac import TransRAC
from flag3d_ray.run import DataSpec, Run, Text, TrainSpec

Level = Literal[1, 2, 3]

FUSIONS: tuple[Fusion, ...] = get_args(Fusion)
LEVELS: tuple[Level, ...] = get_args(Level)
CROPS = 10
SEEDS = (0, 1, 2)
# FLAG3D++ counts actions that training never saw. UI-PRMD has too few actions for that and tests on unseen people.
SPLITS = {"synthetic": "by_action", "synthetic-demo": "by_action", "ui_prmd": "by_person"}
# Fitted methods are not trained, so that no training setting may tell two of their runs apart.
FITTED = TrainSpec(epochs=0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How learned methods are trained on a dataset: the schedule, and the training side's crops and augmentation.

    `crops`, `turn` and `noise` as in `DataSpec`; the test side has ten crops always.
    """

    train: TrainSpec
    crops: int = CROPS
    turn: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A size of everything: clips, network, training.

    `dataset` and `text_encoder` are what tables use where the caller names no other; `own` holds the recipes of datasets
    that need one of their own. With a `warm_start` every learned method starts, seed by seed, from one text-free network
    trained that long on the training actions of `dataset`: on two cores each arm alone would not leave the flat start of
    the loss.
    """

    name: str
    dataset: str
    frames: int
    text_encoder: str
    network: DensityNetwork
    recipe: Recipe
    own: Mapping[str, Recipe] = field(default_factory=dict)
    warm_start: TrainSpec | None = None

    def recipe_for(self, dataset: str) -> Recipe:
        """The recipe of a dataset."""
        return self.own.get(dataset, self.recipe)


# The smallest network that still learns. Batches of 16: on one core the number of updates decides, not their noise.
SMALL = DensityNetwork(
    widths=(8, 8),
    similarity_heads=4,
    similarity_width=8,
    conv_channels=4,
    model_width=64,
    attention_heads=4,
    feed_forward=64,
    layers=1,
    density_widths=(64, 32),
    dropout=(0.0, 0.0, 0.0),
)
DEMO = Preset(
    name="demo",
    dataset="synthetic-demo",
    frames=64,
    text_encoder="minilm",
    network=SMALL,
    recipe=Recipe(
        train=TrainSpec(epochs=2, batch=16, learning_rate=5e-4, max_clips_per_epoch=640, max_validation_clips=128)
    ),
    warm_start=TrainSpec(
        epochs=6, batch=16, learning_rate=1e-3, max_clips_per_epoch=2048, max_validation_clips=128, keep="last"
    ),
)
# 62 training recordings: ten crops of each are learned by heart. Validation MAE (a person held out; TransRAC, one seed,
# 50 000 clips): 0.111 with 10 crops, 0.074 with 20, 0.083 with 60, all at 1e-3; with 20 crops 0.107 at 5e-4, 0.060 at 2e-3.
UI_PRMD = Recipe(
    train=TrainSpec(epochs=40, batch=16, learning_rate=2e-3, max_clips_per_epoch=1240), crops=20, turn=0.5, noise=0.005
)
TINY = Preset(
    name="tiny",
    dataset="synthetic",
    frames=128,
    text_encoder="minilm",
    network=SMALL,
    recipe=Recipe(
        train=TrainSpec(epochs=3, batch=16, learning_rate=5e-4, max_clips_per_epoch=2048, max_validation_clips=128)
    ),
    own={"ui_prmd": UI_PRMD},
    warm_start=TrainSpec(
        epochs=20, batch=16, learning_rate=1e-3, max_clips_per_epoch=2048, max_validation_clips=128, keep="last"
    ),
)
PAPER = Preset(
    name="paper",
    dataset="synthetic",
    frames=128,
    text_encoder="bert",
    network=DensityNetwork(),
    recipe=Recipe(train=TrainSpec(epochs=25, batch=64, learning_rate=3e-4)),
)
PRESETS = {preset.name: preset for preset in (DEMO, TINY, PAPER)}


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        RunError: there is none.
    """
    if name not in PRESETS:
        raise RunError(where=f"preset {name!r}", rule="unknown preset", remedy=f"choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def hl_rac(size: Preset, fusion: Fusion) -> HLRAC:
    """HL-RAC as the paper writes it (profile `paper`), in a preset's size."""
    return HLRAC(fusion=fusion, **_sizes(size))


def transrac(size: Preset) -> TransRAC:
    """The same network without language."""
    return TransRAC(**_sizes(size))


def notes(size: Preset, dataset: str) -> tuple[str, ...]:
    """What a reader of a table of this size must know beyond the paper's protocol."""
    said = []
    if size.warm_start is not None:
        clips = size.warm_start.epochs * size.warm_start.max_clips_per_epoch
        said.append(
            f"Warm start: with each seed, all learned methods start from one text-free network of the same size, trained "
            f"on {clips} crops of the training actions of {size.dataset}; the paper trains each from random weights."
        )
    recipe = size.recipe_for(dataset)
    if (recipe.crops, recipe.turn, recipe.noise) != (CROPS, 0.0, 0.0):
        said.append(
            f"Training clips: {recipe.crops} crops per sequence, headings turned by up to {recipe.turn:g} rad, noise of "
            f"{1000 * recipe.noise:g} mm; the paper has ten crops and neither."
        )
    return tuple(said)


def text(size: Preset, encoder: str = "", level: Level = 1) -> Text:
    """The language of a run: one pooled vector per caption, of level 1 (the action's name) by default."""
    return Text(encoder=encoder or size.text_encoder, caption_level=level)


def data(size: Preset, dataset: str, language: Text | None = None) -> DataSpec:
    """The clips of a learned method.

    Raises:
        RunError: the dataset has no split in this protocol.
    """
    recipe = size.recipe_for(dataset)
    return DataSpec(
        dataset=dataset,
        split=_split(dataset),
        frames=size.frames,
        crops=recipe.crops,
        test_crops=CROPS,
        text=language,
        turn=recipe.turn,
        noise=recipe.noise,
    )


def learned(size: Preset, dataset: str, method: Method, language: Text | None = None, seed: int = 0) -> Run:
    """A run of a method that trains, from the preset's warm start where it has one."""
    start = None
    if size.warm_start is not None:
        start = Run(method=transrac(size), data=data(size, size.dataset), train=size.warm_start, seed=seed)
    train = size.recipe_for(dataset).train
    return Run(method=method, data=data(size, dataset, language), train=train, seed=seed, init_from=start)


def fitted(size: Preset, dataset: str, method: Method, seed: int = 0) -> Run:
    """A run of a method that is fitted in one pass or not at all, on clips without added noise."""
    clips = replace(data(size, dataset), turn=0.0, noise=0.0)
    return Run(method=method, data=clips, train=FITTED, seed=seed)


def _sizes(size: Preset) -> dict[str, Any]:
    return {one.name: getattr(size.network, one.name) for one in fields(DensityNetwork)}


def _split(dataset: str) -> str:
    if dataset not in SPLITS:
        remedy = f"choose one of {', '.join(SPLITS)}, or add its split to experiments/protocol.py"
        raise RunError(where=f"dataset {dataset!r}", rule="the protocol has no split for it", remedy=remedy)
    return SPLITS[dataset]
