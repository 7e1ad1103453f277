"""Repetition counting by density regression: encoder, head, loss and readout of HL-RAC and of its text-free form."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from flag3d_ray.models.density_head import DensityHead
from flag3d_ray.models.hlgcn import GraphUnit
from flag3d_ray.models.hlgcn_plain import PlainGraphUnit
from flag3d_ray.models.text_points import TextPoints, pool_tokens
from flag3d_ray.sample import Batch, Prediction


class RepetitionCounter(nn.Module):
    """Skeleton encoder, text points and density head.

    Args:
        encoder: a module from joints [B, T, V, C] and text points to features [B, T, F], such as `HLGCN`.
        head: features to density.
        text: projector of embeddings to text points, None for the text-free network.
        tokens: give the fusion one text point vector per token instead of their pooled one.
        density_scale: the network predicts the density times this value. Densities are near 0.08, so at scale 1
            predicting zero is a strong local minimum.
        count_weight: of the error of the count in the loss, see `loss`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: DensityHead,
        text: TextPoints | None = None,
        *,
        tokens: bool = False,
        density_scale: float = 100.0,
        count_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.text = text
        self.tokens = tokens
        self.density_scale = density_scale
        self.count_weight = count_weight

    def forward(self, batch: Batch) -> Float[Tensor, "B T"]:
        """The scaled density, in the dtype of the computation."""
        if self.text is None:
            return self.head(self.encoder(batch.joints_BTVC))
        embeddings, valid = batch.text_BLD, batch.text_valid_BL
        if not self.tokens:
            embeddings = pool_tokens(embeddings, valid)
            valid = valid.any(dim=1, keepdim=True)
        return self.head(self.encoder(batch.joints_BTVC, self.text(embeddings), valid))

    @torch.no_grad()
    def start_without_text(self) -> None:
        """Give the text points no influence on a network whose other weights were learned without them.

        Text points as drawn scatter every adjacency: fine-tuning then spends its steps on repairing what the warm start
        had learned (`tiny` preset, synthetic, mean MAE of three seeds: 0.413 for multiplication, 0.380 without language).
        """
        if self.text is None:
            return
        units = [unit for unit in self.encoder.modules() if isinstance(unit, GraphUnit | PlainGraphUnit)]
        for unit in units:
            unit.start_without_text()
        if all(unit.attend is None for unit in units):
            self.text.start_at_zero()

    def loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Mean squared error of the scaled density over rows and frames, in float32 at least.

        With a `count_weight` w, w |c' - c| / c is added, averaged over rows: c' is the sum of the density, c the count.

        Raises:
            ValueError: the batch has no density, or there is a count weight and it has no count.
        """
        output_BT = self(batch)
        loss = self.density_loss(output_BT, batch)
        if not self.count_weight:
            return loss
        count_B, truth_B = self.counts(output_BT, batch)
        return loss + self.count_weight * ((count_B - truth_B).abs() / truth_B).mean()

    def counts(self, output_BT: Float[Tensor, "B T"], batch: Batch) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
        """Sums of the densities that the network gave for a batch, and the true counts, in the dtype of these.

        Raises:
            ValueError: the batch has no count.
        """
        if batch.count_B is None:
            raise ValueError("the loss needs a batch with count_B")
        return output_BT.to(batch.count_B.dtype).sum(dim=1) / self.density_scale, batch.count_B

    def density_loss(self, output_BT: Float[Tensor, "B T"], batch: Batch) -> Float[Tensor, ""]:
        """The loss of scaled densities that the network gave for a batch."""
        if batch.density_BT is None:
            raise ValueError("the loss needs a batch with density_BT")
        label_BT = batch.density_BT
        return (output_BT.to(label_BT.dtype) - self.density_scale * label_BT).square().mean()

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Prediction]:
        """Density per frame and its sum as the count, unrounded, computed in evaluation mode."""
        training = self.training
        self.eval()
        density_BT = (self(batch).float() / self.density_scale).cpu().numpy()
        self.train(training)
        return [
            Prediction(clip_id=clip_id, count=float(density_T.sum()), density_T=density_T)
            for clip_id, density_T in zip(batch.clip_ids, density_BT, strict=True)
        ]
