"""Speeds are measured by the real loop, or read from finished runs, and are kept until source or machine change."""

from dataclasses import replace

import pytest

from flag3d_ray.execution import ensure, facts
from flag3d_ray.files import write_json
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.methods.counting.hl_rac import HLRAC
from flag3d_ray.plan import calibration
from flag3d_ray.plan.calibration import calibrate
from flag3d_ray.plan.history import speeds_of_finished
from flag3d_ray.plan.measure import Measured, measure
from flag3d_ray.plan.speed import Seconds, Speed, kind, speed_key
from flag3d_ray.run import Resources, Run

LOCAL = Resources(executor="local")


def measured(run: Run, home: Home) -> Speed:
    return measure(Measured(run, home.dataset("tiny"), "by_action", "train", threads=1))


def test_a_network_is_measured_with_the_sizes_that_its_runs_leave(fresh_home, tiny_run):
    home, run = fresh_home(), tiny_run(epochs=1, max_clips_per_epoch=8)
    speed = measured(run, home)
    (done,) = ensure([run], home, LOCAL)
    assert speed.learns
    assert 0 < speed.training.low <= speed.training.likely <= speed.training.high
    assert 0 < speed.prediction.likely < speed.training.likely * 10
    assert speed.model_bytes == pytest.approx(done.folder.model.stat().st_size, rel=0.01)
    assert speed.training_bytes > 2 * speed.model_bytes
    assert Speed.from_json(speed.to_json()) == speed


def test_methods_that_are_fitted_and_those_that_read_words_are_measured_too(tiny_home, tiny_run):
    fitted = measured(tiny_run(Fourier(), epochs=0), tiny_home)
    assert (fitted.learns, fitted.training_bytes) == (False, 0)
    words = HLRAC(widths=(4,), model_width=8, feed_forward=8, layers=1, density_widths=(8, 8))
    assert measured(tiny_run(words), tiny_home).learns


def test_the_range_goes_from_the_fastest_to_the_slowest_measurement():
    assert Seconds.of([9.0, 1.0, 2.0, 3.0, 4.0]) == Seconds(1.0, 3.0, 9.0)
    assert Seconds.of([1.0, 3.0]) == Seconds(1.0, 2.0, 3.0)


@pytest.fixture
def finish(fresh_home):
    """A home with a finished run of two epochs, 1 s per trained and 0.5 s per predicted clip, 3 s to start."""

    def make(run: Run) -> Home:
        home = fresh_home()
        folder = home.store.folder(run_key(run, home))
        folder.write_record(**facts(run, home, LOCAL), status="fitted")
        for epoch in range(2):  # 12 clips to train on, 4 to validate with, 8 to test
            folder.append_event({"epoch": epoch, "seconds": 14.0, "clips_per_second": 12 / 14})
        folder.write_record(seconds=31.0, evaluation_seconds=4.0)
        write_json(folder.model, {})
        write_json(folder.metrics_path, {"mae": 0.5})
        return home

    return make


def test_finished_runs_tell_what_others_of_their_kind_take(finish, tiny_run):
    (found,) = speeds_of_finished(finish(tiny_run()), LOCAL).items()
    name, speed = found
    assert name == kind(tiny_run(seed=5, epochs=9))
    assert (speed.training.likely, speed.prediction.likely) == (pytest.approx(1.0), 0.5)
    assert (speed.start, speed.basis) == (3.0, "1 finished run")


def test_runs_of_another_machine_or_other_resources_tell_nothing(finish, tiny_run, monkeypatch):
    home = finish(tiny_run())
    assert speeds_of_finished(home, replace(LOCAL, threads=2)) == {}
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    assert speeds_of_finished(home, LOCAL) == {}


@pytest.mark.slow
def test_a_calibration_is_done_once_for_a_home_a_source_and_a_machine(fresh_home, tiny_run, monkeypatch):
    home, run, said = fresh_home(), tiny_run(), []

    first = calibrate([run, tiny_run(seed=1)], ["lexical"], home, LOCAL, said.append)

    assert list(first.speeds) == [speed_key(run, LOCAL)]
    assert said == ["a launch of nothing", "kinds of run, 1 of 1: transrac"]
    assert first.overheads.launch > 0
    assert first.overheads.row > 0
    assert first.overheads.row_bytes > 1000
    for name in ("measure", "_launch", "_make_small"):
        monkeypatch.setattr(calibration, name, lambda *_: pytest.fail("it measured again"))
    assert calibrate([run], ["lexical"], home, LOCAL, said.append) == first
