"""Pictures of skeletons: from the front and from the right, every joint with its name, left and right in two colours.

In the view from the front the person looks at you: the person's left, blue, is on your right.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from flag3d_ray.data.readers.open_format_joints import is_image
from flag3d_ray.data.synthetic.standing import standing_body
from flag3d_ray.files import atomic_path
from flag3d_ray.skeleton import COCO17_SCORED, LAYOUTS, Layout

COLOURS = {"left": "#1f77b4", "right": "#d62728", "": "#333333"}
PANEL = (8.8, 4.5)
"""Inches of one skeleton's panel."""
_UP, _ACROSS = (-0.14, 1.21), (-0.98, 1.66)  # what a panel shows, in heights of the body
_SIZE = (0.9, 1.0, 0.5)  # most that a body takes sideways, upwards and in depth
_COLUMN, _SIDE_VIEW = 0.52, 1.08  # where names stand beside the middle, and the middle of the view from the right
_LABEL_PT, _BONE = 7.5, 1.6  # points
_LINE = 1.25 * _LABEL_PT / 72 * (_UP[1] - _UP[0]) / PANEL[1]


@dataclass(frozen=True)
class _Label:
    """A name beside a skeleton, and the point that it names."""

    text: str
    side: str
    x: float
    y: float


def skeleton_plot(
    joints_VC: Float[np.ndarray, "V C"],
    layout: Layout,
    path: Path,
    *,
    hollow: Collection[str] = (),
    title: str = "",
) -> None:
    """Write one frame as a PNG, whole or not at all; the person is turned to face you and fills the picture.

    Args:
        joints_VC: any unit; y up, in image layouts down.
        hollow: joints drawn as hollow circles: those that a conversion interpolated.
    """
    width, height = PANEL
    strip = 0.35
    figure = Figure(figsize=(width, height + strip))
    axes = figure.add_axes((0.0, strip / (height + strip), 1.0, height / (height + strip)))
    draw_skeleton(axes, joints_VC, layout, hollow=hollow, title=title or _title(layout))
    figure.legend(
        handles=_legend("interpolated" if hollow else ""), loc="lower center", ncols=5, fontsize=7.5, frameon=False
    )
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=110)


