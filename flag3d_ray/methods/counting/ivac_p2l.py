"""IVAC-P2L on skeletons: TransRAC with a loss that pulls repetitions together and pushes intervals away.

Paper: Wang et al., IVAC-P2L: Leveraging Irregular Repetition Priors for Improving Video Action Counting, IEEE TMM 2025;
rows IVAC of FLAG3D++ Tables 3, 5 and 7.

Original code: hwang-cs-ime/IVAC-P2L (MIT), a network for videos; no line is taken from it.

Modifications: those of `transrac.py`. The pull-push loss reads the frames after projection and normalisation, in front of
the transformer, as released. Padding belongs to no interval, and a clip whose repetitions fill it has no push. Left out is
the augmentation by parts of clips with more than 15 repetitions: the protocol's crops do that to every clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from flag3d_ray.methods.counting.hl_rac import DensityNetwork
from flag3d_ray.run import TrainSpec

if TYPE_CHECKING:
    from flag3d_ray.methods.base import Shapes
    from flag3d_ray.models.pull_push import PullPushCounter

# The released list of epochs begins with 0, so that the first rate is 0.8 times the printed one.
PUBLISHED = TrainSpec(
    epochs=200, batch=64, learning_rate=8e-5, recipe="released", milestones=(0, 40, 80, 120, 160), gamma=0.8
)


@dataclass(frozen=True, kw_only=True)
class IVACP2L(DensityNetwork):
    """The network of TransRAC, with its parameters, and the pull-push loss.

    Attributes:
        density_weight, pull_push_weight: factors of the density's mean squared error and of the pull-push loss, both 10
            as released. They weigh the error of the density itself, whatever scale the profile lets the network predict;
            TransRAC's own loss is that error times the square of the scale.
        last_frame_is_interval: the released label builder cuts every clip at its last frame but one, so that the last
            frame is an interval even where a repetition ends with the clip. The paper's intervals lie outside repetitions.
    """

    density_weight: float = 10.0
    pull_push_weight: float = 10.0
    last_frame_is_interval: bool = False

    name: ClassVar[str] = "ivac"
    task: ClassVar[str] = "counting"
    paper: ClassVar[str] = "IVAC-P2L (Wang et al., IEEE TMM 2025), Tables 3, 5 and 7"
    language: ClassVar[bool] = False

    def build(self, shapes: Shapes, seed: int) -> PullPushCounter:
        """The network with weights drawn from `seed` alone: those of TransRAC of the same seed."""
        from flag3d_ray.models.pull_push import PullPushCounter

        transrac = self.assemble(shapes, seed, fusion="none")
        return PullPushCounter(
            transrac.encoder,
            transrac.head,
            density_scale=self.profile.density_scale,
            density_weight=self.density_weight,
            pull_push_weight=self.pull_push_weight,
            last_frame_is_interval=self.last_frame_is_interval,
        )
