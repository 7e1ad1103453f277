"""Checkpoints of the released network: each tensor has its place, or is named and refused."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from flag3d_ray.errors import DataError
from flag3d_ray.methods.counting.released_weights import (
    from_released,
    read_released,
    released_names,
    released_network,
)


def test_sizes_are_read_from_the_tensors(released_checkpoint, released_method, released_input):
    assert released_network(released_checkpoint) == (released_method, released_input)


def test_every_tensor_of_ours_has_names_of_its_own_and_two_released_ones_are_left(
    released_checkpoint, released_method, released_input
):
    state = released_method.build(released_input, 0).state_dict()
    names = [each for name in state for each in released_names(name)]
    assert len(names) == len(set(names))
    assert set(released_checkpoint) - set(names) == {"backbone.A", "transEncoder.pos_encoder.pe"}
    assert set(names) < set(released_checkpoint)
    released_method.build(released_input, 0).load_state_dict(from_released(released_checkpoint), strict=True)
    with pytest.raises(KeyError):
        released_names("encoder.blocks.0.graph.theta")


def test_missing_tensors_are_named(released_checkpoint):
    kinds = {re.sub(r"\d+", "#", name): name for name in released_checkpoint}  # one of each
    names = sorted(kinds.values())
    for start in range(0, len(names), 12):
        missing = names[start : start + 12]
        rest = {name: value for name, value in released_checkpoint.items() if name not in missing}
        with pytest.raises(DataError) as caught:
            from_released(rest, "some.ckpt")
        assert caught.value.where == "some.ckpt"
        sized = "sizes of the network" in caught.value.rule
        assert (
            any(name in caught.value.rule for name in missing)
            if sized
            else all(name in caught.value.rule for name in missing)
        )


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"backbone.gcn.1.gcn.PA": (3, 24, 24)}, "unknown: backbone.gcn.1.gcn.PA"),
        ({"bn2.weight": (4,)}, r"of another shape: bn2.weight \[4\] instead of \[3\]"),
        ({"backbone.gcn.0.gcn.alpha": ()}, r"alpha \[\] instead of \[1\]"),
        ({"sims.linear_k.bias": (9,)}, r"sims.linear_k.bias \[9\] instead of \[8\]"),
        ({"sims.linear_q.weight": (9, 96)}, r"sims.linear_q.weight \[9, 96\] instead of \[8, 96\]"),
        ({"conv3x3.weight": (3, 4)}, r"conv3x3.weight \[3, 4\] instead of \[3, 4, 3, 3\]"),
        ({"conv3x3.weight": ()}, r"conv3x3.weight is of shape \[\]"),
        ({"input_projection.weight": (7, 48)}, "7 rows, which 4 heads do not divide"),
        ({"FC.layers.0.weight": (0, 8)}, r"FC.layers.0.weight is of shape \[0, 8\]"),
        ({"a": (1,), "b": (1,), "bn1.bias": (2,)}, r"unknown: a, b; of another shape: bn1.bias \[2\]"),
    ],
)
def test_unknown_and_misshaped_tensors_are_named(released_checkpoint, changes, rule):
    changed = released_checkpoint | {name: torch.zeros(shape) for name, shape in changes.items()}
    with pytest.raises(DataError, match=rule):
        from_released(changed)


def test_quantised_weights_and_other_positions_are_refused(released_checkpoint):
    quantised = released_checkpoint | {"bn1.weight": torch.zeros(8, dtype=torch.int8)}
    with pytest.raises(DataError, match=r"another kind of number: bn1.weight torch.int8"):
        from_released(quantised)
    name = "transEncoder.pos_encoder.pe"
    for value in (released_checkpoint[name] + 0.01, released_checkpoint[name] * float("nan")):
        with pytest.raises(DataError, match="off the sinusoids"):
            from_released(released_checkpoint | {name: value})


@pytest.mark.parametrize("prefix", ["", "module.", "model._orig_mod."])
def test_a_prefix_that_all_names_share_is_dropped(tmp_path: Path, released_checkpoint, prefix):
    save_file({prefix + name: tensor for name, tensor in released_checkpoint.items()}, tmp_path / "file.safetensors")
    read = read_released(tmp_path / "file.safetensors")
    assert read.keys() == released_checkpoint.keys()
    assert all(torch.equal(read[name], released_checkpoint[name]) for name in released_checkpoint)
