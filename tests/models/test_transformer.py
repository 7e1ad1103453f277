import torch
import torch.nn.functional as F

from flag3d_ray.models.transformer import FeedForward, MultiHeadAttention


def _attention() -> tuple[MultiHeadAttention, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return MultiHeadAttention(6, 2).double(), torch.randn(2, 3, 6).double(), torch.randn(2, 4, 6).double()


def _loop(
    attention: MultiHeadAttention, query: torch.Tensor, context: torch.Tensor, added: torch.Tensor
) -> torch.Tensor:
    """Softmax attention per clip, head and query, written out; `added` is [B, H, Q, K]."""
    key, value = attention.key_value(context).split(6, dim=-1)
    asked = attention.query(query)
    gathered = torch.zeros_like(query)
    for clip in range(2):
        for head in range(2):
            part = slice(3 * head, 3 * head + 3)
            for row in range(query.shape[1]):
                scores = (key[clip, :, part] @ asked[clip, row, part]) / 3**0.5 + added[clip, head, row]
                gathered[clip, row, part] = torch.softmax(scores, dim=0) @ value[clip, :, part]
    return attention.out(gathered)


def test_each_query_gets_the_softmax_mean_of_the_context():
    attention, query, context = _attention()
    torch.testing.assert_close(attention(query, context), _loop(attention, query, context, torch.zeros(2, 2, 3, 4)))


def test_a_floating_mask_is_added_to_the_scores_of_its_head():
    attention, query, context = _attention()
    bias = torch.randn(1, 2, 3, 4).double()
    expected = _loop(attention, query, context, bias.expand(2, -1, -1, -1))
    torch.testing.assert_close(attention(query, context, bias), expected)


def test_a_boolean_mask_hides_keys():
    attention, query, context = _attention()
    mask = torch.tensor([[True, True, True, False], [True, False, True, True]])[:, None, None].expand(-1, -1, 3, -1)
    hidden = torch.zeros(2, 2, 3, 4).masked_fill(~mask, -torch.inf)
    torch.testing.assert_close(attention(query, context, mask), _loop(attention, query, context, hidden))


def test_the_feed_forward_has_the_activation_it_is_given():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4)
    for activation in (F.gelu, F.relu):
        feed_forward = FeedForward(4, 8, activation)
        torch.testing.assert_close(feed_forward(x), feed_forward.contract(activation(feed_forward.expand(x))))
    assert not torch.equal(FeedForward(4, 8).activation(x), F.relu(x))
