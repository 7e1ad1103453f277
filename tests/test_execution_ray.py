"""Runs on Ray give what the local executor gives."""

import pytest

from flag3d_ray import execution_ray
from flag3d_ray.errors import RunError
from flag3d_ray.execution import ensure
from flag3d_ray.execution_ray import LOSSES, quiet_run_config
from flag3d_ray.files import DiskFull
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.lease import Holder
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.run import Resources, Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training.trial import Trial

LOCAL = Resources(executor="local")
# Ray copies its own context with options that it deprecates itself.
pytestmark = pytest.mark.filterwarnings("ignore:`use_:DeprecationWarning")


@pytest.fixture
def diverging(tiny_run) -> Run:
    return tiny_run(learning_rate=1e30, recipe="released", epochs=3)


def folder_of(run: Run, home: Home) -> RunFolder:
    return home.store.folder(run_key(run, home))


def states(cells) -> list[str]:
    return [cell.state for cell in cells]


def results(runs: list[Run], home: Home) -> list[tuple[bytes, dict]]:
    return [(folder_of(run, home).predictions.read_bytes(), folder_of(run, home).metrics()) for run in runs]


@pytest.mark.slow
def test_trials_on_ray_give_what_the_local_executor_gives(fresh_home, tiny_run, diverging):
    source = tiny_run(epochs=2)
    runs = [source, tiny_run(epochs=2, seed=1), tiny_run(epochs=2, seed=2, init_from=source), tiny_run(Fourier())]
    local, home = fresh_home(), fresh_home()
    ensure([*runs, diverging], local, LOCAL)

    cells = ensure([*runs, diverging], home, Resources(executor="ray", concurrent=2, cpus=2))

    assert states(cells) == ["finished"] * 4 + ["failed"]
    assert cells[-1].detail.startswith("Diverged")
    assert results(runs, home) == results(runs, local)
    assert states(ensure(runs, home, Resources(executor="ray", concurrent=2, cpus=2))) == ["cached"] * 4


def test_a_full_disk_ends_the_launch_and_is_not_tried_again_on_another_node(
    fresh_home, tiny_run, tmp_path, monkeypatch
):
    run, home = tiny_run(), fresh_home()
    trial = Trial(run, home, folder_of(run, home), Holder.this_process(), Resources(cpus=2))
    error, reported = DiskFull(where="/mnt/flag3d", rule="no space left", remedy="free some"), []

    def no_space(*_, **__) -> str:
        raise error

    monkeypatch.setattr(execution_ray, "fit_trial", no_space)
    monkeypatch.setattr(execution_ray, "this_node", str)
    monkeypatch.setattr(execution_ray.tune, "report", reported.append)
    stop = execution_ray.FullDisk()

    execution_ray.tune_trial({"trial": trial})

    assert stop("1", {"epoch": 1}) is False
    assert stop.stop_all() is False
    assert stop("1", reported[0]) is False
    assert stop.stop_all() is True
    assert stop.reason == str(error)
    failures = quiet_run_config(tmp_path).failure_config
    assert failures is not None
    assert failures.max_failures == LOSSES


def test_more_workers_than_cpus_are_refused_with_the_remedy(fresh_home, tiny_run):
    with pytest.raises(RunError, match=r"4 workers need as many CPUs, the cluster has 2.*--workers 2"):
        ensure([tiny_run()], fresh_home(), Resources(workers=4, cpus=2))
