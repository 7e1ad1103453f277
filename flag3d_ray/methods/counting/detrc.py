"""DeTRC on skeletons: repetitions are detected as segments, and the count is their number.

Paper: Li, Ma et al., DeTRC (arXiv 2403.01543; IJCV 2026); rows DeTRC (skeleton) of FLAG3D++ Tables 3, 5 and 7.

Original code: lizishi/DeTRC (MIT), a transformer on the features of a frozen video network; no line is taken from it.

Modifications:

* The features are those of the text-free HL-GCN (A + alpha S), which is trained. A clip is one window of T frames, where
  the original slides windows of 512 over a video and merges their segments.
* 96 queries, of which 96 may be kept: the released 40 and 30 cannot count to 62. There are never more than frames. Their
  content is replaced by that of the clip, so that none is learned.
* One softmax over the class logits. The released code takes the softmax of a softmax in loss and matching, and the
  sigmoid of one in testing.
* Deformable attention is torch's grid sampling, and not a compiled operator.
* Losses are means over the targets or queries of each clip, and then over clips, where the original divides by the number
  in the batch: a sum over workers then does not depend on the split. What queries expect of themselves is compared with
  constants for every clip; the released targets have a gradient, and are zero for the last clip of a batch.
* Proposals start from the logit of their frame's place, the released ones from the place itself. The self-attention of
  the decoder has one residual, the released one two.
* Places and widths are shares of the valid frames: padding is neither read nor proposed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Literal

from flag3d_ray.run import TrainSpec

if TYPE_CHECKING:
    from flag3d_ray.methods.base import Shapes
    from flag3d_ray.models.cycle_detector import CycleDetector

PUBLISHED = TrainSpec(epochs=80, batch=64, learning_rate=2e-4, recipe="released", milestones=(15, 60), gamma=0.1)


@dataclass(frozen=True, kw_only=True)
class DeTRC:
    """HL-GCN without text, then the detecting transformer.

    Parameters of the transformer at the default sizes with 24 joints and 128 frames, 15,437,715: embedding of frames
    384 -> 512, 197,120; two encoder layers of 1,609,280; proposals 263,680; positions of queries 96 x 512 and their
    reference, 49,665; four decoder layers of 2,399,296 and a norm 1,024; four class heads of 1,026 and segment heads of
    526,338; expected overlap and centredness 1,026. With 40 queries, 2048 features, 512 learned positions, a second norm
    per encoder layer and a map 1024 -> 512 that nothing reads it is the released model's 17,070,483.

    Attributes:
        widths: output channels of the graph blocks.
        model_width, attention_heads, feed_forward, encoder_layers, decoder_layers: the transformer.
        points: positions that a head of the deformable attention reads.
        queries: segments that can be found, at most one per frame; released 40.
        positions: added to the queries of the encoder: `sinusoidal`, or `none`, which is what the released code's
            transposed table and unused embedding come to.
        cross_query: the deformable attention of the decoder reads the `normalized` output of the self-attention, or the
            `unnormalized` one (released).
        cost_iou, cost_l1, cost_class: of the matching.
        l1_weight, giou_weight, class_weight, quality_weight: losses of matched segments, at every decoder layer and for
            the proposals.
        background_weight: weight of queries without a target in the class loss.
        class_warmup: training steps before the class loss counts.
        reference_weight: focal loss of the decoder when it is shown the true segments.
        contrastive_weight, temperature: contrast of matched queries with the others.
        overlap_weight: penalty on overlapping queries. The released configuration names 0.1, but its code leaves the
            term out of the sum (0).
        threshold, nms_sigma, keep, least_score: of the readout; released keep 30.
    """

    name: ClassVar[str] = "detrc"
    task: ClassVar[str] = "counting"
    paper: ClassVar[str] = "DeTRC (Li, Ma et al., IJCV 2026), Tables 3, 5 and 7"
    language: ClassVar[bool] = False

    widths: tuple[int, ...] = (64, 128, 256, 128, 64, 16)
    model_width: int = 512
    attention_heads: int = 8
    points: int = 4
    feed_forward: int = 1024
    encoder_layers: int = 2
    decoder_layers: int = 4
    queries: int = 96
    positions: Literal["sinusoidal", "none"] = "sinusoidal"
    cross_query: Literal["normalized", "unnormalized"] = "normalized"
    cost_iou: float = 5.0
    cost_l1: float = 2.0
    cost_class: float = 1.0
    l1_weight: float = 5.0
    giou_weight: float = 2.0
    class_weight: float = 1.0
    background_weight: float = 0.1
    class_warmup: int = 25
    quality_weight: float = 1.0
    reference_weight: float = 1.0
    contrastive_weight: float = 1.0
    temperature: float = 100.0
    overlap_weight: float = 0.1
    threshold: float = 0.2
    nms_sigma: float = 0.1
    keep: int = 96
    least_score: float = 1e-4

    def build(self, shapes: Shapes, seed: int) -> CycleDetector:
        """The network with weights drawn from `seed` alone; the text width of `shapes` is not read."""
        from flag3d_ray.models.cycle_detector import CycleDetector
        from flag3d_ray.models.cycle_network import CycleNetwork, DetectorSizes
        from flag3d_ray.models.graph import adjacency
        from flag3d_ray.models.hlgcn import HLGCN
        from flag3d_ray.models.initialization import weights_from
        from flag3d_ray.models.set_prediction import SetWeights
        from flag3d_ray.skeleton import layout

        sizes = DetectorSizes(**{field.name: getattr(self, field.name) for field in fields(DetectorSizes)})
        weights = SetWeights(**{field.name: getattr(self, field.name) for field in fields(SetWeights)})
        with weights_from(seed):
            encoder = HLGCN(adjacency(layout(shapes.layout)), shapes.channels, self.widths, fusion="none")
            return CycleDetector(
                encoder,
                CycleNetwork(encoder.features, shapes.frames, sizes),
                weights,
                class_warmup=self.class_warmup,
                threshold=self.threshold,
                nms_sigma=self.nms_sigma,
                keep=self.keep,
                least=self.least_score,
            )
