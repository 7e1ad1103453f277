"""One loop, three worlds: this process, one Ray Train worker, two Ray Train workers. Losses and metrics agree."""

from dataclasses import replace

import pytest

from flag3d_ray.evaluation.evaluate import evaluate
from flag3d_ray.identity import run_key
from flag3d_ray.lease import Holder, Leases
from flag3d_ray.run import Resources, Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training.trial import FitRun, Trial, fit_trial

STEPS = 20
# Ray copies its own context with options that it deprecates itself.
pytestmark = pytest.mark.filterwarnings("ignore:`use_:DeprecationWarning")


@pytest.fixture(scope="module")
def run(tiny_run) -> Run:
    """Twenty epochs of one step: a batch of five clips, which two workers share as three and two."""
    run = tiny_run(epochs=STEPS, batch=5, max_clips_per_epoch=5, precision="float64")
    return replace(run, data=replace(run.data, turn=1.0, noise=0.005))


@pytest.fixture(scope="module")
def fitted(fresh_home, run):
    """Fits the run in a home of its own and evaluates it; returns its folder."""
    from flag3d_ray.cluster import cluster

    def fit(resources: Resources, fit_run: FitRun | None = None) -> RunFolder:
        home = fresh_home()
        folder = home.store.folder(run_key(run, home))
        with Leases() as leases:
            leases.acquire(folder.lease)
            trial = Trial(run, home, folder, Holder.this_process(), resources)
            status = fit_trial(trial, [].append, fit_run)  # a function of this file could not be imported by workers
        assert status == "fitted", folder.record().get("reason")
        evaluate(run, home, folder)
        return folder

    with cluster(Resources(cpus=2)):
        yield fit


@pytest.fixture(scope="module")
def local(fitted) -> RunFolder:
    return fitted(Resources(executor="local"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_train_workers_compute_what_the_local_loop_computes(fitted, local, workers):
    from flag3d_ray.training.ray_train import fit_with_workers

    distributed = fitted(Resources(workers=workers, cpus=2), fit_with_workers)

    for name in ("loss", "val_mae"):
        ours, theirs = ([event[name] for event in folder.events()] for folder in (distributed, local))
        assert len(ours) == STEPS
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-5)
    assert distributed.metrics() == pytest.approx(local.metrics(), rel=1e-5, abs=1e-5)


@pytest.mark.slow
def test_the_loss_falls_so_that_agreement_says_something(local):
    losses = [event["loss"] for event in local.events()]

    assert min(losses[-5:]) < 0.9 * max(losses[:5])
