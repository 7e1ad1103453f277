"""Two launches of one request: each run happens once, a leader that dies is followed, a slow ghost damages nothing."""

import shutil
import signal
from dataclasses import asdict, replace
from itertools import count
from types import SimpleNamespace

import pytest

from flag3d_ray.execution import ensure
from flag3d_ray.files import write_json
from flag3d_ray.lease import Holder
from flag3d_ray.store import RunFolder
from flag3d_ray.training import loop
from tests.faults.driver import LOCAL, driver, files_of, folder_of, here, results, table_of, wait_for


@pytest.fixture
def runs(tiny_run):
    return [tiny_run(epochs=20, seed=seed) for seed in (1, 2, 3)]


@pytest.mark.slow
def test_two_launches_at_once_run_each_run_once(home, undisturbed, runs):
    with driver(runs, home) as first, driver(runs, home) as second:
        assert [first.ended(), second.ended()] == [0, 0]

    attempts = [folder_of(run, home).record()["places"] for run in runs]
    assert [len(places) for places in attempts] == [1, 1, 1]
    assert table_of(runs, home) == table_of(runs, undisturbed(runs))


@pytest.mark.slow
def test_the_second_launch_says_whom_it_follows_and_takes_over_when_that_one_is_killed(home, undisturbed, runs):
    with driver(runs, home) as first:
        wait_for(lambda: folder_of(runs[0], home).events(), first)
        with driver(runs, home) as second:
            wait_for(lambda: f"led by pid {first.process.pid} on" in second.said(), second)
            first.send(signal.SIGKILL)
            assert second.ended() == 0

    assert [[event["epoch"] for event in folder_of(run, home).events()] for run in runs] == [list(range(20))] * 3
    assert results(runs, home) == results(runs, undisturbed(runs))
    assert table_of(runs, home) == table_of(runs, undisturbed(runs))


def test_a_launch_that_ends_early_leaves_the_records_of_its_leader_alone(home, tiny_run, monkeypatch):
    run = tiny_run()
    folder = folder_of(run, home)
    folder.write_record(status="started", running=True, reason="")
    write_json(folder.lease, asdict(replace(Holder.this_process(), host="elsewhere")))
    before = folder.record()

    def ctrl_c(seconds: float) -> None:
        raise KeyboardInterrupt

    # The module's own name for it: other threads of this process sleep too.
    monkeypatch.setattr("flag3d_ray.execution.time", SimpleNamespace(sleep=ctrl_c))
    with pytest.raises(KeyboardInterrupt):
        ensure([run], home, LOCAL)

    assert folder.record() == before


def test_a_ghost_that_wakes_up_after_it_was_replaced_writes_nothing_more(home, undisturbed, tiny_run, monkeypatch):
    """As a laptop that sleeps in an epoch: another host takes the run over, finishes it, and then the first one goes on."""
    run = tiny_run(epochs=4)
    folder, steps, loss = folder_of(run, home), count(1), loop._loss
    written: dict[str, bytes] = {}

    def asleep(module, batch):
        if next(steps) == 6:
            written.update(finished_elsewhere(folder))
        return loss(module, batch)

    def finished_elsewhere(folder: RunFolder) -> dict[str, bytes]:
        write_json(folder.lease, asdict(replace(Holder.this_process(), host="elsewhere")))
        shutil.copytree(here(folder_of(run, undisturbed([run])).path), here(folder.path), dirs_exist_ok=True)
        folder.last_checkpoint.unlink()
        return files_of(folder)

    monkeypatch.setattr(loop, "_loss", asleep)
    (cell,) = ensure([run], home, LOCAL)

    assert cell.state == "finished"
    assert files_of(folder) == written
