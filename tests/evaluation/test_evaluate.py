"""Predictions of a run on its test clips, and the metrics computed from the file."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from flag3d_ray.errors import RunError
from flag3d_ray.evaluation import evaluate as evaluation
from flag3d_ray.evaluation import predictions
from flag3d_ray.evaluation.evaluate import chunks, evaluate, predict, score
from flag3d_ray.identity import run_key
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.metrics import counting_metrics
from flag3d_ray.training.fit import fit


def ignore(event: dict) -> None:
    pass


@pytest.fixture(scope="module")
def home(fresh_home):
    return fresh_home()


@pytest.fixture(scope="module")
def run(tiny_run):
    """A density network on five crops: twenty test clips of which some are whole sequences."""
    run = tiny_run(epochs=1, max_clips_per_epoch=8)
    return replace(run, data=replace(run.data, test_crops=5))


@pytest.fixture(scope="module")
def folder(run, home):
    folder = home.store.folder(run_key(run, home))
    fit(run, home, folder, ignore)
    evaluate(run, home, folder)
    return folder


def test_every_test_clip_has_one_prediction_with_its_group_and_truth(run, home, folder):
    clips = evaluation.test_clips(run, home)
    batch = clips.batch(np.arange(len(clips)))

    table = pq.read_table(folder.predictions)

    assert table["clip_id"].to_pylist() == list(batch.clip_ids)
    assert batch.count_B is not None
    assert table["truth"].to_pylist() == batch.count_B.tolist()
    assert set(table["action_id"].to_pylist()) == {"A005", "A006"}
    assert set(table["subject"].to_pylist()) == {"S01", "S02"}
    assert [name.split("#")[0] for name in table["clip_id"].to_pylist()] == table["sample_id"].to_pylist()


def test_densities_are_stored_as_float32_of_the_clips_length_and_sum_to_the_count(folder):
    table = pq.read_table(folder.predictions)

    for density, count in zip(table["density"].to_pylist(), table["count"].to_pylist(), strict=True):
        density_T = np.frombuffer(density, np.float32)
        assert density_T.shape == (32,)
        assert density_T.sum() == pytest.approx(count, rel=1e-5, abs=1e-5)


def test_the_metrics_are_those_of_the_file(folder):
    table = pq.read_table(folder.predictions)

    expected = counting_metrics(table["count"].to_numpy(), table["truth"].to_numpy())

    assert folder.metrics() == expected
    assert folder.status == "finished"


def test_metrics_are_computed_again_from_edited_predictions(folder):
    before, table = folder.metrics(), pq.read_table(folder.predictions)
    perfect = table.set_column(table.schema.get_field_index("count"), "count", table["truth"])

    predictions.write(folder.predictions, perfect)
    assert score(folder)["mae"] == 0.0

    predictions.write(folder.predictions, table)
    assert score(folder) == before


def test_evaluating_again_writes_the_same_bytes(run, home, folder):
    before = folder.predictions.read_bytes()

    evaluate(run, home, folder)

    assert folder.predictions.read_bytes() == before


def test_the_method_sees_no_labels(run, home, folder, monkeypatch):
    seen = []
    monkeypatch.setattr(evaluation, "_claims", lambda run, estimator, batch: seen.append(batch) or [])
    monkeypatch.setattr(predictions, "to_table", lambda *_: pq.read_table(folder.predictions))

    predict(run, home, folder, range(20))

    assert [(batch.density_BT, batch.count_B) for batch in seen] == [(None, None)]


def test_a_method_without_densities_leaves_them_empty(home, tiny_run):
    run = tiny_run(Random())
    folder = home.store.folder(run_key(run, home))
    fit(run, home, folder, ignore)

    evaluate(run, home, folder)

    assert pq.read_table(folder.predictions)["density"].null_count == 8


def test_tasks_cover_the_clips_at_batch_borders(run, home, monkeypatch):
    monkeypatch.setattr(evaluation, "CHUNK", 8)

    assert chunks(run, home) == [range(0, 8), range(8, 16), range(16, 20)]


def test_damaged_predictions_are_named_with_the_remedy(folder):
    whole = folder.predictions.read_bytes()
    folder.predictions.write_bytes(whole[:-20])
    try:
        with pytest.raises(RunError, match=r"predictions\.parquet: not a readable Parquet file.*made anew"):
            score(folder)
    finally:
        folder.predictions.write_bytes(whole)
