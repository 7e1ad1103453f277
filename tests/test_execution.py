"""`ensure`: finished runs are skipped, killed ones continue, failed ones stay failed, two launches share the work."""

import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict, replace

import psutil
import pytest

from flag3d_ray import execution
from flag3d_ray.errors import DataError, RunError
from flag3d_ray.execution import ensure, failures, require_finished
from flag3d_ray.files import write_json
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.lease import Holder, started
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.methods.counting.hl_rac import HLRAC
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.run import Resources, Run, Text
from flag3d_ray.store import RunFolder

LOCAL = Resources(executor="local")


@pytest.fixture
def home(fresh_home) -> Home:
    return fresh_home()


@pytest.fixture
def fits(monkeypatch) -> Counter:
    """How often each run's folder was handed to `fit_trial` in this process."""
    counted: Counter = Counter()
    fit_trial = execution.fit_trial

    def count(trial, on_epoch):
        counted[trial.folder.key] += 1
        return fit_trial(trial, on_epoch)

    monkeypatch.setattr(execution, "fit_trial", count)
    return counted


def folder_of(run: Run, home: Home) -> RunFolder:
    return home.store.folder(run_key(run, home))


def states(cells) -> list[str]:
    return [cell.state for cell in cells]


def results(runs: list[Run], home: Home) -> list[tuple[bytes, dict]]:
    return [(folder_of(run, home).predictions.read_bytes(), folder_of(run, home).metrics()) for run in runs]


# ---------------------------------------------------------------------------------------------- in this process


def test_runs_end_finished_with_a_record_that_says_what_they_were(home, tiny_run):
    run = tiny_run(Fourier())

    (cell,) = ensure([run], home, LOCAL)

    assert cell.state == "finished"
    record = cell.folder.record()
    assert record["label"] == run.label
    assert record["digests"].keys() == {"dataset", "split"}
    assert record["resources"]["executor"] == "local"
    assert record["provenance"]["version.torch"]
    assert record["running"] is False
    assert not cell.folder.lease.exists()


def test_finished_runs_are_skipped_and_shown_as_cached(home, tiny_run, fits):
    runs = [tiny_run(Fourier()), tiny_run(Random())]
    ensure(runs, home, LOCAL)
    assert sum(fits.values()) == 2

    cells = ensure([*runs, tiny_run(Random(), seed=1)], home, LOCAL)

    assert states(cells) == ["cached", "cached", "finished"]
    assert sum(fits.values()) == 3


def test_a_run_asked_for_twice_happens_once(home, tiny_run, fits):
    assert states(ensure([tiny_run(Random()), tiny_run(Random())], home, LOCAL)) == ["finished"]
    assert list(fits.values()) == [1]


def test_a_fitted_run_without_predictions_is_only_evaluated(home, tiny_run, fits):
    run = tiny_run(Random())
    (cell,) = ensure([run], home, LOCAL)
    before = results([run], home)
    cell.folder.metrics_path.unlink()
    cell.folder.predictions.unlink()

    assert states(ensure([run], home, LOCAL)) == ["finished"]
    assert results([run], home) == before
    assert sum(fits.values()) == 1


def test_the_run_that_others_start_from_comes_first_and_is_listed(home, tiny_run):
    source = tiny_run(epochs=1, max_clips_per_epoch=8)
    child = tiny_run(epochs=1, max_clips_per_epoch=8, seed=1, init_from=source)
    grandchild = tiny_run(epochs=1, max_clips_per_epoch=8, seed=2, init_from=child)

    cells = ensure([grandchild, child], home, LOCAL)

    assert [cell.run for cell in cells] == [source, child, grandchild]
    assert states(cells) == ["finished"] * 3
    times = [cell.folder.events()[0]["time"] for cell in cells]
    assert times == sorted(times)


@pytest.fixture
def diverging(tiny_run) -> Run:
    return tiny_run(learning_rate=1e30, recipe="released", epochs=3)


def test_children_are_not_started_while_a_parent_that_lost_its_node_may_need_their_place(home, tiny_run, monkeypatch):
    source = tiny_run(epochs=1)
    child = tiny_run(epochs=1, seed=1, init_from=source)
    grandchild, single = tiny_run(epochs=1, seed=2, init_from=child), tiny_run(Fourier())
    started: list[list[Run]] = []

    def fit_all(trials) -> None:
        started.append([trial.run for trial in trials])
        execution._fit_in_turn(trials)

    monkeypatch.setattr(execution, "_ray_or_not", lambda resources: nullcontext(fit_all))
    ensure([grandchild, single], home, LOCAL)

    assert started == [[source, single], [child], [grandchild]]


