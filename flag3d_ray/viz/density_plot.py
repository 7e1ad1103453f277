"""Predicted density against the true one, for a few test clips of a run."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flag3d_ray.files import atomic_path, local_copy
from flag3d_ray.storage import StorePath

_COLUMNS = ["clip_id", "action_id", "truth", "count", "density", "truth_density"]


def write_density_plot(predictions: StorePath, target: Path, clips: int = 4) -> bool:
    """Draw `clips` clips of a `predictions.parquet` into the PNG file `target`.

    The clips stand at equal distances in the ranking by absolute count error, from the best to the worst.
    Returns False, and writes nothing, where the method predicts no density.
    """
    with local_copy(predictions) as file:
        table = pq.read_table(file, columns=_COLUMNS)
    shown = _spread_by_error(table.filter(table["density"].is_valid()), clips)
    if not shown:
        return False
    with atomic_path(target) as part:
        density_figure(shown).savefig(part, format="png", dpi=110)
    return True


def density_figure(rows: list[dict]) -> Figure:
    """One panel per row of the predictions: densities in repetitions per frame over the frames of the clip."""
    figure = Figure(figsize=(9.0, 2.1 * len(rows)), layout="constrained")
    for axes, row in zip(np.ravel(figure.subplots(len(rows), 1)), rows, strict=True):
        _draw(axes, row)
    return figure


def _draw(axes: Axes, row: dict) -> None:
    if row["truth_density"] is not None:
        truth_T = _floats(row["truth_density"])
        axes.fill_between(np.arange(len(truth_T)), truth_T, color="0.8", label="truth")
    axes.plot(_floats(row["density"]), color="tab:blue", linewidth=1.2, label="predicted")
    title = f"{row['clip_id']} ({row['action_id']}): counted {row['count']:.2f}, truth {row['truth']:.2f}"
    axes.set_title(title, fontsize=8, parse_math=False)
    axes.set_xlabel("frame", fontsize=7)
    axes.set_ylabel("repetitions per frame", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, loc="upper right")


def _spread_by_error(table: pa.Table, clips: int) -> list[dict]:
    errors_B = np.abs(table["count"].to_numpy() - table["truth"].to_numpy())
    order = np.argsort(errors_B, kind="stable")
    ranks = np.unique(np.linspace(0, len(order) - 1, min(clips, len(order))).round().astype(int)) if len(order) else []
    return table.take(order[ranks]).to_pylist() if len(ranks) else []


def _floats(data: bytes) -> Float32[np.ndarray, " T"]:
    return np.frombuffer(data, dtype=np.float32)
