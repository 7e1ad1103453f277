"""A pool of actors writes what one process writes."""

from dataclasses import replace

import pytest

from flag3d_ray.evaluation.evaluate import evaluate
from flag3d_ray.identity import run_key
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.run import Resources
from flag3d_ray.training.fit import fit


def ignore(event: dict) -> None:
    pass


@pytest.mark.slow
def test_actors_write_the_predictions_and_metrics_that_one_process_writes(fresh_home, tiny_run, monkeypatch):
    from flag3d_ray.cluster import cluster
    from flag3d_ray.evaluation import evaluate as evaluation
    from flag3d_ray.evaluation.actors import evaluate_with_actors

    home = fresh_home()
    runs = [tiny_run(epochs=1, max_clips_per_epoch=8), tiny_run(Fourier()), tiny_run(Random())]
    # Twenty crops of four sequences are two batches for evaluation, cut into two tasks.
    runs = [replace(run, data=replace(run.data, test_crops=20)) for run in runs]
    monkeypatch.setattr(evaluation, "CHUNK", evaluation.EVALUATION_BATCH)
    items = [(run, home.store.folder(run_key(run, home))) for run in runs]
    expected = []
    for run, folder in items:
        fit(run, home, folder, ignore)
        evaluate(run, home, folder)
        expected.append((folder.predictions.read_bytes(), folder.metrics()))
        folder.predictions.unlink()
        folder.metrics_path.unlink()

    done = []
    resources = Resources(cpus=2, concurrent=2)
    with cluster(resources):
        evaluate_with_actors(items, home, resources, done.append)

    assert sorted(folder.key for _, folder in done) == sorted(folder.key for _, folder in items)
    for (_, folder), (_, metrics) in zip(items, expected, strict=True):
        assert folder.metrics() == metrics
    assert [folder.predictions.read_bytes() for _, folder in items] == [content for content, _ in expected]
