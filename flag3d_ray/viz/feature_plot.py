"""Figure 8: the first principal component of encoder features over time, one lane per network, true repetitions shaded."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flag3d_ray.methods.counting.signals import principal_components

COLOURS = ("#1b7f5c", "#c2453a")
"""Of the lanes, with language and without: green and red as in the paper, dark enough to differ without colour."""
WIDTH, ROW, BETWEEN = 9.2, 1.35, 0.5
"""Inches: of a row's axes, its height, and the space for the next row's title."""
MARGIN = (1.15, 1.75, 0.85, 0.5)
"""Inches: left, right, top without the lines of the subtitle, bottom."""
LINE, LETTERS = 0.165, 13.0
"""Of a subtitle: inches from line to line, and letters per inch of the figure's width."""
_SHADES = ("#dce6f1", "#f0e7d3")
_TEXT, _FAINT = "#333333", "#6f6f6f"
_FILLED = 0.74  # of a lane's height


@dataclass(frozen=True, eq=False, kw_only=True)
class Lane:
    """What one network made of a clip: its encoder's features, and the count that it predicted."""

    network: str
    features_TF: Float[np.ndarray, "T F"]
    count: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Row:
    """A clip of T frames. `reps_T` is the true repetition of each frame, -1 where none, as in `Batch.reps_BT`."""

    title: str
    reps_T: Int[np.ndarray, " T"]
    lanes: tuple[Lane, ...]


def feature_figure(rows: Sequence[Row], *, title: str, subtitle: str) -> Figure:
    """One row per clip. In a row all lanes share time and shades, so that their troughs can be compared."""
    left, right, top, bottom = MARGIN
    width = left + WIDTH + right
    lines = textwrap.wrap(subtitle, int(LETTERS * width))
    height = top + len(lines) * LINE + bottom + len(rows) * ROW + (len(rows) - 1) * BETWEEN
    figure = Figure(figsize=(width, height))
    write_head(figure, title, lines)
    for number, row in enumerate(rows):
        low = bottom + (len(rows) - 1 - number) * (ROW + BETWEEN)
        axes = figure.add_axes((left / width, low / height, WIDTH / width, ROW / height))
        _draw(axes, row)
        if number == len(rows) - 1:
            axes.set_xlabel("frame of the clip", fontsize=9, color=_TEXT)
    return figure


def write_head(figure: Figure, title: str, lines: Sequence[str]) -> None:
    """The title of a figure, and below it the lines of its subtitle, `LINE` inches each."""
    width, height = figure.get_size_inches()
    figure.text(0.2 / width, 1 - 0.36 / height, title, fontsize=13.5, fontweight="bold", color=_TEXT)
    for number, line in enumerate(lines):
        place = 1 - (0.6 + number * LINE) / height
        figure.text(0.2 / width, place, line, fontsize=9, color=_FAINT, parse_math=False)


def repetitions(reps_T: Int[np.ndarray, " T"]) -> Int[np.ndarray, "R 2"]:
    """First and exclusive last frame of each repetition that a clip shows."""
    numbers = np.unique(reps_T[reps_T >= 0])
    frames = [np.flatnonzero(reps_T == number) for number in numbers]
    return np.array([(found[0], found[-1] + 1) for found in frames], dtype=np.int64).reshape(-1, 2)


def first_component(
    features_TF: Float[np.ndarray, "T F"], reps_R2: Int[np.ndarray, "R 2"]
) -> tuple[Float[np.ndarray, " T"], float]:
    """The scores of one clip's frames on their first principal component, and its share of the variance (0 if there is none).

    The sign of a component is arbitrary. It is chosen so that borders of repetitions lie lower than their middles, as the
    paper reads troughs: for every network alike, and from the truth.
    """
    scores_T = principal_components(features_TF.astype(np.float64), 1)[:, 0]
    variance = float(features_TF.astype(np.float64).var(axis=0).sum())
    share = float(scores_T.var()) / variance if variance > 0 else 0.0
    if len(reps_R2):
        borders = np.minimum(reps_R2, len(scores_T) - 1).ravel()
        middles = (reps_R2[:, 0] + reps_R2[:, 1] - 1) // 2
        if scores_T[borders].mean() > scores_T[middles].mean():
            scores_T = -scores_T
    return scores_T, share


def _draw(axes: Axes, row: Row) -> None:
    frames, lanes = len(row.reps_T), len(row.lanes)
    reps_R2 = repetitions(row.reps_T)
    for number, (start, end) in enumerate(reps_R2.tolist()):
        axes.axvspan(start, end, color=_SHADES[number % 2], linewidth=0, zorder=0)
    for border in np.unique(reps_R2).tolist():
        axes.axvline(border, color="#8d99a6", linewidth=0.6, zorder=1)
    for number, lane in enumerate(row.lanes):
        middle, colour = lanes - number - 0.5, COLOURS[number % len(COLOURS)]
        scores_T, share = first_component(lane.features_TF, reps_R2)
        reach = max(float(np.ptp(scores_T)), 1e-12)
        curve_T = middle + _FILLED * ((scores_T - scores_T.min()) / reach - 0.5)
        axes.plot(np.arange(frames) + 0.5, curve_T, color=colour, linewidth=1.5, zorder=3)
        about = f"counts {lane.count:.1f}\n{share:.0%} of variance".replace("%", " %")
        beside = {"transform": axes.get_yaxis_transform(), "va": "center", "color": colour}
        axes.text(-0.012, middle, lane.network, ha="right", fontsize=9.5, fontweight="bold", **beside)
        axes.text(1.012, middle, about, ha="left", fontsize=8.5, **beside)
        if number:
            axes.axhline(lanes - number, color="white", linewidth=1.5, zorder=2)
    axes.set_title(row.title, fontsize=9.5, loc="left", color=_TEXT, parse_math=False, pad=4)
    axes.set(xlim=(0, frames), ylim=(0, lanes), yticks=[])
    axes.tick_params(labelsize=8, colors=_TEXT, length=3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#bbbbbb")
