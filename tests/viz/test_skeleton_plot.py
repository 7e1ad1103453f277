"""Pictures of skeletons: every joint is drawn and named on its own side, and no two names overlap."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from flag3d_ray.data.readers.open_format_joints import is_image
from flag3d_ray.data.synthetic.standing import standing_body
from flag3d_ray.skeleton import CMU31, FLAG3D24, LAYOUTS, Layout
from flag3d_ray.viz.skeleton_plot import COLOURS, PANEL, draw_skeleton, layouts_plot, skeleton_plot

ALL = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)


def frame(layout: Layout) -> np.ndarray:
    joints_V3 = standing_body(layout).joints_V3
    if is_image(layout):
        return (joints_V3 * np.array([100, -100, 1]))[:, : layout.channels]
    return joints_V3


@cache
def drawn(layout: Layout, hollow: tuple[str, ...] = ()) -> Axes:
    """The body, who looks aside and is turned by the picture."""
    joints_VC = frame(layout)
    if not is_image(layout):
        joints_VC = joints_VC @ np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    axes = Figure(figsize=PANEL).add_axes((0, 0, 1, 1))
    draw_skeleton(axes, joints_VC, layout, hollow=hollow, title=layout.name)
    return axes


def names(axes: Axes, layout: Layout) -> dict[str, Text]:
    return {text.get_text(): text for text in axes.texts if text.get_text() in layout.joints}


@ALL
def test_every_joint_is_named_once_in_the_colour_of_its_side(layout: Layout) -> None:
    axes = drawn(layout)
    written = [text.get_text() for text in axes.texts]
    assert [joint for joint in layout.joints if written.count(joint) != 1] == []
    for joint, text in names(axes, layout).items():
        side = joint.partition("_")[0]
        assert text.get_color() == COLOURS[side if side in COLOURS else ""]


@ALL
def test_no_two_names_overlap_and_none_leaves_the_picture(layout: Layout) -> None:
    axes = drawn(layout)
    boxes = [text.get_window_extent() for text in axes.texts]
    for number, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= axes.bbox.width
        assert 0 <= box.y0 < box.y1 <= axes.bbox.height
        for other in boxes[:number]:
            apart = box.x1 <= other.x0 or other.x1 <= box.x0 or box.y1 <= other.y0 + 1.5 or other.y1 <= box.y0 + 1.5
            assert apart, "a pixel and a half may touch: descenders"


@ALL
def test_the_left_of_a_person_who_looks_at_you_is_on_your_right(layout: Layout) -> None:
    axes = drawn(layout)
    at = {joint: text.get_position()[0] for joint, text in names(axes, layout).items()}
    lefts, rights = ([x for joint, x in at.items() if joint.startswith(side)] for side in ("left", "right"))
    assert min(lefts) > max(rights)


@ALL
def test_every_bone_is_drawn_in_every_view(layout: Layout) -> None:
    axes = drawn(layout)
    lines = [found for found in axes.collections if isinstance(found, LineCollection)]
    drawn_bones = sum(len(found.get_segments()) for found in lines if np.max(found.get_linewidth()) > 1)
    assert drawn_bones == len(layout.edges) * (1 if is_image(layout) else 2)


def test_names_stand_in_the_order_of_their_joints() -> None:
    axes = drawn(CMU31)
    height = {joint: float(text.get_position()[1]) for joint, text in names(axes, CMU31).items()}
    order = ("left_shoulder", "left_elbow", "left_wrist", "left_hip", "left_knee", "left_ankle", "left_toe")
    assert all(height[upper] > height[lower] for upper, lower in pairwise(order))


def test_interpolated_joints_are_hollow() -> None:
    axes = drawn(FLAG3D24, ("head", "left_collar"))
    joints = [found for found in axes.collections if isinstance(found, PathCollection)]
    faces_N4 = np.concatenate([np.asarray(found.get_facecolor()) for found in joints])
    assert (len(faces_N4), (faces_N4 == 1).all(axis=1).sum()) == (2 * 24, 2 * 2)


def test_a_picture_shows_both_sides_and_is_whole(tmp_path: Path) -> None:
    skeleton_plot(frame(CMU31), CMU31, tmp_path / "one.png", hollow=("left_thumb",), title="cmu31 $x$")
    pixels = imread(tmp_path / "one.png")[..., :3]
    for colour in ((31, 119, 180), (214, 39, 40)):
        assert (np.abs(pixels - np.array(colour) / 255).max(axis=-1) < 0.05).sum() > 500
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]


def test_the_overview_shows_every_layout(tmp_path: Path) -> None:
    layouts_plot(tmp_path / "all.png")
    assert 100_000 < (tmp_path / "all.png").stat().st_size < 400_000
    pixels = imread(tmp_path / "all.png")[..., :3]
    rows, columns = np.array_split(pixels, 4, axis=0), 2
    inked = [(half < 0.6).any(axis=-1).sum() for row in rows for half in np.array_split(row, columns, axis=1)]
    assert min(inked) > 500
