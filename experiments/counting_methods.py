"""The methods that count: what each row of Tables 3, 5, 7 and of our transfer table runs, on any dataset.

A method with the density network's encoder and a head of its own stands in `OWN_HEADS`, one line each. Its encoder starts
from the preset's warm start where there is one, its head from random weights, so that it trains longer than the others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from experiments import protocol
from experiments.protocol import Level, Preset
from flag3d_ray.methods.base import Method
from flag3d_ray.methods.counting import detrc, easyshots, hl_rac, ivac_p2l, me_rac, repnet, transrac
from flag3d_ray.methods.counting.detrc import DeTRC
from flag3d_ray.methods.counting.easyshots import EasyShots
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.methods.counting.ivac_p2l import IVACP2L
from flag3d_ray.methods.counting.knn import KNN
from flag3d_ray.methods.counting.me_rac import MERAC
from flag3d_ray.methods.counting.pca_peaks import PCAPeaks
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.methods.counting.repnet import RepNet
from flag3d_ray.methods.counting.wavelet import Wavelet
from flag3d_ray.paper import PublishedTable
from flag3d_ray.run import Run, TrainSpec
from flag3d_ray.tables import Row

# Section 5.1 averages ten draws, however many seeds the learned methods have.
RANDOM_DRAWS = 10
RecipeName = Literal["ours", "published"]
# The range that the printed hits fit: 32 integers on FLAG3D++, about 70 on RepCountA.
RANDOM = {"repcount_a": Random(high=70)}
WITHOUT_RANDOMNESS = (PCAPeaks(), Fourier(), Wavelet())
UNTRAINED = ("random", *(method.name for method in WITHOUT_RANDOMNESS))
"""Ids of the rows that read no training clip: they are the same wherever they might have been trained."""
NOTES = {
    "random": "the average of ten draws, as in the paper",
    "hl_rac_cross_attention": "attention over one pooled caption vector, so that the query has no influence",
}
WHY_NOT = "method comes with a later release"


@dataclass(frozen=True, kw_only=True)
class OwnHead:
    """A method with a head of its own.

    Attributes:
        sized: the method at a preset's size.
        epochs: preset -> epochs, where the recipe's are too few for a head from random weights.
        parts: modules that start from the warm start; empty for the whole network.
    """

    sized: Callable[[Preset], Method]
    epochs: Mapping[str, int]
    parts: tuple[str, ...] = ("encoder",)


def _repnet(size: Preset) -> RepNet:
    if size.name == "paper":
        return RepNet()
    width = size.network.model_width
    return RepNet(
        widths=size.network.widths,
        temporal_width=width,
        conv_channels=size.network.conv_channels,
        model_width=width,
        feed_forward=width,
        hidden_widths=(width, width),
        dropout=0.0,
    )


def _easyshots(size: Preset) -> EasyShots:
    if size.name == "paper":
        return EasyShots()
    # Tokens of eight frames: attention over 24 joints and 32 times costs seven times TransRAC's step.
    return EasyShots(
        widths=size.network.widths,
        pool=8,
        model_width=32,
        attention_heads=4,
        feed_forward=64,
        cross_blocks=1,
        window_blocks=2,
    )


def _ivac(size: Preset) -> IVACP2L:
    return IVACP2L(**protocol.sizes(size.network))


def _detrc(size: Preset) -> DeTRC:
    if size.name == "paper":
        return DeTRC()
    width = size.network.model_width
    return DeTRC(
        widths=size.network.widths,
        model_width=width,
        attention_heads=size.network.attention_heads,
        feed_forward=width,
        encoder_layers=1,
        decoder_layers=2,
    )


def _me_rac(size: Preset) -> MERAC:
    if size.name == "paper":
        return MERAC()
    quarter = size.network.model_width // 4
    return MERAC(path_widths=(quarter, 2 * quarter, quarter), **protocol.sizes(size.network))


# A head from random weights has not seen the warm start's clips, so it trains longer than the recipe.
LONGER = {"demo": 2, "tiny": 8}
OWN_HEADS: Mapping[str, OwnHead] = {
    "repnet": OwnHead(sized=_repnet, epochs=LONGER),
    "easyshots": OwnHead(sized=_easyshots, epochs=LONGER),
    # TransRAC's network with another loss: all of it starts from the warm start.
    "ivac": OwnHead(sized=_ivac, epochs={}, parts=()),
    "detrc": OwnHead(sized=_detrc, epochs=LONGER),
    "me_rac": OwnHead(sized=_me_rac, epochs=LONGER),
}
"""Row id -> method, in the order of Table 3."""

PUBLISHED: Mapping[str, TrainSpec] = {
    "transrac": transrac.PUBLISHED,
    **{f"hl_rac_{fusion}": hl_rac.PUBLISHED for fusion in protocol.FUSIONS},
    "repnet": repnet.PUBLISHED,
    "easyshots": easyshots.PUBLISHED,
    "ivac": ivac_p2l.PUBLISHED,
    "detrc": detrc.PUBLISHED,
    "me_rac": me_rac.PUBLISHED,
}
"""Row id -> how the method's own authors train it, from random weights; tables train every method with `ours`."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What rows are asked for: a size, a dataset with its split (empty for the protocol's), seeds, and the language.

    `recipe` trains each method as the preset says, or from random weights as its own authors published.
    """

    size: Preset
    dataset: str
    split: str = ""
    seeds: Sequence[int] = protocol.SEEDS
    text_encoder: str = ""
    level: Level = 1
    recipe: RecipeName = "ours"


def runs(asked: Asked) -> dict[str, tuple[Run, ...]]:
    """Row id -> the runs of every method that exists.

    Raises:
        RunError: the protocol has no split for the dataset.
    """
    size, dataset = asked.size, asked.dataset
    found = {
        "random": tuple(
            protocol.fitted(size, dataset, RANDOM.get(dataset, Random()), draw) for draw in range(RANDOM_DRAWS)
        ),
        "knn": tuple(protocol.fitted(size, dataset, KNN(), seed) for seed in asked.seeds),
        **{method.name: (protocol.fitted(size, dataset, method),) for method in WITHOUT_RANDOMNESS},
        **{id: tuple(run.with_seed(seed) for seed in asked.seeds) for id, run in _learned(asked).items()},
    }
    if not asked.split:
        return found
    return {
        id: tuple(replace(run, data=replace(run.data, split=asked.split)) for run in ran) for id, ran in found.items()
    }


def rows(printed: PublishedTable, ran: Mapping[str, tuple[Run, ...]]) -> tuple[Row, ...]:
    """One row per printed one, in the paper's order, with its runs or why it has none."""
    return tuple(row(str(one.arm["method"]), one.label, ran, one.metrics) for one in printed.rows)


