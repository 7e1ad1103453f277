"""A picture of the sixty activities: a filmstrip of one repetition each."""

from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flag3d_ray.data.synthetic.body import Subject, rest_offsets
from flag3d_ray.data.synthetic.flaws import RepFlaws
from flag3d_ray.data.synthetic.motion import ACTIVITIES, Activity, Variation, animate
from flag3d_ray.data.synthetic.timing import Timeline
from flag3d_ray.skeleton import FLAG3D24

_STILL = Variation(jitter=0.0, fatigue=0.0, wander=0.0, noise=(0.0, 0.0), distractors=False, heading=False)
_AVERAGE = Subject("average", rest_offsets(), posture={}, amplitude=1.0, sway=0.0, unsteadiness=0.0)
_COLOURS = {"left": "#1f77b4", "right": "#d62728"}
# Azimuth and elevation in degrees of the view on people who stand, who lie on back or belly, and who lie on a side.
_UPRIGHT, _LYING, _ON_SIDE = (35.0, 8.0), (62.0, 14.0), (12.0, 38.0)


def filmstrip(activity: Activity, frames: int = 6, fps: float = 30.0) -> Float[np.ndarray, "F V 3"]:
    """`frames` evenly spaced frames of one clean repetition by the average body, without noise."""
    length = max(int(activity.seconds * fps), 30)
    timeline = Timeline(fps, np.array([[0, length]]), np.zeros(length, dtype=int), np.arange(length) / length)
    joints_TV3 = animate(activity, timeline, _AVERAGE, RepFlaws.none(1), np.random.default_rng(0), _STILL)
    return joints_TV3[np.linspace(0, length - 1, frames + 1)[:frames].astype(int)]


def gallery(path: str | Path, activities: tuple[Activity, ...] = ACTIVITIES, columns: int = 4) -> Path:
    """Write one PNG with a filmstrip per activity: left limbs blue, right limbs red, the line is the floor."""
    rows = -(-len(activities) // columns)
    figure = Figure(figsize=(6.6 * columns, 1.6 * rows), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, activity in zip(grid.flat, activities, strict=False):
        _draw(axes, filmstrip(activity), _view(activity))
        axes.set_title(f"{activity.action_id} {activity.name}", fontsize=10)
    path = Path(path)
    with matplotlib.rc_context({"path.simplify": False}):
        figure.savefig(path)
    return path


def _view(activity: Activity) -> tuple[float, float]:
    pose = activity.posture.pose
    if abs(pose.get("roll", 0.0)) > 45:
        return _ON_SIDE
    return _LYING if abs(pose.get("pitch", 0.0)) > 45 else _UPRIGHT


def _draw(axes: Axes, frames_FV3: Float[np.ndarray, "F V 3"], view: tuple[float, float], spacing: float = 1.9) -> None:
    for number, joints_V3 in enumerate(frames_FV3):
        points_V2 = _projected(joints_V3, view) + np.array([number * spacing, 0.0])
        floor = _projected(joints_V3 * (1, 0, 1), view)[:, 1].mean()
        line = np.array([-0.8, 0.8]) + number * spacing
        axes.plot(line, [floor, floor], color="#bbbbbb", linewidth=1, zorder=0)
        for child, parent in FLAG3D24.edges:
            side = FLAG3D24.joints[child].partition("_")[0]
            axes.plot(*points_V2[[child, parent]].T, color=_COLOURS.get(side, "#333333"), linewidth=1.8)
    axes.set_aspect("equal")


def _projected(joints_V3: Float[np.ndarray, "V 3"], view: tuple[float, float]) -> Float[np.ndarray, "V 2"]:
    azimuth, elevation = np.radians(view)
    x, y, z = joints_V3.T
    across = x * np.cos(azimuth) + z * np.sin(azimuth)
    depth = -x * np.sin(azimuth) + z * np.cos(azimuth)
    return np.stack([across, y * np.cos(elevation) - depth * np.sin(elevation)], axis=1)
