import numpy as np
import pytest
import torch

from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.detrc import DeTRC
from flag3d_ray.models.cycle_detector import CycleDetector
from flag3d_ray.models.repetition_intervals import repetition_intervals
from flag3d_ray.models.segment_overlap import to_bounds, to_centres
from flag3d_ray.models.set_prediction import (
    Detections,
    class_loss,
    contrastive_loss,
    focal_loss,
    match,
    overlap_penalty,
    segment_losses,
    segment_targets,
)
from flag3d_ray.sample import Batch

FRAMES = 16


def _detector(frames: int = FRAMES, **options) -> CycleDetector:
    sizes = {"widths": (4, 4), "model_width": 8, "attention_heads": 2, "feed_forward": 8, "encoder_layers": 1}
    return DeTRC(**sizes, decoder_layers=2, **options).build(Shapes(frames=frames, layout="flag3d24"), 0)


def _batch(clips: int = 3) -> Batch:
    """Clips of 16 frames, the second with six frames of padding, with two to four repetitions of two frames."""
    generator = torch.Generator().manual_seed(0)
    numbers = [2 + index % 3 for index in range(clips)]
    reps = torch.full((clips, FRAMES), -1)
    for clip, number in enumerate(numbers):
        reps[clip, 1 : 1 + 2 * number] = torch.arange(2 * number) // 2
    valid = torch.ones(clips, FRAMES, dtype=torch.bool)
    valid[1, 10:] = False
    return Batch(
        clip_ids=tuple(f"clip{index}" for index in range(clips)),
        joints_BTVC=torch.randn(clips, FRAMES, 24, 3, generator=generator),
        valid_BT=valid,
        text_BLD=torch.zeros(clips, 1, 0),
        text_valid_BL=torch.ones(clips, 1, dtype=torch.bool),
        count_B=torch.tensor([float(number) for number in numbers]),
        reps_BT=reps,
    )


def _sure(bounds: np.ndarray, queries: int) -> Detections:
    """Detections of one clip that are sure of the given segments (start and end) and of nothing else."""
    segments, logits = torch.full((1, queries, 2), 0.5), torch.tensor([-5.0, 5.0]).repeat(1, queries, 1)
    segments[0, : len(bounds)] = to_centres(torch.from_numpy(bounds)).float()
    logits[0, : len(bounds)] = torch.tensor([5.0, -5.0])
    sure = torch.full((1, queries), 5.0)
    return Detections(logits, segments, sure, sure, torch.ones(1, queries, dtype=torch.bool))


def test_a_clip_with_62_repetitions_can_yield_62():
    detector = _detector(128)
    frames = np.stack([np.arange(62) * 2, np.arange(62) * 2 + 2], axis=1)
    final = _sure(frames / 128, detector.network.queries)
    targets = segment_targets([frames], torch.tensor([128]), torch.float32)
    assert detector.network.queries == 96
    assert (match(final, targets, detector.weights) >= 0).sum() == 62
    assert detector.read(final, [128])[0].tolist() == frames.tolist()


def test_the_released_cap_cannot():
    frames = np.stack([np.arange(62) * 2, np.arange(62) * 2 + 2], axis=1)
    detector = _detector(128, keep=30)
    assert len(detector.read(_sure(frames / 128, 96), [128])[0]) == 30


def test_a_segment_counts_if_its_class_and_its_product_of_three_say_so():
    detector = _detector()
    bounds = np.array([[0.0, 0.2], [0.2, 0.4], [0.4, 0.6], [0.6, 0.8]])
    final = _sure(bounds, 5)
    final.iou_BQ[0, 1] = final.centredness_BQ[0, 1] = -0.5  # 0.38 squared is below 0.2
    final.logits_BQ2[0, 2] = torch.tensor([0.0, 0.1])  # the product is 0.47, but "other" is more probable
    final.real_BQ[0, 3] = False
    assert detector.read(final, [10])[0].tolist() == [[0, 2]]


def test_segments_come_in_order_in_frames_and_are_never_empty():
    final = _sure(np.array([[0.9, 1.0], [0.31, 0.32], [0.0, 0.2]]), 3)
    assert _detector().read(final, [10])[0].tolist() == [[0, 2], [3, 4], [9, 10]]


def test_twins_are_suppressed():
    final = _sure(np.array([[0.2, 0.4], [0.21, 0.4], [0.4, 0.6]]), 3)
    assert len(_detector().read(final, [10])[0]) == 2


