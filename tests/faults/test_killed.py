"""Processes that are killed, and launches that are asked to end: the same command afterwards gives the same table."""

import os
import signal
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray.execution import ensure
from flag3d_ray.home import Home
from flag3d_ray.run import Resources, Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training import loop
from tests.faults.driver import LOCAL, ON_RAY, driver, folder_of, here, results, table_of, wait_for

EPOCHS = 40
pytestmark = pytest.mark.slow


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_the_rename_of(name: str, number: int) -> None:
    """Be killed when a file is written for the `number`-th time: the new one lies beside the old one, under another name."""
    replace_file, written = Path.replace, count(1)

    def deadly(self: Path, target: Any) -> Path:
        if Path(target).name == name and next(written) == number:
            die()
        return replace_file(self, target)

    Path.replace = deadly


def die_in_step(number: int) -> None:
    """Be killed in the `number`-th step of training."""
    loss, steps = loop._loss, count(1)

    def deadly(module, batch):
        if next(steps) == number:
            die()
        return loss(module, batch)

    loop._loss = deadly


def die_before_line(number: int) -> None:
    """Be killed before the `number`-th line of the log."""
    append, lines = RunFolder.append_event, count(1)

    def deadly(self: RunFolder, event: dict[str, Any]) -> None:
        if next(lines) == number:
            die()
        append(self, event)

    RunFolder.append_event = deadly


DEATHS = {
    "mid-epoch": partial(die_in_step, 6),
    "log": partial(die_before_line, 3),
    "first checkpoint": partial(die_before_the_rename_of, "last.safetensors", 1),
    "checkpoint": partial(die_before_the_rename_of, "last.safetensors", 3),
    "best weights": partial(die_before_the_rename_of, "model.safetensors", 2),
    "record": partial(die_before_the_rename_of, "record.json", 3),
    "predictions": partial(die_before_the_rename_of, "predictions.parquet", 1),
    "metrics": partial(die_before_the_rename_of, "metrics.json", 1),
}


@pytest.fixture
def run(tiny_run) -> Run:
    """Four epochs of two steps, with every kind of random number."""
    run = tiny_run(epochs=4)
    return replace(
        run, method=replace(run.method, dropout=(0.2, 0.1, 0.3)), data=replace(run.data, turn=1.0, noise=0.01)
    )


@pytest.fixture
def long_runs(tiny_run) -> list[Run]:
    return [tiny_run(epochs=EPOCHS, seed=seed) for seed in (1, 2)]


def in_mid_run(runs: list[Run], home: Home) -> RunFolder | None:
    """A run that has some epochs behind it and more before it."""
    folders = [folder_of(run, home) for run in runs]
    return next((folder for folder in folders if 3 <= len(folder.events()) < EPOCHS // 2), None)


def half_written(home: Home) -> list[Path]:
    return list(here(home.store.root).rglob("*.part"))


@pytest.mark.parametrize("death", DEATHS)
def test_killed_at_any_moment_a_run_goes_on_to_the_same_end(home, undisturbed, run, death):
    with driver([run], home, before=DEATHS[death]) as killed:
        assert killed.ended() == -signal.SIGKILL
    folder = folder_of(run, home)
    assert folder.status != "finished"

    (cell,) = ensure([run], home, LOCAL)

    assert cell.state == "finished"
    assert folder.record()["recovery"] == ""
    assert [event["epoch"] for event in folder.events()] == [0, 1, 2, 3]
    assert results([run], home) == results([run], undisturbed([run]))
    assert folder.model.read_bytes() == folder_of(run, undisturbed([run])).model.read_bytes()
    assert half_written(home) == []


@pytest.mark.parametrize(
    ("number", "code", "reason"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_launch_that_is_asked_to_end_says_so_and_goes_on_later(home, undisturbed, long_runs, number, code, reason):
    with driver(long_runs, home) as asked:
        folder = wait_for(lambda: in_mid_run(long_runs, home), asked)
        asked.send(number)
        assert asked.ended() == code

    assert f"{reason.capitalize()}. What is done is kept; type the same command to go on." in asked.said()
    assert asked.said().count(f"stopped ({reason}; the same command continues it)") == 2
    record = folder.record()
    assert (record["status"], record["running"], record["reason"]) == ("started", False, reason)
    assert [folder_of(run, home).lease.exists() for run in long_runs] == [False, False]
    assert half_written(home) == []

    ensure(long_runs, home, LOCAL)

    assert folder.record()["reason"] == ""
    assert results(long_runs, home) == results(long_runs, undisturbed(long_runs))
    assert table_of(long_runs, home) == table_of(long_runs, undisturbed(long_runs))


def test_a_launch_that_is_asked_to_end_leaves_nothing_running_in_mlflow(home, undisturbed, long_runs):
    from flag3d_ray.tracking.connect import Place, connect

    def shown() -> dict[str, tuple[str, str]]:
        client = connect(Place(home.mlflow_uri, home.local / "mlruns"))
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        found = [run for run in client.search_runs(experiments) if "flag3d.key" in run.data.tags]
        return {run.data.tags["flag3d.key"]: (run.info.status, run.data.tags["flag3d.reason"]) for run in found}

    keys = [folder_of(run, home).key for run in long_runs]
    with driver(long_runs, home, track=True) as asked:
        wait_for(lambda: in_mid_run(long_runs, home), asked)
        asked.send(signal.SIGTERM)
        assert asked.ended() == 143
    assert shown() == dict.fromkeys(keys, ("KILLED", "terminated; the same command continues it"))

    with driver(long_runs, home, track=True) as again:
        assert again.ended() == 0
    assert shown() == dict.fromkeys(keys, ("FINISHED", ""))
    assert table_of(long_runs, home) == table_of(long_runs, undisturbed(long_runs))


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"), (signal.SIGKILL, -9, "")],
)
def test_a_launch_on_ray_that_is_ended_goes_on_with_the_same_command(
    home, undisturbed, long_runs, number, code, reason
):
    with driver(long_runs, home, ON_RAY) as asked:
        folder = wait_for(lambda: in_mid_run(long_runs, home), asked)
        asked.send(number)
        assert asked.ended() == code

    record = folder.record()
    assert (record["status"], record["running"], record["reason"]) == ("started", not reason, reason)
    if reason:
        assert f"stopped ({reason}; the same command continues it)" in asked.said()
        assert [folder_of(run, home).lease.exists() for run in long_runs] == [False, False]

    ensure(long_runs, home, LOCAL)

    assert [[event["epoch"] for event in folder_of(run, home).events()] for run in long_runs] == [
        list(range(EPOCHS))
    ] * 2
    assert results(long_runs, home) == results(long_runs, undisturbed(long_runs))
    assert table_of(long_runs, home) == table_of(long_runs, undisturbed(long_runs))


def test_ctrl_c_ends_a_run_on_several_workers_too(home, tiny_run):
    """Ray Train has a handler of its own, which would end the command with exit code 0 and no word."""
    run = tiny_run(epochs=EPOCHS)
    with driver([run], home, Resources(workers=2, cpus=2)) as asked:
        folder = wait_for(lambda: in_mid_run([run], home), asked)
        asked.send(signal.SIGINT)
        assert asked.ended() == 130

    assert (folder.record()["running"], folder.record()["reason"]) == (False, "interrupted")
    assert "Interrupted." in asked.said()
    assert not folder.lease.exists()
