"""What was counted in a recording: poses over time, the density below them, and the repetitions shaded and numbered."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Float32
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy.ndimage import uniform_filter1d

from flag3d_ray.counting import Count
from flag3d_ray.skeleton import Layout
from flag3d_ray.viz.skeleton_plot import COLOURS

WIDTH, STRIP, CURVE, BETWEEN = 13.0, 1.5, 0.95, 0.62
"""Inches: of a row, of its poses, of its curve, and from row to row."""
MARGIN = (0.75, 0.25, 0.85, 0.55)
"""Inches: left, right, top, bottom."""
PER_ROW, MOST_ROWS = 14, 6
"""Repetitions in a row, and how many rows there may be; long recordings get fuller ones."""
NUMBER = 0.36
"""Inches that the number of a repetition takes."""
NEAR = 8.0
"""Seconds about which the grey line shows motion: what changes more slowly is another posture."""
POSE = 0.62
"""Inches from pose to pose, more where bodies lie."""
HIGHEST, WIDEST = STRIP - 0.38, 1.3
"""Inches of a pose."""
_SHADES = ("#e4eef8", "#f7f0e1")
_CURVE, _MOTION, _TEXT, _FAINT = "#1a4e80", "#8b95a1", "#333333", "#7a7a7a"
# Azimuth is turned by this much from the plane of the largest motion, so that arms and legs do not hide each other.
_TURN, _ELEVATION = np.radians(20.0), np.radians(7.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Shown:
    """What a picture is of: `joints_TVC` in metres, y up, `first_s` where the part begins, two lines of text above."""

    count: Count
    joints_TVC: Float32[np.ndarray, "T V C"]
    skeleton: Layout
    title: str
    subtitle: str
    first_s: float = 0.0


@dataclass(frozen=True, eq=False)
class _Poses:
    """Poses in inches over the bottom of the strip, how far apart they may stand, and where the floor is."""

    joints_TV2: Float[np.ndarray, "T V 2"]
    apart: float
    floor: float


def count_figure(shown: Shown) -> Figure:
    """Rows of poses with their curve: density in repetitions per second (blue), and the largest motion (grey)."""
    frames, repetitions = len(shown.joints_TVC), len(shown.count.segments_K2)
    rows = int(np.clip(-(-repetitions // PER_ROW), 1, MOST_ROWS))
    left, right, top, bottom = MARGIN
    height = top + bottom + rows * (STRIP + CURVE) + (rows - 1) * BETWEEN
    width = left + WIDTH + right
    figure = Figure(figsize=(width, height))
    figure.text(left / width, 1 - 0.36 / height, shown.title, fontsize=15, fontweight="bold", color=_TEXT)
    figure.text(left / width, 1 - 0.64 / height, shown.subtitle, fontsize=9.5, color=_FAINT, parse_math=False)
    figure.text(
        1 - right / width,
        0.12 / height,
        "blue: density; grey: largest motion (first principal component)",
        fontsize=8,
        color=_FAINT,
        ha="right",
    )
    poses = _seen(shown.joints_TVC, shown.skeleton)
    borders = np.linspace(0, frames, rows + 1).round().astype(int)
    for row, (first, end) in enumerate(pairwise(borders.tolist())):
        low = bottom + (rows - 1 - row) * (STRIP + CURVE + BETWEEN)
        box = (left / width, low / height, WIDTH / width, CURVE / height)
        curve = figure.add_axes(box)
        strip = figure.add_axes((box[0], (low + CURVE) / height, box[2], STRIP / height))
        _shade((strip, curve), shown, first, end)
        _draw_strip(strip, shown, poses, first, end)
        _draw_curve(curve, shown, first, end)
        if row == rows - 1:
            curve.set_xlabel("seconds", fontsize=9, color=_TEXT)
    return figure


def _shade(panels: Sequence[Axes], shown: Shown, first: int, end: int) -> None:
    """Repetitions in two tints by turns, each with its number above it as far as there is room."""
    inside = []
    for number, (start, stop) in enumerate(shown.count.segments_K2.tolist(), start=1):
        if stop > first and start < end:
            inside.append((number, *(_seconds(shown, frame) for frame in (max(start, first), min(stop, end)))))
    for panel in panels:
        for tint in (0, 1):
            spans = [(start, stop - start) for number, start, stop in inside if number % 2 == tint]
            across = panel.get_xaxis_transform()
            panel.broken_barh(spans, (0.0, 1.0), transform=across, color=_SHADES[tint], linewidth=0, zorder=0)
    apart = NUMBER * (end - first) / shown.count.fps / WIDTH
    free = float("-inf")
    for number, start, stop in inside:
        middle = (start + stop) / 2
        if middle >= free:
            panels[0].text(middle, STRIP - 0.04, str(number), ha="center", va="top", fontsize=8.5, color=_FAINT)
            free = middle + apart


def _draw_strip(panel: Axes, shown: Shown, poses: _Poses, first: int, end: int) -> None:
    """Poses at equal distances; across, their inches are turned into seconds of the row."""
    fps = shown.count.fps
    second_per_inch = (end - first) / fps / WIDTH
    number = max(1, min(end - first, int(WIDTH / poses.apart)))
    frames_P = first + ((np.arange(number) + 0.5) * (end - first) / number).astype(int)
    child, parent = np.array(shown.skeleton.edges).T
    names = [shown.skeleton.joints[joint].partition("_")[0] for joint in child]
    lines, colours = [], []
    for frame in frames_P:
        place = np.array([_seconds(shown, frame + 0.5), 0.0])
        points_V2 = poses.joints_TV2[frame] * np.array([second_per_inch, 1.0]) + place
        lines.extend(np.stack([points_V2[child], points_V2[parent]], axis=1))
        colours.extend(COLOURS.get(name, COLOURS[""]) for name in names)
    panel.axhline(poses.floor, color="white", linewidth=1.2, zorder=1)
    panel.add_collection(LineCollection(lines, colors=colours, linewidths=1.25, capstyle="round", zorder=3))
    panel.set(xlim=_limits(shown, first, end), ylim=(0.0, STRIP))
    panel.set_axis_off()


def _draw_curve(panel: Axes, shown: Shown, first: int, end: int) -> None:
    fps = shown.count.fps
    motion_T = _largest_motion(shown.joints_TVC[first:end], fps)
    seconds_T = shown.first_s + (np.arange(first, end) + 0.5) / fps
    rate_T = shown.count.density_T * fps
    most = float(max(rate_T.max(), 1e-3)) * 1.15
    panel.plot(seconds_T, motion_T * most * 0.9, color=_MOTION, linewidth=0.9, zorder=2)
    panel.fill_between(seconds_T, rate_T[first:end], color=_CURVE, alpha=0.16, linewidth=0, zorder=3)
    panel.plot(seconds_T, rate_T[first:end], color=_CURVE, linewidth=1.4, zorder=4)
    panel.set(xlim=_limits(shown, first, end), ylim=(min(0.0, float(rate_T.min())), most))
    panel.set_ylabel("repetitions\nper second", fontsize=8, color=_CURVE)
    panel.tick_params(labelsize=8, colors=_TEXT, length=3)
    panel.locator_params(axis="y", nbins=3)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color("#bbbbbb")


def _limits(shown: Shown, first: int, end: int) -> tuple[float, float]:
    return _seconds(shown, first), _seconds(shown, end)


def _seconds(shown: Shown, frame: float | int) -> float:
    """Seconds of the file at which a frame of the part begins."""
    return frame / shown.count.fps + shown.first_s


def _seen(joints_TVC: Float32[np.ndarray, "T V C"], skeleton: Layout) -> _Poses:
    """Poses as they are drawn: the root in the middle, feet on the floor, seen across the largest motion."""
    if joints_TVC.shape[2] == 2:
        flat_TV2 = (joints_TVC - joints_TVC[:, skeleton.root, None]) * np.array([1.0, -1.0])
    else:
        x, y, z = np.moveaxis(joints_TVC.astype(np.float64), -1, 0)
        x, z = (axis - axis[:, skeleton.root, None] for axis in (x, z))
        turn = _azimuth(x, z)
        across, depth = x * np.cos(turn) + z * np.sin(turn), -x * np.sin(turn) + z * np.cos(turn)
        flat_TV2 = np.stack([across, y * np.cos(_ELEVATION) - depth * np.sin(_ELEVATION)], axis=-1)
    low, high = np.quantile(flat_TV2[..., 1].min(axis=1), 0.02), np.quantile(flat_TV2[..., 1].max(axis=1), 0.98)
    left, right = np.quantile(flat_TV2[..., 0].min(axis=1), 0.1), np.quantile(flat_TV2[..., 0].max(axis=1), 0.9)
    tall, wide = max(float(high - low), 1e-6), max(float(right - left), 1e-6)
    scale = min(HIGHEST / tall, WIDEST / wide)
    floor = 0.08 + (HIGHEST - tall * scale) / 2
    joints_TV2 = (flat_TV2 - np.array([(left + right) / 2, low])) * scale + np.array([0.0, floor])
    return _Poses(joints_TV2, max(POSE, 1.05 * wide * scale), floor)


def _azimuth(x: Float[np.ndarray, "T V"], z: Float[np.ndarray, "T V"]) -> float:
    """Angle of the horizontal direction in which joints move most about their mean place, and then a little more."""
    moved_2N = np.stack([(axis - axis.mean(axis=0)).ravel() for axis in (x, z)])
    _, directions = np.linalg.eigh(moved_2N @ moved_2N.T)
    along_x, along_z = directions[:, -1]
    return float(np.arctan2(along_z, along_x) + _TURN)


def _largest_motion(joints_TVC: Float32[np.ndarray, "T V C"], fps: float) -> Float[np.ndarray, " T"]:
    """First principal component of the joints relative to root and running mean, in [-0.1, 1.1]; its sign is arbitrary."""
    moved_TX = (joints_TVC - joints_TVC[:, :1]).reshape(len(joints_TVC), -1).astype(np.float64)
    moved_TX -= uniform_filter1d(moved_TX, max(2, min(len(moved_TX), round(NEAR * fps))), axis=0, mode="nearest")
    _, directions = np.linalg.eigh(moved_TX.T @ moved_TX)
    motion_T = moved_TX @ directions[:, -1]
    low, high = np.quantile(motion_T, [0.01, 0.99])
    return np.clip((motion_T - low) / max(float(high - low), 1e-9), -0.1, 1.1)
