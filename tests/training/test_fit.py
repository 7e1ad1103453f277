"""One run in this process: trained or fitted, stopped and continued, started from another run's weights."""

from dataclasses import fields, replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from flag3d_ray.data.clips import open_clips
from flag3d_ray.data.splits import split_all_test, write_split
from flag3d_ray.errors import RunError
from flag3d_ray.evaluation.evaluate import evaluate
from flag3d_ray.execution import ensure
from flag3d_ray.home import Home
from flag3d_ray.identity import run_digests, run_key
from flag3d_ray.methods.base import Fitted, Shapes
from flag3d_ray.methods.counting.hl_rac import HLRAC, PAPER, RELEASED, DensityNetwork
from flag3d_ray.methods.counting.knn import KNN
from flag3d_ray.preparation import keep_weights
from flag3d_ray.run import Resources, Run, TrainSpec
from flag3d_ray.sample import Batch
from flag3d_ray.skeleton import layout
from flag3d_ray.store import RunFolder
from flag3d_ray.training.checkpoint import load_tensors, save_tensors
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


def refuse(event: dict) -> None:
    raise AssertionError(f"an epoch of a run without any: {event}")


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


def test_a_run_that_is_killed_before_its_record_says_fitted_repeats_no_epoch(home, tiny_run):
    run = tiny_run(epochs=2)
    folder = folder_of(run, home)
    fit(run, home, folder, ignore)  # and then nobody writes the record
    logged, trained = folder.events(), folder.model.read_bytes()

    cells = ensure([run], home, Resources(executor="local"))

    assert [cell.state for cell in cells] == ["finished"]
    assert folder.events() == logged
    assert folder.model.read_bytes() == trained
    assert not folder.last_checkpoint.exists()


