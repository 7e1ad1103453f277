"""EasyShots: ESCounts on skeletons, counting with examples of one repetition or without any.

Paper: Sinha et al., Every Shot Counts: Using Exemplars for Repetition Counting in Videos, ACCV 2024; rows EasyShots
(skeleton) of FLAG3D++ Tables 3, 5 and 7.

Original code: sinhasaptarshi/EveryShotCounts (MIT), a decoder on the tokens of a frozen video transformer; no line is
taken from it.

Modifications:

* The tokens are the features of the text-free HL-GCN (A + alpha S) before joints are flattened: joints stand for places,
  steps of four frames for the tokens of time. The encoder is trained, where the original's is frozen.
* A window holds four steps and all joints, and its position bias has one value per pair of joints and time offset.
  Positions are sinusoids of step and joint number, half of the features each.
* An example is one repetition of the same clip, resampled to eight steps. The original takes it with probability 0.4
  from another video of the class (the paper's value; 0 is the released default). A batch does not name the action of a
  clip, and its rows lie on several workers, so that this has no counterpart here.
* Padding is neither pooled nor attended to and holds no density.
* One pass over the clip: the two passes of the original, half a window apart, belong to its windowed video encoder.
* The target adds repetitions that meet in one step and keeps its mass at the ends of a clip.

Prediction is zero-shot, since examples would come from the annotation of the test clip; `ExemplarCounter.predict` can be
asked for them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Literal

from flag3d_ray.run import TrainSpec

if TYPE_CHECKING:
    from flag3d_ray.methods.base import Shapes
    from flag3d_ray.models.exemplar_counter import ExemplarCounter

# Its Adam averages squared gradients over fewer steps (0.95 for 0.999), which has no field here. Its list of epochs begins
# with 0.
PUBLISHED = TrainSpec(
    epochs=300, batch=1, learning_rate=5e-5, recipe="released", milestones=(0, 60, 120, 180, 240), gamma=0.8
)


@dataclass(frozen=True, kw_only=True)
class EasyShots:
    """HL-GCN without text, then the exemplar decoder.

    Parameters of the decoder at the default sizes with 24 joints, 18,070,529: embedding 16 -> 512, 8,704; zero-shot
    tokens 8 x 24 x 512, 98,304; two cross blocks of 4,204,032; norm 1,024; three window blocks of 3,152,384 and a
    position bias of 8 heads x 7 x 24 x 24 each; density 513. The cross blocks are those of the original.

    Attributes:
        widths: output channels of the graph blocks.
        pool: frames per step; the clip length must be a multiple.
        exemplar_steps: steps of an example.
        model_width, attention_heads, feed_forward, cross_blocks, window_blocks, window: the decoder.
        shots: numbers of examples that training draws from with equal probability.
        masked: share of the steps that training leaves out of the squared error.
        sigma: standard deviation of a repetition in the target, in steps; released 1.0.
        count_weight: factor of the relative error of the count in the loss.
        density_scale: factor on density and target in the loss.
        window_residual: residual connections in the window blocks; the released code has none.
        collisions: `add` repetitions whose middles lie in one step, or `assign`, which counts them once (released).
    """

    name: ClassVar[str] = "easyshots"
    task: ClassVar[str] = "counting"
    paper: ClassVar[str] = "ESCounts (Sinha et al., ACCV 2024), Tables 3, 5 and 7: EasyShots"
    language: ClassVar[bool] = False

    widths: tuple[int, ...] = (64, 128, 256, 128, 64, 16)
    pool: int = 4
    exemplar_steps: int = 8
    model_width: int = 512
    attention_heads: int = 8
    feed_forward: int = 2048
    cross_blocks: int = 2
    window_blocks: int = 3
    window: int = 4
    shots: tuple[int, ...] = (0, 1, 2)
    masked: float = 0.2
    sigma: float = 0.5
    count_weight: float = 1.0
    density_scale: float = 100.0
    window_residual: bool = True
    collisions: Literal["add", "assign"] = "add"

    def __post_init__(self) -> None:
        if not self.shots or min(self.shots) < 0 or self.sigma <= 0:
            raise ValueError("shots must name one number of examples or more, none below 0; sigma must be positive")

    def build(self, shapes: Shapes, seed: int) -> ExemplarCounter:
        """The network with weights drawn from `seed` alone; the text width of `shapes` is not read.

        Raises:
            ValueError: the clip length is not a multiple of `pool`.
        """
        from flag3d_ray.models.exemplar_counter import ExemplarCounter, ExemplarObjective
        from flag3d_ray.models.exemplar_decoder import ExemplarDecoder, ExemplarSizes
        from flag3d_ray.models.graph import adjacency
        from flag3d_ray.models.hlgcn import HLGCN
        from flag3d_ray.models.initialization import weights_from
        from flag3d_ray.skeleton import layout

        sizes = ExemplarSizes(**{field.name: getattr(self, field.name) for field in fields(ExemplarSizes)})
        objective = ExemplarObjective(**{field.name: getattr(self, field.name) for field in fields(ExemplarObjective)})
        skeleton = layout(shapes.layout)
        with weights_from(seed):
            encoder = HLGCN(adjacency(skeleton), shapes.channels, self.widths, fusion="none")
            decoder = ExemplarDecoder(self.widths[-1], len(skeleton), shapes.frames, sizes)
            return ExemplarCounter(encoder, decoder, exemplar_steps=self.exemplar_steps, objective=objective, seed=seed)
