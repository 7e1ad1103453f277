"""Figure 9: the joints that weigh most in the encoders' graphs, on the skeleton, one row per network.

Bodies are drawn with the trunk upright and half turned, whatever they do: seen from aside, somebody who lies is a line.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from flag3d_ray.skeleton import Layout
from flag3d_ray.viz.feature_plot import COLOURS, LETTERS, LINE, write_head
from flag3d_ray.viz.skeleton_plot import spaced

MOST = 4
"""Joints that are highlighted, as in the paper."""
PANEL = (3.5, 2.75)
"""Inches of a panel: width, height."""
MARGIN = (0.55, 0.15, 1.3, 0.2)
"""Inches: left, right, top without the lines of the subtitle, bottom."""
NARROWEST = 8.0
"""Inches of a figure at least: its title needs them."""
_BODY = (1.45, 2.2)  # most inches of a body: width, height
_COLUMN = 0.88  # inches from the middle of a panel to where names begin
_LINE = 0.36  # inches of a name with its share below
_TURN = np.radians(35.0)
_AREA = 1000.0  # square points of a joint that has all the weight
_BONE, _OTHER, _TEXT, _FAINT = "#c3c9d0", "#9aa4af", "#333333", "#6f6f6f"


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightedAction:
    """An action: a clip that shows it, in metres, and the weight of each joint by network; weights sum to 1."""

    title: str
    note: str = ""
    joints_TVC: Float32[np.ndarray, "T V C"]
    weights: Mapping[str, Float[np.ndarray, " V"]]


def joint_weight_figure(actions: Sequence[WeightedAction], skeleton: Layout, *, title: str, subtitle: str) -> Figure:
    """A column per action and a row per network. Areas of the joints are their weights, the `MOST` largest have colour."""
    networks = list(dict.fromkeys(network for action in actions for network in action.weights))
    left, right, top, bottom = MARGIN
    width = max(left + len(actions) * PANEL[0] + right, NARROWEST)
    lines = textwrap.wrap(subtitle, int(LETTERS * width))
    top += len(lines) * LINE
    height = top + len(networks) * PANEL[1] + bottom
    figure = Figure(figsize=(width, height))
    write_head(figure, title, lines)
    for column, action in enumerate(actions):
        middle = (left + (column + 0.5) * PANEL[0]) / width
        about = {"ha": "center", "parse_math": False}
        name = textwrap.fill(action.title, 34)
        figure.text(middle, 1 - (top - 0.22) / height, name, va="bottom", fontsize=10.5, color=_TEXT, **about)
        figure.text(middle, 1 - (top - 0.1) / height, action.note, va="center", fontsize=8, color=_FAINT, **about)
        for row, network in enumerate(networks):
            low = bottom + (len(networks) - 1 - row) * PANEL[1]
            place = ((left + column * PANEL[0]) / width, low / height, PANEL[0] / width, PANEL[1] / height)
            colour = COLOURS[row % len(COLOURS)]
            _draw(figure.add_axes(place), pose(action.joints_TVC, skeleton), skeleton, action.weights[network], colour)
    for row, network in enumerate(networks):
        middle = (bottom + (len(networks) - row - 0.5) * PANEL[1]) / height
        style = {"rotation": 90, "ha": "center", "va": "center", "fontsize": 10.5, "fontweight": "bold"}
        figure.text(0.32 / width, middle, network, color=COLOURS[row % len(COLOURS)], **style)
    return figure


def heaviest(weight_V: Float[np.ndarray, " V"]) -> Int[np.ndarray, " K"]:
    """The `MOST` joints of the largest weights, the largest first; of equal ones the first."""
    return np.argsort(-weight_V, kind="stable")[:MOST]


def pose(joints_TVC: Float32[np.ndarray, "T V C"], skeleton: Layout) -> Float[np.ndarray, "V 2"]:
    """The frame that is farthest from the mean pose, as it is seen, in inches about the middle of a panel."""
    moved_T = np.square(joints_TVC - joints_TVC.mean(axis=0)).sum(axis=(1, 2))
    seen_V2 = _half_turned(joints_TVC[int(moved_T.argmax())].astype(np.float64), skeleton)
    low_2, high_2 = seen_V2.min(axis=0), seen_V2.max(axis=0)
    scale = min(np.array(_BODY) / np.maximum(high_2 - low_2, 1e-6))
    return (seen_V2 - (low_2 + high_2) / 2) * scale


def _half_turned(joints_VC: Float[np.ndarray, "V C"], skeleton: Layout) -> Float[np.ndarray, "V 2"]:
    """Hips to shoulders upwards, the person's left to the right, then turned about the trunk; images as they are."""
    if joints_VC.shape[1] == 2:
        return joints_VC * np.array([1.0, -1.0])
    pairs_22C = np.stack([_pair(joints_VC, skeleton, ("shoulder",)), _pair(joints_VC, skeleton, ("hip", "asis"))])
    shoulders_C, hips_C = pairs_22C.mean(axis=1)
    up_C = _unit(shoulders_C - hips_C)
    across_C = (pairs_22C[:, 0] - pairs_22C[:, 1]).mean(axis=0)
    across_C = _unit(across_C - (across_C @ up_C) * up_C)
    turned_C = np.cos(_TURN) * across_C + np.sin(_TURN) * np.cross(across_C, up_C)
    return joints_VC @ np.stack([turned_C, up_C], axis=1)


