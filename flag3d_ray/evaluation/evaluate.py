"""Predictions of a trained run on its test clips, and metrics of predictions on disk. No Ray here."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import cast

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from flag3d_ray.data.clips import Clips, ClipSpec, open_clips
from flag3d_ray.errors import Diverged
from flag3d_ray.evaluation import predictions
from flag3d_ray.files import DiskFull, write_json
from flag3d_ray.home import Home
from flag3d_ray.methods.base import Fitted, Trained
from flag3d_ray.metrics import counting_metrics
from flag3d_ray.run import Run
from flag3d_ray.storage import is_trouble
from flag3d_ray.store import RunFolder
from flag3d_ray.training.fit import EVALUATION_BATCH, clip_spec, load_estimator
from flag3d_ray.training.trial import failed

CHUNK = 16 * EVALUATION_BATCH  # clips per task: chunks cut at batch borders, so the pool's size changes no batch


def test_clips(run: Run, home: Home) -> Clips:
    """The clips a run is judged on."""
    return open_clips(clip_spec(run, home, "test"))


def chunks(run: Run, home: Home) -> list[range]:
    """The test clips cut into tasks."""
    total = len(test_clips(run, home))
    return [range(start, min(start + CHUNK, total)) for start in range(0, total, CHUNK)]


def predict(run: Run, home: Home, folder: RunFolder, rows: range) -> pa.Table:
    """Predictions for a range of test clips. The method sees the batch without its labels."""
    spec = clip_spec(run, home, "test")
    clips, estimator = open_clips(spec), _loaded(run, folder, spec)
    tables = []
    for start in range(rows.start, rows.stop, EVALUATION_BATCH):
        chosen = np.arange(start, min(start + EVALUATION_BATCH, rows.stop))
        batch = clips.batch(chosen)
        tables.append(predictions.to_table(clips, chosen, batch, _claims(run, estimator, batch.without_labels())))
    return pa.concat_tables(tables)


def evaluate(run: Run, home: Home, folder: RunFolder) -> dict[str, float]:
    """Predict all test clips in this process and write predictions and metrics."""
    return finish(folder, pa.concat_tables([predict(run, home, folder, rows) for rows in chunks(run, home)]))


def finish(folder: RunFolder, table: pa.Table) -> dict[str, float]:
    """Write the predictions, then the metrics computed from the file: their presence makes a run finished.

    Raises:
        Diverged: a predicted count is not finite; nothing is written.
    """
    wrong_N = ~np.isfinite(table["count"].to_numpy())
    if wrong_N.any():
        rule = f"{wrong_N.sum()} of {len(wrong_N)} predicted counts are not finite"
        first = table["clip_id"][int(wrong_N.argmax())].as_py()
        raise Diverged(
            where=f"test clip {first}", rule=rule, remedy="lower the learning rate or check the data for NaN"
        )
    predictions.write(folder.predictions, table)
    return score(folder)


@contextmanager
def error_is_the_reason(folder: RunFolder) -> Iterator[None]:
    """An error of the block ends this run with it as its reason, and the evaluation of others goes on.

    A full disk, or a storage that does not answer, is no fault of the run and is raised.
    """
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:
        if is_trouble(error):
            raise
        folder.write_record(**failed(error), fitted=True)


def score(folder: RunFolder) -> dict[str, float]:
    """Compute the metrics of a run anew from its predictions on disk."""
    table = predictions.read(folder.predictions, ["count", "truth"])
    metrics = counting_metrics(table["count"].to_numpy(), table["truth"].to_numpy())
    write_json(folder.metrics_path, metrics)
    return metrics


@lru_cache(maxsize=2)
def _loaded(run: Run, folder: RunFolder, spec: ClipSpec) -> nn.Module | Fitted:
    estimator = load_estimator(run, folder, open_clips(spec).shapes)
    if isinstance(estimator, nn.Module):
        estimator.to(_device(), torch.float64 if run.train.precision == "float64" else None)
    return estimator


def _claims(run: Run, estimator: nn.Module | Fitted, batch):
    if not isinstance(estimator, nn.Module):
        return estimator.predict(batch)
    mixed = run.train.precision == "bfloat16"
    dtype = torch.float64 if run.train.precision == "float64" else torch.float32
    with torch.no_grad(), torch.autocast(_device().type, torch.bfloat16, enabled=mixed):
        return cast(Trained, estimator).predict(batch.to(_device(), dtype))


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
