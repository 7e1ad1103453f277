"""`predictions.parquet`: what a run claims for each test clip, beside the truth and what it may be grouped by."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flag3d_ray.data.clips import Clips
from flag3d_ray.errors import RunError
from flag3d_ray.files import atomic_path, local_copy
from flag3d_ray.sample import Batch, Prediction
from flag3d_ray.storage import StorePath

SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("sample_id", pa.string()),
        ("action_id", pa.string()),
        ("body_part", pa.string()),
        ("subject", pa.string()),
        ("truth", pa.float64()),
        ("count", pa.float64()),
        ("density", pa.binary()),
        ("truth_density", pa.binary()),
    ]
)


def to_table(clips: Clips, rows: np.ndarray, batch: Batch, predictions: Sequence[Prediction]) -> pa.Table:
    """One row per clip. Densities are float32 bytes of T values; null where a method predicts none."""
    assert batch.count_B is not None
    assert batch.density_BT is not None
    samples = [clips.dataset.sample(clips.sequence(int(row))) for row in rows]
    named = [prediction.density_T for prediction in predictions]
    columns = {
        "clip_id": [prediction.clip_id for prediction in predictions],
        "sample_id": [sample.sample_id for sample in samples],
        "action_id": [sample.action_id for sample in samples],
        "body_part": [sample.body_part for sample in samples],
        "subject": [sample.subject for sample in samples],
        "truth": batch.count_B.double().tolist(),
        "count": [float(prediction.count) for prediction in predictions],
        "density": [None if density is None else density.astype(np.float32).tobytes() for density in named],
        "truth_density": [density.numpy().tobytes() for density in batch.density_BT],
    }
    return pa.table(columns, schema=SCHEMA)


def write(path: StorePath, table: pa.Table) -> None:
    """Replace the file, atomically."""
    with atomic_path(path) as part:
        pq.write_table(table, part)


def read(path: StorePath, columns: Sequence[str] | None = None) -> pa.Table:
    """The predictions of a run, or some of their columns.

    Raises:
        RunError: the file is damaged.
    """
    try:
        with local_copy(path) as file:
            return pq.read_table(file, columns=list(columns) if columns else None)
    except (pa.ArrowInvalid, OSError) as error:
        remedy = "delete the file and type the same command again: predictions are made anew from the checkpoint"
        raise RunError(where=str(path), rule=f"not a readable Parquet file ({error})", remedy=remedy) from error
