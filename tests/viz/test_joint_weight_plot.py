"""Figure 9: a column per action, a row per network, the four heaviest joints in colour and with their names."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from flag3d_ray.data.synthetic.standing import standing_body
from flag3d_ray.figures import Picture, write_picture
from flag3d_ray.skeleton import COCO17, FLAG3D24, UI_PRMD39, Layout
from flag3d_ray.viz.feature_plot import COLOURS
from flag3d_ray.viz.joint_weight_plot import PANEL, WeightedAction, heaviest, joint_weight_figure, pose

HEAVY = ("right_wrist", "right_elbow", "head", "left_toe")
SPACE = pytest.mark.parametrize("layout", [FLAG3D24, UI_PRMD39], ids=lambda layout: layout.name)


def moving(layout: Layout, frames: int = 9) -> np.ndarray:
    """A standing body that raises its first right-sided joint most in frame 6."""
    joints_TVC = np.repeat(standing_body(layout).joints_V3[None], frames, axis=0)[..., : layout.channels]
    hand = next(number for number, name in enumerate(layout.joints) if name.startswith("right"))
    joints_TVC[6, hand, 1] += 0.9
    return joints_TVC.astype(np.float32)


def weights(layout: Layout, heavy: tuple[str, ...]) -> np.ndarray:
    weight_V = np.full(len(layout), 1.0)
    for place, name in enumerate(heavy):
        weight_V[layout.index(name)] = 9.0 - place
    return weight_V / weight_V.sum()


def action(layout: Layout = FLAG3D24, *, lying: bool = False, heavy: tuple[str, ...] = HEAVY) -> WeightedAction:
    joints_TVC = moving(layout)
    if lying:
        joints_TVC = joints_TVC[..., [1, 0, 2]]
    # The same joints four times over where the names of a layout are others.
    mine = heavy if set(heavy) <= set(layout.joints) else layout.joints[-4:]
    both = {"HL-RAC": weights(layout, mine), "TransRAC": weights(layout, mine[::-1])}
    title, note = "A040 Prone Press Up With Torso Rotation $x_1$", "in place of “Shoulder External Rotation”"
    return WeightedAction(title=title, note=note, joints_TVC=joints_TVC, weights=both)


def drawn(layout: Layout = FLAG3D24, columns: int = 2, lying: bool = False) -> Figure:
    shown = [action(layout, lying=lying) for _ in range(columns)]
    return joint_weight_figure(shown, layout, title="Figure 9", subtitle="tiny, seed 0")


def coloured(axes: Axes) -> PathCollection:
    (_, top) = [found for found in axes.collections if isinstance(found, PathCollection)]
    return top


def test_the_heaviest_joints_are_the_four_largest_and_of_equal_ones_the_first() -> None:
    assert heaviest(np.array([0.1, 0.3, 0.1, 0.3, 0.1, 0.1])).tolist() == [1, 3, 0, 2]
    assert heaviest(np.array([0.5, 0.5])).tolist() == [0, 1]


def test_the_pose_is_the_frame_farthest_from_the_mean_and_fills_the_panel() -> None:
    joints_TVC = moving(FLAG3D24)
    seen_V2 = pose(joints_TVC, FLAG3D24)
    assert np.abs(seen_V2).max() <= PANEL[1] / 2
    still_V2 = pose(joints_TVC[:3], FLAG3D24)
    raised = next(number for number, name in enumerate(FLAG3D24.joints) if name.startswith("right"))
    assert seen_V2[raised, 1] > still_V2[raised, 1]


@SPACE
@pytest.mark.parametrize("lying", [False, True])
def test_each_panel_names_its_four_joints_with_their_shares(layout: Layout, lying: bool) -> None:
    for axes in drawn(layout, lying=lying).axes:
        assert len(axes.texts) == 4
        for text in axes.texts:
            name, share = text.get_text().split("\n")
            assert name.replace(" ", "_") in layout.joints
            assert 0 < float(share.removesuffix(" %")) < 100


@SPACE
@pytest.mark.parametrize("lying", [False, True])
def test_no_two_names_overlap_and_none_leaves_its_panel(layout: Layout, lying: bool) -> None:
    figure = drawn(layout, lying=lying)
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        panel = axes.get_window_extent()
        for number, box in enumerate(boxes):
            assert panel.x0 <= box.x0 < box.x1 <= panel.x1
            assert panel.y0 - 1 <= box.y0 < box.y1 <= panel.y1 + 1
            assert not any(box.overlaps(other) for other in boxes[:number])


def test_titles_and_notes_stand_above_the_panels_and_do_not_overlap() -> None:
    figure = drawn(columns=4)
    boxes = [text.get_window_extent() for text in figure.texts]
    for number, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_areas_are_weights_and_rows_have_the_colours_of_their_networks() -> None:
    axes = drawn(columns=1).axes
    assert len(axes) == 2
    for panel, colour in zip(axes, COLOURS, strict=True):
        top = coloured(panel)
        assert np.allclose(np.asarray(top.get_facecolor())[0, :3], to_rgb(colour))
        areas_K = np.asarray(top.get_sizes())
        assert areas_K[0] / areas_K[3] == pytest.approx(9.0 / 6.0)
        bones = [found for found in panel.collections if isinstance(found, LineCollection)]
        assert sum(len(found.get_segments()) for found in bones) == len(FLAG3D24.edges)


def test_a_flat_layout_and_a_person_who_does_not_move_have_a_picture(tmp_path: Path) -> None:
    still = action(COCO17)
    still.joints_TVC[:] = still.joints_TVC[0]
    figure = joint_weight_figure([still], COCO17, title="Figure 9", subtitle="")
    write_picture(figure, Picture(tmp_path / "a.png", "", ("key",)))
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_the_picture_has_the_colour_of_each_network(tmp_path: Path) -> None:
    write_picture(drawn(columns=1), Picture(tmp_path / "figure09.png", "caption", ("one", "two")))
    pixels = imread(tmp_path / "figure09.png")[..., :3]
    for colour in COLOURS:
        assert (np.abs(pixels - np.array(to_rgb(colour))).max(axis=-1) < 0.02).sum() > 200, colour