def _pair(joints_VC: Float[np.ndarray, "V C"], skeleton: Layout, names: tuple[str, ...]) -> Float[np.ndarray, "2 C"]:
    """The left and the right joint of the first name that the layout has."""
    name = next(name for name in names if f"left_{name}" in skeleton.joints)
    return joints_VC[[skeleton.index(f"left_{name}"), skeleton.index(f"right_{name}")]]


def _unit(vector_C: Float[np.ndarray, " C"]) -> Float[np.ndarray, " C"]:
    return vector_C / max(float(np.linalg.norm(vector_C)), 1e-9)


def _draw(
    axes: Axes, seen_V2: Float[np.ndarray, "V 2"], skeleton: Layout, weight_V: Float[np.ndarray, " V"], colour: str
) -> None:
    bones = [seen_V2[[child, parent]] for child, parent in skeleton.edges]
    axes.add_collection(LineCollection(bones, colors=_BONE, linewidths=2.2, capstyle="round", zorder=1))
    top_K = heaviest(weight_V)
    rest_N = np.setdiff1d(np.arange(len(weight_V)), top_K)
    for joints, face, depth in ((rest_N, _OTHER, 2), (top_K, colour, 4)):
        areas = _AREA * weight_V[joints]
        axes.scatter(*seen_V2[joints].T, s=areas, color=face, edgecolors="white", linewidths=0.8, zorder=depth)
    _name(axes, seen_V2, skeleton, weight_V, colour)
    axes.set(xlim=(-PANEL[0] / 2, PANEL[0] / 2), ylim=(-PANEL[1] / 2, PANEL[1] / 2))
    axes.set_axis_off()


def _name(
    axes: Axes, seen_V2: Float[np.ndarray, "V 2"], skeleton: Layout, weight_V: Float[np.ndarray, " V"], colour: str
) -> None:
    """Names of the heaviest joints beside the body, each on the side where its joint is seen, with a thin line to it."""
    by_height = sorted(heaviest(weight_V).tolist(), key=lambda joint: (seen_V2[joint, 1], joint))
    for side in (-1, 1):
        ordered = [joint for joint in by_height if (seen_V2[joint, 0] < 0) == (side < 0)]
        if not ordered:
            continue
        most = (PANEL[1] - _LINE) / 2 - _LINE * np.arange(len(ordered))[::-1]
        least = -(PANEL[1] - _LINE) / 2 + _LINE * np.arange(len(ordered))
        heights = np.clip(spaced(seen_V2[ordered, 1], _LINE), least, most)
        for joint, height in zip(ordered, heights.tolist(), strict=True):
            name = skeleton.joints[joint].replace("_", " ")
            said = f"{name}\n{100 * weight_V[joint]:.1f} %"
            align = "right" if side < 0 else "left"
            axes.text(side * _COLUMN, height, said, ha=align, va="center", fontsize=8.5, color=colour, linespacing=1.1)
            ends = np.array([[side * (_COLUMN - 0.04), height], seen_V2[joint]])
            axes.plot(*ends.T, color=colour, linewidth=0.8, alpha=0.55, zorder=3)
