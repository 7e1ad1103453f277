import numpy as np
import pytest
import torch

from flag3d_ray.models.segment_overlap import overlap, soft_nms, to_bounds, to_centres


def _bounds(number: int, seed: int = 0) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).random((number, 2)), axis=1)


def test_centres_and_bounds_are_inverse_inside_the_clip_and_bounds_are_held_to_it():
    bounds = torch.from_numpy(_bounds(20))
    torch.testing.assert_close(to_bounds(to_centres(bounds)), bounds)
    assert to_bounds(torch.tensor([[0.1, 0.4], [0.9, 0.4]])).tolist() == pytest.approx(
        np.array([[0.0, 0.3], [0.7, 1.0]]), abs=1e-6
    )


def test_overlaps_of_known_segments():
    one = torch.tensor([[0.0, 0.5], [0.0, 0.2], [0.2, 0.6], [0.1, 0.4]])
    other = torch.tensor([[0.0, 0.5], [0.8, 1.0], [0.4, 0.8], [0.2, 0.3]])
    iou, giou = overlap(one, other)
    torch.testing.assert_close(iou, torch.tensor([1.0, 0.0, 1 / 3, 1 / 3]), atol=1e-5, rtol=0)
    torch.testing.assert_close(giou, torch.tensor([1.0, -0.6, 1 / 3, 1 / 3]), atol=1e-5, rtol=0)


def test_overlaps_of_pairs_are_those_of_a_plain_loop():
    one, other = _bounds(7, 1), _bounds(5, 2)
    iou, giou = overlap(torch.from_numpy(one)[:, None], torch.from_numpy(other)[None])
    for i, (a, b) in enumerate(one):
        for j, (c, d) in enumerate(other):
            shared = max(0.0, min(b, d) - max(a, c))
            union = (b - a) + (d - c) - shared
            hull = max(b, d) - min(a, c)
            assert iou[i, j].item() == pytest.approx(shared / union, abs=1e-4)
            assert giou[i, j].item() == pytest.approx(shared / union - (hull - union) / hull, abs=1e-4)


def test_apart_segments_have_a_gradient_towards_each_other_and_empty_ones_are_finite():
    one = torch.tensor([0.0, 0.1], requires_grad=True)
    overlap(one, torch.tensor([0.8, 0.9]))[1].backward()
    assert one.grad is not None
    assert one.grad[1] > 0
    assert all(value.isfinite() for value in overlap(torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5])))


def _soft_nms_loop(bounds: np.ndarray, scores: np.ndarray, sigma: float, keep: int, least: float):
    remaining = {index: float(score) for index, score in enumerate(scores) if score >= least}
    kept = []
    while remaining and len(kept) < keep:
        best = max(remaining, key=lambda index: remaining[index])
        kept.append((best, remaining.pop(best)))
        for index in list(remaining):
            shared = max(0.0, min(bounds[best][1], bounds[index][1]) - max(bounds[best][0], bounds[index][0]))
            union = bounds[best][1] - bounds[best][0] + bounds[index][1] - bounds[index][0] - shared
            remaining[index] *= np.exp(-((shared / union) ** 2) / sigma)
            if remaining[index] < least:
                del remaining[index]
    return kept


@pytest.mark.parametrize(("keep", "least"), [(30, 1e-4), (5, 1e-4), (30, 0.3)])
def test_soft_suppression_is_that_of_a_plain_loop(keep, least):
    bounds, scores = _bounds(30, 3), np.random.default_rng(4).random(30)
    kept, decayed = soft_nms(bounds, scores, sigma=0.1, keep=keep, least=least)
    expected = _soft_nms_loop(bounds, scores, 0.1, keep, least)
    assert kept.tolist() == [index for index, _ in expected]
    assert decayed.tolist() == pytest.approx([score for _, score in expected])


def test_of_two_equal_segments_one_survives_and_neighbours_are_left_alone():
    bounds = np.array([[0.0, 0.2], [0.0, 0.2], [0.2, 0.4]])
    kept, decayed = soft_nms(bounds, np.array([0.8, 0.9, 0.7]), sigma=0.1, keep=9, least=1e-4)
    assert kept.tolist() == [1, 2]
    assert decayed.tolist() == pytest.approx([0.9, 0.7])


def test_nothing_in_nothing_out():
    kept, decayed = soft_nms(np.empty((0, 2)), np.empty(0), sigma=0.1, keep=9, least=1e-4)
    assert (kept.shape, decayed.shape) == ((0,), (0,))
