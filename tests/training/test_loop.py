"""The training loop alone, with streams and a journal that keep everything in memory."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import nn

from flag3d_ray.data.order import epoch_order, global_batches
from flag3d_ray.errors import Diverged
from flag3d_ray.run import Run, TrainSpec
from flag3d_ray.sample import Batch, Prediction
from flag3d_ray.training.checkpoint import load_tensors
from flag3d_ray.training.context import Context
from flag3d_ray.training.loop import learning_rate, make_optimiser, train


class Slope(nn.Module):
    """Predicts a count from the mean of the coordinates: one weight. Its dropout makes the loss random."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.weight * self.dropout(batch.joints_BTVC).mean(dim=(1, 2, 3))

    def loss(self, batch: Batch) -> torch.Tensor:
        return (self(batch) - batch.count_B).square().mean()

    def predict(self, batch: Batch) -> list[Prediction]:
        assert batch.count_B is None
        assert batch.density_BT is None
        return [
            Prediction(clip_id=clip, count=count)
            for clip, count in zip(batch.clip_ids, self(batch).tolist(), strict=True)
        ]


def batch_of(values: list[int]) -> Batch:
    count_B = torch.tensor([float(value + 1) for value in values])
    return Batch(
        clip_ids=tuple(map(str, values)),
        joints_BTVC=(count_B / 2)[:, None, None, None].expand(-1, 4, 2, 3).clone(),
        valid_BT=torch.ones(len(values), 4, dtype=torch.bool),
        text_BLD=torch.zeros(len(values), 1, 0),
        text_valid_BL=torch.ones(len(values), 1, dtype=torch.bool),
        density_BT=torch.zeros(len(values), 4),
        count_B=count_B,
    )


@dataclass
class Memory:
    """Streams and journal of a run with ten clips."""

    run: Run
    folder: Path
    events: list[dict] = field(default_factory=list)
    stop_after: int | None = None
    poison: int | None = None
    clips: int = 10

    @property
    def last(self) -> Path:
        return self.folder / "last"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def train(self, first_epoch: int):
        for epoch in range(first_epoch, self.run.train.epochs):
            for rows in global_batches(epoch_order(self.clips, self.run.seed, epoch), self.run.train.batch):
                batch = batch_of(rows.tolist())
                if epoch == self.poison:
                    batch.joints_BTVC[0, 0] = math.nan
                yield epoch, len(rows), batch

    def validation(self):
        yield batch_of([3, 4])
        yield batch_of([8])

    def log(self, event: dict) -> None:
        self.events.append(event)

    def saved(self, event: dict) -> None:
        if event["epoch"] == self.stop_after:
            raise InterruptedError


@pytest.fixture
def spec(tiny_run):
    def make(**train):
        return tiny_run(**({"epochs": 4, "batch": 4, "learning_rate": 0.05} | train))

    return make


def final(memory: Memory) -> tuple[bytes, bytes, list]:
    events = [(event["epoch"], event["loss"], event["val_mae"]) for event in memory.events]
    return memory.last.read_bytes(), memory.model.read_bytes(), events


def finish(run, folder: Path, **memory) -> Memory:
    world = Memory(run, folder, **memory)
    train(run, Slope(dropout=0.5), Context(world, world))
    return world


def test_the_weight_is_learned(spec, tmp_path):
    run = spec(epochs=60)
    world = Memory(run, tmp_path)
    module = Slope()

    train(run, module, Context(world, world))

    assert module.weight.item() == pytest.approx(2.0, abs=0.05)
    assert world.events[-1]["val_mae"] < 0.05 < world.events[0]["val_mae"]


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_a_stopped_run_that_goes_on_equals_an_undisturbed_one_byte_for_byte(spec, tmp_path, stop_after):
    run = spec()
    undisturbed = finish(run, tmp_path / "undisturbed")
    with pytest.raises(InterruptedError):
        finish(run, tmp_path / "stopped", stop_after=stop_after)

    torch.rand(17)  # whatever else draws numbers must not matter
    continued = finish(run, tmp_path / "stopped")

    assert [event["epoch"] for event in continued.events] == list(range(stop_after + 1, 4))
    assert final(continued)[:2] == final(undisturbed)[:2]
    assert final(continued)[2] == final(undisturbed)[2][stop_after + 1 :]


