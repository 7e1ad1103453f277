"""What counts the clips of a recording: methods that learn nothing, or trained networks with the words they are told."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Float32
from torch import nn

from flag3d_ray.data.layout_conversion import convert
from flag3d_ray.data.recording import Recording, has_trunk
from flag3d_ray.data.text_encoders import encoder
from flag3d_ray.errors import DataError, RunError
from flag3d_ray.methods.base import Fitted, Method, Shapes, Trained
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.methods.counting.pca_peaks import PCAPeaks
from flag3d_ray.methods.counting.wavelet import Wavelet
from flag3d_ray.sample import Batch, Prediction
from flag3d_ray.skeleton import FLAG3D24
from flag3d_ray.skeleton import layout as named_layout
from flag3d_ray.training.packaged import Checkpoint

UNTRAINED: Mapping[str, Method] = {"fourier": Fourier(), "pca_peaks": PCAPeaks(), "wavelet": Wavelet()}
"""Methods that count without having seen anything; the peaks are called as their file, and `pca_peak` in the tables."""
FRAMES = 128
"""Their clips are as long as the paper's."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ClipCounter:
    """Something that counts clips, and how they must be made for it.

    Attributes:
        name: for people.
        estimator: a trained module in evaluation mode, or an estimator that is fitted or needs no fit.
        shapes: its clips: frames, layout, width of the text.
        text_LD: the embedding that each clip gets, [L, D]; None for methods without language.
    """

    name: str
    estimator: nn.Module | Fitted | Trained
    shapes: Shapes
    text_LD: Float32[np.ndarray, "L D"] | None = None

    def predict(self, clips: Batch) -> list[Prediction]:
        """One prediction per clip, computed where the weights are and as precisely as they are.

        Raises:
            RunError: a count is not finite, as of a network that diverged.
        """
        if isinstance(self.estimator, nn.Module):
            weight = next(self.estimator.parameters())
            clips = clips.to(weight.device, weight.dtype)
        with torch.no_grad():
            claims = cast(Trained, self.estimator).predict(clips)
        if not all(math.isfinite(claim.count) for claim in claims):
            raise RunError(
                where=self.name, rule="it predicts NaN or infinity", remedy="train it again, or name another"
            )
        return claims


def untrained(name: str, layout: str) -> ClipCounter:
    """A method that learns nothing, for clips in a layout.

    Raises:
        RunError: no such method.
    """
    name = PCAPeaks.name if name == "pca_peaks" else name
    known = {method.name: method for method in UNTRAINED.values()}
    if name not in known:
        remedy = f"use {', '.join(UNTRAINED)}; networks are named with --checkpoint"
        raise RunError(where=f"--method {name}", rule="not a method that counts without training", remedy=remedy)
    shapes = Shapes(frames=FRAMES, layout=layout, channels=named_layout(layout).channels)
    return ClipCounter(name=name, estimator=known[name].build(shapes, seed=0), shapes=shapes)


def trained(checkpoint: Checkpoint, caption: str | None) -> ClipCounter:
    """A network, told in words what is done in the recording where it reads language.

    Args:
        caption: None where nothing was said.

    Raises:
        RunError: the network reads language and there is no caption or an empty one, or the other way round; the text
            encoder has other weights than in training.
        EncoderUnreachable: the text encoder's weights are not there.
    """
    text = checkpoint.run.data.text
    if not checkpoint.run.method.language or text is None:
        if caption is not None:
            rule, remedy = f"{checkpoint.name} reads no language", "leave out --caption"
            raise RunError(where="--caption", rule=rule, remedy=remedy)
        return ClipCounter(name=checkpoint.name, estimator=checkpoint.estimator, shapes=checkpoint.shapes)
    if caption is None or not caption.strip():
        rule = f"{checkpoint.name} reads language and was told {'nothing' if caption is None else 'an empty text'}"
        raise RunError(
            where="--caption", rule=rule, remedy='say what is done, as --caption "squats with a raised heel"'
        )
    reads = encoder(text.encoder)
    if checkpoint.text_digest and reads.weights_digest != checkpoint.text_digest:
        rule = f"the weights of {text.encoder} here are not those that {checkpoint.name} was trained with"
        raise RunError(where="text encoder", rule=rule, remedy="use the weights it was trained with (flag3d doctor)")
    embedding = reads.encode([caption])[0]
    text_LD = embedding.tokens_LD if text.tokens else embedding.pooled_D[None]
    return ClipCounter(
        name=checkpoint.name,
        estimator=checkpoint.estimator,
        shapes=checkpoint.shapes,
        text_LD=text_LD.astype(np.float32),
    )


def common_layout(counters: Sequence[ClipCounter]) -> str:
    """The joint layout of several networks.

    Raises:
        RunError: they have different ones.
    """
    found = sorted({counter.shapes.layout for counter in counters})
    if len(found) > 1:
        rule = f"networks for different joint layouts: {', '.join(found)}"
        raise RunError(where="--checkpoint", rule=rule, remedy="name networks of one layout")
    return found[0]


def in_layout(recording: Recording, layout: str = "") -> Recording:
    """The recording in a layout, with a note where joints were converted.

    Args:
        layout: empty for the recording's own, which markers on the skin (ui_prmd39) are not left in.

    Raises:
        DataError: there is no way from the one layout to the other.
    """
    source = named_layout(recording.layout)
    target = named_layout(layout) if layout else source if has_trunk(source) else FLAG3D24
    if source == target:
        return recording
    try:
        converted = convert(recording.joints_TVC[None], source, target)
    except DataError as error:
        remedy = f"{error.remedy}; or count without a network: --method wavelet"
        raise DataError(where=error.where, rule=error.rule, remedy=remedy) from None
    made_up = ", ".join(converted.by.interpolated) or "none"
    note = f"joints converted from {source.name} to {target.name}; interpolated: {made_up}"
    joints_TVC = np.ascontiguousarray(converted.joints_MTVC[0])
    return replace(recording, joints_TVC=joints_TVC, layout=target.name, notes=(*recording.notes, note))
