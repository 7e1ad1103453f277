"""The picture of a count: rows, shades, numbers, and recordings that are hardly any."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from flag3d_ray.counting import Count
from flag3d_ray.skeleton import layout
from flag3d_ray.viz.count_plot import MOST_ROWS, NUMBER, WIDTH, Shown, count_figure


def shown(count: int, length: int = 600, name: str = "flag3d24", first_s: float = 0.0) -> Shown:
    skeleton = layout(name)
    borders = np.linspace(0, length, count + 1)
    found = Count(
        count=float(count),
        low=float(count),
        high=float(count),
        segments_K2=np.stack([borders[:-1], borders[1:]], axis=1) if count else np.empty((0, 2)),
        density_T=np.full(length, count / length),
        fps=30.0,
        window=length,
        views=1,
        warnings=(),
    )
    joints_TVC = np.random.default_rng(0).normal(size=(length, len(skeleton), skeleton.channels)).astype(np.float32)
    title, subtitle = "5 repetitions", "a $file_1.npz"
    return Shown(count=found, joints_TVC=joints_TVC, skeleton=skeleton, title=title, subtitle=subtitle, first_s=first_s)


@pytest.mark.parametrize(("count", "rows"), [(0, 1), (5, 1), (14, 1), (15, 2), (200, MOST_ROWS)])
def test_there_are_a_strip_and_a_curve_per_row(count: int, rows: int) -> None:
    figure = count_figure(shown(count, 3000))
    assert len(figure.axes) == 2 * rows
    limits = [axes.get_xlim() for axes in figure.axes]
    assert (limits[0][0], limits[-1][1]) == (0.0, 100.0)


def test_every_repetition_is_shaded_and_numbered_in_strip_and_curve() -> None:
    curve, strip = count_figure(shown(5)).axes
    for axes in (curve, strip):
        starts = [path.get_extents().x0 for bars in axes.collections[:2] for path in bars.get_paths()]
        assert sorted(starts) == pytest.approx([0, 4, 8, 12, 16])
    assert [text.get_text() for text in strip.texts] == ["1", "2", "3", "4", "5"]


def test_numbers_that_would_overlap_are_left_out() -> None:
    for strip in count_figure(shown(2000, 3000)).axes[1::2]:
        places = np.array([text.get_position()[0] for text in strip.texts])
        per_inch = np.diff(strip.get_xlim())[0] / WIDTH
        assert len(places) > 10
        assert np.diff(places).min() >= NUMBER * per_inch * 0.999


def test_poses_are_drawn_bone_by_bone_at_their_time() -> None:
    _, strip = count_figure(shown(5, first_s=100.0)).axes
    (bones,) = [artist for artist in strip.collections if type(artist) is LineCollection]
    assert len(bones.get_segments()) % len(layout("flag3d24").edges) == 0
    assert strip.get_xlim() == (100.0, 120.0)


@pytest.mark.parametrize(
    "change", [{"length": 1, "count": 0}, {"length": 2, "count": 1}, {"name": "coco17", "count": 3}]
)
def test_short_and_flat_recordings_have_a_picture(tmp_path: Path, change: dict) -> None:
    count_figure(shown(**change)).savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_person_who_does_not_move_has_a_flat_line_of_motion_below_equal_poses(tmp_path: Path) -> None:
    still = shown(0)
    still.joints_TVC[:] = still.joints_TVC[0]
    figure = count_figure(still)
    curve, strip = figure.axes
    motion, density = (np.asarray(line.get_ydata()) for line in curve.lines)
    assert np.array_equal(motion, np.full(600, motion[0]))
    assert np.array_equal(density, np.zeros(600))
    (bones,) = [artist for artist in strip.collections if type(artist) is LineCollection]
    poses = np.array(bones.get_segments()).reshape(-1, len(layout("flag3d24").edges), 2, 2)
    assert len(poses) > 1
    assert poses[..., 1] == pytest.approx(np.broadcast_to(poses[0, ..., 1], poses[..., 1].shape))
    figure.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
