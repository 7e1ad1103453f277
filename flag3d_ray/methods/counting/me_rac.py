"""ME-RAC on skeletons: TransRAC with three convolutions of different reach side by side, and a loss of the count.

Paper: Qiu, Niu and Sha, Multipath 3D-Conv encoder and temporal-sequence decision for repetitive-action counting, Expert
Systems with Applications 249, 2024; rows ME-RAC of FLAG3D++ Tables 3, 5 and 7.

Original code: yicheng-2019/ME-RAC (Apache-2.0), a network for videos, published after FLAG3D++; no line is taken from it.

Modifications: those of `transrac.py`. The paths lie between encoder and head and run over frames and joints, the kernels'
5 x 5 and 3 x 3 pixels becoming 3 joints. Left out are both ideas that concern long videos: the temporal-sequence decision,
which finds the stretches where a person is seen and keeps the whole of a trimmed clip, and the random combination of
repetitions as augmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from flag3d_ray.methods.counting.hl_rac import DensityNetwork
from flag3d_ray.run import TrainSpec

if TYPE_CHECKING:
    from flag3d_ray.methods.base import Shapes
    from flag3d_ray.models.multipath import MultiPathCounter

# In half precision there. From random weights 8e-7 moves nothing in so few steps; 8e-6 and 1e-4 are worth a search.
PUBLISHED = TrainSpec(epochs=200, batch=16, learning_rate=8e-7, recipe="released", precision="bfloat16")


@dataclass(frozen=True, kw_only=True)
class MERAC(DensityNetwork):
    """The network of TransRAC with a multipath module in front of its head.

    Parameters of the module at the default widths behind 16 channels per joint: 1,140,096. They are 2,048 of the first
    path (16 x 128); 4,352 and 983,040 of the second (16 x 256 and 256 biases, 5 x 3 x 256 x 256); 2,176 and 147,456 of the
    third (16 x 128 and 128 biases, 3 x 3 x 128 x 128); 1,024 of the normalisation. A shared stem has 2,048 less.

    Attributes:
        path_widths: channels of the three paths; their sum is the width of the head's input.
        shared_stem: paths 1 and 3 share their 1 x 1 convolution, as in the released code. Described are three parallel paths.
        count_weight: factor of the smooth L1 loss of the count beside the density's mean squared error, 1 as released.
            As there, the error is that of the density itself, whatever scale the profile lets the network predict.
    """

    path_widths: tuple[int, int, int] = (128, 256, 128)
    shared_stem: bool = False
    count_weight: float = 1.0

    name: ClassVar[str] = "me_rac"
    task: ClassVar[str] = "counting"
    paper: ClassVar[str] = "ME-RAC (Qiu et al., ESWA 2024), Tables 3, 5 and 7"
    language: ClassVar[bool] = False

    def build(self, shapes: Shapes, seed: int) -> MultiPathCounter:
        """The network with weights drawn from `seed` alone; its encoder has those of TransRAC of the same seed."""
        from flag3d_ray.models.initialization import weights_from
        from flag3d_ray.models.multipath import MultiPath, MultiPathCounter
        from flag3d_ray.skeleton import layout

        with weights_from(seed):
            encoder = self._encoder(shapes, "none")
            joints = len(layout(shapes.layout))
            paths = MultiPath(self.widths[-1], joints, self.path_widths, shared_stem=self.shared_stem)
            return MultiPathCounter(
                encoder,
                paths,
                self._head(paths.features, shapes.frames),
                density_scale=self.profile.density_scale,
                count_weight=self.count_weight,
            )
