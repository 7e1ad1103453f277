"""One run in this process: trained or fitted, stopped and continued, started from another run's weights."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from flag3d_ray.data.clips import open_clips
from flag3d_ray.errors import RunError
from flag3d_ray.evaluation.evaluate import evaluate
from flag3d_ray.home import Home
from flag3d_ray.identity import run_digests, run_key
from flag3d_ray.methods.base import Fitted, Shapes
from flag3d_ray.methods.counting.hl_rac import HLRAC
from flag3d_ray.methods.counting.knn import KNN
from flag3d_ray.run import Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training.checkpoint import save_tensors
from flag3d_ray.training.fit import (
    LocalStreams,
    batches_of,
    build,
    clip_spec,
    fit,
    load_estimator,
    load_into,
    validation_rows,
)

SHAPES = Shapes(frames=32, layout="flag3d24")


def ignore(event: dict) -> None:
    pass


def stop_after(epoch: int):
    def on_epoch(event: dict) -> None:
        if event["epoch"] == epoch:
            raise InterruptedError

    return on_epoch


def folder_of(run: Run, home: Home) -> RunFolder:
    folder = home.store.folder(run_key(run, home))
    folder.write_record(digests=run_digests(run, home))
    return folder


def weights(run: Run, home: Home, shapes: Shapes = SHAPES) -> dict[str, torch.Tensor]:
    module = build(run, home, folder_of(run, home), shapes)
    assert isinstance(module, nn.Module)
    return module.state_dict()


@pytest.fixture
def home(fresh_home) -> Home:
    return fresh_home()


def test_a_trained_run_leaves_its_model_and_no_optimiser(home, tiny_run):
    run = tiny_run(epochs=1)
    folder = folder_of(run, home)

    fit(run, home, folder, ignore)

    assert folder.model.exists()
    assert not folder.last_checkpoint.exists()
    (event,) = folder.events()
    assert event["epoch"] == 0
    assert event["loss"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("stopped_after", [0, 2])
def test_a_stopped_run_that_goes_on_equals_an_undisturbed_one_byte_for_byte(fresh_home, tiny_run, stopped_after):
    run = tiny_run(epochs=4)
    run = replace(
        run, method=replace(run.method, dropout=(0.2, 0.1, 0.3)), data=replace(run.data, turn=1.0, noise=0.01)
    )
    folders = []
    for stops in (False, True):
        home = fresh_home()
        folders.append(folder_of(run, home))
        if stops:
            with pytest.raises(InterruptedError):
                fit(run, home, folders[-1], stop_after(stopped_after))
        fit(run, home, folders[-1], ignore)
        evaluate(run, home, folders[-1])

    one, other = folders
    assert one.model.read_bytes() == other.model.read_bytes()
    assert one.predictions.read_bytes() == other.predictions.read_bytes()
    assert one.metrics() == other.metrics()
    facts = ("epoch", "loss", "val_mae", "learning_rate")
    assert [[e[name] for name in facts] for e in one.events()] == [[e[name] for name in facts] for e in other.events()]


def test_an_epoch_repeated_after_a_crash_stands_in_the_log_once(home, tiny_run):
    run = tiny_run(epochs=2)
    folder = folder_of(run, home)
    with pytest.raises(InterruptedError):
        fit(run, home, folder, stop_after(0))
    folder.last_checkpoint.unlink()

    fit(run, home, folder, ignore)

    assert [event["epoch"] for event in folder.events()] == [0, 1]


def test_a_fitted_method_predicts_the_same_after_loading(home, tiny_run):
    run = tiny_run(KNN())
    folder = folder_of(run, home)
    training = open_clips(clip_spec(run, home, "train"))
    estimator = run.method.build(training.shapes, run.seed)
    estimator.fit(batches_of(training, np.arange(len(training))))

    fit(run, home, folder, ignore)
    loaded = cast(Fitted, load_estimator(run, folder, training.shapes))

    batch = open_clips(clip_spec(run, home, "test")).batch(np.arange(8)).without_labels()
    assert [p.count for p in loaded.predict(batch)] == [p.count for p in estimator.predict(batch)]


def test_weights_of_a_run_come_from_its_seed_alone(home, tiny_run):
    torch.rand(5)
    one = weights(tiny_run(), home)
    torch.rand(7)
    same, other = weights(tiny_run(), home), weights(tiny_run(seed=1), home)

    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_starts_from_the_weights_of_its_init_from(home, tiny_run):
    source = tiny_run(seed=5)
    theirs = weights(source, home)
    save_tensors(folder_of(source, home).model, theirs)

    started = weights(tiny_run(seed=0, init_from=source), home)

    assert started.keys() == theirs.keys()
    assert all(torch.equal(started[name], theirs[name]) for name in theirs)


def test_parts_that_the_source_lacks_stay_as_drawn(home, tiny_run):
    source = tiny_run()
    sizes = {name: getattr(source.method, name) for name in vars(source.method)}
    with_text = tiny_run(HLRAC(fusion="multiplication", **sizes), init_from=source)
    theirs = weights(source, home)
    save_tensors(folder_of(source, home).model, theirs)
    shapes = replace(SHAPES, text_width=8)

    started = weights(with_text, home, shapes)
    drawn = weights(replace(with_text, init_from=None), home, shapes)

    own = started.keys() - theirs.keys()
    assert own
    assert all(torch.equal(started[name], drawn[name]) for name in own)


def test_weights_of_another_size_are_refused_by_name(home):
    folder = home.store.folder("narrow")
    save_tensors(folder.model, nn.Linear(3, 2).state_dict())

    with pytest.raises(RunError, match=r"init_from narrow.*1 of its 2 tensors do not fit, the first is 'weight'"):
        load_into(nn.Linear(4, 2), folder)


def test_local_streams_of_two_workers_partition_the_batches(tiny_home, tiny_run):
    run = tiny_run(epochs=1, batch=5)
    training, held_out = (open_clips(clip_spec(run, tiny_home, part)) for part in ("train", "valid"))

    whole = list(LocalStreams(run, training, held_out).train(0))
    shares = [list(LocalStreams(run, training, held_out, rank, 2).train(0)) for rank in (0, 1)]

    for (epoch, rows, batch), *parts in zip(whole, *shares, strict=True):
        assert [part[:2] for part in parts] == [(epoch, rows)] * 2
        assert sorted(batch.clip_ids) == sorted(parts[0][2].clip_ids + parts[1][2].clip_ids)


def test_a_clip_limit_bounds_the_epoch(tiny_home, tiny_run):
    run = tiny_run(epochs=1, batch=4, max_clips_per_epoch=6)
    training, held_out = (open_clips(clip_spec(run, tiny_home, part)) for part in ("train", "valid"))
    streams = LocalStreams(run, training, held_out)

    assert streams.clips == 6
    assert sum(len(batch) for _, _, batch in streams.train(0)) == 6


@pytest.mark.parametrize(("limit", "rows"), [(0, [0, 1, 2, 3]), (2, [0, 3]), (9, [0, 1, 2, 3])])
def test_a_validation_limit_takes_evenly_spaced_clips(tiny_home, tiny_run, limit, rows):
    run = tiny_run(max_validation_clips=limit)
    held_out = open_clips(clip_spec(run, tiny_home, "valid"))

    assert validation_rows(run, held_out).tolist() == rows
