"""Sequences that stand in a dataset twice: whole, or a part of another one."""

from dataclasses import replace

import numpy as np
import pytest

from flag3d_ray.data.doctor.copies import SHORTEST, Copies, Copy
from flag3d_ray.sample import Sample


def noise(seed: int, frames: int = 300) -> np.ndarray:
    """[1, T, 24, 3]"""
    return np.random.default_rng(seed).normal(size=(1, frames, 24, 3)).astype(np.float32)


@pytest.fixture
def copies(tiny_sample):
    def find(*joints: np.ndarray) -> list[Copy]:
        found = Copies()
        for joints_MTVC in joints:
            found.add(_with(tiny_sample(0), joints_MTVC))
        return list(found.found())

    return find


def _with(sample: Sample, joints_MTVC: np.ndarray) -> Sample:
    return replace(sample, joints_MTVC=joints_MTVC, reps_R2=np.empty((0, 2), np.int32), keys_RS=None)


def test_different_sequences_are_no_copies(copies) -> None:
    assert copies(*map(noise, range(6))) == []


def test_the_same_joints_are_a_whole_copy_of_the_first(copies) -> None:
    first, second = copies(noise(0), noise(1), noise(0), noise(0))
    assert first == Copy(part=2, of=0, start=0, end=300, shift=0, whole=True)
    assert second == Copy(part=3, of=0, start=0, end=300, shift=0, whole=True)


@pytest.mark.parametrize("order", [1, -1])
def test_a_part_of_another_sequence_is_found_with_its_place_whichever_comes_first(copies, order) -> None:
    (found,) = copies(*[noise(0), noise(0)[:, 100:200]][::order])
    assert (found.part, found.of) == ((1, 0) if order == 1 else (0, 1))
    assert (found.shift, found.whole) == (100, False)
    assert 0 <= found.start <= 16
    assert 84 <= found.end <= 100


def test_two_sequences_that_overlap_are_found(copies) -> None:
    (found,) = copies(noise(0)[:, :200], noise(0)[:, 150:])
    assert abs(found.shift) == 150
    assert found.end - found.start <= 50


@pytest.mark.parametrize("start", range(0, 200, 13))
def test_a_part_of_the_shortest_length_is_always_found(copies, start) -> None:
    part = np.concatenate([noise(1, 60), noise(0)[:, start : start + SHORTEST], noise(2, 60)], axis=1)
    (found,) = copies(noise(0), part)
    assert found.shift == start - 60


def test_inner_joints_that_a_reader_estimates_anew_do_not_hide_a_part(copies) -> None:
    part = noise(0)[:, 100:200].copy()
    part[:, :, 16] += 0.001  # the left hip
    assert [found.shift for found in copies(noise(0), part)] == [100]


def test_poses_and_padding_that_sequences_share_are_no_copies(copies) -> None:
    pose, absent = np.repeat(noise(9, 1), 50, axis=1), np.zeros((1, 50, 24, 3), np.float32)
    one = np.concatenate([pose, noise(1, 100), absent], axis=1)
    other = np.concatenate([pose, noise(2, 80), absent, noise(3, 20)], axis=1)
    assert copies(one, other) == []


def test_of_many_that_share_a_part_each_is_found_once(copies) -> None:
    parts = [noise(0)[:, start : start + 100] for start in (0, 50, 100, 150)]
    found = copies(noise(0), *parts)
    assert {copy.part for copy in found} | {copy.of for copy in found} == {0, 1, 2, 3, 4}
    assert len({(copy.part, copy.of) for copy in found}) == len(found)


def test_sequences_shorter_than_a_window_are_compared_whole(copies) -> None:
    assert [copy.whole for copy in copies(noise(0, 5), noise(0, 5), noise(0, 8))] == [True]


def test_the_same_numbers_in_another_shape_are_another_sequence(copies) -> None:
    two_people = noise(0).reshape(2, 150, 24, 3)
    assert copies(noise(0), two_people) == []
