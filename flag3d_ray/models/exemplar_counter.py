"""Repetition counting with examples of one repetition: encoder, decoder, loss and readout of ESCounts on skeletons."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from flag3d_ray.models.clip_randomness import clip_generator
from flag3d_ray.models.exemplar_decoder import ExemplarDecoder, spread_over_frames
from flag3d_ray.models.repetition_intervals import repetition_intervals
from flag3d_ray.sample import Batch, Prediction

Collisions = Literal["add", "assign"]
# In the denominator of the count term, as released: a clip may have no repetition.
_COUNT_EPSILON = 0.1


@dataclass(frozen=True, kw_only=True)
class ExemplarObjective:
    """How the loss is made.

    Attributes:
        shots: numbers of examples that are drawn from with equal probability, clip by clip and step by step.
        masked: probability that a step of the clip is left out of the squared error.
        sigma: standard deviation of a repetition in the target, in steps.
        collisions: what middles in the same step do: `add` or `assign` (they count once).
        count_weight: factor of the relative error of the count.
        density_scale: the network predicts the density times this value.
    """

    shots: tuple[int, ...]
    masked: float
    sigma: float
    collisions: Collisions
    count_weight: float
    density_scale: float


class ExemplarCounter(nn.Module):
    """Skeleton encoder and exemplar decoder.

    The training loss draws, per clip and step, how many examples the clip gets, which of its repetitions they are, and
    which steps are masked, from `seed`, the number of training losses so far (the buffer `steps`) and the clip's id.

    Args:
        encoder: a module from joints [B, T, V, C] to features [B, T, F], channel-major, such as `HLGCN`.
        decoder: features to a density per step.
        exemplar_steps: steps of an example.
        objective: how the loss is made.
        seed: of the draws.
    """

    steps: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: ExemplarDecoder,
        *,
        exemplar_steps: int,
        objective: ExemplarObjective,
        seed: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.exemplar_steps = exemplar_steps
        self.objective = objective
        self.seed = seed
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def features(self, joints_BTVC: Float[Tensor, "B T V C"]) -> Float[Tensor, "B T V D"]:
        """Features per frame and joint."""
        return rearrange(self.encoder(joints_BTVC), "b t (d v) -> b t v d", v=joints_BTVC.shape[2])

    def loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Masked squared error of the scaled density plus relative error of the count, in float32 at least.

        Per clip, then the mean over clips. In evaluation mode nothing is masked and no clip has an example.

        Raises:
            ValueError: the batch has no repetitions or no counts.
        """
        objective, intervals = self.objective, repetition_intervals(batch)
        density_BS, keep_BS = self._trained(batch, intervals)
        wide = torch.promote_types(density_BS.dtype, torch.float32)
        density_BS, keep_BS = density_BS.to(wide), keep_BS.to(density_BS.device, wide)
        valid_BS = rearrange(batch.valid_BT, "b (s p) -> b s p", p=self.decoder.pool).any(dim=2)
        target_BS = density_target(intervals, valid_BS, self.decoder.pool, objective.sigma, objective.collisions)
        errors_BS = keep_BS * (density_BS - objective.density_scale * target_BS.to(density_BS)).square()
        assert batch.count_B is not None
        count_B = batch.count_B.to(wide)
        relative_B = (density_BS.sum(dim=1) / objective.density_scale - count_B).abs() / (count_B + _COUNT_EPSILON)
        return (errors_BS.sum(dim=1) / valid_BS.sum(dim=1) + objective.count_weight * relative_B).mean()

    def _trained(self, batch: Batch, intervals: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Scaled density, and 1 where a step enters the squared error."""
        features_BTVC = self.features(batch.joints_BTVC)
        steps = batch.valid_BT.shape[1] // self.decoder.pool
        if not self.training:
            return self.decoder(features_BTVC, batch.valid_BT), torch.ones(len(batch), steps)
        step, chosen, keep = int(self.steps), [], []
        for clip_id, reps_R2 in zip(batch.clip_ids, intervals, strict=True):
            generator = clip_generator(self.seed, step, clip_id)
            shots = self.objective.shots[int(torch.randint(len(self.objective.shots), (), generator=generator))]
            whole_R2 = reps_R2[reps_R2[:, 1] > reps_R2[:, 0]]
            order = torch.randperm(len(whole_R2), generator=generator).numpy()
            chosen.append(whole_R2[order[:shots]])
            keep.append(torch.rand(steps, generator=generator) >= self.objective.masked)
        self.steps += 1
        return self._with_examples(features_BTVC, batch.valid_BT, chosen), torch.stack(keep)

    def _with_examples(self, features_BTVC: Tensor, valid_BT: Tensor, chosen: list[np.ndarray]) -> Tensor:
        """Density of clips whose examples are the repetitions `chosen`, [K, 2] frames per clip."""
        most = max(len(reps_K2) for reps_K2 in chosen)
        if not most:
            return self.decoder(features_BTVC, valid_BT)
        padded_BK2 = np.stack([np.pad(reps_K2, ((0, most - len(reps_K2)), (0, 0))) for reps_K2 in chosen])
        spans_BK2 = torch.from_numpy(padded_BK2).to(features_BTVC.device)
        shots_B = torch.tensor([len(reps_K2) for reps_K2 in chosen], device=features_BTVC.device)
        examples_BKEVC = sample_examples(features_BTVC, spans_BK2, self.exemplar_steps)
        return self.decoder(features_BTVC, valid_BT, examples_BKEVC, shots_B)

    @torch.no_grad()
    def predict(self, batch: Batch, shots: int = 0) -> list[Prediction]:
        """Density per frame and its sum as the count, unrounded, computed in evaluation mode.

        Args:
            batch: clips, without labels where `shots` is 0.
            shots: examples from the annotation of each clip itself, spread evenly over its repetitions. They tell what
                exemplars are worth; a table must not use them.

        Raises:
            ValueError: examples are asked for and the batch has no repetitions.
        """
        training = self.training
        self.eval()
        features_BTVC = self.features(batch.joints_BTVC)
        chosen = [_NONE] * len(batch)
        if shots:
            chosen = [spread_choice(reps_R2, shots) for reps_R2 in repetition_intervals(batch)]
        density_BS = self._with_examples(features_BTVC, batch.valid_BT, chosen)
        density_BT = spread_over_frames(density_BS.float() / self.objective.density_scale, batch.valid_BT).cpu().numpy()
        self.train(training)
        return [
            Prediction(clip_id=clip_id, count=float(density_T.sum()), density_T=density_T)
            for clip_id, density_T in zip(batch.clip_ids, density_BT, strict=True)
        ]


_NONE = np.empty((0, 2), dtype=np.int64)


def spread_choice(reps_R2: Int[np.ndarray, "R 2"], shots: int) -> Int[np.ndarray, "K 2"]:
    """At most `shots` of the repetitions that have frames: the middle one, or several at equal distances."""
    whole_R2 = reps_R2[reps_R2[:, 1] > reps_R2[:, 0]]
    number = min(shots, len(whole_R2))
    return whole_R2[(2 * np.arange(number) + 1) * len(whole_R2) // max(2 * number, 1)]


def sample_examples(
    features_BTVC: Float[Tensor, "B T V C"], spans_BK2: Int[Tensor, "B K 2"], steps: int
) -> Float[Tensor, "B K E V C"]:
    """Features of the given frame spans, brought to E = `steps` steps by linear interpolation between frames.

    Step e lies at the middle of the e-th of E equal parts of the span; an empty span gives its first frame.
    """
    first_BK1, end_BK1 = spans_BK2[..., :1], spans_BK2[..., 1:]
    part_E = (torch.arange(steps, device=features_BTVC.device, dtype=torch.float64) + 0.5) / steps
    place_BKE = (first_BK1 + part_E * (end_BK1 - first_BK1) - 0.5).clamp(min=first_BK1)
    place_BKE = torch.minimum(place_BKE, (end_BK1 - 1).clamp(min=first_BK1))
    below_BKE = place_BKE.floor().long()
    above_BKE = place_BKE.ceil().long()
    clip = torch.arange(len(features_BTVC), device=features_BTVC.device)[:, None, None]
    part = (place_BKE - below_BKE).to(features_BTVC.dtype)[..., None, None]
    return torch.lerp(features_BTVC[clip, below_BKE], features_BTVC[clip, above_BKE], part)


def density_target(
    intervals: list[np.ndarray], valid_BS: Bool[Tensor, "B S"], pool: int, sigma: float, collisions: Collisions
) -> Float[Tensor, "B S"]:
    """Repetitions per step: a Gaussian about the step that holds the middle frame of each repetition.

    Each Gaussian is scaled to a mass of 1 over the valid steps, so that nothing leaks over the ends of a clip and its
    target sums to its number of repetitions (with `add`).
    """
    valid = valid_BS.cpu().numpy()
    target = np.zeros(valid.shape)
    for row, reps_R2 in enumerate(intervals):
        middle_R = np.minimum(reps_R2.sum(axis=1) // 2 // pool, max(int(valid[row].sum()) - 1, 0))
        if collisions == "assign":
            middle_R = np.unique(middle_R)
        distance_RS = np.arange(valid.shape[1]) - middle_R[:, None]
        mass_RS = np.exp(-0.5 * (distance_RS / sigma) ** 2) * valid[row]
        target[row] = (mass_RS / mass_RS.sum(axis=1, keepdims=True)).sum(axis=0)
    return torch.from_numpy(target).to(valid_BS.device)
