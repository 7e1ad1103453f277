"""Random motions: reproducible, well formed, and each variation does what it says."""

from dataclasses import fields, replace

import numpy as np
import pytest

from flag3d_ray.data.schema import check_sample
from flag3d_ray.data.synthetic.body import rest_offsets
from flag3d_ray.data.synthetic.procedural import Variation, draw_tempo, procedural_sample
from flag3d_ray.skeleton import FLAG3D24

PLAIN = Variation(**{field.name: False for field in fields(Variation)})


def _bones(sample):
    joints_TVC = sample.joints_MTVC[0]
    children, parents = np.array(FLAG3D24.edges).T
    return np.linalg.norm(joints_TVC[:, children] - joints_TVC[:, parents], axis=-1)


def test_samples_obey_the_schema():
    for index in range(20):
        check_sample(procedural_sample(0, index), f"clip {index}")


def test_a_clip_is_a_function_of_seed_and_index():
    one, again, other = procedural_sample(3, 7), procedural_sample(3, 7), procedural_sample(4, 7)
    assert np.array_equal(one.joints_MTVC, again.joints_MTVC)
    assert one.frames != other.frames or not np.array_equal(one.joints_MTVC, other.joints_MTVC)


def test_it_is_marked_as_procedural_and_carries_three_captions():
    sample = procedural_sample(0, 12)
    assert (sample.source, sample.action_id) == ("procedural", "P000012")
    assert sample.keys_RS is None
    assert len({*sample.captions}) == 3


def test_counts_are_gamma_like_from_1_to_32():
    counts = np.array([draw_tempo(np.random.default_rng(seed)).repetitions for seed in range(3000)])
    assert (counts.min(), counts.max()) == (1, 32)
    assert counts.mean() == pytest.approx(9.5, abs=0.6)
    assert counts.std() == pytest.approx(6.7, abs=0.6)


def test_plain_clips_repeat_exactly():
    sample = procedural_sample(0, 1, PLAIN)
    lengths = np.diff(sample.reps_R2).ravel()
    assert lengths.max() - lengths.min() <= 1
    first, second = (sample.joints_MTVC[0, start : start + lengths.min()] for start in sample.reps_R2[:2, 0])
    assert first == pytest.approx(second, abs=0.1)
    assert np.ptp(first, axis=0).max() > 0.03


def test_plain_clips_stand_upright_on_one_body():
    for index in range(5):
        joints_TVC = procedural_sample(0, index, PLAIN).joints_MTVC[0]
        pelvis, neck = joints_TVC[:, 0], joints_TVC[:, FLAG3D24.index("neck")]
        assert np.all(neck[:, 1] > pelvis[:, 1])
    lengths = np.linalg.norm(rest_offsets(), axis=1)[[child for child, _ in FLAG3D24.edges]]
    assert np.abs(_bones(procedural_sample(0, 0, PLAIN)) - lengths).max() < 1e-4


def test_without_noise_bones_keep_their_length_and_left_equals_right():
    for index in range(10):
        bones_TE = _bones(procedural_sample(0, index, Variation(noise=False)))
        assert np.ptp(bones_TE, axis=0).max() < 1e-4
        left = [edge for edge, (child, _) in enumerate(FLAG3D24.edges) if FLAG3D24.joints[child].startswith("left_")]
        children = [child for child, _ in FLAG3D24.edges]
        right = [children.index(FLAG3D24.mirror[children[edge]]) for edge in left]
        assert bones_TE[0, left] == pytest.approx(bones_TE[0, right], abs=1e-4)


def test_noise_is_six_millimetres():
    clean, noisy = (procedural_sample(0, 3, Variation(noise=noise)).joints_MTVC for noise in (False, True))
    assert (noisy - clean).std() == pytest.approx(0.006, rel=0.02)


def test_a_third_of_the_clips_lie():
    lying = []
    for index in range(90):
        joints_TVC = procedural_sample(0, index, replace(PLAIN, lying=True)).joints_MTVC[0, :1]
        trunk = joints_TVC[0, FLAG3D24.index("spine3")] - joints_TVC[0, 0]
        lying.append(abs(trunk[1]) < 0.5 * np.linalg.norm(trunk))
    assert np.mean(lying) == pytest.approx(1 / 3, abs=0.15)


def test_symmetric_clips_move_left_and_right_alike():
    symmetric = 0
    for index in range(40):
        joints_TVC = procedural_sample(0, index, replace(PLAIN, symmetry=True, posture=True)).joints_MTVC[0]
        centred_TVC = joints_TVC - joints_TVC[:, :1]
        mirrored_TVC = centred_TVC[:, np.array(FLAG3D24.mirror)] * np.array([-1, 1, 1], np.float32)
        symmetric += np.abs(mirrored_TVC - centred_TVC).max() < 1e-3
    assert 10 <= symmetric <= 30


@pytest.mark.parametrize("name", [field.name for field in fields(Variation)])
def test_every_variation_changes_something(name):
    changed = []
    for index in range(6):
        plain, varied = (
            procedural_sample(0, index, variation) for variation in (PLAIN, replace(PLAIN, **{name: True}))
        )
        same_length = plain.frames == varied.frames
        changed.append(not same_length or not np.allclose(plain.joints_MTVC, varied.joints_MTVC, atol=1e-5))
    assert any(changed)
