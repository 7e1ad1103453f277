"""Runs on two Ray Train workers that do not go as planned: a worker is lost, the loss diverges, nothing is to be trained."""

import os
import signal
from pathlib import Path

import pytest

from flag3d_ray.evaluation.evaluate import evaluate
from flag3d_ray.identity import run_key
from flag3d_ray.lease import Holder, Leases
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.run import Resources, Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training.fit import OnEpoch
from flag3d_ray.training.trial import Trial, fit_trial

TWO = Resources(workers=2, cpus=2)
# Ray copies its own context with options that it deprecates itself.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:`use_:DeprecationWarning")]


@pytest.fixture(scope="module")
def fitted(fresh_home):
    """Fits a run on two workers in a home of its own and returns its folder."""
    from flag3d_ray.cluster import cluster
    from flag3d_ray.training.ray_train import fit_with_workers

    def fit(run: Run, on_epoch: OnEpoch = [].append) -> RunFolder:
        home = fresh_home()
        folder = home.store.folder(run_key(run, home))
        with Leases() as leases:
            leases.acquire(folder.lease)
            status = fit_trial(Trial(run, home, folder, Holder.this_process(), TWO), on_epoch, fit_with_workers)
        if status == "fitted":
            evaluate(run, home, folder)
        return folder

    with cluster(TWO):
        yield fit


def test_a_run_whose_worker_was_killed_goes_on_from_its_checkpoint_to_the_same_end(fitted, tiny_run, tmp_path: Path):
    run, killed = tiny_run(epochs=4), tmp_path / "killed"

    def die_once(event: dict) -> None:
        if event["epoch"] == 1 and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    disturbed, undisturbed = fitted(run, die_once), fitted(run)

    assert killed.exists()
    assert [event["epoch"] for event in disturbed.events()] == [0, 1, 2, 3]
    for name in ("loss", "val_mae"):
        assert [event[name] for event in disturbed.events()] == [event[name] for event in undisturbed.events()]
    assert disturbed.metrics() == undisturbed.metrics()


def test_a_run_that_diverges_on_two_workers_fails_with_that_reason_and_is_not_tried_again(fitted, tiny_run):
    folder = fitted(tiny_run(learning_rate=1e30, recipe="released", epochs=3))

    assert folder.status == "failed"
    assert folder.record()["reason"].startswith("Diverged")


def test_a_method_without_gradients_is_fitted_once_whatever_the_number_of_workers(fitted, tiny_run):
    folder = fitted(tiny_run(Fourier(), epochs=0))

    assert folder.status == "finished"
    assert folder.metrics()["n"] > 0
