"""From features per frame to a density per frame: self-similarity, convolution, transformer, regression (TransRAC)."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from flag3d_ray.models.normalization import GlobalBatchNorm

Divisor = Literal["head_width", "fixed"]


@dataclass(frozen=True, kw_only=True)
class HeadSizes:
    """Sizes of the density head; the defaults are those of the released HL-RAC.

    `dropout` holds the rates after the convolution, in the transformer and in the regression.
    """

    scales: tuple[int, ...] = (1,)
    similarity_heads: int = 4
    similarity_width: int = 128
    conv_channels: int = 32
    model_width: int = 512
    attention_heads: int = 4
    feed_forward: int = 512
    layers: int = 3
    density_widths: tuple[int, int] = (512, 256)
    dropout: tuple[float, float, float] = (0.25, 0.25, 0.25)


class SelfSimilarity(nn.Module):
    """Softmax attention of every frame to every frame, per head and per temporal scale, as an image.

    A scale s > 1 replaces the projected features by the mean of s frames around each frame: projecting first and
    averaging after is the same map, as both are linear.

    Args:
        features: width of a frame.
        heads: channels of the image per scale.
        width: width of a head.
        scales: window lengths in frames.
        divisor: scores are divided by sqrt(width), or by 8 whatever the width (`fixed`, released code).
        dead_value: also hold the value projection of the released code, which no output reads.
    """

    def __init__(
        self, features: int, heads: int, width: int, *, scales: tuple[int, ...], divisor: Divisor, dead_value: bool
    ) -> None:
        super().__init__()
        self.heads = heads
        self.scales = scales
        self.divisor = 8.0 if divisor == "fixed" else math.sqrt(width)
        self.query_key = nn.Linear(features, 2 * heads * width)
        self.value = nn.Linear(features, heads * width) if dead_value else None

    def forward(self, features_BTF: Float[Tensor, "B T F"]) -> Float[Tensor, "B S T T"]:
        """Rows sum to one; S = heads x scales."""
        projected_BTF = self.query_key(features_BTF)
        return torch.cat([self._image(_window_means(projected_BTF, scale)) for scale in self.scales], dim=1)

    def _image(self, projected_BTF: Tensor) -> Tensor:
        batch, frames, _ = projected_BTF.shape
        query, key = projected_BTF.view(batch, frames, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        return torch.softmax((query / self.divisor) @ key.transpose(-1, -2), dim=-1)


def _window_means(features_BTF: Tensor, scale: int) -> Tensor:
    """Mean of `scale` frames around each frame, shorter windows at the ends."""
    if scale == 1:
        return features_BTF
    means = F.avg_pool1d(features_BTF.transpose(1, 2), scale, 1, scale // 2, count_include_pad=False)
    return means.transpose(1, 2)[:, : features_BTF.shape[1]]


class TransformerLayer(nn.Module):
    """Post-norm encoder layer: self-attention, then a ReLU feed-forward, each with dropout, residual and LayerNorm."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.rate = dropout
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, feed_forward)
        self.contract = nn.Linear(feed_forward, width)
        self.norm2 = nn.LayerNorm(width)
        nn.init.xavier_uniform_(self.query_key_value.weight)
        nn.init.zeros_(self.query_key_value.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, x_BTF: Float[Tensor, "B T F"]) -> Float[Tensor, "B T F"]:
        """The encoded frames."""
        batch, frames, width = x_BTF.shape
        query, key, value = self.query_key_value(x_BTF).view(batch, frames, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        rate = self.rate if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, dropout_p=rate)
        attended = self.out(attended.transpose(1, 2).reshape(batch, frames, width))
        x_BTF = self.norm1(x_BTF + F.dropout(attended, rate, self.training))
        hidden = F.dropout(F.relu(self.expand(x_BTF)), rate, self.training)
        return self.norm2(x_BTF + F.dropout(self.contract(hidden), rate, self.training))


