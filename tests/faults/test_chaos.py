"""`--chaos`: processes of runs are killed on purpose, often and repeatably, and the results are those of a quiet launch."""

import io
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flag3d_ray import chaos
from flag3d_ray.chaos import Chaos, parse_chaos, strike, survived
from flag3d_ray.commands.launch import Launch
from flag3d_ray.errors import RunError
from flag3d_ray.execution import ensure
from flag3d_ray.execution_ray import LOSSES, quiet_run_config
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.lease import Holder
from flag3d_ray.methods.counting.hl_rac import HLRAC
from flag3d_ray.run import Resources, Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training.trial import Trial

EPOCHS = 3


def test_its_words_are_a_probability_and_a_seed() -> None:
    assert parse_chaos("") is None
    assert parse_chaos("kill=0.1") == Chaos(0.1, seed=0)
    assert parse_chaos("kill=1,seed=3") == Chaos(1.0, seed=3)


@pytest.mark.parametrize(
    "text", ["0.1", "kill", "kill=often", "kill=0", "kill=1.1", "kill=nan", "seed=3", "kill=0.1,mlflow=1"]
)
def test_other_words_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(RunError, match=r"kill=0\.1") as caught:
        parse_chaos(text)
    assert caught.value.where == f"--chaos {text}"


def test_the_same_words_kill_at_the_same_places_about_as_often_as_they_say() -> None:
    asked, places = Chaos(0.1), [(key, epoch) for key in "abcdefghij" for epoch in range(200)]
    moments = [asked.moment(*place) for place in places]

    assert moments == [Chaos(0.1).moment(*place) for place in places]
    assert moments != [Chaos(0.1, seed=1).moment(*place) for place in places]
    struck = [moment for moment in moments if moment is not None]
    assert 150 < len(struck) < 250  # 200 are expected, with a standard deviation of 13
    assert min(struck) < 0.1 < 0.9 < max(struck) < 1
    assert sum(asked.losses(key, 200) for key in "abcdefghij") == len(struck)


def test_a_process_is_killed_while_its_run_goes_on_and_spared_when_it_has_ended(tmp_path: Path, monkeypatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(chaos.os, "kill", lambda *words: killed.append(words))
    folder, event = RunFolder(tmp_path / "run"), {"epoch": 0, "seconds": 0.01}

    for running in (False, True):
        folder.write_record(running=running)
        strike(Chaos(1.0), folder, event)
        strike(None, folder, event)
        for timer in (thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)):
            timer.join()
        assert killed == ([(os.getpid(), signal.SIGKILL)] if running else [])


def test_the_local_executor_is_refused_with_the_reason_before_anything_starts(flag3d, tmp_path: Path) -> None:
    said = flag3d("train", "fourier", "--preset", "demo", "--chaos", "kill=0.5", "--home", tmp_path)

    assert said.code == 2
    assert "would be killed itself" in said.err
    assert "--executor ray" in said.err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RunError, match="would be killed itself"):
        ensure([], Home(tmp_path), Resources(executor="local"), chaos=Chaos(0.5))


def test_a_launch_says_how_many_processes_were_lost_or_why_none() -> None:
    assert survived({"a": 1}, {"a": 4, "b": 1, "c": 3}).startswith("CHAOS: 4 processes of 2 runs were lost")
    assert "2 runs were started, and all were spared" in survived({}, {"a": 1, "b": 1})
    assert "--home" in survived({"a": 2}, {"a": 2})


def test_what_chaos_takes_does_not_count_as_the_machines_losses(tmp_path: Path, tiny_run: Callable[..., Run]) -> None:
    words = {"home": Home(tmp_path), "folder": RunFolder(tmp_path / "run"), "holder": Holder.this_process()}
    trial = Trial(run=tiny_run(epochs=9), resources=Resources(), **words)
    struck = replace(trial, chaos=Chaos(1.0))

    assert (trial.chaos_losses, struck.chaos_losses) == (0, 9)
    failures = quiet_run_config(tmp_path, chaos_losses=struck.chaos_losses).failure_config
    assert failures is not None
    assert failures.max_failures == LOSSES + 9


@pytest.fixture
def arms(tiny_run: Callable[..., Run]) -> list[Run]:
    """The demo in miniature: HL-RAC with every fusion, from one network without language."""
    sizes: dict[str, Any] = {
        "widths": (4, 4),
        "similarity_heads": 2,
        "similarity_width": 4,
        "conv_channels": 4,
        "model_width": 8,
        "attention_heads": 2,
        "feed_forward": 8,
        "layers": 1,
        "density_widths": (8, 8),
    }
    source = tiny_run(keep="last", epochs=EPOCHS)
    fusions = ("addition", "cross_attention", "multiplication")
    return [tiny_run(HLRAC(fusion=fusion, **sizes), init_from=source, epochs=EPOCHS) for fusion in fusions]


@pytest.mark.slow
# Ray copies its own context with options that it deprecates itself.
@pytest.mark.filterwarnings("ignore:`use_:DeprecationWarning")
def test_under_chaos_the_demos_sweep_in_miniature_gives_the_same_predictions_and_metrics(fresh_home, arms) -> None:
    quiet, home, console = fresh_home(), fresh_home(), Console(file=io.StringIO(), width=200)
    ensure(arms, quiet, Resources(executor="local"))

    resources = Resources(concurrent=2, cpus=2)
    launch = Launch(home, resources, console, track=False, chaos=Chaos(1.0))
    cells = launch.ensure(arms, "the demo in miniature", "demo")

    assert [cell.state for cell in cells] == ["finished"] * 4
    lost = {cell.folder.key: len(cell.folder.record()["places"]) - 1 for cell in cells}
    assert sum(lost.values()) > 0
    for cell in cells:
        calm = quiet.store.folder(run_key(cell.run, quiet))
        assert cell.folder.predictions.read_bytes() == calm.predictions.read_bytes()
        assert cell.folder.metrics() == calm.metrics()
        assert [event["epoch"] for event in cell.folder.events()] == list(range(EPOCHS))
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "CHAOS kill=1,seed=0: after each epoch" in said
    assert f"CHAOS: {sum(lost.values())} processes of {sum(map(bool, lost.values()))} runs were lost" in said
    assert {cell.state for cell in launch.ensure(arms, "the demo in miniature", "demo")} == {"cached"}
    assert "all runs were in the store" in console.file.getvalue()
