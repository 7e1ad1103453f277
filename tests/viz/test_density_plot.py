from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread

from flag3d_ray.viz.density_plot import density_figure, write_density_plot


def table(counts: list[float], densities: list[bytes | None], truths: list[bytes | None]) -> pa.Table:
    columns = {"clip_id": [f"clip${n}_" for n in range(len(counts))], "action_id": ["A001"] * len(counts)}
    columns |= {"truth": [4.0] * len(counts), "count": counts, "density": densities, "truth_density": truths}
    types = {"density": pa.binary(), "truth_density": pa.binary()}
    return pa.table({name: pa.array(values, types.get(name)) for name, values in columns.items()})


def density(seed: int) -> bytes:
    return np.random.default_rng(seed).random(32).astype(np.float32).tobytes()


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    counts = [4.0, 9.0, 5.0, 4.5, 6.0]
    pq.write_table(table(counts, [density(n) for n in range(5)], [density(9)] * 5), tmp_path / "predictions.parquet")
    return tmp_path / "predictions.parquet"


def test_the_picture_is_a_png_with_a_panel_per_clip(predictions: Path, tmp_path: Path) -> None:
    assert write_density_plot(predictions, tmp_path / "three.png", clips=3)
    assert write_density_plot(predictions, tmp_path / "one.png", clips=1)
    three, one = imread(tmp_path / "three.png"), imread(tmp_path / "one.png")
    assert three.shape[0] == pytest.approx(3 * one.shape[0], rel=0.02)
    assert len(np.unique(three.reshape(-1, three.shape[-1]), axis=0)) > 10


def test_panels_go_from_the_best_to_the_worst_clip(predictions: Path) -> None:
    rows = pq.read_table(predictions).to_pylist()
    titles = [axes.get_title() for axes in density_figure([rows[0], rows[1]]).axes]
    assert titles == ["clip$0_ (A001): counted 4.00, truth 4.00", "clip$1_ (A001): counted 9.00, truth 4.00"]


def test_lines_show_the_stored_densities(predictions: Path) -> None:
    row = pq.read_table(predictions).to_pylist()[2]
    (axes,) = density_figure([row]).axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), np.frombuffer(row["density"], np.float32))


def test_a_missing_truth_leaves_the_prediction_alone(tmp_path: Path) -> None:
    row = table([4.0], [density(0)], [None]).to_pylist()[0]
    (axes,) = density_figure([row]).axes
    assert len(axes.lines) == 1
    assert not axes.collections


def test_no_picture_is_written_for_a_method_without_densities(tmp_path: Path) -> None:
    pq.write_table(table([4.0, 5.0], [None, None], [density(0)] * 2), tmp_path / "predictions.parquet")
    assert not write_density_plot(tmp_path / "predictions.parquet", tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
