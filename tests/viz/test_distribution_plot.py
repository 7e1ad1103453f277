"""The picture of a dataset's counts, durations and scores."""

from pathlib import Path

import numpy as np

from flag3d_ray.data.summary import Summary
from flag3d_ray.viz.distribution_plot import distribution_figure, write_distributions

PRINTED = {"count/mean": 9.71, "duration/mean": 33.27}


def summary(scores: int = 50) -> Summary:
    rng = np.random.default_rng(0)
    counts_N = rng.integers(1, 30, 50).astype(float)
    return Summary("tiny", rng.uniform(5, 60, 50), counts_N, rng.uniform(3, 9, scores), actions=6, people=2)


def test_every_sequence_is_in_its_histogram():
    figure = distribution_figure(summary(), PRINTED)
    heights = [sum(patch.get_height() for patch in axes.patches) for axes in figure.axes]  # pyright: ignore[reportAttributeAccessIssue]
    assert heights == [50, 50, 50]


def test_the_printed_mean_stands_beside_the_measured_one_where_there_is_one():
    counts, durations, scores = distribution_figure(summary(), PRINTED).axes
    assert [len(axes.lines) for axes in (counts, durations, scores)] == [2, 2, 1]
    assert [line.get_label() for line in counts.lines][1] == "paper 9.71"


def test_what_a_dataset_lacks_has_no_panel():
    assert len(distribution_figure(summary(scores=0), {}).axes) == 2


def test_the_picture_is_a_png(tmp_path: Path):
    write_distributions(summary(), PRINTED, tmp_path / "tiny.png")
    assert (tmp_path / "tiny.png").read_bytes().startswith(b"\x89PNG")
