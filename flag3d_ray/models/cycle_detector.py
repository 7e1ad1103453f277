"""Repetition counting by detection: encoder, transformer, losses and readout of DeTRC on skeletons."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from flag3d_ray.models.cycle_network import CycleNetwork, Decoded
from flag3d_ray.models.repetition_intervals import repetition_intervals
from flag3d_ray.models.segment_overlap import soft_nms, to_bounds, to_centres
from flag3d_ray.models.set_prediction import (
    Detections,
    SetWeights,
    Targets,
    class_loss,
    contrastive_loss,
    focal_loss,
    match,
    matched_goals,
    overlap_penalty,
    segment_losses,
    segment_targets,
)
from flag3d_ray.sample import Batch, Prediction


class CycleDetector(nn.Module):
    """Skeleton encoder and detecting transformer; the count is the number of segments above a threshold.

    Args:
        encoder: a module from joints [B, T, V, C] to features [B, T, F], such as `HLGCN`.
        network: features to detections.
        weights: factors of costs and losses.
        class_warmup: training losses before the class loss of decoder and proposals counts; the buffer `steps` holds
            how many there were.
        threshold: least score of a segment that counts, after suppression.
        nms_sigma, keep, least: of `soft_nms`.
    """

    steps: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        network: CycleNetwork,
        weights: SetWeights,
        *,
        class_warmup: int,
        threshold: float,
        nms_sigma: float,
        keep: int,
        least: float,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.network = network
        self.weights = weights
        self.class_warmup = class_warmup
        self.threshold = threshold
        self.nms_sigma, self.keep, self.least = nms_sigma, keep, least
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, batch: Batch) -> Decoded:
        """Detections of all layers."""
        return self.network(self.encoder(batch.joints_BTVC), batch.valid_BT)

    def loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Sum of the set losses over layers and proposals, mean over clips, in float32 at least.

        Raises:
            ValueError: the batch has no repetitions or no counts.
        """
        intervals = repetition_intervals(batch)
        decoded = self(batch)
        final = decoded.layers[-1]
        targets = segment_targets(intervals, batch.valid_BT.sum(dim=1), final.segments_BQ2.dtype)
        classes = self.weights.class_weight * (self.steps >= self.class_warmup)
        if self.training:
            self.steps += 1
        proposed_BQ, *assignments = [match(one, targets, self.weights) for one in (decoded.proposals, *decoded.layers)]
        answer_BQ = assignments[-1]
        reference_BQ2 = self._true_references(targets, answer_BQ)
        _, shown = self.network.decode(
            decoded.content_BQF, decoded.memory_BTF, batch.valid_BT, final.real_BQ, reference_BQ2
        )
        with torch.autocast(batch.joints_BTVC.device.type, enabled=False):
            total_B = self._matched_losses(decoded.proposals, targets, proposed_BQ, classes)
            for detections, assignment_BQ in zip(decoded.layers, assignments, strict=True):
                total_B = total_B + self._matched_losses(detections, targets, assignment_BQ, classes)
                total_B = total_B + self.weights.overlap_weight * overlap_penalty(detections)
            for detections in shown:
                total_B = total_B + self.weights.reference_weight * focal_loss(detections.logits_BQ2, answer_BQ >= 0)
            for features_BQF in decoded.features:
                wide = features_BQF.to(final.segments_BQ2.dtype)
                contrast_B = contrastive_loss(wide, answer_BQ >= 0, final.real_BQ, self.weights.temperature)
                total_B = total_B + self.weights.contrastive_weight * contrast_B
        return total_B.mean()

    def _matched_losses(
        self, detections: Detections, targets: Targets, assignment_BQ: Tensor, classes: Tensor
    ) -> Float[Tensor, " B"]:
        class_B = class_loss(detections, assignment_BQ, self.weights.background_weight)
        return segment_losses(detections, targets, assignment_BQ, self.weights) + classes * class_B

    @staticmethod
    def _true_references(targets: Targets, answer_BQ: Int[Tensor, "B Q"]) -> Float[Tensor, "B Q 2"]:
        """The matched target of each query as centre and width, the middle half of the clip for the others."""
        matched_BQ, goal_BQ2 = matched_goals(targets, answer_BQ)
        return torch.where(matched_BQ[..., None], to_centres(goal_BQ2), 0.5)

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Prediction]:
        """Segments of the last layer and their number as the count, computed in evaluation mode."""
        training = self.training
        self.eval()
        final = self(batch).layers[-1]
        self.train(training)
        lengths = batch.valid_BT.sum(dim=1).tolist()
        return [
            Prediction(clip_id=clip_id, count=float(len(segments_K2)), segments_K2=segments_K2)
            for clip_id, segments_K2 in zip(batch.clip_ids, self.read(final, lengths), strict=True)
        ]

    def read(self, final: Detections, lengths: list[int]) -> list[Int[np.ndarray, "_ 2"]]:
        """The segments of each clip that count: first and exclusive last frame, in order.

        A query counts if "repetition" is its more probable class and the product of that probability, the expected
        overlap and the expected centredness is above the threshold after soft suppression of its neighbours.
        """
        score_BQ = final.logits_BQ2.softmax(dim=-1)[..., 0] * final.iou_BQ.sigmoid() * final.centredness_BQ.sigmoid()
        candidate_BQ = final.real_BQ & (final.logits_BQ2[..., 0] > final.logits_BQ2[..., 1])
        arrays = (to_bounds(final.segments_BQ2), score_BQ, candidate_BQ)
        bounds, scores, candidates = (value.cpu().numpy() for value in arrays)
        found = []
        for row, length in enumerate(lengths):
            bounds_N2, scores_N = bounds[row][candidates[row]], scores[row][candidates[row]]
            kept_K, decayed_K = soft_nms(bounds_N2, scores_N, sigma=self.nms_sigma, keep=self.keep, least=self.least)
            frames_K2 = np.rint(length * bounds_N2[kept_K[decayed_K > self.threshold]]).astype(np.int64)
            start_K = np.minimum(frames_K2[:, 0], length - 1)
            segments_K2 = np.stack([start_K, np.maximum(frames_K2[:, 1], start_K + 1)], axis=1)
            found.append(segments_K2[np.lexsort((segments_K2[:, 1], segments_K2[:, 0]))])
        return found
