from dataclasses import replace

import pytest
import torch

from flag3d_ray.models.cycle_network import CycleNetwork, DetectorSizes
from flag3d_ray.models.deformable_attention import DeformableAttention

B, T, F = 2, 12, 6
SIZES = DetectorSizes(
    model_width=8,
    attention_heads=2,
    points=3,
    feed_forward=16,
    encoder_layers=2,
    decoder_layers=3,
    queries=7,
    positions="sinusoidal",
    cross_query="normalized",
)


def _network(**changes) -> CycleNetwork:
    torch.manual_seed(0)
    network = CycleNetwork(F, T, replace(SIZES, **changes)).double()
    for attention in (module for module in network.modules() if isinstance(module, DeformableAttention)):
        torch.nn.init.normal_(attention.offset.weight, std=0.3)
        torch.nn.init.normal_(attention.weight.weight, std=0.3)
    return network


def _features() -> torch.Tensor:
    return torch.randn(B, T, F, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _valid(*lengths: int) -> torch.Tensor:
    return torch.arange(T) < torch.tensor(lengths)[:, None]


def test_every_layer_has_one_segment_per_query_inside_the_clip():
    decoded = _network()(_features(), _valid(12, 9))
    assert len(decoded.layers) == len(decoded.features) == 3
    for detections in (decoded.proposals, *decoded.layers):
        assert detections.logits_BQ2.shape == detections.segments_BQ2.shape == (B, 7, 2)
        assert detections.iou_BQ.shape == detections.centredness_BQ.shape == (B, 7)
        assert ((detections.segments_BQ2 > 0) & (detections.segments_BQ2 < 1)).all()


def test_there_are_no_more_queries_than_frames():
    assert _network(queries=96).queries == T


def test_queries_are_the_frames_with_the_highest_scores_of_a_repetition():
    network, valid = _network(), _valid(12, 9)
    decoded = network(_features(), valid)
    features = network.proposal(decoded.memory_BTF)
    scores = network.class_heads[-1](features)[..., 0]
    for clip, length in enumerate((12, 9)):
        best = scores[clip, :length].argsort(descending=True)[:7]
        torch.testing.assert_close(decoded.content_BQF[clip], features[clip, best])
        torch.testing.assert_close(decoded.proposals.logits_BQ2[clip, :, 0], scores[clip, best])
        offset = network.segment_heads[-1](features[clip, best])
        centre = torch.logit((best + 0.5) / length)
        torch.testing.assert_close(decoded.proposals.segments_BQ2[clip, :, 0].logit(), offset[:, 0] + centre)
        torch.testing.assert_close(decoded.proposals.segments_BQ2[clip, :, 1].logit(), offset[:, 1])
    assert not decoded.content_BQF.requires_grad


def test_padding_is_neither_read_nor_proposed():
    network, valid, x = _network(), _valid(12, 5), _features()
    decoded = network(x, valid)
    assert decoded.layers[-1].real_BQ.sum(dim=1).tolist() == [7, 5]
    other = x.clone()
    other[~valid] = 40.0
    real = decoded.layers[-1].real_BQ
    again = network(other, valid).layers[-1]
    torch.testing.assert_close(again.segments_BQ2[real], decoded.layers[-1].segments_BQ2[real], rtol=0, atol=0)
    torch.testing.assert_close(again.logits_BQ2[real], decoded.layers[-1].logits_BQ2[real], rtol=0, atol=0)


def test_each_layer_refines_the_segments_of_the_one_before_in_logits():
    network = _network()
    decoded = network(_features(), _valid(12, 12))
    first = network.segment_heads[0](decoded.features[0])
    learned = network.reference(network.query_positions).squeeze(-1)
    torch.testing.assert_close(decoded.layers[0].segments_BQ2[..., 0].logit(), first[..., 0] + learned)
    torch.testing.assert_close(decoded.layers[0].segments_BQ2[..., 1].logit(), first[..., 1])
    for layer in (1, 2):
        step = network.segment_heads[layer](decoded.features[layer])
        before = decoded.layers[layer - 1].segments_BQ2.logit()
        torch.testing.assert_close(decoded.layers[layer].segments_BQ2.logit(), before + step)


def test_only_the_last_layer_is_normalised_again():
    network = _network()
    decoded = network(_features(), _valid(12, 12))
    x, reference = decoded.content_BQF, network.reference(network.query_positions).sigmoid().expand(B, -1, -1)
    for index, layer in enumerate(network.decoder_layers):
        x = layer(x, decoded.memory_BTF, _valid(12, 12), reference, decoded.proposals.real_BQ)
        torch.testing.assert_close(decoded.features[index], network.norm(x) if index == 2 else x)
        reference = decoded.layers[index].segments_BQ2


def test_shown_segments_stay_where_they_are():
    network, valid = _network(), _valid(12, 12)
    decoded = network(_features(), valid)
    fixed = torch.rand(B, 7, 2).double()
    features, _ = network.decode(decoded.content_BQF, decoded.memory_BTF, valid, decoded.proposals.real_BQ, fixed)
    x = decoded.content_BQF
    for index, layer in enumerate(network.decoder_layers):
        x = layer(x, decoded.memory_BTF, valid, fixed, decoded.proposals.real_BQ)
        torch.testing.assert_close(features[index], network.norm(x) if index == 2 else x)


def test_first_segments_are_short_and_positions_can_be_left_out():
    assert _network().segment_heads[0].state_dict()["4.bias"][1] == -2.0
    plain = _network(positions="none")
    assert plain.positions_TF is None
    assert (
        plain(_features(), _valid(12, 12)).memory_BTF - _network()(_features(), _valid(12, 12)).memory_BTF
    ).abs().max() > 0


def test_segments_have_full_precision_under_autocast():
    network = _network().float()
    with torch.autocast("cpu", torch.bfloat16):
        decoded = network(_features().float(), _valid(12, 9))
    assert decoded.layers[-1].segments_BQ2.dtype == torch.float32
    assert decoded.layers[-1].logits_BQ2.dtype == torch.float32
    with pytest.raises(AssertionError):
        torch.testing.assert_close(decoded.layers[-1].segments_BQ2.bfloat16().float(), decoded.layers[-1].segments_BQ2)
