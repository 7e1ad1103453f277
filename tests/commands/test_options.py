"""Options that several verbs share."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from experiments import protocol
from flag3d_ray.commands.options import parse_seeds
from flag3d_ray.errors import RunError


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0", (0,)),
        ("0-2", (0, 1, 2)),
        ("3-3", (3,)),
        ("0,3,7", (0, 3, 7)),
        ("5, 1", (5, 1)),
        ("0-1,4-5,9", (0, 1, 4, 5, 9)),
    ],
)
def test_seeds_are_numbers_ranges_or_both(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", ",", "a", "1-", "-1", "0-2-4", "1.5", "0;1"])
def test_what_is_no_list_of_seeds_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RunError) as caught:
        parse_seeds(text)
    assert caught.value.where == f"--seeds {text}"
    assert "0-2" in caught.value.remedy


@pytest.mark.parametrize("text", ["1,1", "0-2,1", "2-0"])
def test_repeated_or_no_seeds_are_refused(text: str) -> None:
    with pytest.raises(RunError, match="empty or repeated"):
        parse_seeds(text)


@pytest.mark.parametrize("verb", ["table", "train", "sweep"])
def test_the_help_of_dataset_lists_those_that_have_a_protocol(flag3d: Callable[..., Any], verb: str) -> None:
    words = set(flag3d(verb, "--help").out.replace(",", " ").replace(".", " ").split())
    shown = {re.sub("procedural-no-.+", "procedural-no-GROUP", name) for name in protocol.DATASETS}
    assert shown <= words
