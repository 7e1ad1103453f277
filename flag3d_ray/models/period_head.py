"""From features per frame to a period length and a periodicity per frame: RepNet's period predictor."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from flag3d_ray.models.normalization import GlobalBatchNorm


@dataclass(frozen=True, kw_only=True)
class PeriodSizes:
    """Sizes of the period head; the defaults are those of the released RepNet.

    `temporal_width` is that of the convolution over time, `hidden_widths` those of the classifiers; `dropout` is the rate
    in front of each layer of a classifier. The similarity divides squared distances by `temperature`.
    """

    temporal_width: int = 512
    temperature: float = 13.544
    conv_channels: int = 32
    model_width: int = 512
    attention_heads: int = 4
    feed_forward: int = 512
    layers: int = 1
    hidden_widths: tuple[int, ...] = (512, 512)
    dropout: float = 0.25


def self_similarity(features_BTF: Float[Tensor, "B T F"], temperature: float) -> Float[Tensor, "B T T"]:
    """Softmax over frames j of -|x_i - x_j|^2 / temperature, in float32 at least.

    |x_i|^2 is the same in all of row i and leaves the softmax as it is, so the distance is not formed.
    """
    with torch.autocast(features_BTF.device.type, enabled=False):
        x_BTF = features_BTF.to(torch.promote_types(features_BTF.dtype, torch.float32))
        scores_BTT = 2.0 * x_BTF @ x_BTF.mT - x_BTF.square().sum(dim=2)[:, None]
        return torch.softmax(scores_BTT / temperature, dim=-1)


class Branch(nn.Module):
    """Rows of the convolved similarity to one output vector per frame: projection, learned positions, pre-norm
    transformer, classifier. The clip length is part of the weights.
    """

    def __init__(self, frames: int, sizes: PeriodSizes, outputs: int) -> None:
        super().__init__()
        width = sizes.model_width
        self.project = nn.Linear(frames * sizes.conv_channels, width)
        self.positions = nn.Parameter(torch.empty(frames, width))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.transformer = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width,
                    sizes.attention_heads,
                    sizes.feed_forward,
                    dropout=0.0,
                    layer_norm_eps=1e-6,
                    batch_first=True,
                    norm_first=True,
                )
                for _ in range(sizes.layers)
            )
        )
        inputs = (width, *sizes.hidden_widths)
        hidden = [
            layer
            for pair in zip(inputs, sizes.hidden_widths, strict=False)
            for layer in (nn.Dropout(sizes.dropout), nn.Linear(*pair), nn.ReLU())
        ]
        self.classify = nn.Sequential(*hidden, nn.Dropout(sizes.dropout), nn.Linear(inputs[-1], outputs))

    def forward(self, rows_BTR: Float[Tensor, "B T R"]) -> Float[Tensor, "B T K"]:
        """Logits."""
        return self.classify(self.transformer(self.project(rows_BTR) + self.positions))


class PeriodHead(nn.Module):
    """Features per frame to logits of the period's length and of being inside a repetition.

    Args:
        features: width of a frame.
        frames: clip length.
        sizes: of all layers.
        classes: lengths that are told apart.
    """

    def __init__(self, features: int, frames: int, sizes: PeriodSizes, classes: int) -> None:
        super().__init__()
        self.temperature = sizes.temperature
        self.context = nn.Conv1d(features, sizes.temporal_width, 3, padding=3, dilation=3, bias=False)
        self.norm = GlobalBatchNorm(sizes.temporal_width)
        self.conv = nn.Conv2d(1, sizes.conv_channels, 3, padding=1)
        self.length = Branch(frames, sizes, classes)
        self.periodicity = Branch(frames, sizes, 1)

    def forward(self, features_BTF: Float[Tensor, "B T F"]) -> tuple[Float[Tensor, "B T K"], Float[Tensor, "B T"]]:
        """Logits of the K lengths, and one of periodicity."""
        x_BTF = F.relu(self.norm(self.context(features_BTF.mT).mT))
        image_BSTT = F.relu(self.conv(self_similarity(x_BTF, self.temperature)[:, None]))
        rows_BTR = image_BSTT.permute(0, 2, 3, 1).flatten(2)
        return self.length(rows_BTR), self.periodicity(rows_BTR).squeeze(-1)