def test_random_numbers_of_a_step_come_from_the_runs_seed_alone(spec, tmp_path):
    torch.manual_seed(1)
    one = finish(spec(), tmp_path / "one")
    torch.manual_seed(2)
    other = finish(spec(), tmp_path / "other")

    assert final(one) == final(other)


def test_the_model_file_holds_the_best_epoch_by_validation(spec, tmp_path):
    run = spec(epochs=6, learning_rate=3.0, recipe="released")  # a rate this high overshoots
    world = Memory(run, tmp_path)
    position = train(run, Slope(), Context(world, world))

    errors = [event["val_mae"] for event in world.events]
    assert position.best == min(errors)
    assert position.best_epoch == errors.index(min(errors)) < 5
    tensors, facts = load_tensors(world.model)
    assert facts["epoch"] == position.best_epoch
    # validation: counts 4, 5 and 9, of which the slope predicts weight / 2 times each
    assert abs(tensors["weight"].item() / 2 - 1) == pytest.approx(position.best, abs=1e-5)


def test_the_model_file_of_a_run_that_keeps_the_last_epoch_holds_that_one(spec, tmp_path):
    run = spec(epochs=6, learning_rate=3.0, recipe="released", keep="last")
    world = Memory(run, tmp_path)
    position = train(run, Slope(), Context(world, world))

    tensors, facts = load_tensors(world.model)
    assert position.best_epoch is not None
    assert position.best_epoch < 5 == facts["epoch"]
    assert abs(tensors["weight"].item() / 2 - 1) == pytest.approx(world.events[-1]["val_mae"], abs=1e-5)


def test_the_loss_of_an_epoch_is_the_mean_over_its_clips_not_over_its_batches(spec, tmp_path):
    run = spec(epochs=1, batch=4, learning_rate=1e-12)
    world = Memory(run, tmp_path)
    train(run, Slope(), Context(world, world))

    expected = sum((0.5 * (value + 1) / 2 - (value + 1)) ** 2 for value in range(10)) / 10
    assert world.events[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_nan_in_the_data_ends_the_run_as_diverged(spec, tmp_path):
    with pytest.raises(Diverged, match="epoch 2"):
        finish(spec(), tmp_path, poison=2)


def test_a_huge_learning_rate_ends_the_run_as_diverged(spec, tmp_path):
    with pytest.raises(Diverged, match="not finite"):
        finish(spec(learning_rate=1e30, epochs=20), tmp_path)


def test_the_one_cycle_rate_rises_to_its_peak_and_falls_to_zero():
    spec = TrainSpec(epochs=10, learning_rate=1e-3)

    rates = [learning_rate(spec, step, 10) for step in range(101)]

    assert rates[0] == pytest.approx(4e-5)
    assert max(rates) == pytest.approx(1e-3)
    assert rates.index(max(rates)) == 30
    assert rates[:31] == sorted(rates[:31])
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)


def test_the_released_recipe_has_a_constant_rate_and_no_weight_decay():
    spec = TrainSpec(recipe="released", weight_decay=0.5)
    optimiser = make_optimiser(Slope(), spec)

    assert {learning_rate(spec, step, 10) for step in range(250)} == {spec.learning_rate}
    assert optimiser.param_groups[0]["weight_decay"] == 0.0


def test_a_released_schedule_multiplies_the_rate_at_the_start_of_its_milestones():
    spec = TrainSpec(recipe="released", learning_rate=1e-3, milestones=(0, 2), gamma=0.5)

    rates = [learning_rate(spec, step, 10) for step in (0, 19, 20, 500)]

    assert rates == pytest.approx([5e-4, 5e-4, 2.5e-4, 2.5e-4])


def test_our_recipe_decays_weights():
    assert make_optimiser(Slope(), TrainSpec(weight_decay=0.5)).param_groups[0]["weight_decay"] == 0.5
