"""The bootstrap covers what it claims to, keeps clusters together and says where it cannot know."""

import numpy as np
import pytest

from flag3d_ray.statistics import Interval, cluster_bootstrap


def nested(actions: int, sequences: int, copies: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of a balanced design: action and sequence of each clip."""
    action = np.repeat(np.arange(actions), sequences * copies)
    return action, np.repeat(np.arange(actions * sequences), copies)


def test_equal_arguments_give_equal_intervals_and_another_seed_gives_another():
    values = np.random.default_rng(0).random(200)
    labels = nested(5, 8, 5)
    assert cluster_bootstrap(values, *labels) == cluster_bootstrap(values, *labels)
    assert cluster_bootstrap(values, *labels) != cluster_bootstrap(values, *labels, seed=1)


def test_the_mean_is_that_of_all_clips_and_lies_inside():
    values = np.random.default_rng(1).random((3, 120))
    interval = cluster_bootstrap(values, *nested(6, 10, 2))
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low < interval.mean < interval.high
    assert interval.flags == ()


def test_weights_agree_with_plain_loops_that_draw_actions_then_sequences():
    rng = np.random.default_rng(2)
    action, sequence = nested(4, 3, 2)
    values = rng.normal(size=24) + 2.0 * rng.normal(size=4)[action] + rng.normal(size=12)[sequence]
    means = []
    for _ in range(1500):
        drawn = []
        for a in rng.integers(4, size=4):
            members = np.unique(sequence[action == a])
            for s in rng.choice(members, size=len(members)):
                drawn.extend(values[sequence == s])
        means.append(np.mean(drawn))
    ours = cluster_bootstrap(values, action, sequence, n=1500)
    assert (ours.low, ours.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.25 * float(np.std(means)))


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    action, sequence = nested(20, 4, 3)
    covered = 0
    for trial in range(120):
        noise = 0.5 * rng.normal(size=20)[action] + 0.5 * rng.normal(size=80)[sequence] + rng.normal(size=240)
        interval = cluster_bootstrap(noise, action, sequence, n=300, level=0.9, seed=trial)
        covered += interval.low <= 0.0 <= interval.high
    assert 0.80 <= covered / 120 <= 0.97


def test_seed_effects_widen_the_interval_because_seeds_are_crossed_with_clips():
    rng = np.random.default_rng(4)
    labels = nested(10, 5, 4)
    quiet = np.tile(rng.random(200), (5, 1))
    shifted = quiet + np.array([-1.0, -0.5, 0.0, 0.5, 1.0])[:, None]
    width = [i.high - i.low for i in (cluster_bootstrap(quiet, *labels), cluster_bootstrap(shifted, *labels))]
    assert width[1] > width[0] + 0.8


def test_copies_of_a_sequence_add_no_certainty():
    rng = np.random.default_rng(5)
    base = rng.normal(size=40)
    once = cluster_bootstrap(base, *nested(8, 5, 1))
    tenfold = cluster_bootstrap(np.repeat(base, 10), *nested(8, 5, 10))
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))


def test_the_same_sequence_label_in_two_actions_means_two_sequences():
    values = np.random.default_rng(6).random(12)
    action = np.repeat([0, 1], 6)
    assert cluster_bootstrap(values, action, np.tile(np.arange(6), 2)) == cluster_bootstrap(
        values, action, np.arange(12)
    )


def test_dropped_clips_are_left_out():
    values = np.random.default_rng(7).random(30)
    action, sequence = nested(3, 5, 2)
    holed = np.append(values, np.nan)
    assert cluster_bootstrap(values, action, sequence) == cluster_bootstrap(
        holed, np.append(action, 9), np.append(sequence, 99)
    )


def test_single_units_are_flagged_and_never_nan():
    one_action = cluster_bootstrap(np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]), np.zeros(3), np.arange(3))
    assert one_action.flags == ("one action",)
    assert one_action.low < one_action.high
    one_seed = cluster_bootstrap(np.array([0.0, 1.0, 1.0]), np.arange(3), np.arange(3))
    assert one_seed.flags == ("one seed",)
    alone = cluster_bootstrap(np.array([0.5]), np.array(["A001"]), np.array(["A001P001"]))
    assert alone == Interval(0.5, 0.5, 0.5, ("one action", "one sequence", "one seed"))


@pytest.mark.parametrize(
    ("values", "options"),
    [(np.ones(4), {"n": 0}), (np.ones(4), {"level": 1.0}), (np.full(4, np.nan), {})],
)
def test_nonsense_is_refused(values, options):
    with pytest.raises(ValueError, match=r"equal in length|no clip"):
        cluster_bootstrap(values, np.zeros(4), np.arange(4), **options)
