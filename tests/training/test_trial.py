"""A worker's view of a run: fitted, failed with a reason, stopped, taken over, or waiting for the run it starts from."""

import threading
import time
from contextlib import nullcontext
from dataclasses import replace

import pytest

from flag3d_ray.errors import Diverged
from flag3d_ray.files import DiskFull, write_bytes, write_json
from flag3d_ray.home import Home
from flag3d_ray.lease import Holder, Leases
from flag3d_ray.run import Resources
from flag3d_ray.training.trial import LeaseLost, Trial, fit_trial


@pytest.fixture
def trial(tmp_path, tiny_run):
    """A trial whose lease this process holds; no data is there, the tests bring their own `fit_run`."""
    home = Home(tmp_path)
    folder = home.store.folder("run")
    with Leases() as leases:
        leases.acquire(folder.lease)
        yield Trial(tiny_run(), home, folder, Holder.this_process(), Resources(executor="local"))


@pytest.fixture
def source(trial):
    """The folder of a run that this process leads and that others start from."""
    folder = trial.home.store.folder("source")
    with Leases() as leases:
        leases.acquire(folder.lease)
        folder.write_record(status="started")
        yield folder


def ignore(event: dict) -> None:
    pass


def fits(trial, on_epoch) -> None:
    on_epoch({"epoch": 0})
    write_bytes(trial.folder.model, b"weights")
    write_bytes(trial.folder.last_checkpoint, b"and the optimiser")


def raises(error: BaseException):
    def fit_run(trial, on_epoch) -> None:
        raise error

    return fit_run


def must_not_run(trial, on_epoch) -> None:
    pytest.fail("the run was fitted")


def test_a_run_is_recorded_as_running_and_then_as_fitted(trial):
    seen = []

    status = fit_trial(trial, lambda event: seen.append(trial.folder.record()), fits)

    assert status == trial.folder.status == "fitted"
    assert seen[0]["running"] is True
    assert trial.folder.record()["running"] is False
    assert trial.folder.record()["seconds"] >= 0


@pytest.mark.parametrize("status", ["fitted", "failed"])
def test_what_is_fitted_is_not_fitted_again_and_what_failed_is(trial, status):
    trial.folder.write_record(status=status)
    write_bytes(trial.folder.model, b"weights")

    assert fit_trial(trial, ignore, must_not_run if status == "fitted" else fits) == "fitted"


def test_a_diverged_run_fails_with_that_reason(trial):
    error = Diverged(where="epoch 1, step 2", rule="the loss is not finite", remedy="lower the learning rate")

    assert fit_trial(trial, ignore, raises(error)) == "failed"
    assert trial.folder.record()["reason"].startswith("Diverged: epoch 1, step 2: the loss is not finite")
    assert not trial.folder.metrics_path.exists()


def test_an_unexpected_error_is_a_reason_with_its_place(trial):
    assert fit_trial(trial, ignore, raises(ValueError("bad shape"))) == "failed"

    assert trial.folder.record()["reason"].startswith("ValueError: bad shape (test_trial.py:")


def test_running_out_of_memory_has_a_plain_reason(trial):
    fit_trial(trial, ignore, raises(MemoryError()))

    assert trial.folder.record()["reason"] == "out of memory"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DiskFull(where="/", rule="no space", remedy="free some")])
def test_an_interrupted_run_is_not_failed(trial, error):
    with pytest.raises(type(error)):
        fit_trial(trial, ignore, raises(error))

    assert trial.folder.status == "started"
    assert trial.folder.record()["running"] is False
    assert fit_trial(trial, ignore, fits) == "fitted"


def test_time_is_added_up_over_attempts(trial):
    trial.folder.write_record(seconds=100.0)

    fit_trial(trial, ignore, fits)

    assert 100.0 <= trial.folder.record()["seconds"] < 110.0


@pytest.mark.parametrize("error", [None, MemoryError(), KeyboardInterrupt()])
def test_the_end_of_a_run_that_was_taken_over_meanwhile_is_not_written(trial, error):
    def fit_run(trial, on_epoch) -> None:
        write_json(trial.folder.lease, vars(replace(trial.holder, host="elsewhere")))
        trial.folder.write_record(status="started", running=True, reason="written elsewhere")
        if error is not None:
            raise error

    with nullcontext() if not isinstance(error, KeyboardInterrupt) else pytest.raises(KeyboardInterrupt):
        fit_trial(trial, ignore, fit_run)

    record = trial.folder.record()
    assert (record["status"], record["running"], record["reason"]) == ("started", True, "written elsewhere")


def test_a_run_taken_over_by_another_driver_is_left_as_that_one_wrote_it(trial):
    def taken_over(trial, on_epoch) -> None:
        trial.folder.lease.write_text('{"host": "elsewhere", "pid": 1, "started": 1.0}')
        trial.folder.write_record(status="started", running=True, note="theirs")
        with pytest.raises(LeaseLost):
            on_epoch({"epoch": 0})
        on_epoch({"epoch": 1})

    heard = []
    assert fit_trial(trial, heard.append, taken_over) == "started"

    assert heard == []
    record = trial.folder.record()
    assert (record["running"], record["note"]) == (True, "theirs")
    assert "seconds" not in record


@pytest.mark.parametrize("evaluated", [False, True])
def test_a_run_starts_when_the_one_it_starts_from_is_there(trial, source, evaluated):
    write_bytes(source.model, b"weights")
    source.write_record(status="fitted")
    if evaluated:
        write_json(source.metrics_path, {"mae": 1.0})

    assert fit_trial(replace(trial, waits_for=source), ignore, fits) == "fitted"


def test_a_run_waits_for_the_one_it_starts_from(trial, source):
    fitted_at = []

    def fit_source() -> None:
        time.sleep(0.5)
        fitted_at.append(time.monotonic())
        write_bytes(source.model, b"weights")
        source.write_record(status="fitted")

    thread = threading.Thread(target=fit_source)
    thread.start()
    started_at = []
    fit_trial(replace(trial, waits_for=source), ignore, lambda *_: started_at.append(time.monotonic()))
    thread.join()

    assert started_at[0] > fitted_at[0]


def test_a_run_fails_with_the_reason_of_the_one_it_starts_from(trial, source):
    source.write_record(status="failed", reason="Diverged: epoch 3")

    assert fit_trial(replace(trial, waits_for=source), ignore, must_not_run) == "failed"
    assert trial.folder.record()["reason"] == "the run it starts from, source, failed: Diverged: epoch 3"


def test_a_run_does_not_wait_for_one_that_nobody_here_leads(trial, source):
    source.lease.unlink()

    assert fit_trial(replace(trial, waits_for=source), ignore, must_not_run) == "missing"
