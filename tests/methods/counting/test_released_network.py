"""The released network, written again as plain loops, equals ours, and so does each of its quirks taken back alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.hl_rac import HLRAC, RELEASED
from flag3d_ray.methods.counting.released_weights import from_released
from flag3d_ray.models.hlgcn_plain import merge
from flag3d_ray.sample import Batch

V = 24


class Loops:
    """The network of one clip in float64, from its description; arrays of the encoder are [C, T, V]."""

    def __init__(self, tensors: dict[str, Tensor], method: HLRAC) -> None:
        self.weights = {name: tensor.numpy() for name, tensor in tensors.items()}
        self.sizes, self.profile = method, method.profile

    def layer(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        """Of the last axis."""
        weight, bias = self.layer(name)
        return x @ weight.T + bias

    def pointwise(self, name: str, x_CTV: np.ndarray) -> np.ndarray:
        weight, bias = self.layer(name)
        return np.tensordot(weight[:, :, 0, 0], x_CTV, axes=1) + bias[:, None, None]

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        """Batch normalisation of the first axis with stored statistics."""
        weight, bias = self.layer(name)
        y = np.empty_like(x)
        for channel in range(len(x)):
            deviation = math.sqrt(self.weights[f"{name}.running_var"][channel] + 1e-5)
            y[channel] = (x[channel] - self.weights[f"{name}.running_mean"][channel]) / deviation
            y[channel] = y[channel] * weight[channel] + bias[channel]
        return y

    def layer_norm(self, name: str, x: np.ndarray) -> np.ndarray:
        weight, bias = self.layer(name)
        mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias

    def slide(self, name: str, x_CN: np.ndarray) -> np.ndarray:
        """A convolution to one channel, zeros outside."""
        weight, bias = self.layer(name)
        y = np.full(x_CN.shape[1], bias[0])
        for position in range(len(y)):
            for tap in range(weight.shape[2]):
                source = position + tap - weight.shape[2] // 2
                if 0 <= source < len(y):
                    y[position] += weight[0, :, tap] @ x_CN[:, source]
        return y

    def density(self, joints_TVC: np.ndarray, text_D: np.ndarray) -> np.ndarray:
        points_V = self.linear("text_encoder.0", text_D)
        points_V = self.linear("text_encoder.2", self.layer_norm("text_encoder.1", points_V))
        x = self.read(joints_TVC)
        for number in range(len(self.sizes.widths)):
            x = self.block(f"backbone.gcn.{number}", x, points_V, first=number == 0)
        features_TF = np.stack([x[:, frame].ravel() for frame in range(len(joints_TVC))])
        return self.head(self.similarity(features_TF))

    def read(self, joints_TVC: np.ndarray) -> np.ndarray:
        frames = len(joints_TVC)
        x = np.empty((3, frames, V))
        for frame in range(frames):
            memory = joints_TVC[frame].ravel()
            for channel in range(3):
                for joint in range(V):
                    scrambled = self.profile.axes == "scrambled"
                    x[channel, frame, joint] = memory[channel * V + joint if scrambled else joint * 3 + channel]
        channels = x.transpose(0, 2, 1).reshape(3 * V, frames)
        return self.norm("backbone.data_bn", channels).reshape(3, V, frames).transpose(0, 2, 1)

    def block(self, name: str, x: np.ndarray, points_V: np.ndarray, first: bool) -> np.ndarray:
        y = self.attention(f"{name}.gcn", self.graph(f"{name}.gcn", x, points_V))
        weight, bias = self.layer(f"{name}.tcn.conv")
        convolved = np.zeros_like(y) + bias[:, None, None]
        for frame in range(y.shape[1]):
            for tap in range(9):
                if 0 <= frame + tap - 4 < y.shape[1]:
                    convolved[:, frame] += weight[:, :, tap, 0] @ y[:, frame + tap - 4]
        y = self.norm(f"{name}.tcn.bn", convolved)
        if not first and x.shape == y.shape:
            y = y + x
        elif not first:
            y = y + self.norm(f"{name}.residual.bn", self.pointwise(f"{name}.residual.conv", x))
        return np.maximum(y, 0)

    def graph(self, name: str, x: np.ndarray, points_V: np.ndarray) -> np.ndarray:
        total = 0.0
        for subset in range(3):
            a, b = (self.pointwise(f"{name}.{side}.{subset}", x) for side in ("conv_a", "conv_b"))
            mixing = self.weights[f"{name}.A"][subset].copy()
            for source in range(V):
                for target in range(V):
                    similarity = math.tanh((a[:, :, source] * b[:, :, target]).sum() / a[:, :, 0].size)
                    text = points_V[target if self.profile.text_axis == "target" else source]
                    mixing[source, target] += self.weights[f"{name}.alpha"][0] * similarity + similarity * text
            received = np.zeros_like(x)
            for target in range(V):
                for source in range(V):
                    received[:, :, target] += x[:, :, source] * mixing[source, target]
            total = total + self.pointwise(f"{name}.conv_d.{subset}", received)
        y = self.norm(f"{name}.bn", np.asarray(total))
        if x.shape == y.shape:
            return np.maximum(y + x, 0)
        return np.maximum(y + self.norm(f"{name}.down.1", self.pointwise(f"{name}.down.0", x)), 0)

    def attention(self, name: str, y: np.ndarray) -> np.ndarray:
        y = y * (1 + _sigmoid(self.slide(f"{name}.conv_sa", y.mean(axis=1))))[None, None, :]
        y = y * (1 + _sigmoid(self.slide(f"{name}.conv_ta", y.mean(axis=2))))[None, :, None]
        hidden = np.maximum(self.linear(f"{name}.fc1c", y.mean(axis=(1, 2))), 0)
        return y * (1 + _sigmoid(self.linear(f"{name}.fc2c", hidden)))[:, None, None]

    def similarity(self, features_TF: np.ndarray) -> np.ndarray:
        query, key = (self.linear(f"sims.linear_{side}", features_TF) for side in "qk")
        divisor = 8.0 if self.profile.divisor == "fixed" else math.sqrt(self.sizes.similarity_width)
        return np.stack(
            [_softmax(query[:, h] @ key[:, h].T / divisor) for h in _heads(query, self.sizes.similarity_heads)]
        )

    def head(self, image_HTT: np.ndarray) -> np.ndarray:
        weight, bias = self.layer("conv3x3")
        padded = np.pad(image_HTT, ((0, 0), (1, 1), (1, 1)))
        frames, channels = image_HTT.shape[1], len(bias)
        convolved = np.empty((channels, frames, frames))
        for row in range(frames):
            for column in range(frames):
                patch = padded[:, row : row + 3, column : column + 3]
                convolved[:, row, column] = [(kernel * patch).sum() for kernel in weight] + bias
        y = np.maximum(self.norm("bn2", convolved), 0)
        rows = np.array([[y[c, row, j] for j in range(frames) for c in range(channels)] for row in range(frames)])
        x = self.layer_norm("ln1", np.maximum(self.linear("input_projection", rows), 0))
        x = x + self.weights["transEncoder.pos_encoder.pe"][:, 0]
        for number in range(self.sizes.layers):
            x = self.transformer(f"transEncoder.trans_encoder.layers.{number}", x)
        x = self.layer_norm("transEncoder.trans_encoder.norm", x)
        x = np.maximum(self.layer_norm("FC.layers.1", self.linear("FC.layers.0", x)), 0)
        return self.linear("FC.layers.7", np.maximum(self.linear("FC.layers.4", x), 0))[:, 0]

    def transformer(self, name: str, x: np.ndarray) -> np.ndarray:
        attention = f"{name}.self_attn"
        joined = x @ self.weights[f"{attention}.in_proj_weight"].T + self.weights[f"{attention}.in_proj_bias"]
        query, key, value = np.split(joined, 3, axis=1)
        heads = [
            _softmax(query[:, h] @ key[:, h].T / math.sqrt(query[:, h].shape[1])) @ value[:, h]
            for h in _heads(query, self.sizes.attention_heads)
        ]
        attended = self.linear(f"{attention}.out_proj", np.concatenate(heads, axis=1))
        x = self.layer_norm(f"{name}.norm1", x + attended)
        hidden = np.maximum(self.linear(f"{name}.linear1", x), 0)
        return self.layer_norm(f"{name}.norm2", x + self.linear(f"{name}.linear2", hidden))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _heads(projected: np.ndarray, heads: int) -> list[slice]:
    width = projected.shape[1] // heads
    return [slice(head * width, (head + 1) * width) for head in range(heads)]


def _batch(read: Shapes) -> Batch:
    generator = torch.Generator().manual_seed(3)
    return Batch(
        clip_ids=("first", "second"),
        joints_BTVC=torch.randn(2, read.frames, V, 3, generator=generator, dtype=torch.float64),
        valid_BT=torch.ones(2, read.frames, dtype=torch.bool),
        text_BLD=torch.randn(2, 1, read.text_width, generator=generator, dtype=torch.float64),
        text_valid_BL=torch.ones(2, 1, dtype=torch.bool),
    )


class Networks:
    """Our networks that differ from the released one in single fields of the profile."""

    def __init__(self, method: HLRAC, read: Shapes) -> None:
        self.method, self.read = method, read

    def fresh(self, **switch) -> nn.Module:
        """Initial weights of one seed."""
        method = replace(self.method, profile=replace(RELEASED, **switch))
        return method.build(self.read, 5).double().eval()

    @torch.no_grad()
    def density(self, network: nn.Module) -> np.ndarray:
        return network(_batch(self.read)).numpy()

    def difference(self, first: nn.Module, second: nn.Module) -> float:
        return np.abs(self.density(first) - self.density(second)).max()


@pytest.fixture
def networks(released_method: HLRAC, released_input: Shapes) -> Networks:
    return Networks(released_method, released_input)


SWITCHES = [{}, {"axes": "correct"}, {"text_axis": "source"}, {"divisor": "head_width"}]


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: str(*switch) or "released")
def test_the_released_network_and_each_quirk_taken_back_alone_match_plain_loops(networks, released_checkpoint, switch):
    network, released = networks.fresh(**switch), networks.fresh()
    for each in (network, released):
        each.load_state_dict(from_released(released_checkpoint))
    loops = Loops(released_checkpoint, replace(networks.method, profile=replace(RELEASED, **switch)))
    batch = _batch(networks.read)
    clips = zip(batch.joints_BTVC.numpy(), batch.text_BLD[:, 0].numpy(), strict=True)
    expected = np.stack([loops.density(joints, text) for joints, text in clips])
    assert expected.std() > 0.01
    np.testing.assert_allclose(networks.density(network), expected, rtol=1e-6, atol=1e-6)
    assert not switch or networks.difference(network, released) > 1e-3


def test_the_orientation_changes_nothing_but_the_graphs_that_training_starts_from(networks):
    released, inward = networks.fresh(), networks.fresh(orientation="inward")
    first, second = released.state_dict(), inward.state_dict()
    differing = {name for name in first if not torch.equal(first[name], second[name])}
    assert differing == {f"encoder.blocks.{block}.graph.adjacency" for block in range(len(networks.method.widths))}
    assert networks.difference(released, inward) > 1e-6
    inward.load_state_dict(first)
    assert networks.difference(released, inward) == 0


def test_leftovers_are_parameters_that_no_output_depends_on(networks, released_checkpoint):
    network, lean = networks.fresh(), networks.fresh(leftovers=False)
    state = from_released(released_checkpoint)
    network.load_state_dict(state)
    encoder = merge({n.removeprefix("encoder."): value for n, value in state.items() if n.startswith("encoder.")})
    folded = {name: value for name, value in state.items() if name in lean.state_dict()}
    folded["head.norm.running_mean"] = state["head.norm.running_mean"] - state["head.conv.bias"]
    lean.load_state_dict(folded | {f"encoder.{name}": value for name, value in encoder.items()})
    assert networks.difference(network, lean) < 1e-12
    counts = [sum(parameter.numel() for parameter in each.parameters()) for each in (network, lean)]
    dead_value, leftover_norm = 8 * (4 * V + 1), 2 * 8
    widths, down, residual, conv = 4 + 6 + 6 + 4, 4 + 6 + 4, 6 + 4, 3
    assert counts[0] - counts[1] == dead_value + leftover_norm + (3 + 1) * widths + down + residual + conv


def test_the_initialization_changes_the_weights_that_training_starts_from_and_nothing_else(networks):
    framework = networks.fresh(leftovers=False)
    recipe = networks.fresh(leftovers=False, initialization="recipe")
    assert networks.difference(framework, recipe) > 1e-3
    recipe.load_state_dict(framework.state_dict())
    assert networks.difference(framework, recipe) == 0


@pytest.mark.parametrize(("switch", "alike"), [({}, True), ({"leftovers": False, "initialization": "recipe"}, False)])
def test_transformer_layers_start_as_copies_of_one_with_the_frameworks_initial_weights_only(networks, switch, alike):
    state = networks.fresh(**switch).state_dict()
    first = [name for name in state if name.startswith("head.transformer.0.") and state[name].std() > 0]
    second = [name.replace(".0.", ".1.", 1) for name in first]
    assert len(first) > 3
    assert {torch.equal(state[a], state[b]) for a, b in zip(first, second, strict=True)} == {alike}
