"""A plan counts what is cached, predicts the rest from speeds, and is made without starting or measuring anything."""

import subprocess
import sys
from dataclasses import replace

import pytest

from flag3d_ray.execution import ensure
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.methods.counting.hl_rac import HLRAC
from flag3d_ray.plan.amounts import Amounts, amounts, sequences_of
from flag3d_ray.plan.calibration import Calibration, Encoding, Overheads
from flag3d_ray.plan.estimate import Asked, Plan, Stage, make_plan, makespan
from flag3d_ray.plan.speed import Seconds, Speed, kind, speed_key
from flag3d_ray.run import Resources, Run, Text

LOCAL = Resources(executor="local")
RAY = Resources(concurrent=2, cpus=2)
OVERHEADS = Overheads(launch=10.0, generation=3.0, trial=1.0, row=0.5, row_bytes=1000.0)
SPEED = Speed(
    training=Seconds(1.0, 2.0, 4.0),
    prediction=Seconds(0.5, 1.0, 2.0),
    start=5.0,
    learns=True,
    model_bytes=100,
    training_bytes=300,
    basis="calibration",
)
# tiny: 3, 1 and 2 actions by two people, two crops each; without limits 12 clips train, 4 validate, 8 test.
EPOCH, EVALUATION = 12 * 2.0 + 4 * 1.0, 8 * 1.0


@pytest.fixture
def home(fresh_home) -> Home:
    return fresh_home()


def planned(runs: list[Run], home: Home, resources: Resources = LOCAL, stage: Stage | None = None, **changes) -> Plan:
    asked = Asked("flag3d test", (stage or Stage(tuple(runs)),))
    speed = replace(SPEED, **changes)
    speeds = {speed_key(run, resources): speed for run in asked.runs}
    encoders = {"lexical": Encoding(load=7.0, text=0.25)}
    return make_plan(asked, home, resources, Calibration(OVERHEADS, speeds, encoders), {})


def folder_of(run: Run, home: Home):
    return home.store.folder(run_key(run, home))


def test_clips_are_those_that_a_run_will_read(home, tiny_run):
    assert amounts(tiny_run(), home) == Amounts(training=12, validation=4, test=8)
    assert amounts(tiny_run(max_clips_per_epoch=8, max_validation_clips=3), home) == Amounts(8, 3, 8)


def test_a_synthetic_dataset_is_counted_before_it_is_made(tmp_path):
    assert sequences_of("synthetic-demo", "by_action", tmp_path) == {"train": 270, "valid": 30, "test": 60}
    assert sequences_of("synthetic-demo", "by_person", tmp_path) == {"train": 252, "valid": 36, "test": 72}


def test_a_run_takes_its_epochs_and_its_test(home, tiny_run):
    plan = planned([tiny_run(epochs=3)], home)
    assert plan.parts["training"].likely == 5 + 3 * EPOCH
    assert plan.parts["evaluation"].likely == EVALUATION
    assert plan.parts["starts"].likely == OVERHEADS.launch
    assert plan.seconds.likely == sum(part.likely for part in plan.parts.values())
    assert plan.seconds.low < plan.seconds.likely < plan.seconds.high


def test_a_fitted_method_reads_its_clips_once(home, tiny_run):
    assert planned([tiny_run(Fourier(), epochs=0)], home, learns=False).parts["training"].likely == 5 + 12 * 2.0


@pytest.mark.parametrize("resources", [LOCAL, RAY, replace(RAY, workers=2)], ids=["local", "ray", "workers"])
def test_more_seeds_and_more_epochs_never_take_less(home, tiny_run, resources):
    by_seeds = [planned([tiny_run(seed=seed) for seed in range(n)], home, resources) for n in range(1, 6)]
    by_epochs = [planned([tiny_run(epochs=n)], home, resources) for n in range(1, 6)]
    for plans in (by_seeds, by_epochs):
        for end in ("low", "likely", "high"):
            seconds = [getattr(plan.seconds, end) for plan in plans]
            assert seconds == sorted(seconds)
        assert plans[-1].seconds.likely > plans[0].seconds.likely
    assert [plan.bytes for plan in by_seeds] == sorted(plan.bytes for plan in by_seeds)


def test_a_run_that_others_start_from_is_planned_once_and_before_them(home, tiny_run):
    source = tiny_run(epochs=1)
    children = [tiny_run(epochs=1, seed=seed, init_from=source) for seed in (1, 2)]
    plan = planned(children, home, RAY)
    assert [cell.run for cell in plan.cells] == [source, *children]
    assert plan.parts["training"].likely == 2 * (5 + EPOCH)  # the children share two places
    assert plan.parts["starts"].likely == OVERHEADS.launch + OVERHEADS.generation


