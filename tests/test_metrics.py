"""The counting metrics against the paper's formulas as plain loops, and at their edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flag3d_ray.metrics import ALPHAS, counting_metrics, mae, obo, obo_average, relative_error, within

KEYS = ["mae", "mae_released", "obo/0.4", "obo/0.6", "obo/0.8", "obo/1", "obo/avg"]


@pytest.fixture
def clips() -> tuple[np.ndarray, np.ndarray]:
    """Real-valued counts about true counts from 0 to 62, two of which are 0."""
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 63, size=200).astype(np.float32)
    truth[[3, 70]] = 0.0
    return (truth + rng.normal(scale=1.2, size=200)).astype(np.float32), truth


def looped(count: list[float], truth: list[float]) -> dict[str, float]:
    """Every metric from its definition, one clip after the other."""
    exact, released, dropped = [], [], 0
    hits = dict.fromkeys((0.4, 0.6, 0.8, 1.0), 0)
    for guess, c in zip(count, truth, strict=True):
        if c == 0:
            dropped += 1
        else:
            exact.append(abs(c - guess) / c)
        released.append(abs(c - guess) / (c + 0.1))
        for alpha in hits:
            hits[alpha] += 1 if abs(c - guess) <= alpha else 0
    values = {"mae": sum(exact) / len(exact), "mae_released": sum(released) / len(released)}
    values |= {f"obo/{alpha:g}": number / len(truth) for alpha, number in hits.items()}
    values["obo/avg"] = sum(hits.values()) / len(hits) / len(truth)
    return values | {"dropped": dropped}


def test_every_metric_equals_its_definition_as_a_plain_loop(clips):
    count, truth = clips
    metrics = counting_metrics(count, truth)
    raw = looped(count.tolist(), truth.tolist())
    rounded = looped([round(c) for c in count.tolist()], truth.tolist())
    assert metrics["dropped"] == raw.pop("dropped") == rounded.pop("dropped") == 2
    assert metrics["n"] == 200
    for key in KEYS:
        assert metrics[key] == pytest.approx(raw[key], abs=1e-9), key
        assert metrics[f"{key}_rounded"] == pytest.approx(rounded[key], abs=1e-9), key


def test_the_keys_are_exactly_the_documented_ones(clips):
    assert set(counting_metrics(*clips)) == {*KEYS, *(f"{key}_rounded" for key in KEYS), "n", "dropped"}


def test_the_released_error_is_two_percent_lower_at_five_and_nine_at_one():
    for truth, ratio in ((5.0, 0.98), (1.0, 0.91)):
        c, guess = np.array([truth]), np.array([truth + 1.0])
        assert mae(guess, c, offset=0.1) / mae(guess, c) == pytest.approx(ratio, abs=1e-3)


def test_a_true_count_of_zero_is_dropped_from_mae_but_not_from_obo():
    count, truth = np.array([0.5, 6.0]), np.array([0.0, 5.0])
    assert mae(count, truth) == pytest.approx(0.2)
    assert np.isnan(relative_error(count, truth)).tolist() == [True, False]
    assert obo(count, truth, 1.0) == 1.0
    assert counting_metrics(count, truth)["dropped"] == 1


def test_integer_counts_gain_nothing_from_alphas_between_zero_and_one():
    rng = np.random.default_rng(1)
    truth = rng.integers(1, 30, size=300)
    count = truth + rng.integers(-2, 3, size=300)
    metrics = counting_metrics(count, truth)
    assert metrics["obo/0.4"] == metrics["obo/0.6"] == metrics["obo/0.8"] < metrics["obo/1"]
    assert metrics["obo/avg"] == metrics["obo/avg_rounded"]


def test_rounding_makes_an_error_below_a_half_exact_and_takes_halves_to_even():
    truth = np.array([5.0, 5.0, 2.0, 2.0])
    count = np.array([5.45, 4.55, 2.5, 1.5])
    metrics = counting_metrics(count, truth)
    assert metrics["obo/0.4"] == 0.0
    assert metrics["obo/0.4_rounded"] == 1.0
    assert metrics["mae_rounded"] == 0.0


@settings(derandomize=True)
@given(st.lists(st.tuples(st.floats(-5, 70), st.integers(1, 62)), min_size=1, max_size=40))
def test_obo_grows_with_alpha_and_its_average_lies_between(pairs):
    count, truth = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    hits = [obo(count, truth, alpha) for alpha in ALPHAS]
    assert hits == sorted(hits)
    assert hits[0] <= obo_average(count, truth) + 1e-12
    assert obo_average(count, truth) <= hits[-1] + 1e-12


def test_the_average_is_over_clips_and_not_over_batch_means():
    count, truth = np.array([1.0, 1.0, 4.0]), np.array([1.0, 1.0, 2.0])
    assert mae(count, truth) == pytest.approx(1.0 / 3.0)
    assert within(count, truth, 1.0).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("count", "truth"),
    [([], []), ([np.nan], [1.0]), ([1.0], [-1.0]), ([np.inf], [3.0]), ([1.0], [0.0])],
)
def test_nonsense_is_refused_rather_than_averaged(count, truth):
    with pytest.raises(ValueError, match=r"count"):
        mae(np.array(count, dtype=float), np.array(truth, dtype=float))
