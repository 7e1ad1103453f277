from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.easyshots import EasyShots
from flag3d_ray.models.exemplar_counter import ExemplarCounter, density_target, sample_examples, spread_choice
from flag3d_ray.models.repetition_intervals import repetition_intervals
from flag3d_ray.sample import Batch

FRAMES, POOL = 16, 4


def _counter(**options) -> ExemplarCounter:
    sizes = {"widths": (4, 4), "model_width": 8, "attention_heads": 2, "feed_forward": 8, "exemplar_steps": 2}
    method = EasyShots(**sizes, cross_blocks=1, window_blocks=2, window=2, **options)
    return method.build(Shapes(frames=FRAMES, layout="flag3d24"), 0)


def _batch(clips: int = 4) -> Batch:
    """Clips of 16 frames, the second with four frames of padding, with two to four repetitions of three frames."""
    generator = torch.Generator().manual_seed(0)
    numbers = [2 + index % 3 for index in range(clips)]
    reps = torch.full((clips, FRAMES), -1)
    for clip, number in enumerate(numbers):
        reps[clip, : 3 * number] = torch.arange(3 * number) // 3
    valid = torch.ones(clips, FRAMES, dtype=torch.bool)
    valid[1, 12:] = False
    return Batch(
        clip_ids=tuple(f"clip{index}" for index in range(clips)),
        joints_BTVC=torch.randn(clips, FRAMES, 24, 3, generator=generator),
        valid_BT=valid,
        text_BLD=torch.zeros(clips, 1, 0),
        text_valid_BL=torch.ones(clips, 1, dtype=torch.bool),
        count_B=torch.tensor([float(number) for number in numbers]),
        reps_BT=reps,
    )


def _rows(batch: Batch, rows: list[int]) -> Batch:
    assert batch.count_B is not None
    assert batch.reps_BT is not None
    return Batch(
        clip_ids=tuple(batch.clip_ids[row] for row in rows),
        joints_BTVC=batch.joints_BTVC[rows],
        valid_BT=batch.valid_BT[rows],
        text_BLD=batch.text_BLD[rows],
        text_valid_BL=batch.text_valid_BL[rows],
        count_B=batch.count_B[rows],
        reps_BT=batch.reps_BT[rows],
    )


def test_the_target_is_a_gaussian_of_mass_one_per_repetition_over_the_valid_steps():
    intervals = [np.array([[0, 4], [4, 8], [8, 9]]), np.array([[2, 8]]), np.empty((0, 2), dtype=np.int64)]
    valid = torch.tensor([[True] * 6, [True] * 3 + [False] * 3, [True] * 6])
    target = density_target(intervals, valid, 2, 0.7, "add")
    for clip, reps in enumerate(intervals):
        expected = np.zeros(6)
        for start, end in reps:
            middle = (start + end) // 2 // 2
            mass = np.array([np.exp(-((s - middle) ** 2) / (2 * 0.7**2)) if valid[clip, s] else 0.0 for s in range(6)])
            expected += mass / mass.sum()
        np.testing.assert_allclose(target[clip], expected, rtol=1e-12)
    np.testing.assert_allclose(target.sum(dim=1), [3.0, 1.0, 0.0], rtol=1e-12)


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_away_from_the_ends_the_target_is_the_released_smoothing_of_a_one_at_each_middle(sigma):
    ones = np.zeros(32)
    ones[[10, 13, 20]] = 1.0
    target = density_target(
        [np.array([[40, 41], [52, 53], [80, 82]])], torch.ones(1, 32, dtype=torch.bool), 4, sigma, "add"
    )
    np.testing.assert_allclose(
        target[0], gaussian_filter1d(ones, sigma), atol=2e-4
    )  # scipy cuts off at four deviations


def test_repetitions_that_meet_in_a_step_add_up_or_count_once():
    intervals, valid = [np.array([[0, 1], [1, 2], [6, 8]])], torch.ones(1, 4, dtype=torch.bool)
    assert density_target(intervals, valid, 4, 0.5, "add").sum() == pytest.approx(3.0)
    assert density_target(intervals, valid, 4, 0.5, "assign").sum() == pytest.approx(2.0)


def test_sixty_two_repetitions_in_32_steps_have_a_target_of_mass_62():
    edges = np.round(np.linspace(0, 128, 63)).astype(int)
    intervals = np.stack([edges[:-1], edges[1:]], axis=1)
    intervals[5, 1] = intervals[5, 0]  # one that lost its frames
    intervals[-1] = 128  # and one behind the last frame
    target = density_target([intervals], torch.ones(1, 32, dtype=torch.bool), 4, 0.5, "add")
    assert target.sum() == pytest.approx(62.0)


def test_examples_are_interpolated_between_the_frames_of_their_span():
    features = torch.randn(2, 10, 3, 2, dtype=torch.float64)
    spans = torch.tensor([[[2, 7], [4, 5]], [[0, 10], [9, 9]]])
    sampled = sample_examples(features, spans, 4)
    for clip in range(2):
        for shot in range(2):
            first, end = spans[clip, shot].tolist()
            for step in range(4):
                place = min(max(first + (step + 0.5) / 4 * (end - first) - 0.5, first), max(end - 1, first))
                below = int(place)
                above = min(below + 1, 9)
                expected = (1 - place + below) * features[clip, below] + (place - below) * features[clip, above]
                torch.testing.assert_close(sampled[clip, shot, step], expected)


