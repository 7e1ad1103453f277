"""Figure 8: a row per clip, a lane per network, shades where the repetitions are, and troughs at their borders."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from flag3d_ray.figures import Picture, write_picture
from flag3d_ray.viz.feature_plot import COLOURS, Lane, Row, feature_figure, first_component, repetitions

REPS_R2 = np.array([[4, 14], [14, 24], [30, 40]])


def reps(frames: int = 48) -> np.ndarray:
    reps_T = np.full(frames, -1)
    for number, (start, end) in enumerate(REPS_R2):
        reps_T[start:end] = number
    return reps_T


def features(sign: float = 1.0, frames: int = 48) -> np.ndarray:
    """Two features that rise and fall once per repetition, and one of small noise."""
    wave_T = np.zeros(frames)
    for start, end in REPS_R2:
        wave_T[start:end] = np.sin(np.pi * (np.arange(end - start) + 0.5) / (end - start))
    noise_T = 0.05 * np.random.default_rng(0).normal(size=frames)
    return np.stack([sign * 3 * wave_T, -sign * wave_T, noise_T], axis=1).astype(np.float32)


def row(title: str = "A015 $x_1$: 3 repetitions") -> Row:
    lanes = (
        Lane(network="HL-RAC", features_TF=features(), count=3.04),
        Lane(network="TransRAC", features_TF=features(-1.0), count=2.5),
    )
    return Row(title=title, reps_T=reps(), lanes=lanes)


def drawn(rows: int = 3) -> Figure:
    return feature_figure([row() for _ in range(rows)], title="Figure 8", subtitle="tiny, seed 0")


def shades(axes: Axes) -> list[tuple[float, float]]:
    boxes = [patch.get_bbox() for patch in axes.patches if isinstance(patch, Rectangle)]
    return [(box.x0, box.x1) for box in boxes]


def test_repetitions_are_read_from_the_number_of_each_frame() -> None:
    assert repetitions(reps()).tolist() == REPS_R2.tolist()
    assert repetitions(np.full(5, -1)).shape == (0, 2)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_borders_of_repetitions_lie_low_whatever_the_sign_of_the_features(sign: float) -> None:
    scores_T, share = first_component(features(sign), REPS_R2)
    middles, borders = scores_T[[8, 18, 34]], scores_T[[4, 13, 30]]
    assert middles.min() > borders.max()
    assert 0.95 < share <= 1.0


def test_the_share_of_variance_is_that_of_the_largest_eigenvalue() -> None:
    values_TF = np.random.default_rng(1).normal(size=(40, 5)) * np.array([3, 2, 1, 1, 1])
    _, share = first_component(values_TF, REPS_R2[:0])
    spectrum = np.linalg.eigvalsh(np.cov(values_TF.T))
    assert share == pytest.approx(spectrum[-1] / spectrum.sum())


def test_features_that_never_change_have_no_component() -> None:
    scores_T, share = first_component(np.ones((6, 4), np.float32), REPS_R2[:0])
    assert (share, scores_T.tolist()) == (0.0, [0.0] * 6)


def test_every_row_shows_its_repetitions_and_a_curve_per_network() -> None:
    figure = drawn()
    assert len(figure.axes) == 3
    for axes in figure.axes:
        assert shades(axes) == [(4, 14), (14, 24), (30, 40)]
        curves = [line for line in axes.lines if len(np.asarray(line.get_xdata())) == 48]
        assert [line.get_color() for line in curves] == list(COLOURS)
        upper, lower = (np.asarray(line.get_ydata()) for line in curves)
        assert 0 < lower.min() < lower.max() < 1 < upper.min() < upper.max() < 2
        said = [text.get_text() for text in axes.texts]
        assert said[0] == "HL-RAC"
        assert said[1].startswith("counts 3.0\n")


def test_no_two_texts_overlap_and_none_leaves_the_picture() -> None:
    figure = drawn()
    figure.canvas.draw()
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    texts += [axes.title for axes in figure.axes] + [axes._left_title for axes in figure.axes]  # pyright: ignore
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    for number, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert 0 <= box.y0 < box.y1 <= figure.bbox.height
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_a_clip_without_repetitions_and_one_of_a_single_frame_have_a_picture(tmp_path: Path) -> None:
    for frames in (1, 20):
        lane = Lane(network="HL-RAC", features_TF=np.ones((frames, 3), np.float32), count=0.0)
        still = Row(title="still", reps_T=np.full(frames, -1), lanes=(lane,))
        figure = feature_figure([still], title="Figure 8", subtitle="")
        write_picture(figure, Picture(tmp_path / f"{frames}.png", "", ("key",)))
        assert shades(figure.axes[0]) == []


def test_the_picture_has_both_colours_and_the_shades(tmp_path: Path) -> None:
    write_picture(drawn(1), Picture(tmp_path / "figure08.png", "caption", ("one", "two")))
    pixels = imread(tmp_path / "figure08.png")[..., :3]
    for colour in (*COLOURS, "#dce6f1", "#f0e7d3"):
        assert (np.abs(pixels - np.array(to_rgb(colour))).max(axis=-1) < 0.02).sum() > 200, colour