def row(
    id: str,
    label: str,
    ran: Mapping[str, tuple[Run, ...]],
    published: Mapping[str, float] | None = None,
    *,
    group: str = "",
    prefix: str = "",
) -> Row:
    """The row of a method; `prefix` tells its id apart where a method stands in a table several times."""
    return Row(
        method=f"{prefix}{id}",
        label=label,
        group=group,
        runs=ran.get(id, ()),
        why_not="" if id in ran else WHY_NOT,
        note=_note(id, ran[id]) if id in ran else "",
        deterministic=id in UNTRAINED[1:],
        published=published or {},
    )


def _note(id: str, runs: Sequence[Run]) -> str:
    first = runs[0]
    if not first.init_parts:
        return NOTES.get(id, "")
    return (
        f"only the {', '.join(first.init_parts)} starts warm; the rest from random weights, {first.train.epochs} epochs"
    )


def _learned(asked: Asked) -> dict[str, Run]:
    size, dataset = asked.size, asked.dataset
    language = protocol.text(size, asked.text_encoder, asked.level)
    found = {"transrac": protocol.learned(size, dataset, protocol.transrac(size))}
    for fusion in protocol.FUSIONS:
        found[f"hl_rac_{fusion}"] = protocol.learned(size, dataset, protocol.hl_rac(size, fusion), language)
    for id, head in OWN_HEADS.items():
        run = protocol.learned(size, dataset, head.sized(size), parts=head.parts)
        # At least: the recipes of real data have more, and no warm start of these data to make up for.
        epochs = max(run.train.epochs, head.epochs.get(size.name, 0))
        found[id] = replace(run, train=replace(run.train, epochs=epochs))
    if asked.recipe == "published":
        return {id: replace(run, train=PUBLISHED[id], init_from=None, init_parts=()) for id, run in found.items()}
    return found
