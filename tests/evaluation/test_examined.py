"""Which test clips a figure shows is a rule, and what is read from a network is of those clips."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from experiments import figure09_joint_weights
from flag3d_ray.errors import RunError
from flag3d_ray.evaluation.evaluate import evaluate
from flag3d_ray.evaluation.examined import (
    Examined,
    encoded,
    examine,
    panel_actions,
    rows_of,
    shown_joints,
    true_repetitions,
    typical_row,
    typical_rows,
)
from flag3d_ray.execution import facts
from flag3d_ray.figures import Panel
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.run import Resources, Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training.fit import fit


def finished(run: Run, home: Home) -> RunFolder:
    folder = home.store.folder(run_key(run, home))
    folder.write_record(**facts(run, home, Resources(executor="local")))
    fit(run, home, folder, lambda event: None)
    evaluate(run, home, folder)
    return folder


@pytest.fixture(scope="module")
def home(fresh_home: Callable[[], Home]) -> Home:
    return fresh_home()


@pytest.fixture(scope="module")
def examined(home: Home, tiny_run: Callable[..., Run]) -> Examined:
    return examine(finished(tiny_run(epochs=0), home), home)


def made_up(examined: Examined, actions: str, truths: list[float], parts: str = "") -> Examined:
    """The same network with other test clips: one letter per clip."""
    values: dict[str, Any] = vars(examined) | {
        "action_N": np.array(list(actions)),
        "body_part_N": np.array(list(parts or actions)),
        "truth_N": np.array(truths),
        "count_N": np.array(truths),
    }
    return Examined(**values)


def test_the_typical_clip_of_an_action_has_the_median_count(examined: Examined) -> None:
    clips = made_up(examined, "aabaab", [9.0, 2.0, 5.0, 4.0, 4.0, 6.0])
    assert typical_row(clips, "a") == 3, "of 2, 4, 4, 9 the lower middle one, the first of two"
    assert typical_row(clips, "b") == 2


def test_actions_stand_at_equal_distances_in_the_order_of_their_ids(examined: Examined) -> None:
    clips = made_up(examined, "edcba", [1.0] * 5)
    assert typical_rows(clips, 3) == [4, 2, 0]
    assert typical_rows(clips, 9) == [4, 3, 2, 1, 0]


def test_clips_of_an_action_are_spread_over_all_of_them(examined: Examined) -> None:
    clips = made_up(examined, "abababababa", [1.0] * 11)
    assert rows_of(clips, "a", 3).tolist() in ([0, 4, 10], [0, 6, 10])
    assert rows_of(clips, "b", 99).tolist() == [1, 3, 5, 7, 9]


def test_a_panel_without_its_action_takes_one_of_its_body_part_that_no_panel_names(examined: Examined) -> None:
    shoulder, named = Panel(printed="x", body_part="s"), Panel(printed="y", action_id="b")
    gone = Panel(printed="z", action_id="q")
    clips = made_up(examined, "abcd", [1.0] * 4, parts="lsss")
    assert panel_actions(clips, (shoulder, named, gone)) == {shoulder: "c", named: "b", gone: "a"}
    assert panel_actions(made_up(examined, "b", [1.0]), (shoulder, named, gone)) == {named: "b"}


def test_the_papers_actions_are_shown_where_they_are_tested(examined: Examined) -> None:
    clips = made_up(examined, "abcd", [1.0] * 4)
    values: dict[str, Any] = vars(clips) | {"action_N": np.array(["A015", "A016", "A035", "A040"])}
    values["body_part_N"] = np.array(["shoulder", "shoulder", "abdomen", "waist"])
    chosen = panel_actions(Examined(**values), figure09_joint_weights.PANELS)
    assert list(chosen.values()) == ["A016", "A035", "A015", "A040"]


def test_what_is_read_of_a_clip_has_its_valid_frames(examined: Examined) -> None:
    row = typical_rows(examined, 1)[0]
    frames = int(examined.clips.batch(np.array([row])).valid_BT.sum())
    assert encoded(examined, row).shape == (frames, 4 * 24)
    assert shown_joints(examined, row).shape == (frames, 24, 3)
    reps_T = true_repetitions(examined, row)
    assert len(reps_T) == frames
    assert len(set(reps_T.tolist()) - {-1}) == examined.truth_N[row]
    assert examined.action_name(row) == f"{examined.action_N[row]} move e"


def test_a_method_without_an_encoder_is_refused(home: Home, tiny_run: Callable[..., Run]) -> None:
    folder = finished(tiny_run(Fourier(), epochs=0), home)
    with pytest.raises(RunError, match="choose HL-RAC or TransRAC"):
        examine(folder, home)