def sinusoids(frames: int, width: int) -> Float[Tensor, "T F"]:
    """Sinusoidal positions: sine on even features, cosine on odd ones, wavelengths from 2 pi to 10000 * 2 pi."""
    position_T1 = torch.arange(frames, dtype=torch.float64)[:, None]
    rate_F = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))
    table_TF = torch.zeros(frames, width, dtype=torch.float64)
    table_TF[:, 0::2] = torch.sin(position_T1 * rate_F)
    table_TF[:, 1::2] = torch.cos(position_T1 * rate_F)[:, : width // 2]
    return table_TF.float()


class DensityHead(nn.Module):
    """Features per frame to one unbounded value per frame. The clip length is part of the weights.

    Args:
        features: width of a frame.
        frames: clip length T.
        sizes: widths, depths and dropout rates.
        divisor: see `SelfSimilarity`.
        leftovers: also hold what the released checkpoints hold without effect: a value projection, a BatchNorm3d over
            the model width and the bias of the convolution in front of a batch normalisation.
    """

    positions: Tensor

    def __init__(
        self,
        features: int,
        frames: int,
        sizes: HeadSizes,
        *,
        divisor: Divisor = "head_width",
        leftovers: bool = False,
    ) -> None:
        super().__init__()
        heads, width, channels = sizes.similarity_heads, sizes.model_width, sizes.conv_channels
        first, second = sizes.density_widths
        after_conv, in_transformer, in_density = sizes.dropout
        self.similarity = SelfSimilarity(
            features, heads, sizes.similarity_width, scales=sizes.scales, divisor=divisor, dead_value=leftovers
        )
        self.leftover_norm = nn.BatchNorm3d(width) if leftovers else None
        self.conv = nn.Conv2d(heads * len(sizes.scales), channels, 3, padding=1, bias=leftovers)
        self.norm = GlobalBatchNorm(channels)
        self.conv_dropout = nn.Dropout(after_conv)
        self.project = nn.Linear(frames * channels, width)
        self.project_norm = nn.LayerNorm(width)
        self.register_buffer("positions", sinusoids(frames, width), persistent=False)
        self.position_dropout = nn.Dropout(0.1 if in_transformer else 0.0)
        self.transformer = nn.Sequential(
            *(
                TransformerLayer(width, sizes.attention_heads, sizes.feed_forward, in_transformer)
                for _ in range(sizes.layers)
            ),
            nn.LayerNorm(width),
        )
        self.density = nn.Sequential(
            nn.Linear(width, first),
            nn.LayerNorm(first),
            nn.Dropout(in_density),
            nn.ReLU(),
            nn.Linear(first, second),
            nn.ReLU(),
            nn.Dropout(in_density),
            nn.Linear(second, 1),
        )

    def start_layers_alike(self) -> None:
        """Give all transformer layers the weights of the first, as `torch.nn.TransformerEncoder` copies one layer."""
        layers = list(self.transformer)[:-1]
        for layer in layers[1:]:
            layer.load_state_dict(layers[0].state_dict())

    def forward(self, features_BTF: Float[Tensor, "B T F"]) -> Float[Tensor, "B T"]:
        """The density times the scale that the loss asks for; not bounded below."""
        return self.regress(self.embed(features_BTF))

    def embed(self, features_BTF: Float[Tensor, "B T F"]) -> Float[Tensor, "B T H"]:
        """Each frame by its similarity to all others, projected to the width of the transformer."""
        image_BSTT = self.similarity(features_BTF)
        # Channels last: the rows then lie as (frame, channel) in memory, the order in which the projection reads them.
        image_BTTS = self.conv(image_BSTT.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)
        rows_BTF = self.conv_dropout(F.relu(self.norm(image_BTTS))).flatten(2)
        return self.project_norm(F.relu(self.project(rows_BTF)))

    def regress(self, embedded_BTH: Float[Tensor, "B T H"]) -> Float[Tensor, "B T"]:
        """Transformer and regression of the embedded frames."""
        x_BTH = self.transformer(self.position_dropout(embedded_BTH + self.positions))
        return self.density(x_BTH).squeeze(-1)