def test_a_trained_run_leaves_its_model_and_what_it_would_go_on_from(home, tiny_run):
    run = tiny_run(epochs=1)
    folder = folder_of(run, home)

    fit(run, home, folder, ignore)

    assert folder.model.exists()
    assert folder.last_checkpoint.exists()
    assert folder.record()["device"] == (torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu")
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


def test_a_run_starts_from_the_weights_of_a_file(home, tiny_run, tmp_path):
    theirs = weights(tiny_run(seed=5), home)
    save_tensors(tmp_path / "theirs.safetensors", theirs)
    kept = keep_weights(tmp_path / "theirs.safetensors", home)
    (tmp_path / "theirs.safetensors").unlink()

    started = weights(tiny_run(seed=0, init_from=kept), home)

    assert all(torch.equal(started[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    "profile", [PAPER, replace(PAPER, fuse_level="feature"), RELEASED], ids=["paper", "feature", "released"]
)
@pytest.mark.parametrize("fusion", ["addition", "cross_attention", "multiplication"])
def test_a_network_with_text_starts_with_the_output_of_the_one_without_and_learns_text_from_there(
    home, tiny_run, fusion, profile
):
    if fusion == "cross_attention" and profile.fuse_level == "feature":
        pytest.skip("attention to text has no form on feature maps")
    source = tiny_run(replace(tiny_run().method, profile=profile))
    sizes = {field.name: getattr(source.method, field.name) for field in fields(DensityNetwork)}
    plain = cast(nn.Module, source.method.build(SHAPES, 5))
    with torch.no_grad():
        for name, tensor in plain.named_parameters():
            if name.endswith("alpha"):
                tensor.fill_(0.3)  # as if learned; it is drawn as zero
    save_tensors(folder_of(source, home).model, plain.state_dict())
    shapes = replace(SHAPES, text_width=8)
    run = tiny_run(HLRAC(fusion=fusion, **sizes), init_from=source)
    guided = cast(nn.Module, build(run, home, folder_of(run, home), shapes))
    generator = torch.Generator().manual_seed(0)
    joints = torch.randn(2, shapes.frames, len(layout(shapes.layout)), 3, generator=generator)
    batch = Batch(
        clip_ids=("a", "b"),
        joints_BTVC=joints,
        valid_BT=torch.ones(2, shapes.frames, dtype=torch.bool),
        text_BLD=torch.randn(2, 1, 8, generator=generator),
        text_valid_BL=torch.ones(2, 1, dtype=torch.bool),
    )

    torch.testing.assert_close(guided.eval()(batch), plain.eval()(batch), rtol=1e-4, atol=1e-4)

    guided(batch).square().mean().backward()
    moved = "attend.out" if fusion == "cross_attention" else "text.theta2"
    gradients = [weight.grad for name, weight in guided.named_parameters() if moved in name and "weight" in name]
    assert gradients
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)


def test_weights_of_another_size_are_refused_by_name(home):
    folder = home.store.folder("narrow")
    save_tensors(folder.model, nn.Linear(3, 2).state_dict())

    with pytest.raises(RunError, match=r"init_from narrow.*1 of its 2 tensors do not fit, the first is 'weight'"):
        load_into(nn.Linear(4, 2), folder.model, where="init_from narrow")


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


def parted(**parts: nn.Module) -> nn.Module:
    """A network with these top-level modules."""
    return nn.ModuleDict(parts)


def test_only_the_named_parts_of_another_run_are_taken(home):
    folder = home.store.folder("source")
    theirs = parted(encoder=nn.Linear(3, 2), head=nn.Linear(2, 5))
    save_tensors(folder.model, theirs.state_dict())
    ours = parted(encoder=nn.Linear(3, 2), head=nn.Linear(2, 1), text=nn.Linear(4, 2))
    drawn = {name: tensor.clone() for name, tensor in ours.state_dict().items()}

    load_into(ours, folder.model, ("encoder",))

    for name, tensor in ours.state_dict().items():
        expected = theirs.state_dict()[name] if name.startswith("encoder.") else drawn[name]
        assert torch.equal(tensor, expected), name


def test_a_part_that_the_source_lacks_is_refused_with_those_it_has(home):
    folder = home.store.folder("source")
    save_tensors(folder.model, parted(encoder=nn.Linear(3, 2), head=nn.Linear(2, 5)).state_dict())

    with pytest.raises(RunError, match=r"init_from source.*no part encode.*take of its parts: encoder, head"):
        load_into(parted(encode=nn.Linear(3, 2)), folder.model, ("encode",), where="init_from source")


def test_every_tensor_of_a_named_part_must_fit(home):
    folder = home.store.folder("source")
    save_tensors(folder.model, parted(encoder=nn.Linear(3, 2), head=nn.Linear(2, 5)).state_dict())

    with pytest.raises(RunError, match=r"1 of its 2 tensors do not fit, the first is 'encoder.weight'"):
        load_into(parted(encoder=nn.Linear(4, 2), head=nn.Linear(2, 5)), folder.model, ("encoder",))
    with pytest.raises(RunError, match=r"2 of its 2 tensors do not fit"):
        load_into(parted(head=nn.Linear(2, 5)), folder.model, ("encoder",))


def test_a_run_takes_the_parts_that_it_names(home, tiny_run):
    source, drawn = tiny_run(seed=5), weights(tiny_run(seed=0), home)
    theirs = weights(source, home)
    save_tensors(folder_of(source, home).model, theirs)

    started = weights(replace(tiny_run(seed=0, init_from=source), init_parts=("encoder",)), home)

    for name, tensor in started.items():
        assert torch.equal(tensor, (theirs if name.startswith("encoder.") else drawn)[name]), name


def moved(source: Run, split: str = "all_test") -> Run:
    """The run's model judged on `split`, nothing trained."""
    return replace(
        source, data=replace(source.data, split=split), train=TrainSpec(epochs=0), init_from=source, init_parts=()
    )


@pytest.fixture
def open_home(tmp_path, write_tiny) -> Home:
    """A home whose `tiny` may be tested as a whole too."""
    home = Home(tmp_path)
    write_tiny(home.dataset("tiny"))
    write_split(home.dataset("tiny"), split_all_test([f"A{action:03d}" for action in range(1, 7)]))
    return home


def test_a_network_on_other_data_keeps_its_weights_and_trains_nothing(open_home, tiny_run):
    source = tiny_run(epochs=1, max_clips_per_epoch=8)
    run = moved(source)
    assert run_key(run, open_home) != run_key(source, open_home)
    fit(source, open_home, folder_of(source, open_home), ignore)
    folder = folder_of(run, open_home)

    fit(run, open_home, folder, refuse)
    metrics = evaluate(run, open_home, folder)

    theirs, ours = (load_tensors(folder_of(one, open_home).model)[0] for one in (source, run))
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs | ours)
    assert metrics["n"] == 12 * source.data.test_crops
    assert not folder.last_checkpoint.exists()


def test_a_network_judged_on_the_test_clips_of_its_own_split_predicts_the_same(open_home, tiny_run):
    source = tiny_run(epochs=1, max_clips_per_epoch=8)
    for run in (source, moved(source, "by_action")):
        fit(run, open_home, folder_of(run, open_home), ignore)
        evaluate(run, open_home, folder_of(run, open_home))

    one, other = (folder_of(run, open_home).metrics() for run in (source, moved(source, "by_action")))
    assert one == other


def test_a_fitted_method_on_other_data_keeps_its_state_and_is_not_fitted_again(open_home, tiny_run):
    source = tiny_run(KNN(), epochs=0)
    run = moved(source)
    for one in (source, run):
        fit(one, open_home, folder_of(one, open_home), ignore)

    theirs, ours = (load_tensors(folder_of(one, open_home).model)[0] for one in (source, run))
    assert len(ours["count_N"]) == 6 * source.data.crops
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs | ours)
    assert evaluate(run, open_home, folder_of(run, open_home))["n"] == 12 * source.data.test_crops


def test_no_epochs_and_no_source_leave_the_weights_that_were_drawn(home, tiny_run):
    run = tiny_run(epochs=0)

    fit(run, home, folder_of(run, home), refuse)

    drawn, left = weights(run, home), load_tensors(folder_of(run, home).model)[0]
    assert all(torch.equal(drawn[name], left[name]) for name in drawn | left)
