"""A checkpoint with the names of the authors' released network, made up from shapes, in small sizes."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.hl_rac import HLRAC, RELEASED

V = 24
VARIANCES = {"backbone.gcn": 16.0, "bn2": 0.1}  # about those of the activations, so that neither grows nor vanishes


@pytest.fixture(scope="session")
def released_method() -> HLRAC:
    """Two of its widths are equal: that block has no convolution in its residual paths."""
    return HLRAC(
        profile=RELEASED,
        widths=(4, 6, 6, 4),
        similarity_width=2,
        conv_channels=3,
        model_width=8,
        feed_forward=6,
        layers=2,
        density_widths=(12, 8),
    )


@pytest.fixture(scope="session")
def released_input() -> Shapes:
    """What its network reads."""
    return Shapes(frames=16, layout="flag3d24", text_width=10)


@pytest.fixture(scope="session")
def released_checkpoint(released_method: HLRAC, released_input: Shapes) -> dict[str, Tensor]:
    """Its tensors in float64, every one away from the values at which terms vanish."""
    rng = np.random.default_rng(0)
    tensors = {}
    for name, shape in _shapes(released_method, released_input):
        value = rng.normal(size=shape) * (0.2 if len(shape) == 1 else 1 / math.sqrt(max(1, math.prod(shape[1:]))))
        if name.endswith("running_var"):
            value = rng.uniform(0.5, 1.5, shape) * next((v for k, v in VARIANCES.items() if name.startswith(k)), 1.0)
        elif name.endswith("weight") and len(shape) == 1:
            value = 1 + value
        elif name.endswith("alpha"):
            value = np.full(shape, 0.7)
        elif name.endswith("num_batches_tracked"):
            value = np.array(7)
        elif name.endswith("pos_encoder.pe"):
            value = _positions(released_input.frames, released_method.model_width)[:, None]
        tensors[name] = torch.from_numpy(np.asarray(value))
    return tensors


def _positions(frames: int, width: int) -> np.ndarray:
    table_TF = np.zeros((frames, width))
    for frame in range(frames):
        for pair in range(width // 2):
            angle = frame / 10000.0 ** (2 * pair / width)
            table_TF[frame, 2 * pair], table_TF[frame, 2 * pair + 1] = math.sin(angle), math.cos(angle)
    return table_TF


Shaped = Iterator[tuple[str, tuple[int, ...]]]


def _shapes(sizes: HLRAC, read: Shapes) -> Shaped:
    """Names and shapes of a released checkpoint."""
    model, first, second = sizes.model_width, *sizes.density_widths
    yield "backbone.A", (3, V, V)
    yield from _norm("backbone.data_bn", 3 * V)
    for number, (width, out) in enumerate(zip((3, *sizes.widths[:-1]), sizes.widths, strict=True)):
        yield from _block(f"backbone.gcn.{number}", width, out, residual=number > 0)
    yield from _layer("text_encoder.0", read.text_width // 2, read.text_width)
    yield from _layer("text_encoder.1", read.text_width // 2)
    yield from _layer("text_encoder.2", V, read.text_width // 2)
    for side in "qkv":
        yield from _layer(f"sims.linear_{side}", sizes.similarity_heads * sizes.similarity_width, sizes.widths[-1] * V)
    yield from _norm("bn1", model)
    yield from _layer("conv3x3", sizes.conv_channels, sizes.similarity_heads, 3, 3)
    yield from _norm("bn2", sizes.conv_channels)
    yield from _layer("input_projection", model, read.frames * sizes.conv_channels)
    yield from _layer("ln1", model)
    yield "transEncoder.pos_encoder.pe", (read.frames, 1, model)
    for number in range(sizes.layers):
        yield from _transformer(f"transEncoder.trans_encoder.layers.{number}", model, sizes.feed_forward)
    yield from _layer("transEncoder.trans_encoder.norm", model)
    yield from _layer("FC.layers.0", first, model)
    yield from _layer("FC.layers.1", first)
    yield from _layer("FC.layers.4", second, first)
    yield from _layer("FC.layers.7", 1, second)


def _block(name: str, width: int, out: int, *, residual: bool) -> Shaped:
    yield f"{name}.gcn.A", (3, V, V)
    yield f"{name}.gcn.alpha", (1,)
    for subset in range(3):
        yield from _layer(f"{name}.gcn.conv_a.{subset}", out // 4, width, 1, 1)
        yield from _layer(f"{name}.gcn.conv_b.{subset}", out // 4, width, 1, 1)
        yield from _layer(f"{name}.gcn.conv_d.{subset}", out, width, 1, 1)
    yield from _norm(f"{name}.gcn.bn", out)
    yield from _layer(f"{name}.gcn.conv_sa", 1, out, 23)
    yield from _layer(f"{name}.gcn.conv_ta", 1, out, 9)
    yield from _layer(f"{name}.gcn.fc1c", out // 2, out)
    yield from _layer(f"{name}.gcn.fc2c", out, out // 2)
    yield from _layer(f"{name}.tcn.conv", out, out, 9, 1)
    yield from _norm(f"{name}.tcn.bn", out)
    if width != out:
        yield from _layer(f"{name}.gcn.down.0", out, width, 1, 1)
        yield from _norm(f"{name}.gcn.down.1", out)
    if residual and width != out:
        yield from _layer(f"{name}.residual.conv", out, width, 1, 1)
        yield from _norm(f"{name}.residual.bn", out)


def _transformer(name: str, width: int, hidden: int) -> Shaped:
    yield f"{name}.self_attn.in_proj_weight", (3 * width, width)
    yield f"{name}.self_attn.in_proj_bias", (3 * width,)
    yield from _layer(f"{name}.self_attn.out_proj", width, width)
    yield from _layer(f"{name}.linear1", hidden, width)
    yield from _layer(f"{name}.linear2", width, hidden)
    yield from _layer(f"{name}.norm1", width)
    yield from _layer(f"{name}.norm2", width)


def _layer(name: str, *shape: int) -> Shaped:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def _norm(name: str, channels: int) -> Shaped:
    yield from _layer(name, channels)
    yield f"{name}.running_mean", (channels,)
    yield f"{name}.running_var", (channels,)
    yield f"{name}.num_batches_tracked", ()
