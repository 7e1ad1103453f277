"""A clock that is set back while a run goes on changes no number, no order, and takes the run from nobody."""

import time

import pytest

from flag3d_ray.execution import ensure
from flag3d_ray.lease import Holder
from flag3d_ray.store import RunFolder
from tests.faults.driver import LOCAL, folder_of, results

HOUR = 3600.0


def test_a_clock_that_steps_back_in_mid_run_changes_nothing(home, undisturbed, tiny_run, monkeypatch):
    run = tiny_run(epochs=4)
    now, append, me, shift = time.time, RunFolder.append_event, Holder.this_process(), [0.0]
    boot_time = _boot_time()
    monkeypatch.setattr(time, "time", lambda: now() + shift[0])
    monkeypatch.setattr("psutil._psplatform.boot_time", lambda: boot_time + shift[0])  # Linux moves it with the clock

    def stepping(folder: RunFolder, event: dict) -> None:
        if event["epoch"] == 2:
            shift[0] = -HOUR
        append(folder, event)

    monkeypatch.setattr(RunFolder, "append_event", stepping)
    (cell,) = ensure([run], home, LOCAL)

    assert cell.state == "finished"
    events = folder_of(run, home).events()
    assert [event["epoch"] for event in events] == [0, 1, 2, 3]
    assert events[2]["time"] < events[1]["time"]
    assert 0 < cell.folder.record()["seconds"] < HOUR
    assert Holder.this_process() == me
    assert results([run], home) == results([run], undisturbed([run]))


def _boot_time() -> float:
    psutil = pytest.importorskip("psutil")
    return psutil.boot_time()
