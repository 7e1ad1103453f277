"""TransRAC on skeletons: HL-RAC without text.

Paper: Hu et al., TransRAC: Encoding Multi-scale Temporal Correlation with Transformers for Repetitive Action Counting,
CVPR 2022; rows TransRAC (skeleton) of FLAG3D++ Tables 3, 5 and 7.

Original code: SvipRepetitionCounting/TransRAC (Apache-2.0), a network for videos; no line is taken from it.

Modifications: the video backbone is the text-free HL-GCN (A + alpha S), so that the comparison with HL-RAC isolates
the text; one temporal scale and three transformer layers as in HL-RAC, where the original has scales (1, 4, 8) and one
layer. The paper's loss is that of the density; the released code can add the relative error of the count (`mae_error`),
which is an option here, off by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from flag3d_ray.methods.counting.hl_rac import DensityNetwork
from flag3d_ray.run import TrainSpec

if TYPE_CHECKING:
    from flag3d_ray.methods.base import Shapes
    from flag3d_ray.models.rac import RepetitionCounter

# The released list of epochs begins with 0, so that the first rate is 0.8 times the printed one.
PUBLISHED = TrainSpec(
    epochs=200, batch=32, learning_rate=8e-6, recipe="released", milestones=(0, 40, 80, 120, 160), gamma=0.8
)


@dataclass(frozen=True, kw_only=True)
class TransRAC(DensityNetwork):
    """The density network of HL-RAC with the text points removed.

    Attributes:
        count_weight: of the relative error of the count, added to the loss of the scaled density. That loss hardly sees one
            slow repetition: n of them in a clip weigh as n squared.
    """

    count_weight: float = 0.0

    name: ClassVar[str] = "transrac"
    task: ClassVar[str] = "counting"
    paper: ClassVar[str] = "TransRAC (Hu et al., CVPR 2022), Tables 3, 5 and 7"
    language: ClassVar[bool] = False

    def build(self, shapes: Shapes, seed: int) -> RepetitionCounter:
        """The network with weights drawn from `seed` alone; the text width of `shapes` is not read."""
        return self.assemble(shapes, seed, fusion="none", count_weight=self.count_weight)
