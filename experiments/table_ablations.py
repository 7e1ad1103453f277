"""Ablations that nobody printed: where the paper and its released code differ, and what the text contributes.

Paper: none, a table of our own.
Command: flag3d table ablations --preset tiny
Expected time: hours on two cores; the base rows are Table 3's, three arms train a warm start of their own.
Expected output: how much each choice moves counts of unseen actions. Shuffled captions near true ones would say that the
network uses that there is a text, not what it says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments import protocol
from experiments.protocol import Caption, Preset
from flag3d_ray.methods.counting.hl_rac import PAPER, RELEASED, Fusion
from flag3d_ray.run import Run
from flag3d_ray.tables import Row, Table

NAME = "ablations"
TITLE = "Ablations of HL-RAC"
PROFILE = "(a) Profile"
AXES = "(b) Axes of the input"
TEXT_AXIS = "(c) Joint that text weights"
ATTENTION = "(d) Cross-attention"
TEXT = "(e) Text, on unseen actions"
LAYERS = "(f) Transformer layers"
# The released loss compares densities as they are; the recipe `ours`, with which every arm is trained, scales them by 100.
RELEASED_AND_SCALED = replace(RELEASED, density_scale=PAPER.density_scale)
DEPTHS = (1, 3)
NOTES = (
    "Arms of (a), (b), (c), (e) are HL-RAC_M's and of (d) HL-RAC_C's; each differs from the one above it in the declared "
    "setting only, and from Table 3's row in nothing where it is the same.",
    "The released profile is trained with the recipe of all rows, density and label scaled by 100 included.",
    "No text is TransRAC, the same network without text points. HL-RAC told zeros would keep its projector's constants, which "
    "say nothing about an action.",
    "Shuffled captions: each action is told another one of its side of the split, the same one in every seed.",
)
OWN_START = (
    "The released profile, scrambled axes and another depth do not fit the preset's warm start, or have learned other inputs: "
    "each starts from a text-free network of its own kind, trained as long."
)


@dataclass(frozen=True)
class Arm:
    """One row: its group, id and label, and the run with seed 0."""

    group: str
    id: str
    label: str
    run: Run


def table(
    *, preset: str = "tiny", dataset: str = "", seeds: Sequence[int] = protocol.SEEDS, text_encoder: str = ""
) -> Table:
    """Six groups of arms; `dataset` and `text_encoder` replace the preset's."""
    size = protocol.preset(preset)
    dataset = dataset or size.dataset
    own_start = () if size.warm_start_for(dataset) is None else (OWN_START,)
    return Table(
        name=NAME,
        title=TITLE,
        dataset=dataset,
        preset=size.name,
        rows=tuple(
            Row(method=arm.id, label=arm.label, group=arm.group, runs=tuple(arm.run.with_seed(seed) for seed in seeds))
            for arm in arms(size, dataset, text_encoder)
        ),
        notes=(*NOTES, *own_start, *protocol.notes(size, dataset)),
    )


def arms(size: Preset, dataset: str, encoder: str = "") -> tuple[Arm, ...]:
    """Every arm; the first of a group is what the others are compared with."""

    def hl_rac(fusion: Fusion = "multiplication", caption: Caption = "true", **changed) -> Run:
        tokens = changed.get("tokens", False)
        method = replace(protocol.hl_rac(size, fusion), **changed)
        language = protocol.text(size, encoder, tokens=tokens, caption=caption)
        return protocol.learned(size, dataset, method, language)

    def with_profile(**changed) -> Run:
        return hl_rac(profile=replace(PAPER, **changed))

    def transrac(**changed) -> Run:
        return protocol.learned(size, dataset, replace(protocol.transrac(size), **changed))

    base = hl_rac()
    return (
        Arm(PROFILE, "profile_paper", "Paper", base),
        Arm(PROFILE, "profile_released", "Released", hl_rac(profile=RELEASED_AND_SCALED)),
        Arm(AXES, "axes_correct", "Correct", base),
        Arm(AXES, "axes_scrambled", "Scrambled", with_profile(axes="scrambled")),
        Arm(TEXT_AXIS, "text_axis_source", "Source", base),
        Arm(TEXT_AXIS, "text_axis_receiver", "Receiver", with_profile(text_axis="target")),
        Arm(ATTENTION, "attention_pooled", "To one pooled vector", hl_rac("cross_attention")),
        Arm(ATTENTION, "attention_tokens", "To every token", hl_rac("cross_attention", tokens=True)),
        Arm(TEXT, "text_true", "True captions", base),
        Arm(TEXT, "text_shuffled", "Shuffled captions", hl_rac(caption="shuffled")),
        Arm(TEXT, "text_none", "No text", transrac()),
        *(Arm(LAYERS, f"layers_transrac_{depth}", f"TransRAC, {depth}", transrac(layers=depth)) for depth in DEPTHS),
        *(Arm(LAYERS, f"layers_hl_rac_{depth}", f"HL-RAC_M, {depth}", hl_rac(layers=depth)) for depth in DEPTHS),
    )
