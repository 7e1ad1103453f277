"""The only training loop. It knows no Ray, no MLflow and no files but its two checkpoints.

Every random number of a step comes from (seed, epoch, step), so a run that continues from a checkpoint computes exactly
what the undisturbed run computes.
"""

import math
import time
from itertools import groupby
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from flag3d_ray.data.order import steps_per_epoch
from flag3d_ray.errors import Diverged
from flag3d_ray.methods.base import Trained
from flag3d_ray.run import Run, TrainSpec
from flag3d_ray.training.checkpoint import Position, load_training, save_tensors, save_training
from flag3d_ray.training.context import Context

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
_FINITE_CHECK_STEPS = 20  # reading the loss waits for a GPU; a NaN is noticed at the latest after this many steps


def train(run: Run, module: nn.Module, context: Context) -> Position:
    """Train to the last epoch, from the last checkpoint where there is one.

    The model file holds the weights of the epoch with the lowest validation MAE (paper formula, held-out actions of the
    training side), or of the last one where the run says so.

    Raises:
        Diverged: the loss or a validation count is not finite.
    """
    spec = run.train
    module.to(context.device, torch.float64 if spec.precision == "float64" else None)
    optimiser = make_optimiser(module, spec)
    position = Position()
    if context.journal.last.exists():
        position = load_training(context.journal.last, module, optimiser)
    steps = steps_per_epoch(context.streams.clips, spec.batch)
    epochs = groupby(context.streams.train(position.epoch), key=lambda item: item[0])
    for epoch, batches in epochs:
        began = time.perf_counter()
        loss, clips = _train_epoch(run, module, optimiser, context, epoch, steps, batches)
        error = validate(module, context, spec)
        position = _advance(position, epoch, error)
        if context.rank == 0:
            seconds = time.perf_counter() - began
            event = {
                "epoch": epoch,
                "loss": loss,
                "val_mae": error,
                "learning_rate": learning_rate(spec, (epoch + 1) * steps, steps),
                "seconds": seconds,
                "clips_per_second": clips / seconds,
            }
            context.journal.log(event)
            if spec.keep == "last" or position.best_epoch == epoch:
                save_tensors(context.journal.model, module.state_dict(), epoch=epoch)
            save_training(context.journal.last, module, optimiser, position)
            context.journal.saved(event)
        context.barrier()
    return position


def make_optimiser(module: nn.Module, spec: TrainSpec) -> torch.optim.Optimizer:
    """`ours`: AdamW. `released`: Adam, no decay. Fused kernels compute the same update in one launch."""
    decay = spec.weight_decay if spec.recipe == "ours" else 0.0
    return torch.optim.AdamW(module.parameters(), lr=spec.learning_rate, weight_decay=decay, fused=True)


def learning_rate(spec: TrainSpec, step: int, steps_in_epoch: int) -> float:
    """`ours`: one-cycle, a cosine from 1/25 up over the first 30 % of the steps, then down to zero. `released`: in steps."""
    if spec.recipe == "released":
        passed = sum(step // steps_in_epoch >= milestone for milestone in spec.milestones)
        return spec.learning_rate * spec.gamma**passed
    progress = min(1.0, step / (spec.epochs * steps_in_epoch))
    if progress < 0.3:
        return spec.learning_rate * (0.04 + 0.96 * (1 - math.cos(math.pi * progress / 0.3)) / 2)
    return spec.learning_rate * (1 + math.cos(math.pi * (progress - 0.3) / 0.7)) / 2


@torch.no_grad()
def validate(module: nn.Module, context: Context, spec: TrainSpec) -> float:
    """MAE (paper formula) on the validation clips of all workers."""
    module.eval()
    errors, clips = 0.0, 0.0
    for batch in context.streams.validation():
        assert batch.count_B is not None
        with _autocast(context, spec):
            predictions = cast(Trained, module).predict(batch.without_labels().to(context.device, _float(spec)))
        for prediction, truth in zip(predictions, batch.count_B.tolist(), strict=True):
            errors += abs(prediction.count - truth) / truth
            clips += 1
    errors, clips = context.sum([errors, clips])
    if not math.isfinite(errors):
        raise Diverged(where="validation", rule="a predicted count is not finite", remedy="lower the learning rate")
    return errors / max(clips, 1)


def _train_epoch(run: Run, module: nn.Module, optimiser, context: Context, epoch: int, steps: int, batches):
    spec, total, seen = run.train, torch.zeros((), dtype=torch.float64, device=context.device), 0
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    step_of = torch.compile(_loss) if context.compile else _loss
    module.train()
    for step, (_, rows, batch) in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(spec, epoch * steps + step, steps)
        torch.manual_seed(int(np.random.SeedSequence((run.seed, epoch, step, context.rank)).generate_state(1)[0]))
        with _autocast(context, spec):
            loss = step_of(module, batch.to(context.device, _float(spec))) * (len(batch) / rows)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        context.sum_gradients(parameters)
        optimiser.step()
        total += loss.detach() * rows
        seen += rows
        if step % _FINITE_CHECK_STEPS == 0:
            _check_finite(total, epoch, step)
    _check_finite(total, epoch, steps)
    return context.sum([total.item()])[0] / max(seen, 1), seen


def _loss(module: nn.Module, batch) -> Tensor:
    return cast(Trained, module).loss(batch)


def _check_finite(total: Tensor, epoch: int, step: int) -> None:
    if not torch.isfinite(total):
        where = f"epoch {epoch}, step {step}"
        raise Diverged(
            where=where, rule="the loss is not finite", remedy="lower the learning rate or check the data for NaN"
        )


def _advance(position: Position, epoch: int, error: float) -> Position:
    if position.best is None or error < position.best:
        return Position(epoch + 1, error, epoch)
    return Position(epoch + 1, position.best, position.best_epoch)


def _float(spec: TrainSpec) -> torch.dtype:
    return torch.float64 if spec.precision == "float64" else torch.float32


def _autocast(context: Context, spec: TrainSpec):
    return torch.autocast(context.device.type, torch.bfloat16, enabled=spec.precision == "bfloat16")
