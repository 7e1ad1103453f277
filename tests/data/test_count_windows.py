"""Windows of a given number of repetitions: cut at borders, drawn by name and count alone, everywhere in the recording."""

import numpy as np
import pytest

from flag3d_ray.data.count_windows import draw_window

STARTS = 7 + 20 * np.arange(10)
REPS_R2 = np.stack([STARTS, STARTS + 18], axis=1).astype(np.int32)


@pytest.mark.parametrize("count", range(1, 11))
def test_a_window_holds_whole_repetitions_in_a_row_and_nothing_around_them(count: int) -> None:
    window = draw_window("M001S06C", count, REPS_R2)
    assert len(window.reps_R2) == count
    first = int(np.flatnonzero(REPS_R2[:, 0] == window.start)[0])
    assert window.reps_R2.tolist() == (REPS_R2[first : first + count] - window.start).tolist()
    assert (window.reps_R2[0, 0], window.reps_R2[-1, 1]) == (0, len(window))


def test_a_recording_with_fewer_repetitions_gives_all_of_them() -> None:
    window = draw_window("short", 5, REPS_R2[:3])
    assert (window.start, window.end, len(window.reps_R2)) == (7, 65, 3)


def test_the_same_name_and_count_give_the_same_window_and_others_start_anywhere() -> None:
    starts = [draw_window(f"recording {number}", 3, REPS_R2).start for number in range(300)]
    assert starts == [draw_window(f"recording {number}", 3, REPS_R2).start for number in range(300)]
    assert set(starts) == set(STARTS[:8].tolist())
    assert max(np.bincount(np.searchsorted(STARTS, starts))) < 2 * 300 / 8
    ones = {draw_window("recording 0", count, REPS_R2, seed).start for seed in range(40) for count in (1, 2)}
    assert len(ones) > 5


@pytest.mark.parametrize(("count", "reps"), [(0, 3), (2, 0)])
def test_an_empty_window_is_refused(count: int, reps: int) -> None:
    with pytest.raises(ValueError, match=f"a window of {count} of {reps} repetitions"):
        draw_window("a", count, REPS_R2[:reps])
