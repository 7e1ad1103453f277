"""KNN finds its neighbours, chooses k without the clip's own action, and keeps bounded, order-free, savable state."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from flag3d_ray.errors import DataError
from flag3d_ray.methods.base import Fitted, Shapes
from flag3d_ray.methods.counting.knn import KNN, choose_k, principal_axes
from flag3d_ray.sample import Batch

FRAMES = 16
SHAPES = Shapes(frames=FRAMES, layout="flag3d24")


def clips(count: int, seed: int = 0, actions: int = 4) -> list[tuple[str, np.ndarray, float]]:
    """Clips whose left arm reaches further the larger their count is: neighbours have neighbouring counts."""
    rng = np.random.default_rng(seed)
    rest = np.random.default_rng(99).normal(scale=0.4, size=(24, 3))
    made = []
    for index in range(count):
        truth = float(rng.integers(1, 20))
        joints = np.tile(rest, (FRAMES, 1, 1)) + rng.normal(scale=0.003, size=(FRAMES, 24, 3))
        joints[:, 10:13] += 0.05 * truth
        made.append((f"A{index % actions:03d}P{index:04d}#{seed}", joints, truth))
    return made


def batch_of(rows: Sequence[tuple[str, np.ndarray, float]], labelled: bool = True) -> Batch:
    batch = Batch(
        clip_ids=tuple(row[0] for row in rows),
        joints_BTVC=torch.from_numpy(np.stack([row[1] for row in rows])).float(),
        valid_BT=torch.ones(len(rows), FRAMES, dtype=torch.bool),
        text_BLD=torch.zeros(len(rows), 1, 0),
        text_valid_BL=torch.ones(len(rows), 1, dtype=torch.bool),
        count_B=torch.tensor([row[2] for row in rows]),
    )
    return batch if labelled else batch.without_labels()


def fitted(rows: list[tuple[str, np.ndarray, float]], method: KNN | None = None, seed: int = 0, size: int = 32):
    estimator = (method or KNN()).build(SHAPES, seed)
    estimator.fit(batch_of(rows[start : start + size]) for start in range(0, len(rows), size))
    return estimator


def test_counts_are_those_of_the_neighbours():
    test = clips(50, seed=1)
    guesses = [p.count for p in fitted(clips(300)).predict(batch_of(test, labelled=False))]
    errors = np.abs(np.array(guesses) - [row[2] for row in test])
    assert errors.mean() < 0.5
    assert all(guess == int(guess) >= 1 for guess in guesses)


def test_neighbours_in_the_full_space_are_found_by_brute_force_too():
    train, test = clips(60), clips(10, seed=1)
    estimator = fitted(train, KNN(neighbours=(3,)))

    def flat(joints: np.ndarray) -> np.ndarray:
        hips, shoulders = joints[:, [16, 17]].mean(axis=1), joints[:, [10, 11]].mean(axis=1)
        return (joints / np.linalg.norm(shoulders - hips, axis=1).mean()).ravel()

    for prediction, (_, joints, _) in zip(estimator.predict(batch_of(test)), test, strict=True):
        distances = [np.linalg.norm(flat(joints) - flat(other)) for _, other, _ in train]
        nearest = np.argsort(distances)[:3]
        assert prediction.count == np.median([train[i][2] for i in nearest])


def test_order_and_batches_of_the_training_set_change_nothing_even_when_it_is_subsampled():
    train, test = clips(200), batch_of(clips(20, seed=1), labelled=False)
    method = KNN(max_clips=50)
    first = fitted(train, method, size=32)
    second = fitted(train[::-1], method, size=7)
    assert len(first.state()["count_N"]) == 50
    for key, value in first.state().items():
        np.testing.assert_array_equal(value, second.state()[key])
    assert [p.count for p in first.predict(test)] == [p.count for p in second.predict(test)]
    other_seed = fitted(train, method, seed=1).state()["count_N"]
    assert not np.array_equal(other_seed, first.state()["count_N"])


def test_predictions_follow_their_rows():
    estimator, test = fitted(clips(100)), clips(20, seed=1)
    forward = {p.clip_id: p.count for p in estimator.predict(batch_of(test))}
    assert {p.clip_id: p.count for p in estimator.predict(batch_of(test[::-1]))} == forward


def test_state_is_flat_arrays_and_a_loaded_estimator_predicts_the_same():
    estimator, test = fitted(clips(100)), batch_of(clips(20, seed=1))
    state = {key: value.copy() for key, value in estimator.state().items()}
    assert all(isinstance(value, np.ndarray) for value in state.values())
    loaded = KNN().build(SHAPES, seed=5)
    loaded.load(state)
    assert [p.count for p in loaded.predict(test)] == [p.count for p in estimator.predict(test)]
    assert isinstance(loaded, Fitted)


def test_k_is_chosen_by_leaving_actions_out():
    """Copies within an action agree perfectly (k = 1 would win), across actions counts are noisy (a larger k must)."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(40, 2))
    train = np.repeat(places, 6, axis=0).astype(np.float32)
    truth = np.repeat(rng.integers(2, 30, size=40), 6).astype(float)
    sequences = np.repeat(np.arange(40), 6)
    assert choose_k(train, truth, np.arange(240), (1, 9)) == 1
    errors = {}
    for k in (1, 3, 9):
        guesses = []
        for i in range(240):
            distance = ((train - train[i]) ** 2).sum(axis=1)
            distance[sequences == sequences[i]] = np.inf
            # Stable ties: six copies of a place have one count, so a median over nine is over two places.
            order = np.argsort(distance, kind="stable")[:k]
            guesses.append(max(1.0, round(float(np.median(truth[order])))))
        errors[k] = np.mean(np.abs(np.array(guesses) - truth) / truth)
    assert choose_k(train, truth, sequences, (1, 3, 9)) == min(errors, key=lambda k: (errors[k], k))