def test_a_diverged_run_fails_with_that_reason_and_has_no_metrics(home, diverging, tiny_run):
    cells = ensure([diverging, tiny_run(Random())], home, LOCAL)

    assert states(cells) == ["failed", "finished"]
    assert cells[0].detail.startswith("Diverged: ")
    assert not cells[0].folder.metrics_path.exists()
    assert failures(cells) == [f"{diverging.label}: {cells[0].detail}"]
    with pytest.raises(RunError, match=r"1 failed runs: .*Diverged.*--retry-failed"):
        require_finished(cells)


def test_failed_runs_are_tried_again_only_when_asked(home, diverging, fits):
    for retry, expected in ((False, 1), (False, 1), (True, 2)):
        assert states(ensure([diverging], home, LOCAL, retry_failed=retry)) == ["failed"]
        assert sum(fits.values()) == expected


def test_a_run_whose_source_failed_fails_with_its_reason(home, diverging, tiny_run):
    child = tiny_run(seed=1, init_from=diverging)

    cells = ensure([child], home, LOCAL)

    assert states(cells) == ["failed", "failed"]
    assert cells[1].detail.startswith(f"the run it starts from, {cells[0].folder.key}, failed: Diverged")


def test_runs_whose_encoder_is_unreachable_are_not_run_and_stop_no_other(home, tiny_run):
    language = tiny_run(HLRAC(fusion="addition"))
    language = replace(language, data=replace(language.data, text=Text(encoder="bert")))

    cells = ensure([language, tiny_run(Random())], home, LOCAL)

    shown = {cell.run.method.name: cell for cell in cells}
    assert shown["random"].state == "finished"
    assert shown[language.method.name].state == "not run"
    assert "bert" in shown[language.method.name].detail


def test_a_missing_dataset_is_a_data_error_before_anything_starts(tmp_path, tiny_run):
    with pytest.raises(DataError):
        ensure([tiny_run(Random())], Home(tmp_path), LOCAL)

    assert not (tmp_path / "runs").exists()


class Watcher:
    """Remembers the states it was shown."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.last: list[str] = []

    def update(self, cells) -> None:
        self.seen.append(states(cells))

    def close(self, cells) -> None:
        self.last = states(cells)


def test_watchers_have_the_last_word_also_after_an_interruption(home, tiny_run, monkeypatch):
    watcher = Watcher()

    def interrupted(trial, on_epoch):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(execution, "fit_trial", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ensure([tiny_run(Random())], home, LOCAL, [watcher])
    assert watcher.last == ["stopped"]

    ensure([tiny_run(Random())], home, LOCAL, [watcher])
    assert watcher.last == ["finished"]


# ---------------------------------------------------------------------------------------------- with other launches


@pytest.fixture
def stranger():
    """A living process on this host, as the holder of a lease."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    yield process
    process.kill()
    process.wait()


def holder_of(process: subprocess.Popen) -> dict:
    return asdict(replace(Holder.this_process(), pid=process.pid, started=started(psutil.Process(process.pid))))


def test_a_run_led_elsewhere_and_those_that_start_from_it_are_followed_until_the_leader_dies(home, tiny_run, stranger):
    source = tiny_run(epochs=1, max_clips_per_epoch=8)
    child, other = tiny_run(epochs=1, max_clips_per_epoch=8, seed=1, init_from=source), tiny_run(Random())
    write_json(folder_of(source, home).lease, holder_of(stranger))
    watcher, unfinished = Watcher(), []

    def kill_when_seen() -> None:
        while ["following", "waiting", "finished"] not in watcher.seen:
            time.sleep(0.1)
        unfinished.append(folder_of(child, home).status)
        stranger.kill()
        stranger.wait()

    thread = threading.Thread(target=kill_when_seen)
    thread.start()
    cells = ensure([child, other], home, LOCAL, [watcher])
    thread.join()

    assert unfinished == ["missing"]
    assert states(cells) == ["finished"] * 3
