"""The paper's protocol, said once: splits, clips, crops, training, and the sizes (`DEMO`, `TINY`, `COUNTER`, `PAPER`).

FLAG3D++ (Sections 4.2 and 5.1): 128 frames, ten crops per sequence for training and test, the test side's actions
unseen. The paper prints neither epochs nor learning rate; `TrainSpec`'s recipe `ours` is used for every learned method,
so that methods are compared under one training.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from flag3d_ray.checkpoints import packaged_weights
from flag3d_ray.data.synthetic import variation
from flag3d_ray.errors import RunError
from flag3d_ray.methods.base import Method
from flag3d_ray.methods.counting.hl_rac import HLRAC, DensityNetwork, Fusion
from flag3d_ray.methods.counting.hl_rac import PAPER as PAPER_PROFILE
from flag3d_ray.methods.counting.transrac import TransRAC
from flag3d_ray.run import DataSpec, Run, Text, TrainSpec, Weights

Level = Literal[1, 2, 3]
Caption = Literal["true", "shuffled"]

FUSIONS: tuple[Fusion, ...] = get_args(Fusion)
LEVELS: tuple[Level, ...] = get_args(Level)
CROPS = 10
SEEDS = (0, 1, 2)
# Fitted methods are not trained, so that no training setting may tell two of their runs apart; nor are models that are
# judged on other data than they were trained on.
FITTED = TrainSpec(epochs=0)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """How a dataset is split and tested; fields as in `DataSpec`."""

    split: str
    test_crops: int = CROPS
    test_windows: Literal["crops", "counts"] = "crops"


# FLAG3D++ counts actions that training never saw. UI-PRMD has few actions and tests on unseen people; its recordings all
# count ten, so that each is tested on one window of every count from 1 to 10. CMU's repetitions have no borders to crop
# at. The fractions that Table 7 prints are of 113 clips: whole videos.
DATASETS: Mapping[str, Judged] = {
    "synthetic": Judged(split="by_action"),
    "synthetic-demo": Judged(split="by_action"),
    "synthetic-mixed": Judged(split="mixed"),
    **{name: Judged(split="from_procedural") for name in variation.DATASETS},
    "flag3d": Judged(split="released"),
    "ui_prmd": Judged(split="by_person", test_windows="counts"),
    "cmu_exercise": Judged(split="all_test", test_crops=1),
    "repcount_a": Judged(split="released", test_crops=1),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How learned methods are trained on a dataset: the schedule, and the training side's crops and augmentation.

    `crops`, `turn`, `noise` and `mirror` as in `DataSpec`. Without `warm_start` training begins with random weights,
    whatever the preset: its warm start has learned one skeleton, and a dataset may have another.
    """

    train: TrainSpec
    crops: int = CROPS
    turn: float = 0.0
    noise: float = 0.0
    mirror: bool = False
    warm_start: bool = True


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A size of everything: clips, network, training.

    `dataset` and `text_encoder` are what tables use where the caller names no other; `own` holds the recipes of datasets
    that need one of their own. With a `warm_start` every learned method starts, seed by seed, from one text-free network
    trained that long on the training actions of `dataset`: on two cores each arm alone would not leave the flat start of
    the loss. Where there are `weights`, networks of the preset's own sizes and profile start from these instead.
    `count_weight` is that of TransRAC's loss.
    """

    name: str
    dataset: str
    frames: int
    text_encoder: str
    network: DensityNetwork
    recipe: Recipe
    own: Mapping[str, Recipe] = field(default_factory=dict)
    warm_start: TrainSpec | None = None
    weights: Weights | None = None
    count_weight: float = 0.0

    def recipe_for(self, dataset: str) -> Recipe:
        """The recipe of a dataset."""
        return self.own.get(dataset, self.recipe)

    def warm_start_for(self, dataset: str) -> TrainSpec | None:
        """How the network that a dataset's learned methods start from was trained."""
        return self.warm_start if self.recipe_for(dataset).warm_start else None


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
# As many clips as warm start and recipe together. Nobody has measured it: RepCountA's skeletons are everybody's own.
REPCOUNT_A = Recipe(
    train=TrainSpec(epochs=24, batch=16, learning_rate=1e-3, max_clips_per_epoch=2048), warm_start=False
)
# As many again, of data that are themselves what others start from.
MIXED = Recipe(train=replace(REPCOUNT_A.train, max_validation_clips=128), warm_start=False)
# The last weights: validation swings until the rate comes down, and choosing by it would hide which data taught nothing.
PROCEDURAL = dict.fromkeys(
    variation.DATASETS, Recipe(train=replace(MIXED.train, epochs=12, keep="last"), warm_start=False)
)
# The network that comes with the package: wide enough to count what it has never seen, small enough for two cores. It went on
# from these, --init-from, for 14 epochs at the same rate, for 20 at up to 4e-4 and for 36 at up to 5e-4, all without a count
# weight, then for 6 at up to 2e-4. Seeds 0, 0, 1, 2, 3: another one draws other clips. UI-PRMD, MAE: 0.068 after the third,
# 0.056 after the fourth, on other random motions, 0.041 after the last.
COUNTER = Preset(
    name="counter",
    dataset="synthetic-mixed",
    frames=128,
    text_encoder="minilm",
    network=replace(SMALL, widths=(8, 16, 8), model_width=96, feed_forward=96, layers=2),
    recipe=Recipe(
        train=TrainSpec(epochs=17, batch=16, learning_rate=1e-3, max_clips_per_epoch=16_384, max_validation_clips=512),
        turn=3.1,
        noise=0.005,
        mirror=True,
    ),
    count_weight=10.0,
    # `counter` of the package is `counter_synthetic` after these epochs: flag3d train --init-from.
    own={
        **PROCEDURAL,
        "ui_prmd": Recipe(
            train=TrainSpec(epochs=20, batch=16, learning_rate=5e-4, max_clips_per_epoch=1240),
            crops=20,
            turn=3.1,
            noise=0.005,
            mirror=True,
        ),
    },
)
# Clips are varied as those that the package's network was trained on. Mean validation MAE of TransRAC and the three
# fusions (seed 0, 600 clips): 0.064 before the first step, 0.070 at 2e-4, 0.085 at 5e-4.
DEMO = Preset(
    name="demo",
    dataset="synthetic-demo",
    frames=COUNTER.frames,
    text_encoder="minilm",
    network=COUNTER.network,
    recipe=Recipe(
        train=TrainSpec(epochs=2, batch=16, learning_rate=2e-4, max_clips_per_epoch=640, max_validation_clips=128),
        turn=COUNTER.recipe.turn,
        noise=COUNTER.recipe.noise,
        mirror=COUNTER.recipe.mirror,
    ),
    own={**PROCEDURAL, "repcount_a": REPCOUNT_A},
    warm_start=TrainSpec(
        epochs=6, batch=16, learning_rate=1e-3, max_clips_per_epoch=2048, max_validation_clips=128, keep="last"
    ),
    weights=packaged_weights("counter_synthetic"),
)
# 62 training recordings: ten crops of each are learned by heart. Validation MAE (a person held out; TransRAC, one seed,
# 50 000 clips): 0.111 with 10 crops, 0.074 with 20, 0.083 with 60, all at 1e-3; with 20 crops 0.107 at 5e-4, 0.060 at 2e-3.
# All training people but one lead with the right limb, so that without mirrored clips whoever leads with the left is unknown.
UI_PRMD = Recipe(
    train=TrainSpec(epochs=40, batch=16, learning_rate=2e-3, max_clips_per_epoch=1240),
    crops=20,
    turn=0.5,
    noise=0.005,
    mirror=True,
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
    own={**PROCEDURAL, "synthetic-mixed": MIXED, "ui_prmd": UI_PRMD, "repcount_a": REPCOUNT_A},
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
    own=dict.fromkeys(
        variation.DATASETS, Recipe(train=TrainSpec(epochs=12, batch=64, learning_rate=3e-4, keep="last"))
    ),
)
PRESETS = {preset.name: preset for preset in (DEMO, TINY, COUNTER, PAPER)}


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
    return HLRAC(fusion=fusion, **sizes(size.network))


