"""What is read from an encoder is what it computed, and a joint's weight is its share in the graphs, by plain loops."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.hl_rac import HLRAC, RELEASED, Profile
from flag3d_ray.methods.counting.transrac import TransRAC
from flag3d_ray.models.hlgcn_plain import PlainGraphUnit, PlainHLGCN, merge
from flag3d_ray.models.inspection import encoder_features, graphs, joint_weights
from flag3d_ray.models.rac import RepetitionCounter
from flag3d_ray.sample import Batch

B, T, V, WIDTH = 2, 12, 24, 6
SIZES: dict[str, Any] = {
    "widths": (4, 8),
    "similarity_heads": 2,
    "similarity_width": 4,
    "conv_channels": 4,
    "model_width": 8,
    "attention_heads": 2,
    "feed_forward": 8,
    "layers": 1,
    "density_widths": (8, 8),
    "dropout": (0.5, 0.5, 0.5),
}
SHAPES = Shapes(frames=T, layout="flag3d24", text_width=WIDTH)


@pytest.fixture(scope="module")
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        clip_ids=("a", "b"),
        joints_BTVC=torch.randn(B, T, V, 3, generator=generator),
        valid_BT=torch.ones(B, T, dtype=torch.bool),
        text_BLD=torch.randn(B, 1, WIDTH, generator=generator),
        text_valid_BL=torch.ones(B, 1, dtype=torch.bool),
    )


def built(method: HLRAC | TransRAC) -> RepetitionCounter:
    """The network with every weight away from the values at which terms vanish."""
    network = method.build(SHAPES, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.3 * torch.randn(value.shape, generator=generator))
    return network


def released(fusion: str) -> RepetitionCounter:
    """The released network, but reading its joints as joints."""
    profile = Profile(axes="correct", leftovers=True, initialization="framework")
    return built(HLRAC(profile=profile, fusion=fusion, **SIZES))  # pyright: ignore[reportArgumentType]


def test_features_are_those_that_the_head_reads(batch: Batch) -> None:
    network = built(TransRAC(**SIZES))
    features_BTF = encoder_features(network, batch)
    assert features_BTF.shape == (B, T, 8 * V)
    density_BT = network.eval().head(features_BTF) / network.density_scale
    counts = [prediction.count for prediction in network.predict(batch)]
    assert density_BT.sum(dim=1).tolist() == pytest.approx(counts, rel=1e-5)


def test_looking_leaves_a_network_as_it_was(batch: Batch) -> None:
    network = built(TransRAC(**SIZES)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, second = encoder_features(network, batch), encoder_features(network, batch)
    assert torch.equal(first, second), "no dropout"
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("fusion", ["addition", "multiplication", "cross_attention"])
@pytest.mark.parametrize("part", ["whole", "data"])
def test_the_graphs_of_the_fast_network_are_those_of_the_plain_one(batch: Batch, fusion: Any, part: Any) -> None:
    plain = released(fusion).double().eval()
    fast = HLRAC(fusion=fusion, **SIZES).build(SHAPES, 0).double().eval()
    assert isinstance(plain.encoder, PlainHLGCN)
    fast.encoder.load_state_dict(merge(plain.encoder.state_dict()))
    assert fast.text is not None
    assert plain.text is not None
    fast.text.load_state_dict(plain.text.state_dict())
    batch = batch.to("cpu", torch.float64)
    ours, theirs = graphs(fast, batch, part), graphs(plain, batch, part)
    assert [graph.shape for graph in ours] == [(B, V, 3, V)] * 2
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_the_data_part_is_the_whole_graph_without_the_learned_adjacency(batch: Batch) -> None:
    network = released("multiplication")
    units = [unit for unit in network.modules() if isinstance(unit, PlainGraphUnit)]
    for unit, whole, data in zip(units, graphs(network, batch), graphs(network, batch, "data"), strict=True):
        for k, source, target in product(range(3), (0, 7), (3, 23)):
            learned = unit.adjacency[k, source, target].item()
            assert float(whole[0, target, k, source] - data[0, target, k, source]) == pytest.approx(learned, abs=1e-5)


@pytest.mark.parametrize("end", ["source", "target"])
def test_a_weight_is_the_share_in_the_absolute_entries_and_the_mean_over_blocks(batch: Batch, end: Any) -> None:
    network = built(HLRAC(**SIZES))
    found_BV = joint_weights(network, batch, end=end)
    for clip in range(B):
        expected = np.zeros(V)
        blocks = graphs(network, batch)
        for block in blocks:
            strength = np.zeros(V)
            for target, k, source in product(range(V), range(3), range(V)):
                strength[source if end == "source" else target] += abs(float(block[clip, target, k, source]))
            expected += strength / strength.sum() / len(blocks)
        assert found_BV[clip].tolist() == pytest.approx(expected.tolist(), rel=1e-4)
        assert float(found_BV[clip].sum()) == pytest.approx(1.0)


def test_language_moves_the_weights_of_hl_rac_and_not_those_of_transrac(batch: Batch) -> None:
    other = Batch(**{**vars(batch), "text_BLD": batch.text_BLD.flip(0)})
    guided, text_free = built(HLRAC(**SIZES)), built(TransRAC(**SIZES))
    assert not torch.allclose(joint_weights(guided, batch), joint_weights(guided, other), atol=1e-3)
    assert torch.equal(joint_weights(text_free, batch), joint_weights(text_free, other))


@pytest.mark.parametrize(
    ("profile", "said"),
    [(RELEASED, "mixture of unrelated joints"), (Profile(fuse_level="feature"), "no graph holds it")],
)
def test_a_network_without_a_graph_of_joints_has_no_weights(batch: Batch, profile: Profile, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        joint_weights(built(HLRAC(profile=profile, **SIZES)), batch)
