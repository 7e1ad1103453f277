"""RepNet on skeletons: a period length and a periodicity per frame, from the temporal self-similarity.

Paper: Dwibedi et al., Counting Out Time: Class Agnostic Video Repetition Counting in the Wild, CVPR 2020; rows RepNet of
FLAG3D++ Tables 3, 5 and 7.

Original code: google-research/google-research, folder repnet (Apache-2.0), a notebook for inference; the training code was
not released. No line is taken from it.

Modifications: the text-free HL-GCN replaces the ResNet and the maximum over space; T = 128 frames instead of 64. Counted
at the clip's own speed, as TransRAC's authors compare it: no choice among strides, no median filter. Repetitions shorter
than a frame have no label and are not counted. The convolutions have no L2 penalty of 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from flag3d_ray.run import TrainSpec

if TYPE_CHECKING:
    from flag3d_ray.methods.base import Shapes
    from flag3d_ray.models.period_counter import PeriodCounter

# The paper trains 400 000 steps of 5 clips, of repetitions made from any video and of Countix, which an epoch's bound
# expresses. From random weights 6e-6 is too little for so few clips; 6e-5 and 3e-4 are worth a search.
PUBLISHED = TrainSpec(epochs=400, batch=5, max_clips_per_epoch=5000, learning_rate=6e-6, recipe="released")


@dataclass(frozen=True, kw_only=True)
class RepNet:
    """Text-free HL-GCN with RepNet's period predictor; the defaults are the released sizes at the clip's length.

    Parameters at the defaults with 24 joints and 128 frames: 10,836,659. They are 1,646,322 of the encoder; 590,848 of
    the convolution over time (3 x 384 x 512 weights, 1,024 of its normalisation); 320 of the convolution over the
    similarity; per branch 2,097,664 (projection), 65,536 (positions), 1,577,984 (transformer) and 525,312 (two hidden
    layers); 65,664 for 128 lengths and 513 for periodicity.

    Attributes:
        widths: output channels of the graph blocks, any number of them.
        temporal_width: channels of the convolution over time, 3 frames at a dilation of 3.
        temperature: divides the squared distances of frames.
        conv_channels: channels of the convolution over the self-similarity.
        model_width, attention_heads, feed_forward, layers: the transformer of each branch.
        hidden_widths: hidden layers of each classifier.
        dropout: rate in front of each layer of a classifier.
        classes: period lengths told apart; None for as many as frames (current notebook), since a clip may hold a single
            repetition. The paper has half as many; longer repetitions then take the last class.
        first_period: length in frames of class 0: 1 in the paper and the first notebook, 0 in the current one. Labels and
            counts use the same, so both are right: mixing them would be off by one everywhere.
        shortest_period: shorter repetitions are not counted. The notebook has 3; FLAG3D++ reaches 62 repetitions in 128
            frames, which are 2 frames long.
        frame_threshold, clip_threshold: scores from which a frame, and a clip, are counted.
    """

    widths: tuple[int, ...] = (64, 128, 256, 128, 64, 16)
    temporal_width: int = 512
    temperature: float = 13.544
    conv_channels: int = 32
    model_width: int = 512
    attention_heads: int = 4
    feed_forward: int = 512
    layers: int = 1
    hidden_widths: tuple[int, ...] = (512, 512)
    dropout: float = 0.25
    classes: int | None = None
    first_period: int = 1
    shortest_period: int = 2
    frame_threshold: float = 0.5
    clip_threshold: float = 0.2

    name: ClassVar[str] = "repnet"
    task: ClassVar[str] = "counting"
    paper: ClassVar[str] = "RepNet (Dwibedi et al., CVPR 2020), Tables 3, 5 and 7"
    language: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.first_period not in (0, 1) or self.shortest_period < 1:
            raise ValueError(
                f"first_period={self.first_period} must be 0 or 1, shortest_period={self.shortest_period} at least 1"
            )

    def build(self, shapes: Shapes, seed: int) -> PeriodCounter:
        """The network with weights drawn from `seed` alone; its encoder has those of TransRAC of the same seed."""
        from flag3d_ray.models.graph import adjacency
        from flag3d_ray.models.hlgcn import HLGCN
        from flag3d_ray.models.initialization import weights_from
        from flag3d_ray.models.period_counter import CountRule, PeriodCounter
        from flag3d_ray.models.period_head import PeriodHead, PeriodSizes
        from flag3d_ray.skeleton import layout

        sizes = PeriodSizes(**{field.name: getattr(self, field.name) for field in fields(PeriodSizes)})
        rule = CountRule(**{field.name: getattr(self, field.name) for field in fields(CountRule)})
        with weights_from(seed):
            encoder = HLGCN(adjacency(layout(shapes.layout)), shapes.channels, self.widths, fusion="none")
            periods = PeriodHead(encoder.features, shapes.frames, sizes, self.classes or shapes.frames)
            return PeriodCounter(encoder, periods, rule)
