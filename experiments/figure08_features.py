"""Figure 8: what the encoders of HL-RAC and TransRAC follow over time, beside the true repetitions.

Paper: FLAG3D++, Section 5.1, Fig. 8: "1D PCA projections of the HL-GCN encoder features over time". Neither the clips nor
the fusion are named; here they are test clips chosen by rule (`evaluation.examined.typical_rows`) and multiplication.
Command: flag3d figure 8 --preset demo
Expected time: seconds after Table 3, whose runs these are.
Expected output: curves that turn with the repetitions. That HL-RAC's troughs fit better is not expected on synthetic data.
"""

from experiments import protocol, table03_counting
from flag3d_ray.errors import RunError
from flag3d_ray.figures import FeatureFigure, Networks

CLIPS = 4


def figure(
    *,
    preset: str = "tiny",
    dataset: str = "",
    seed: int = 0,
    text_encoder: str = "",
    fusion: str = "multiplication",
) -> FeatureFigure:
    """The figure for one seed; `dataset` and `text_encoder` replace the preset's."""
    compared = networks(preset=preset, dataset=dataset, seed=seed, text_encoder=text_encoder, fusion=fusion)
    return FeatureFigure(networks=compared, clips=CLIPS)


def networks(*, preset: str, dataset: str, seed: int, text_encoder: str, fusion: str) -> Networks:
    """Table 3's HL-RAC of a fusion, and its TransRAC.

    Raises:
        RunError: no such fusion.
    """
    if fusion not in protocol.FUSIONS:
        remedy = f"use one of {', '.join(protocol.FUSIONS)}"
        raise RunError(where=f"--fusion {fusion}", rule="unknown fusion", remedy=remedy)
    table = table03_counting.table(preset=preset, dataset=dataset, seeds=(seed,), text_encoder=text_encoder)
    runs = {row.method: row.runs for row in table.rows}
    (guided,), (text_free,) = runs[f"hl_rac_{fusion}"], runs["transrac"]
    return Networks(guided=guided, text_free=text_free, preset=table.preset, dataset=table.dataset, group=table.group)
