"""A budget is time or money; used up, it stops runs between two epochs, and the same request goes on from there."""

from dataclasses import replace

import pytest

from flag3d_ray import execution
from flag3d_ray.budget import Budget, duration, parse_budget
from flag3d_ray.errors import RunError
from flag3d_ray.execution import ensure
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.lease import Holder, Leases
from flag3d_ray.run import Resources, Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training import trial as trials

LOCAL = Resources(executor="local")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1h30m", 5400), ("0.5h", 1800), ("1m1s", 61)]
)
def test_time_is_written_with_units(text: str, seconds: float) -> None:
    assert parse_budget(text) == Budget(text, float(seconds))


def test_money_buys_time_at_the_price_of_the_machine() -> None:
    assert parse_budget("3", price_per_hour=1.5).seconds == 7200


@pytest.mark.parametrize(
    ("text", "price", "rule"),
    [
        ("3", None, "no price"),
        ("3", 0.0, "no price"),
        ("soon", None, "neither"),
        ("5 m", None, "neither"),
        ("", 1.0, "neither"),
        ("1.2.3m", None, "neither"),
        ("0m", None, "not above zero"),
        ("-3", 1.0, "not above zero"),
        ("nan", 1.0, "not above zero"),
        ("inf", 1.0, "not above zero"),
    ],
)
def test_what_is_no_budget_is_refused_with_the_remedy(text: str, price: float | None, rule: str) -> None:
    with pytest.raises(RunError, match=f"{rule}.*90s, 5m, 2h"):
        parse_budget(text, price)


def test_durations_are_told_in_the_unit_that_fits() -> None:
    assert [duration(seconds) for seconds in (0.44, 41.2, 150.0, 720.0, 12600.0)] == [
        "0.4 s",
        "41 s",
        "2.5 min",
        "12 min",
        "3.5 h",
    ]


@pytest.fixture
def home(fresh_home) -> Home:
    return fresh_home()


def folder_of(run: Run, home: Home) -> RunFolder:
    return home.store.folder(run_key(run, home))


def states(cells) -> list[str]:
    return [cell.state for cell in cells]


def results(run: Run, home: Home) -> tuple[bytes, bytes, dict]:
    folder = folder_of(run, home)
    return folder.model.read_bytes(), folder.predictions.read_bytes(), folder.metrics()


@pytest.fixture
def spent_after(monkeypatch):
    """Lets the deadline pass once some run has this many epochs in its log."""

    def arrange(folder: RunFolder, epochs: int) -> None:
        def is_spent(deadline):
            return deadline is not None and len(folder.events()) >= epochs

        monkeypatch.setattr(trials, "is_spent", is_spent)
        monkeypatch.setattr(execution, "is_spent", is_spent)

    return arrange


def test_a_run_stopped_by_the_budget_ends_like_an_undisturbed_one_when_it_is_asked_for_again(
    home, fresh_home, tiny_run, spent_after
):
    run, calm = tiny_run(epochs=4), fresh_home()
    run = replace(run, data=replace(run.data, turn=1.0, noise=0.01))
    never = tiny_run(seed=1)
    folder = folder_of(run, home)
    ensure([run], calm, LOCAL)
    spent_after(folder, 2)

    cells = ensure([run, never], home, LOCAL, deadline=1.0)

    assert states(cells) == ["stopped", "stopped"]
    assert len(folder.events()) == 2
    assert folder.last_checkpoint.exists()
    assert (folder.record()["reason"], folder.record()["running"], folder.status) == ("budget", False, "started")
    assert not folder_of(never, home).events_path.exists()
    assert not any(folder_of(one, home).lease.exists() for one in (run, never))

    assert states(ensure([run, never], home, LOCAL)) == ["finished", "finished"]
    assert [event["epoch"] for event in folder.events()] == [0, 1, 2, 3]
    assert folder.record()["reason"] == ""
    assert results(run, home) == results(run, calm)


def test_a_run_in_its_last_epoch_is_fitted_though_not_evaluated_any_more(home, tiny_run, spent_after):
    run = tiny_run(epochs=2)
    spent_after(folder_of(run, home), 2)

    assert states(ensure([run], home, LOCAL, deadline=1.0)) == ["stopped"]
    assert folder_of(run, home).status == "fitted"
    assert states(ensure([run], home, LOCAL)) == ["finished"]


def test_after_the_deadline_nothing_is_started_and_what_is_finished_stays_cached(home, tiny_run):
    done, new = tiny_run(epochs=1, max_clips_per_epoch=8), tiny_run(seed=1)
    ensure([done], home, LOCAL)

    assert states(ensure([done, new], home, LOCAL, deadline=1.0)) == ["cached", "stopped"]
    assert not folder_of(new, home).path.exists()


def test_a_trial_does_not_wait_for_its_source_beyond_the_deadline(home, tiny_run):
    source = tiny_run(epochs=1)
    run = tiny_run(seed=1, init_from=source)
    waits_for, folder = folder_of(source, home), folder_of(run, home)
    with Leases() as leases:
        leases.acquire(waits_for.lease)
        trial = trials.Trial(run, home, folder, Holder.this_process(), LOCAL, waits_for, deadline=1.0)
        assert trials.fit_trial(trial, lambda event: None) == "missing"
