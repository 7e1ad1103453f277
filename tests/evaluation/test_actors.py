"""A pool of actors writes what one process writes."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from ray.exceptions import RayActorError

from flag3d_ray.evaluation import actors
from flag3d_ray.evaluation.evaluate import evaluate
from flag3d_ray.identity import run_key
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.run import Resources
from flag3d_ray.training.fit import fit


def ignore(event: dict) -> None:
    pass


class Lost(RayActorError):
    """An actor that died with its node."""


@pytest.fixture
def cluster_of_calls(monkeypatch):
    """Stands in for Ray: a call is the actor and its task, is done at once, and fails where `dies(actor, task)` says so."""
    state = SimpleNamespace(started=0, ended=[], dies=lambda actor, task: False)

    def get(call):
        if state.dies(*call):
            raise Lost
        return call[1]

    def start() -> int:
        state.started += 1
        return state.started

    fake = SimpleNamespace(wait=lambda calls, num_returns: (calls[:1], calls[1:]), get=get, kill=state.ended.append)
    monkeypatch.setattr(actors, "ray", fake)
    state.run = lambda tasks: list(actors._in_pool(tasks, 2, start, lambda actor, task: (actor, task)))
    return state


TASKS = [(0, range(0, 8)), (0, range(8, 16)), (1, range(0, 8))]


def test_the_task_of_a_lost_actor_goes_to_another_one_and_every_actor_is_ended(cluster_of_calls):
    cluster_of_calls.dies = lambda actor, task: actor == 2

    assert sorted(cluster_of_calls.run(TASKS), key=TASKS.index) == TASKS
    assert cluster_of_calls.started == 3
    assert {1, 3} <= set(cluster_of_calls.ended)


def test_actors_without_work_are_ended_before_the_others_are_waited_for(cluster_of_calls):
    cluster_of_calls.dies = lambda actor, task: not cluster_of_calls.ended

    assert cluster_of_calls.run(TASKS[:1]) == TASKS[:1]


def test_a_task_that_ends_every_actor_is_given_up(cluster_of_calls):
    cluster_of_calls.dies = lambda actor, task: task == TASKS[0]

    with pytest.raises(Lost):
        cluster_of_calls.run(TASKS)
    assert cluster_of_calls.started == 2 + actors.LOSSES


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
        evaluate_with_actors(items, home, resources, lambda item, seconds: done.append((item, seconds)))

    assert sorted(folder.key for (_, folder), _ in done) == sorted(folder.key for _, folder in items)
    assert all(seconds > 0 for _, seconds in done)
    for (_, folder), (_, metrics) in zip(items, expected, strict=True):
        assert folder.metrics() == metrics
    assert [folder.predictions.read_bytes() for _, folder in items] == [content for content, _ in expected]