def test_one_action_leaves_no_choice_and_few_clips_are_enough():
    assert int(fitted(clips(30, actions=1)).state()["k"]) == 5
    tiny = fitted(clips(2, actions=2))
    assert all(p.count >= 1 for p in tiny.predict(batch_of(clips(3, seed=1))))


def test_principal_axes_are_those_of_an_exact_decomposition():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(300, 10)) @ np.diag([9, 8, 7, 6, 5, 0.1, 0.1, 0.1, 0.1, 0.1])
    points = (points @ np.linalg.qr(rng.normal(size=(80, 10)))[0].T).astype(np.float64)
    points -= points.mean(axis=0)
    exact = np.linalg.svd(points, full_matrices=False)[2][:5].T
    ours = principal_axes(points, 5, seed=0)
    np.testing.assert_allclose(ours @ ours.T, exact @ exact.T, atol=1e-8)


def test_invalid_frames_repeat_the_last_valid_one_and_a_padded_row_stays_finite():
    estimator = fitted(clips(50))
    held, spoilt = clips(1, seed=1)[0][1], clips(1, seed=1)[0][1]
    held[10:] = held[9]
    spoilt[10:] = 7.0
    batch = batch_of([("A000P1#0", held, 1.0), ("A000P1#1", spoilt, 1.0), ("A000P1#2", spoilt, 1.0)])
    batch.valid_BT[:2, 10:] = False
    batch.valid_BT[2] = False
    counts = [p.count for p in estimator.predict(batch)]
    assert counts[0] == counts[1]
    assert np.isfinite(counts[2])


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(DataError, match="no training clips"):
        KNN().build(SHAPES, 0).fit([])
    with pytest.raises(DataError, match="no counts"):
        KNN().build(SHAPES, 0).fit([batch_of(clips(3), labelled=False)])
    with pytest.raises(DataError, match="nothing was fitted"):
        KNN().build(SHAPES, 0).predict(batch_of(clips(3)))
    with pytest.raises(ValueError, match="at least one k"):
        KNN(neighbours=())