def transrac(size: Preset) -> TransRAC:
    """The same network without language."""
    return TransRAC(**sizes(size.network), count_weight=size.count_weight)


def text_free(method: DensityNetwork) -> TransRAC:
    """The network of a method without its language, in the sizes and the profile of the method."""
    # Without text there is nothing that a text axis could tell apart.
    profile = replace(method.profile, text_axis=PAPER_PROFILE.text_axis)
    return replace(TransRAC(**sizes(method)), profile=profile)


def notes(size: Preset, dataset: str) -> tuple[str, ...]:
    """What a reader of a table of this size must know beyond the paper's protocol."""
    said, start = [], size.warm_start_for(dataset)
    if start is not None and size.weights is not None:
        said.append(
            "Warm start: all learned methods start from the network that comes with the package, trained with one seed on "
            f"random motions and on other takes of the training actions ({size.weights.label}); the paper trains each from "
            "random weights."
        )
    elif start is not None:
        clips = start.epochs * start.max_clips_per_epoch
        said.append(
            f"Warm start: with each seed, all learned methods start from one text-free network of the same size, trained "
            f"on {clips} crops of the training actions of {size.dataset}; the paper trains each from random weights."
        )
    recipe = size.recipe_for(dataset)
    if (recipe.crops, recipe.turn, recipe.noise, recipe.mirror) != (CROPS, 0.0, 0.0, False):
        said.append(
            f"Training clips: {recipe.crops} crops per sequence, headings turned by up to {recipe.turn:g} rad, noise of "
            f"{1000 * recipe.noise:g} mm{', half of them mirrored' if recipe.mirror else ''}; the paper has ten crops alone."
        )
    if dataset in DATASETS and DATASETS[dataset].test_windows == "counts":
        said.append(f"Test clips of {dataset}: one window of every count from 1 to {CROPS} per recording.")
    return tuple(said)


