"""A run that is computed again under a new key says what made the key new."""

from pathlib import Path
from typing import Any

import pytest

from flag3d_ray.rerun import is_new, rerun_reason
from flag3d_ray.store import RunFolder

RECORD: dict[str, Any] = {
    "run": {"seed": 1},
    "digests": {"dataset": "d1", "split": "s1"},
    "sources": {"flag3d_ray.training.loop": "a", "flag3d_ray.data.clips": "b"},
}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"digests": {"dataset": "d0", "split": "s1"}}, "dataset changed"),
        ({"digests": {"dataset": "d1", "split": "s1", "text_encoder": "t"}}, "text encoder changed"),
        ({"sources": RECORD["sources"] | {"flag3d_ray.training.loop": "z"}}, "training.loop changed"),
        ({"sources": {"flag3d_ray.data.clips": "b"}}, "training.loop changed"),
        ({"digests": {"dataset": "d0"}, "sources": {}}, "dataset, split, data.clips, training.loop changed"),
    ],
)
def test_what_differs_is_named(other: dict[str, Any], reason: str) -> None:
    assert rerun_reason(RECORD, [RECORD | other]) == f"computed before, again now: {reason}"


def test_a_record_that_does_not_tell_its_sources_differs_in_them() -> None:
    other = {name: value for name, value in RECORD.items() if name != "sources"}
    assert rerun_reason(RECORD, [other]) == "computed before, again now: source changed"


def test_of_several_the_nearest_is_compared() -> None:
    far = RECORD | {"digests": {}, "sources": {}}
    near = RECORD | {"digests": {"dataset": "d1", "split": "s0"}}
    assert rerun_reason(RECORD, [far, near]) == "computed before, again now: split changed"


@pytest.mark.parametrize("earlier", [[], [RECORD | {"run": {"seed": 2}, "digests": {}}], [{"status": "missing"}]])
def test_what_was_never_asked_before_is_not_asked_again(earlier: list[dict[str, Any]]) -> None:
    assert rerun_reason(RECORD, earlier) == ""


def test_a_run_is_new_until_a_launch_has_described_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "0123")
    assert is_new(folder)
    folder.write_record(status="started")
    assert is_new(folder)
    folder.write_record(run={"seed": 1})
    assert not is_new(folder)