def layouts_plot(path: Path) -> None:
    """Write all layouts as one PNG, in the synthetic body that stands; coco17_scored looks like coco17."""
    shown = [layout for layout in LAYOUTS if layout != COCO17_SCORED]
    rows = -(-(len(shown) + 1) // 2)
    figure = Figure(figsize=(2 * PANEL[0], rows * PANEL[1]))
    grid = [figure.add_axes((n % 2 / 2, 1 - (n // 2 + 1) / rows, 0.5, 1 / rows)) for n in range(len(shown) + 1)]
    for axes, layout in zip(grid, shown, strict=False):
        body = standing_body(layout)
        joints_VC = body.joints_V3[:, :2] * np.array([1, -1]) if is_image(layout) else body.joints_V3
        draw_skeleton(axes, joints_VC, layout, hollow=body.stand_ins, title=_title(layout))
    grid[-1].set_axis_off()
    grid[-1].legend(
        handles=_legend("not a joint of flag3d24: interpolated, or placed beside one"),
        loc="center",
        fontsize=11,
        frameon=False,
        labelspacing=1.0,
    )
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=90)


def draw_skeleton(
    axes: Axes, joints_VC: Float[np.ndarray, "V C"], layout: Layout, *, hollow: Collection[str] = (), title: str = ""
) -> None:
    """Draw one frame into axes of the shape of `PANEL`: from the front, and in space from the right too."""
    axes.set(xlim=_ACROSS, ylim=_UP)
    axes.set_axis_off()
    _caption(axes, sum(_ACROSS) / 2, 1.12, title, size=11.0)
    if is_image(layout):
        middle = sum(_ACROSS) / 2
        front_V2 = _fitted(joints_VC[:, :2] * np.array([1, -1])) + np.array([middle, 0.0])
        named = ("left", "right", "")
    else:
        middle, named = 0.0, ("left", "right")
        points_V3 = _fitted(_facing(joints_VC, layout))
        front_V2, side_V2 = points_V3[:, :2], points_V3[:, [2, 1]] + np.array([_SIDE_VIEW, 0.0])
        _draw(axes, side_V2, layout, hollow, ("left", "", "right"))
        _write(axes, _labels(side_V2, layout, ("",)), float(side_V2[:, 0].max()) + 0.08)
        _caption(axes, 0.0, -0.09, "from the front", size=7.5)
        _caption(axes, _SIDE_VIEW, -0.09, "from the right", size=7.5)
    _draw(axes, front_V2, layout, hollow, ("", "right", "left"))
    labels = _labels(front_V2, layout, named)
    _write(axes, [label for label in labels if label.side == "right"], middle - _COLUMN)
    _write(axes, [label for label in labels if label.side != "right"], middle + _COLUMN)


def spaced(heights_N: Float[np.ndarray, " N"], line: float) -> Float[np.ndarray, " N"]:
    """Ascending heights moved apart to at least a line between neighbours, as little as possible (least squares)."""
    steps_N = line * np.arange(len(heights_N))
    # Without the lines it is a monotone fit.
    return isotonic_regression(heights_N - steps_N).x + steps_N


def _title(layout: Layout) -> str:
    return f"{layout.name}: {len(layout)} joints, root {layout.joints[layout.root]}"


def _side(joint: str) -> str:
    side = joint.partition("_")[0]
    return side if side in COLOURS else ""


def _facing(joints_V3: Float[np.ndarray, "V 3"], layout: Layout) -> Float[np.ndarray, "V 3"]:
    """Turned about y so that the person's left is at +x: from right joints to left ones, near the hips where there are."""
    pairs = [(left, right) for left, right in enumerate(layout.mirror) if _side(layout.joints[left]) == "left"]
    hips = [pair for pair in pairs if layout.joints[pair[0]].endswith(("hip", "asis"))]
    across_3 = np.sum([joints_V3[left] - joints_V3[right] for left, right in hips or pairs], axis=0)
    length = float(np.hypot(across_3[0], across_3[2])) or 1.0
    c, s = across_3[0] / length, across_3[2] / length
    x, y, z = joints_V3.T
    return np.stack([c * x + s * z, y, c * z - s * x], axis=1)


def _fitted(points_VC: Float[np.ndarray, "V C"]) -> Float[np.ndarray, "V C"]:
    """Feet at 0, the middle at 0 sideways, as large as the panel allows."""
    low_C, high_C = points_VC.min(axis=0), points_VC.max(axis=0)
    centre_C = (low_C + high_C) / 2
    centre_C[1] = low_C[1]
    reach_C = (high_C - low_C) / np.array(_SIZE[: points_VC.shape[1]])
    return (points_VC - centre_C) / max(float(reach_C.max()), 1e-9)


def _draw(
    axes: Axes, points_V2: Float[np.ndarray, "V 2"], layout: Layout, hollow: Collection[str], order: Sequence[str]
) -> None:
    """Bones and joints, those of `order`'s last side in front, the root before all."""
    for place, side in enumerate(order):
        mine = [joint for joint, name in enumerate(layout.joints) if _side(name) == side]
        bones = [points_V2[[child, parent]] for child, parent in layout.edges if child in mine]
        axes.add_collection(LineCollection(bones, colors=COLOURS[side], linewidths=_BONE, zorder=2 * place))
        for marker, size, joints, depth in (
            ("o", 18, [joint for joint in mine if joint != layout.root], 2 * place + 1),
            ("D", 36, [joint for joint in mine if joint == layout.root], 9),
        ):
            faces = ["white" if layout.joints[joint] in hollow else COLOURS[side] for joint in joints]
            style = {"s": size, "marker": marker, "edgecolors": COLOURS[side], "linewidths": 1.0}
            axes.scatter(*points_V2[joints].T, facecolors=faces, zorder=depth, **style)


def _labels(seen_V2: Float[np.ndarray, "V 2"], layout: Layout, sides: Sequence[str]) -> list[_Label]:
    return [
        _Label(joint, _side(joint), *seen_V2[number].tolist())
        for number, joint in enumerate(layout.joints)
        if _side(joint) in sides
    ]


def _caption(axes: Axes, x: float, y: float, text: str, *, size: float) -> None:
    colour = COLOURS[""]
    axes.text(x, y, text, fontsize=size, color=colour, horizontalalignment="center", parse_math=False)


def _write(axes: Axes, labels: Sequence[_Label], column: float) -> None:
    """Names in a column in the order of their joints' heights, as near to them as they fit, and a thin line to each."""
    ordered = sorted(labels, key=lambda label: (label.y, abs(label.x - column)))
    heights_N = spaced(np.array([label.y for label in ordered]), _LINE)
    lines = []
    for label, height in zip(ordered, heights_N.tolist(), strict=True):
        left_of = column < label.x
        axes.text(
            column,
            height,
            label.text,
            color=COLOURS[label.side],
            fontsize=_LABEL_PT,
            horizontalalignment="right" if left_of else "left",
            verticalalignment="center_baseline",
            parse_math=False,
        )
        lines.append([(column + (0.012 if left_of else -0.012), height), (label.x, label.y)])
    colours = [COLOURS[label.side] for label in ordered]
    axes.add_collection(LineCollection(lines, colors=colours, alpha=0.3, linewidths=0.5, zorder=0))


def _legend(hollow: str) -> list[Line2D]:
    left, right, middle = (COLOURS[side] for side in ("left", "right", ""))
    circle = {"marker": "o", "markersize": 5}
    handles = [
        Line2D([], [], color=left, label="the person's left", **circle),
        Line2D([], [], color=right, label="the person's right", **circle),
        Line2D([], [], color=middle, label="midline", **circle),
        Line2D([], [], color=middle, marker="D", markersize=6, linestyle="none", label="root"),
    ]
    if hollow:
        style = {"markerfacecolor": "white", "markeredgecolor": middle, "linestyle": "none"}
        handles.append(Line2D([], [], label=hollow, **style, **circle))
    return handles
