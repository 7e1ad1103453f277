"""What every counting method shows, whatever it computes."""

import os
import pickle
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import flag3d_ray
from flag3d_ray.data.clips import open_clips
from flag3d_ray.identity import run_key
from flag3d_ray.methods.catalogue import COUNTING, RECORDED
from flag3d_ray.methods.counting.hl_rac import HLRAC, DensityNetwork
from flag3d_ray.run import Run, run_from_json, to_json
from flag3d_ray.sample import Batch, Prediction
from flag3d_ray.store import RunFolder
from flag3d_ray.training.checkpoint import save_tensors
from flag3d_ray.training.fit import batches_of, clip_spec, load_estimator

FUSIONS = ("addition", "cross_attention", "multiplication")
SMALLEST: dict[str, dict[str, Any]] = {
    "RepNet": {
        **{"widths": (4, 4), "temporal_width": 16, "conv_channels": 4, "model_width": 16, "attention_heads": 2},
        **{"feed_forward": 16, "hidden_widths": (16, 16), "dropout": 0.0},
    },
    "EasyShots": {
        **{"widths": (4, 4), "model_width": 16, "attention_heads": 2, "feed_forward": 32, "cross_blocks": 1},
        **{"window_blocks": 2, "exemplar_steps": 4},
    },
    "DeTRC": {
        **{"widths": (4, 4), "model_width": 16, "attention_heads": 2, "feed_forward": 32, "encoder_layers": 1},
        **{"decoder_layers": 2, "queries": 24},
    },
    "MERAC": {"path_widths": (4, 8, 4)},
}


@pytest.fixture(
    params=[kind.__name__ for kind in COUNTING if kind is not HLRAC] + [f"HLRAC {name}" for name in FUSIONS]
)
def run(request, tiny_run) -> Run:
    """One run per method, networks at the smallest size."""
    name, _, fusion = request.param.partition(" ")
    kind: Any = next(kind for kind in COUNTING if kind.__name__ == name)
    smallest = tiny_run().method
    shared = {field.name: getattr(smallest, field.name) for field in fields(DensityNetwork)}
    if issubclass(kind, DensityNetwork):
        return tiny_run(kind(**shared, **SMALLEST.get(name, {}), **({"fusion": fusion} if fusion else {})))
    return tiny_run(kind(**SMALLEST.get(name, {})))


def is_network(estimator: Any) -> bool:
    return isinstance(estimator, nn.Module)


@pytest.fixture
def training(run, tiny_home) -> Batch:
    return open_clips(clip_spec(run, tiny_home, "train")).batch(np.arange(12))


@pytest.fixture
def batch(run, tiny_home) -> Batch:
    """Six test clips without labels."""
    return open_clips(clip_spec(run, tiny_home, "test")).batch(np.arange(6)).without_labels()


@pytest.fixture
def estimator(run, tiny_home, training):
    """Fitted, or with weights as drawn."""
    clips = open_clips(clip_spec(run, tiny_home, "train"))
    built = run.method.build(clips.shapes, run.seed)
    if is_network(built):
        return built.eval()
    built.fit(batches_of(clips, np.arange(len(clips))))
    return built


def rows(batch: Batch, order: list[int]) -> Batch:
    """The batch with its rows in another order."""
    taken: dict[str, Any] = {"clip_ids": tuple(batch.clip_ids[row] for row in order)}
    for field in fields(Batch):
        value = getattr(batch, field.name)
        if isinstance(value, torch.Tensor):
            taken[field.name] = value[order]
    return Batch(**taken)


def counts(predictions: list[Prediction]) -> list[float]:
    return [prediction.count for prediction in predictions]


def test_predictions_are_finite_one_per_clip_in_order(estimator, batch):
    predictions = estimator.predict(batch)

    assert tuple(prediction.clip_id for prediction in predictions) == batch.clip_ids
    assert np.isfinite(counts(predictions)).all()


def test_a_density_has_one_value_per_frame_and_sums_to_the_count(estimator, batch):
    for prediction in estimator.predict(batch):
        if prediction.density_T is not None:
            assert prediction.density_T.shape == (32,)
            assert prediction.density_T.sum() == pytest.approx(prediction.count, rel=1e-4, abs=1e-4)


def test_permuting_the_clips_permutes_the_predictions(estimator, batch):
    order = [4, 0, 5, 2, 1, 3]

    straight, permuted = counts(estimator.predict(batch)), counts(estimator.predict(rows(batch, order)))

    assert permuted == pytest.approx([straight[row] for row in order], rel=1e-5, abs=1e-5)


def test_a_clip_alone_is_counted_as_in_a_batch(estimator, batch):
    together = counts(estimator.predict(batch))

    alone = [counts(estimator.predict(rows(batch, [row])))[0] for row in range(len(batch))]

    assert alone == pytest.approx(together, rel=1e-5, abs=1e-5)


def test_predicting_twice_gives_the_same(estimator, batch):
    assert counts(estimator.predict(batch)) == counts(estimator.predict(batch))


