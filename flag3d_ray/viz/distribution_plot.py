"""How counts, durations and scores are distributed in a dataset, beside the means that the paper prints."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flag3d_ray.data.summary import Summary
from flag3d_ray.files import atomic_path

_MEASURED, _PRINTED = "#2a6fbb", "#c05621"


def write_distributions(summary: Summary, printed: Mapping[str, float], target: Path) -> None:
    """Draw the distributions of a dataset into the PNG file `target`, whole or not at all.

    Args:
        printed: the paper's `count/mean` and `duration/mean`, drawn as dashed lines; empty for none.
    """
    with atomic_path(target) as part:
        distribution_figure(summary, printed).savefig(part, format="png", dpi=110)


def distribution_figure(summary: Summary, printed: Mapping[str, float]) -> Figure:
    """One histogram each for counts, durations and scores, as far as the dataset has them."""
    panels = [
        ("repetitions per sequence", summary.counts_N, _whole_bins(summary.counts_N), printed.get("count/mean")),
        ("duration in seconds", summary.durations_N, np.histogram_bin_edges(summary.durations_N, 40), None),
        ("score, Eq. 1", summary.scores_N, np.arange(2.875, 9.2, 0.25), None),
    ]
    panels[1] = (*panels[1][:3], printed.get("duration/mean"))
    panels = [panel for panel in panels if len(panel[1])]
    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained")
    for axes, (label, values_N, edges, mean) in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
        _draw(axes, label, values_N, edges, mean)
    title = f"{summary.name}: {summary.sequences} sequences, {summary.actions} actions, {summary.people} people"
    figure.suptitle(title, fontsize=10, parse_math=False)
    return figure


def _whole_bins(counts_N: Float[np.ndarray, " n"]) -> Float[np.ndarray, " e"]:
    return np.arange(0.5, max(counts_N, default=1.0) + 1.0)


def _draw(axes: Axes, label: str, values_N: np.ndarray, edges: np.ndarray, printed_mean: float | None) -> None:
    axes.hist(values_N, bins=edges.tolist(), color=_MEASURED, alpha=0.8)
    axes.axvline(values_N.mean(), color="black", linewidth=1.2, label=f"mean {values_N.mean():.2f}")
    if printed_mean is not None:
        axes.axvline(printed_mean, color=_PRINTED, linestyle="--", linewidth=1.2, label=f"paper {printed_mean:.2f}")
    axes.set_xlabel(label, fontsize=9)
    axes.set_ylabel("sequences", fontsize=9)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