def test_finished_runs_are_cached_and_an_interrupted_one_owes_the_epochs_that_are_left(home, tiny_run):
    done, begun = tiny_run(epochs=1, max_clips_per_epoch=8), tiny_run(epochs=4)
    ensure([done], home, LOCAL)
    folder_of(begun, home).append_event({"epoch": 0, "seconds": 1.0})
    folder_of(begun, home).last_checkpoint.parent.mkdir()
    folder_of(begun, home).last_checkpoint.touch()

    plan = planned([done, begun], home)

    assert [cell.state for cell in plan.cells] == ["cached", "to run"]
    assert plan.parts["training"].likely == 5 + 3 * EPOCH
    record = folder_of(done, home).record()
    assert plan.saved == pytest.approx(record["seconds"] + record["evaluation_seconds"])
    everything = planned([done], home)
    assert (everything.seconds, everything.parts) == (Seconds(), {})


def test_what_one_launch_runs_the_next_one_finds(home, tiny_run):
    stage = Stage((tiny_run(),))
    asked = Asked("twice", (stage, stage))
    measured = Calibration(OVERHEADS, {speed_key(tiny_run(), LOCAL): SPEED}, {})
    assert make_plan(asked, home, LOCAL, measured, {}).seconds == planned([tiny_run()], home).seconds


def test_trials_that_answer_from_the_store_cost_a_start_and_little_more(home):
    plan = planned([], home, RAY, Stage((), trials=18))
    assert {name: part.likely for name, part in plan.parts.items()} == {"starts": 10.0, "trials": 9.0}


def test_a_search_may_stop_trials_early_and_its_range_says_so(home, tiny_run):
    runs = (tiny_run(epochs=10),)
    whole, searched = planned(list(runs), home), planned([], home, LOCAL, Stage(runs, 0, shortest=3))
    assert searched.parts["training"].low < whole.parts["training"].low
    assert searched.parts["training"].high == whole.parts["training"].high
    assert "may stop trials early" in searched.reason


def test_speeds_of_finished_runs_go_before_those_of_the_calibration(home, tiny_run):
    run = tiny_run()
    asked = Asked("flag3d test", (Stage((run,)),))
    earnest = replace(SPEED, training=Seconds.exactly(0.0), basis="3 finished runs")
    measured = Calibration(OVERHEADS, {speed_key(run, LOCAL): SPEED}, {})
    plan = make_plan(asked, home, LOCAL, measured, {kind(run): earnest})
    assert plan.cells[0].basis == "3 finished runs"
    assert plan.seconds.likely < planned([run], home).seconds.likely


def test_runs_of_one_kind_differ_in_seed_schedule_and_caption_level_only(tiny_run):
    run = tiny_run(HLRAC())
    assert kind(run) == kind(tiny_run(HLRAC(), seed=3, epochs=9, learning_rate=1.0))
    assert kind(run) == kind(replace(run, data=replace(run.data, text=Text(encoder="lexical", caption_level=3))))
    assert kind(run) != kind(tiny_run(HLRAC(fusion="addition")))
    assert kind(run) != kind(tiny_run(HLRAC(), batch=16))


def test_captions_are_encoded_once_and_data_are_made_before_the_runs(home, tiny_run):
    run = tiny_run(HLRAC())
    assert planned([run], home).parts["texts"].likely == 7.0 + 60 * 0.25
    absent = replace(run, data=replace(run.data, dataset="synthetic-demo"))
    assert planned([absent], home).parts["data"].likely == 360 * 0.5
    assert planned([absent], home, RAY).parts["data"].likely == 256 * 0.5 + OVERHEADS.launch
    assert planned([absent], home).bytes > 360 * 1000


def test_a_dataset_or_an_encoder_that_is_not_here_makes_a_cell_not_run(home, tiny_run):
    elsewhere, wordless = tiny_run(), tiny_run(HLRAC())
    elsewhere = replace(elsewhere, data=replace(elsewhere.data, dataset="ui_prmd"))
    wordless = replace(wordless, data=replace(wordless.data, text=Text(encoder="bert")))
    plan = planned([elsewhere, wordless], home)
    assert [cell.state for cell in plan.cells] == ["not run", "not run"]
    assert plan.seconds == Seconds()
    assert "ui_prmd" in plan.cells[0].why


def test_the_last_job_ends_as_in_a_plain_simulation():
    jobs, clock, waiting, running = [5.0, 1.0, 1.0, 3.0], 0.0, [5.0, 1.0, 1.0, 3.0], []
    while waiting or running:
        while waiting and len(running) < 2:
            running.append(clock + waiting.pop(0))
        clock = min(running)
        running.remove(clock)
    assert makespan(jobs, 2) == clock == 5.0
    assert makespan(jobs, 1) == sum(jobs)
    assert makespan([], 2) == 0.0


def test_planning_loads_no_ray():
    code = (
        "import sys, flag3d_ray.plan.planner, flag3d_ray.plan.report\n"
        "from flag3d_ray.plan.asked import ask_table\n"
        "ask_table('3', preset='demo', seeds=(0,))\n"
        "print([name for name in ('ray', 'optuna', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[]"
