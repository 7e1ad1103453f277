from typing import get_args

import pytest
import torch

from flag3d_ray.models.cycle_transformer import (
    CrossQuery,
    DecoderLayer,
    EncoderLayer,
    RelationAttention,
    frame_centres,
    inverse_sigmoid,
    related,
    valid_share,
)

B, T, Q, F = 2, 6, 4, 8
VALID = torch.arange(T) < torch.tensor([[6], [3]])


def _queries(seed: int = 0) -> torch.Tensor:
    return torch.randn(B, Q, F, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_frames_lie_at_their_middles_and_padding_is_a_share():
    torch.testing.assert_close(frame_centres(VALID)[1], torch.tensor([1.0, 3.0, 5.0, 7.0, 9.0, 11.0]) / 12)
    assert valid_share(VALID).tolist() == [1.0, 0.5]


def test_logits_are_those_of_the_share_and_finite_at_the_ends():
    share = torch.tensor([0.0, 0.3, 1.0])
    logits = inverse_sigmoid(share)
    assert logits.isfinite().all()
    torch.testing.assert_close(logits.sigmoid(), share, atol=1e-4, rtol=0)


def test_queries_are_related_if_they_are_alike_and_elsewhere():
    features = torch.tensor([[[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [1.0, 0.2]]])
    segments = torch.tensor([[[0.1, 0.2], [0.5, 0.2], [0.9, 0.1], [0.11, 0.2]]])  # the first and the last coincide
    expected = torch.zeros(4, 4, dtype=torch.bool)
    for i in range(4):
        for j in range(4):
            start = [max(0.0, float(segments[0, k, 0] - segments[0, k, 1] / 2)) for k in (i, j)]
            end = [min(1.0, float(segments[0, k, 0] + segments[0, k, 1] / 2)) for k in (i, j)]
            shared = max(0.0, min(end) - max(start))
            iou = shared / (end[0] - start[0] + end[1] - start[1] - shared)
            cosine = torch.dot(features[0, i], features[0, j]) / features[0, i].norm() / features[0, j].norm()
            expected[i, j] = iou <= 0.2 and bool(cosine > 0.2)
    assert torch.equal(related(features, segments)[0], expected)
    assert expected[0].tolist() == [False, True, False, False]
    assert related(features, segments[..., :1]).all()


def test_relations_are_attention_among_related_queries():
    torch.manual_seed(0)
    relations, x = RelationAttention(F, 2).double(), _queries()
    mask = torch.rand(B, Q, Q) > 0.5
    mask |= torch.eye(Q, dtype=torch.bool)
    query, key, value = relations.query_key_value(x).split(F, dim=-1)
    expected = torch.zeros_like(x)
    for b in range(B):
        for head in (slice(0, 4), slice(4, 8)):
            for q in range(Q):
                seen = [k for k in range(Q) if mask[b, q, k]]
                share = torch.softmax(key[b, seen, head] @ query[b, q, head] / 2.0, dim=0)
                expected[b, q, head] = share @ value[b, seen, head]
    torch.testing.assert_close(relations(x, mask), expected)


def test_an_encoder_layer_has_one_norm_and_adds_positions_to_queries_only():
    torch.manual_seed(0)
    layer = EncoderLayer(F, 2, 3, 16).double()
    torch.nn.init.normal_(layer.attention.offset.weight)
    x, positions = torch.randn(B, T, F).double(), torch.randn(T, F).double()
    read = layer.attention(x + positions, x, VALID, frame_centres(VALID)[..., None])
    after = layer.norm(x + read)
    torch.testing.assert_close(layer(x, positions, VALID), after + layer.feed_forward(after))
    assert (layer(x, None, VALID) - layer(x, positions, VALID)).abs().max() > 1e-6


@pytest.mark.parametrize("cross_query", get_args(CrossQuery))
def test_a_decoder_layer_reads_frames_for_the_query_it_is_told_to(cross_query):
    torch.manual_seed(0)
    layer = DecoderLayer(F, 2, 3, 16, cross_query).double()
    torch.nn.init.normal_(layer.attention.offset.weight)
    x, memory = _queries(), torch.randn(B, T, F).double()
    reference, real = torch.rand(B, Q, 2).double(), torch.ones(B, Q, dtype=torch.bool)
    mask = related(x, reference) | torch.eye(Q, dtype=torch.bool)
    summed = x + layer.relations(x, mask)
    normal = layer.norm1(summed)
    asked = normal if cross_query == "normalized" else summed
    in_clip = reference * torch.tensor([1.0, 0.5])[:, None, None]
    read = layer.norm2(normal + layer.attention(asked, memory, VALID, in_clip))
    expected = layer.norm3(read + layer.feed_forward(read))
    torch.testing.assert_close(layer(x, memory, VALID, reference, real), expected)


def test_queries_on_padding_are_not_attended_to():
    torch.manual_seed(0)
    layer = DecoderLayer(F, 2, 3, 16, "normalized").double()
    x, memory, reference = _queries(), torch.randn(B, T, F).double(), torch.rand(B, Q, 1).double()
    real = torch.tensor([[True, True, True, False], [True, True, False, False]])
    other = x.clone()
    other[~real] = 9.0
    output = layer(x, memory, VALID, reference, real)
    torch.testing.assert_close(layer(other, memory, VALID, reference, real)[real], output[real], rtol=0, atol=0)