def text(size: Preset, encoder: str = "", level: Level = 1, *, tokens: bool = False, caption: Caption = "true") -> Text:
    """The language of a run: one pooled vector per caption, of level 1 (the action's name) by default."""
    return Text(encoder=encoder or size.text_encoder, caption_level=level, tokens=tokens, caption=caption)


def data(size: Preset, dataset: str, language: Text | None = None) -> DataSpec:
    """The clips of a learned method.

    Raises:
        RunError: the dataset has no split in this protocol.
    """
    recipe, judged = size.recipe_for(dataset), _judged(dataset)
    return DataSpec(
        dataset=dataset,
        split=judged.split,
        frames=size.frames,
        crops=recipe.crops,
        test_crops=judged.test_crops,
        test_windows=judged.test_windows,
        text=language,
        turn=recipe.turn,
        noise=recipe.noise,
        mirror=recipe.mirror,
    )


def learned(
    size: Preset,
    dataset: str,
    method: Method,
    language: Text | None = None,
    seed: int = 0,
    *,
    parts: tuple[str, ...] = (),
) -> Run:
    """A run of a method that trains, from the preset's warm start where the dataset has one.

    Without `parts` the whole text-free network is trained first, so that a method of another profile or depth starts from
    one of its own; with them these modules start from the preset's.
    """
    start, train = size.warm_start_for(dataset), size.recipe_for(dataset).train
    run = Run(method=method, data=data(size, dataset, language), train=train, seed=seed)
    if start is None:
        return run
    twin = text_free(method) if isinstance(method, DensityNetwork) and not parts else transrac(size)
    source = size.weights if twin == transrac(size) else None
    source = source or Run(method=twin, data=data(size, size.dataset), train=start, seed=seed)
    return replace(run, init_from=source, init_parts=parts)


def fitted(size: Preset, dataset: str, method: Method, seed: int = 0) -> Run:
    """A run of a method that is fitted in one pass or not at all, on clips without added noise."""
    return Run(method=method, data=_still(data(size, dataset)), train=FITTED, seed=seed)


def transferred(size: Preset, run: Run, dataset: str) -> Run:
    """The model of a run, as it is, judged on another dataset."""
    clips = _still(data(size, dataset, run.data.text))
    return Run(method=run.method, data=clips, train=FITTED, seed=run.seed, init_from=run)


def _still(clips: DataSpec) -> DataSpec:
    return replace(clips, turn=0.0, noise=0.0, mirror=False)


def sizes(network: DensityNetwork) -> dict[str, Any]:
    """The fields that the density network and methods built on it share."""
    return {one.name: getattr(network, one.name) for one in fields(DensityNetwork)}


def _judged(dataset: str) -> Judged:
    if dataset not in DATASETS:
        remedy = f"choose one of {', '.join(DATASETS)}, or add its split to experiments/protocol.py"
        raise RunError(where=f"dataset {dataset!r}", rule="the protocol has no split for it", remedy=remedy)
    return DATASETS[dataset]
