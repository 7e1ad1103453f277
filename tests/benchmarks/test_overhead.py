"""What the benchmark says of launches, computed from launches that were made up: two places, seconds."""

import pytest

from benchmarks.overhead import OURS, Fitted, Timing, check_losses, scaled, waits


def fitted(first_s: float, last_s: float, *losses: float) -> Fitted:
    return Fitted(first_s=first_s, last_s=last_s, training_s=last_s - first_s, losses=losses)


def test_a_trial_waits_for_its_first_step_from_the_launch_or_from_the_end_of_an_earlier_one() -> None:
    launch = [fitted(3.0, 5.0), fitted(4.0, 9.0), fitted(5.5, 7.0), fitted(7.25, 8.0), fitted(8.5, 9.5)]
    assert waits(launch) == pytest.approx((3.0, 4.0, 0.5, 0.25, 0.5))


def test_the_order_of_the_trials_is_no_matter() -> None:
    launch = [fitted(7.0, 8.0), fitted(3.0, 5.0), fitted(4.0, 6.0), fitted(6.0, 9.0)]
    assert waits(launch) == waits(launch[::-1]) == pytest.approx((3.0, 4.0, 1.0, 1.0))


def test_what_is_not_training_is_a_share_of_both_places() -> None:
    assert Timing(wall_s=10.0, waits_s=(), training_s=5.0).idle_share == pytest.approx(0.75)


def test_a_launch_goes_on_at_the_pace_of_all_but_its_first_trials() -> None:
    launch = [fitted(18.0, 20.0), fitted(18.0, 20.0), fitted(38.0, 40.0), fitted(38.0, 40.0)]
    timing = Timing(wall_s=41.0, waits_s=(18.0,) * 4, training_s=8.0)
    longer = scaled(timing, launch, 18)
    assert longer.wall_s == pytest.approx(41.0 + 14 * 10.0)
    assert longer.training_s == pytest.approx(36.0)
    assert longer.waits_s == timing.waits_s
    assert scaled(timing, launch, 4) == timing


def test_other_losses_than_ours_are_no_comparison() -> None:
    ours = [fitted(0.0, 1.0, 0.5, 0.25), fitted(0.0, 1.0, 0.4, 0.2)]
    check_losses({OURS: ours, "Tune": ours[:1]})
    with pytest.raises(SystemExit, match="Tune trains to other losses"):
        check_losses({OURS: ours, "Tune": [ours[0], fitted(0.0, 1.0, 0.4, 0.3)]})
