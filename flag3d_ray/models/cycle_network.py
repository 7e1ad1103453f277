"""From features per frame to segments, one repetition each: the transformer of DeTRC with queries drawn from the clip."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from flag3d_ray.models.cycle_transformer import CrossQuery, DecoderLayer, EncoderLayer, inverse_sigmoid
from flag3d_ray.models.density_head import sinusoids
from flag3d_ray.models.set_prediction import Detections

Positions = Literal["sinusoidal", "none"]
# Probability of each class at first, as logits of a sigmoid: most queries are no repetition (RetinaNet).
_PRIOR = 0.01


@dataclass(frozen=True, kw_only=True)
class DetectorSizes:
    """Sizes of the transformer; see `methods.counting.detrc`."""

    model_width: int
    attention_heads: int
    points: int
    feed_forward: int
    encoder_layers: int
    decoder_layers: int
    queries: int
    positions: Positions
    cross_query: CrossQuery


@dataclass(frozen=True, eq=False)
class Decoded:
    """What the network made of B clips.

    Attributes:
        proposals: the frames that became queries, as detections.
        layers: the detections of each decoder layer; the last one's are the answer.
        features: the queries after each layer, [B, Q, F].
        content_BQF, memory_BTF: what the decoder was given.
    """

    proposals: Detections
    layers: list[Detections]
    features: list[Tensor]
    content_BQF: Float[Tensor, "B Q F"]
    memory_BTF: Float[Tensor, "B T F"]


class CycleNetwork(nn.Module):
    """Encoder over frames, the most promising frames as queries, decoder that refines a segment per query.

    Args:
        features: width of a frame.
        frames: clip length T. Each query starts from a frame of its own, so that there are at most T.
        sizes: widths and depths.
    """

    positions_TF: Tensor | None

    def __init__(self, features: int, frames: int, sizes: DetectorSizes) -> None:
        super().__init__()
        width, heads, points, hidden = sizes.model_width, sizes.attention_heads, sizes.points, sizes.feed_forward
        self.queries = min(sizes.queries, frames)
        self.embed = _xavier(features, width)
        positions = sinusoids(frames, width) if sizes.positions == "sinusoidal" else None
        self.register_buffer("positions_TF", positions, persistent=False)
        self.encoder_layers = nn.ModuleList(
            EncoderLayer(width, heads, points, hidden) for _ in range(sizes.encoder_layers)
        )
        self.proposal = nn.Sequential(_xavier(width, width), nn.LayerNorm(width))
        self.query_positions = nn.Parameter(torch.randn(self.queries, width))
        self.reference = _xavier(width, 1)
        self.decoder_layers = nn.ModuleList(
            DecoderLayer(width, heads, points, hidden, sizes.cross_query) for _ in range(sizes.decoder_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.class_heads = nn.ModuleList(_class_head(width) for _ in range(sizes.decoder_layers))
        self.segment_heads = nn.ModuleList(
            _segment_head(width, short=not layer) for layer in range(sizes.decoder_layers)
        )
        self.iou_head = nn.Linear(width, 1)
        self.centredness_head = nn.Linear(width, 1)

    def forward(self, features_BTF: Float[Tensor, "B T F"], valid_BT: Bool[Tensor, "B T"]) -> Decoded:
        """Detections of all layers; padding is neither read nor proposed."""
        memory_BTF = self.embed(features_BTF)
        for layer in self.encoder_layers:
            memory_BTF = layer(memory_BTF, self.positions_TF, valid_BT)
        proposals, content_BQF = self._propose(memory_BTF, valid_BT)
        features, layers = self.decode(content_BQF, memory_BTF, valid_BT, proposals.real_BQ)
        return Decoded(proposals, layers, features, content_BQF, memory_BTF)

    def _propose(self, memory_BTF: Tensor, valid_BT: Tensor) -> tuple[Detections, Tensor]:
        """The frames with the highest scores of a repetition, as detections and, cut from the gradient, as queries."""
        features_BTF = self.proposal(memory_BTF)
        frame_T = torch.arange(valid_BT.shape[1], device=valid_BT.device) + 0.5
        reference_BT1 = (frame_T / valid_BT.sum(dim=1, keepdim=True))[..., None]
        every = self._detect(-1, features_BTF, reference_BT1, valid_BT)
        score_BT = every.logits_BQ2[..., 0].detach().masked_fill(~valid_BT, -torch.inf)
        chosen_BQ1 = score_BT.topk(self.queries, dim=1).indices[..., None]
        proposals = Detections(
            logits_BQ2=every.logits_BQ2.take_along_dim(chosen_BQ1, dim=1),
            segments_BQ2=every.segments_BQ2.take_along_dim(chosen_BQ1, dim=1),
            iou_BQ=every.iou_BQ.take_along_dim(chosen_BQ1[..., 0], dim=1),
            centredness_BQ=every.centredness_BQ.take_along_dim(chosen_BQ1[..., 0], dim=1),
            real_BQ=valid_BT.take_along_dim(chosen_BQ1[..., 0], dim=1),
        )
        return proposals, features_BTF.take_along_dim(chosen_BQ1, dim=1).detach()

    def decode(
        self,
        content_BQF: Float[Tensor, "B Q F"],
        memory_BTF: Float[Tensor, "B T F"],
        valid_BT: Bool[Tensor, "B T"],
        real_BQ: Bool[Tensor, "B Q"],
        fixed_BQ2: Float[Tensor, "B Q 2"] | None = None,
    ) -> tuple[list[Tensor], list[Detections]]:
        """Features and detections of each decoder layer.

        A layer looks where the segments of the one before it lie, the first one at learned positions; all of them at
        `fixed_BQ2` (centre and width) where it is given.
        """
        reference = fixed_BQ2
        if reference is None:
            with _full_precision(memory_BTF):
                learned_Q1 = self.reference(self.query_positions).sigmoid()
            reference = learned_Q1.expand(len(content_BQF), -1, -1)
        x_BQF, features, layers = content_BQF, [], []
        for index, layer in enumerate(self.decoder_layers):
            x_BQF = layer(x_BQF, memory_BTF, valid_BT, reference, real_BQ)
            features.append(self.norm(x_BQF) if index == len(self.decoder_layers) - 1 else x_BQF)
            layers.append(self._detect(index, features[-1], reference, real_BQ))
            reference = layers[-1].segments_BQ2.detach() if fixed_BQ2 is None else reference
        return features, layers

    def _detect(self, layer: int, x_BQF: Tensor, reference: Tensor, real_BQ: Tensor) -> Detections:
        """Read the heads of a layer; the segment is a step from the reference, in logits."""
        anchor = inverse_sigmoid(reference)
        if anchor.shape[-1] == 1:
            anchor = F.pad(anchor, (0, 1))
        with _full_precision(x_BQF):
            x_BQF = x_BQF.to(torch.promote_types(x_BQF.dtype, torch.float32))
            return Detections(
                logits_BQ2=self.class_heads[layer](x_BQF),
                segments_BQ2=(self.segment_heads[layer](x_BQF) + anchor).sigmoid(),
                iou_BQ=self.iou_head(x_BQF).squeeze(-1),
                centredness_BQ=self.centredness_head(x_BQF).squeeze(-1),
                real_BQ=real_BQ,
            )


def _full_precision(like: Tensor) -> torch.autocast:
    """No autocast: eight bits do not tell the frames of a clip apart."""
    return torch.autocast(like.device.type, enabled=False)


def _xavier(width: int, out: int) -> nn.Linear:
    head = nn.Linear(width, out)
    nn.init.xavier_uniform_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _class_head(width: int) -> nn.Linear:
    head = nn.Linear(width, 2)
    nn.init.constant_(head.bias, math.log(_PRIOR / (1.0 - _PRIOR)))
    return head


def _segment_head(width: int, *, short: bool) -> nn.Sequential:
    """Centre and width from the features of a query; `short` ones start at an eighth of the clip, others at no change."""
    last = nn.Linear(width, 2)
    if short:
        nn.init.constant_(last.bias[1:], -2.0)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), last)