def test_predicting_changes_neither_the_batch_nor_the_mode(estimator, batch):
    before = {field.name: getattr(batch, field.name) for field in fields(Batch)}
    copies = {name: value.clone() for name, value in before.items() if isinstance(value, torch.Tensor)}
    if is_network(estimator):
        estimator.train()

    estimator.predict(batch)

    assert all(torch.equal(getattr(batch, name), copy) for name, copy in copies.items())
    assert not is_network(estimator) or estimator.training


def test_a_saved_method_predicts_the_same_after_loading(run, estimator, batch, tiny_home, tmp_path):
    folder = RunFolder(tmp_path)
    if is_network(estimator):
        state = estimator.state_dict()
    else:
        state = {name: torch.from_numpy(np.array(array)) for name, array in estimator.state().items()}
    save_tensors(folder.model, state)

    loaded: Any = load_estimator(run, folder, open_clips(clip_spec(run, tiny_home, "test")).shapes)

    assert counts(loaded.predict(batch)) == counts(estimator.predict(batch))


def test_methods_without_language_ignore_the_text_and_those_with_it_read_it(run, estimator, batch):
    width = max(8, batch.text_BLD.shape[2])
    generator = torch.Generator().manual_seed(0)
    other = replace(batch, text_BLD=torch.randn(len(batch), 1, width, generator=generator))

    same = counts(estimator.predict(other)) == counts(estimator.predict(batch))

    assert same is not run.method.language


def test_the_loss_is_finite_and_every_parameter_hears_of_it(run, estimator, training):
    if not is_network(estimator):
        pytest.skip("fitted in one pass")
    optimiser = torch.optim.SGD(estimator.parameters(), lr=1e-4)
    heard: set[str] = set()
    estimator.train()
    for _ in range(3):
        loss = estimator.loss(training)
        assert loss.shape == ()
        assert torch.isfinite(loss)
        optimiser.zero_grad()
        loss.backward()
        heard |= {name for name, p in estimator.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        optimiser.step()

    silent = {name for name, _ in estimator.named_parameters()} - heard
    assert {name for name in silent if not explained(run, name)} == set()


def explained(run: Run, name: str) -> bool:
    """Attention over the single key of a pooled sentence has weight one whatever its query: no gradient reaches it."""
    return getattr(run.method, "fusion", None) == "cross_attention" and ".attend.query." in name


def test_a_run_of_the_method_survives_json(run):
    assert run_from_json(to_json(run), RECORDED) == run


def test_weights_depend_on_the_seed_alone(run, tiny_home):
    shapes = open_clips(clip_spec(run, tiny_home, "train")).shapes
    one = run.method.build(shapes, 0)
    torch.manual_seed(123)
    np.random.seed(123)
    same, other = run.method.build(shapes, 0), run.method.build(shapes, 1)
    if not is_network(one):
        pytest.skip("no weights")

    states = [module.state_dict() for module in (one, same, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


ELSEWHERE = """
import pickle, sys, torch
torch.set_num_threads(1)
run, state, shapes, batch = pickle.loads(open(sys.argv[1], "rb").read())
estimator = run.method.build(shapes, run.seed)
if isinstance(estimator, torch.nn.Module):
    estimator.load_state_dict(state)
    estimator.eval()
else:
    estimator.load(state)
print([prediction.count for prediction in estimator.predict(batch)])
"""


@pytest.mark.slow
def test_another_process_predicts_the_same(run, estimator, batch, tiny_home, tmp_path):
    shapes = open_clips(clip_spec(run, tiny_home, "train")).shapes
    state = estimator.state_dict() if is_network(estimator) else estimator.state()
    sent = tmp_path / "sent.pickle"
    sent.write_bytes(pickle.dumps((run, state, shapes, batch)))
    environment = os.environ | {"PYTHONPATH": str(Path(flag3d_ray.__file__).parents[1]), "OMP_NUM_THREADS": "1"}

    command = [sys.executable, "-c", ELSEWHERE, sent]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    assert printed.strip() == str(counts(estimator.predict(batch)))


@pytest.mark.slow
def test_learned_methods_overfit_a_few_clips(run, estimator, training):
    if not is_network(estimator):
        pytest.skip("fitted in one pass")
    optimiser = torch.optim.AdamW(estimator.parameters(), lr=5e-3, weight_decay=0.0)
    estimator.train()
    for _ in range(400):
        optimiser.zero_grad()
        estimator.loss(training).backward()
        optimiser.step()

    assert training.count_B is not None
    errors = np.abs(np.array(counts(estimator.predict(training.without_labels()))) - training.count_B.numpy())
    assert errors.mean() < 0.5


def test_keys_of_different_methods_differ(tiny_run, tiny_home):
    runs = [tiny_run(kind()) for kind in COUNTING if kind is not HLRAC]

    assert len({run_key(run, tiny_home) for run in runs}) == len(runs)