def test_the_examples_of_an_annotation_are_spread_evenly_and_have_frames():
    reps = np.array([[0, 2], [2, 2], [2, 4], [4, 6], [6, 8], [8, 9]])
    assert spread_choice(reps, 1).tolist() == [[4, 6]]
    assert spread_choice(reps, 2).tolist() == [[2, 4], [6, 8]]
    assert spread_choice(reps, 9).tolist() == [[0, 2], [2, 4], [4, 6], [6, 8], [8, 9]]
    assert spread_choice(reps[1:2], 2).tolist() == []


def test_in_evaluation_mode_the_loss_is_the_zero_shot_error_of_steps_and_count():
    counter, batch = _counter(count_weight=0.7, density_scale=10.0).eval(), _batch()
    expected = 0.0
    density = counter.decoder(counter.features(batch.joints_BTVC), batch.valid_BT).detach()
    valid = batch.valid_BT.view(4, -1, POOL).any(dim=2)
    target = density_target(repetition_intervals(batch), valid, POOL, 0.5, "add")
    assert batch.count_B is not None
    for clip in range(4):
        steps = [s for s in range(FRAMES // POOL) if valid[clip, s]]
        squares = [float(density[clip, s] - 10.0 * target[clip, s]) ** 2 for s in steps]
        true = float(batch.count_B[clip])
        relative = abs(float(density[clip].sum()) / 10.0 - true) / (true + 0.1)
        expected += (sum(squares) / len(steps) + 0.7 * relative) / 4
    assert counter.loss(batch).item() == pytest.approx(expected, rel=1e-5)
    assert counter.steps == 0


def test_masked_steps_leave_the_squared_error():
    batch = _batch()
    nothing = _counter(masked=1.0, count_weight=0.0, shots=(0,)).loss(batch)
    everything = _counter(masked=0.0, count_weight=0.0, shots=(0,)).loss(batch)
    some = _counter(masked=0.5, count_weight=0.0, shots=(0,)).loss(batch)
    assert nothing == 0.0
    assert 0.0 < some < everything


def test_draws_change_from_step_to_step_and_repeat_with_the_step():
    counter, batch = _counter(), _batch()
    for norm in (module for module in counter.modules() if isinstance(module, torch.nn.BatchNorm1d)):
        norm.momentum = 0.0
    first, second = counter.loss(batch).item(), counter.loss(batch).item()
    assert counter.steps == 2
    counter.steps.zero_()
    assert counter.loss(batch).item() == first != second


def test_the_draws_of_a_clip_do_not_depend_on_its_neighbours_in_the_batch():
    """Batch normalisation does, so that the running statistics are used."""
    counter, batch = _counter(), _batch(6)
    for module in counter.encoder.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.eval()
    whole = counter.loss(batch)
    shares = []
    for rank in range(2):
        counter.steps.zero_()
        rows = list(range(rank, 6, 2))
        shares.append(counter.loss(_rows(batch, rows)) * len(rows) / 6)
    torch.testing.assert_close(torch.stack(shares).sum(), whole)


def test_all_numbers_of_shots_are_drawn_about_equally_often(monkeypatch):
    counter, batch = _counter(), _batch(60)
    seen = []
    monkeypatch.setattr(
        counter, "_with_examples", lambda features, valid, chosen: seen.extend(map(len, chosen)) or torch.zeros(60, 4)
    )
    for _ in range(5):
        counter.loss(batch)
    assert np.bincount(seen).tolist() == pytest.approx([100, 100, 100], abs=40)  # five standard deviations


def test_predictions_are_zero_shot_and_can_be_asked_for_examples():
    counter, batch = _counter(), _batch()
    blind = [prediction.count for prediction in counter.predict(batch.without_labels())]
    assert [prediction.count for prediction in counter.predict(batch)] == blind
    shown = [prediction.count for prediction in counter.predict(batch, shots=2)]
    assert all(abs(one - other) > 1e-7 for one, other in zip(blind, shown, strict=True))
    with pytest.raises(ValueError, match="reps_BT"):
        counter.predict(batch.without_labels(), shots=1)


def test_the_count_is_the_sum_of_a_density_that_is_zero_on_padding():
    prediction = _counter().predict(_batch())[1]
    assert prediction.density_T is not None
    assert prediction.density_T.shape == (FRAMES,)
    assert prediction.density_T[12:].tolist() == [0.0] * 4
    assert prediction.count == pytest.approx(prediction.density_T.sum())


def test_a_clip_whose_repetitions_have_no_frames_is_trained_zero_shot():
    batch = replace(_batch(), reps_BT=torch.full((4, FRAMES), -1))
    assert _counter(shots=(2,)).loss(batch).isfinite()


def test_loss_and_gradients_are_finite_float32_under_bfloat16_autocast():
    counter = _counter(shots=(0, 2))
    with torch.autocast("cpu", torch.bfloat16):
        loss = counter.loss(_batch())
        predictions = counter.predict(_batch())
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in counter.parameters() if p.grad is not None)
    assert all(one.density_T is not None and one.density_T.dtype == np.float32 for one in predictions)


def test_it_computes_in_float64():
    batch = _batch().to("cpu", torch.float64)
    assert _counter().double().loss(batch).dtype == torch.float64
