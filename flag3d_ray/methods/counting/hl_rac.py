"""HL-RAC, language-guided repetition action counting.

Paper: FLAG3D++ (Tang et al.), Eqs. 4-11; rows HL-RAC_A, HL-RAC_C and HL-RAC_M of Tables 3 to 7.

Original code: the authors' inference code (AndyTang15/FLAG3Dv2, hl-rac), which has no training script and no licence;
the profile `RELEASED` has its behaviour, no line is taken from it.

Modifications: the profile `PAPER` follows the equations where that code departs from them (fields of `Profile`); the
network is the fast formulation of `models/hlgcn.py`; density and label are scaled by 100 in the loss.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Literal

from flag3d_ray.run import TrainSpec

if TYPE_CHECKING:
    from flag3d_ray.methods.base import Shapes
    from flag3d_ray.models.density_head import DensityHead
    from flag3d_ray.models.hlgcn import HLGCN
    from flag3d_ray.models.hlgcn_plain import PlainHLGCN
    from flag3d_ray.models.rac import RepetitionCounter

Fusion = Literal["addition", "cross_attention", "multiplication"]
# The rate and the batch are those of the released configuration. Neither it nor the paper says how many epochs; 100 are ours.
PUBLISHED = TrainSpec(epochs=100, batch=32, learning_rate=1e-5, recipe="released")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Where the equations and the released code differ; the defaults are the paper's.

    Attributes:
        text_axis: the joint whose features text points weight: `source` (Eq. 8) or `target`.
        axes: `correct`, or `scrambled`: the memory of [T, V, C] read as [T, C, V] without a transposition.
        orientation: edges all `inward`, or in the mixed directions of the `released` list.
        initialization: AGCN's `recipe`, or `framework` defaults, with which all transformer layers start as copies of one.
        fuse_level: text fused into the `adjacency`, or into `feature` maps as Eq. 5 reads literally.
        divisor: similarity scores over sqrt(`head_width`), or over a `fixed` 8.
        leftovers: hold the parameters of the released model that no output depends on: a value projection, a
            BatchNorm3d, biases in front of batch normalisations. The encoder is then the plain formulation.
        density_scale: factor on density and label in the loss.
    """

    text_axis: Literal["source", "target"] = "source"
    axes: Literal["correct", "scrambled"] = "correct"
    orientation: Literal["inward", "released"] = "inward"
    initialization: Literal["recipe", "framework"] = "recipe"
    fuse_level: Literal["adjacency", "feature"] = "adjacency"
    divisor: Literal["head_width", "fixed"] = "head_width"
    leftovers: bool = False
    density_scale: float = 100.0

    def __post_init__(self) -> None:
        if self.leftovers and (self.fuse_level, self.initialization) != ("adjacency", "framework"):
            raise ValueError("leftovers need fuse_level 'adjacency' and initialization 'framework', as released")


PAPER = Profile()
RELEASED = Profile(
    text_axis="target",
    axes="scrambled",
    orientation="released",
    initialization="framework",
    divisor="fixed",
    leftovers=True,
    density_scale=1.0,
)


@dataclass(frozen=True, kw_only=True)
class DensityNetwork:
    """Sizes and profile that HL-RAC and its text-free form share; the defaults are those of the released HL-RAC.

    Attributes:
        widths: output channels of the graph blocks, any number of them.
        scales: temporal scales of the self-similarity in frames; (1, 4, 8) is TransRAC's.
        similarity_heads, similarity_width: heads of the self-similarity and the width of each.
        conv_channels: channels of the convolution over the self-similarity.
        model_width, attention_heads, feed_forward, layers: the transformer.
        density_widths: hidden widths of the density regression.
        dropout: rates after the convolution, in the transformer and in the regression.
        profile: paper or released behaviour.
    """

    widths: tuple[int, ...] = (64, 128, 256, 128, 64, 16)
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
    profile: Profile = PAPER

    def assemble(
        self,
        shapes: Shapes,
        seed: int,
        *,
        fusion: Fusion | Literal["none"],
        tokens: bool = False,
        count_weight: float = 0.0,
    ) -> RepetitionCounter:
        """The module, with weights drawn from `seed` alone and the global random state left as it was."""
        from flag3d_ray.models.initialization import weights_from
        from flag3d_ray.models.rac import RepetitionCounter
        from flag3d_ray.models.text_points import TextPoints
        from flag3d_ray.skeleton import layout

        with weights_from(seed):
            encoder = self._encoder(shapes, fusion)
            return RepetitionCounter(
                encoder,
                self._head(encoder.features, shapes.frames),
                TextPoints(shapes.text_width, len(layout(shapes.layout))) if fusion != "none" else None,
                tokens=tokens,
                density_scale=self.profile.density_scale,
                count_weight=count_weight,
            )

    def _head(self, features: int, frames: int) -> DensityHead:
        from flag3d_ray.models.density_head import DensityHead, HeadSizes

        sizes = HeadSizes(**{field.name: getattr(self, field.name) for field in fields(HeadSizes)})
        head = DensityHead(features, frames, sizes, divisor=self.profile.divisor, leftovers=self.profile.leftovers)
        if self.profile.initialization == "framework":
            head.start_layers_alike()
        return head

    def _encoder(self, shapes: Shapes, fusion: Fusion | Literal["none"]) -> HLGCN | PlainHLGCN:
        from flag3d_ray.models.graph import adjacency
        from flag3d_ray.models.hlgcn import HLGCN
        from flag3d_ray.models.hlgcn_plain import PlainHLGCN
        from flag3d_ray.skeleton import layout

        profile = self.profile
        graph_3VV = adjacency(layout(shapes.layout), profile.orientation)
        if profile.leftovers:
            return PlainHLGCN(
                graph_3VV, shapes.channels, self.widths, fusion=fusion, text_axis=profile.text_axis, axes=profile.axes
            )
        return HLGCN(
            graph_3VV,
            shapes.channels,
            self.widths,
            fusion=fusion,
            text_axis=profile.text_axis,
            fuse_level=profile.fuse_level,
            axes=profile.axes,
            initialization=profile.initialization,
        )


@dataclass(frozen=True, kw_only=True)
class HLRAC(DensityNetwork):
    """HL-GCN with a density head.

    Parameters at the default sizes with 768-wide text, 24 joints and 128 frames: 9,778,059 in the released profile.

    Attributes:
        fusion: `addition`, `cross_attention` or `multiplication` of text points and similarity.
        tokens: cross-attention to one text point vector per token. The default attends to the pooled one, where the
            softmax runs over a single key and the attention is an affine map of the text.
    """

    name: ClassVar[str] = "hl_rac"
    task: ClassVar[str] = "counting"
    paper: ClassVar[str] = "FLAG3D++ (Tang et al.), Tables 3-7: HL-RAC_A, HL-RAC_C, HL-RAC_M"
    language: ClassVar[bool] = True

    fusion: Fusion = "multiplication"
    tokens: bool = False

    def __post_init__(self) -> None:
        if self.tokens and self.fusion != "cross_attention":
            raise ValueError("tokens are read by cross-attention only")

    def build(self, shapes: Shapes, seed: int) -> RepetitionCounter:
        """The network with weights drawn from `seed` alone.

        Raises:
            DataError: no text width, or a layout that the profile's graph is not defined for.
        """
        from flag3d_ray.errors import DataError

        if shapes.text_width < 1:
            raise DataError(
                where=self.name,
                rule="a language-guided method needs text embeddings",
                remedy="choose a text encoder, or the text-free method transrac",
            )
        return self.assemble(shapes, seed, fusion=self.fusion, tokens=self.tokens)