def test_predictions_hold_segments_of_the_valid_frames_and_their_number():
    detector = _detector(threshold=0.0)
    with torch.no_grad():
        detector.network.class_heads[-1].load_state_dict(
            {"weight": torch.zeros(2, 8), "bias": torch.tensor([9.0, -9.0])}
        )
    for prediction, length in zip(detector.predict(_batch().without_labels()), (16, 10, 16), strict=True):
        assert prediction.segments_K2 is not None
        assert prediction.density_T is None
        assert prediction.count == len(prediction.segments_K2) > 0
        assert (prediction.segments_K2[:, 0] < prediction.segments_K2[:, 1]).all()
        assert prediction.segments_K2.max() <= length
    assert detector.training


def test_the_loss_is_the_weighted_sum_over_layers_and_proposals():
    detector, batch = (
        _detector(class_warmup=0, overlap_weight=0.3, contrastive_weight=0.6, reference_weight=0.9).eval(),
        _batch(),
    )
    weights, decoded = detector.weights, detector(batch)
    targets = segment_targets(repetition_intervals(batch), torch.tensor([16, 10, 16]), torch.float32)
    answer = match(decoded.layers[-1], targets, weights)
    expected = torch.zeros(3)
    for detections in (decoded.proposals, *decoded.layers):
        assignment = match(detections, targets, weights)
        expected += segment_losses(detections, targets, assignment, weights) + class_loss(detections, assignment, 0.1)
    for layer in (0, 1):
        expected += 0.3 * overlap_penalty(decoded.layers[layer])
        real = decoded.layers[layer].real_BQ
        expected += 0.6 * contrastive_loss(decoded.features[layer], answer >= 0, real, 100.0)
    shown = torch.full((3, decoded.content_BQF.shape[1], 2), 0.5)
    for clip, query in torch.nonzero(answer >= 0).tolist():
        shown[clip, query] = to_centres(targets.bounds_BR2[clip, answer[clip, query]])
    _, layers = detector.network.decode(
        decoded.content_BQF, decoded.memory_BTF, batch.valid_BT, decoded.proposals.real_BQ, shown
    )
    expected += sum(0.9 * focal_loss(detections.logits_BQ2, answer >= 0) for detections in layers)
    torch.testing.assert_close(detector.loss(batch), expected.mean())


def test_the_class_loss_begins_after_the_warmup_and_only_training_counts_steps():
    detector, batch = _detector(class_warmup=2), _batch()
    detector.eval()
    cold = detector.loss(batch)
    assert detector.steps == 0
    detector.steps.fill_(2)
    assert detector.loss(batch) > cold
    detector.steps.zero_()
    detector.train()
    for step in range(3):
        assert detector.steps == step
        detector.loss(batch)


def test_a_batch_is_the_mean_of_its_clips_however_it_is_split():
    detector, batch = _detector(class_warmup=0).eval(), _batch()
    assert batch.count_B is not None
    assert batch.reps_BT is not None
    losses = []
    for row in range(3):
        one = slice(row, row + 1)
        losses.append(
            detector.loss(
                Batch(
                    clip_ids=batch.clip_ids[one],
                    joints_BTVC=batch.joints_BTVC[one],
                    valid_BT=batch.valid_BT[one],
                    text_BLD=batch.text_BLD[one],
                    text_valid_BL=batch.text_valid_BL[one],
                    count_B=batch.count_B[one],
                    reps_BT=batch.reps_BT[one],
                )
            )
        )
    torch.testing.assert_close(detector.loss(batch), torch.stack(losses).mean())


def test_the_segments_of_padding_lie_in_no_prediction():
    detector, batch = _detector(), _batch()
    final = detector.eval()(batch).layers[-1]
    assert final.real_BQ.sum(dim=1).tolist() == [16, 10, 16]
    assert to_bounds(final.segments_BQ2).max() <= 1.0


def test_the_loss_needs_repetitions():
    with pytest.raises(ValueError, match="reps_BT"):
        _detector().loss(_batch().without_labels())


def test_loss_and_gradients_are_finite_float32_under_bfloat16_autocast():
    detector = _detector(class_warmup=0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = detector.loss(_batch())
        predictions = detector.predict(_batch())
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in detector.parameters() if p.grad is not None)
    assert len(predictions) == 3


def test_it_computes_in_float64():
    assert _detector().double().loss(_batch().to("cpu", torch.float64)).dtype == torch.float64
