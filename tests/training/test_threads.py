"""Whoever calls the package keeps the number of threads that it computes with."""

import pytest
import torch

from flag3d_ray.training.threads import computing_with


def test_inside_torch_computes_with_what_was_asked_for_and_outside_with_what_was_there() -> None:
    before = torch.get_num_threads()
    with computing_with(before + 2):
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before


def test_an_error_inside_leaves_the_number_of_threads_as_it_was() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt), computing_with(before + 2):
        raise KeyboardInterrupt
    assert torch.get_num_threads() == before
