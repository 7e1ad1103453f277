"""Random motions: reproducible, well formed, and each group of variation does what it says and nothing else."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from flag3d_ray.data.schema import check_sample, content_hash
from flag3d_ray.data.synthetic import procedural
from flag3d_ray.data.synthetic.body import forward_kinematics, rest_offsets
from flag3d_ray.data.synthetic.generate import PROCEDURAL_GENERATOR
from flag3d_ray.data.synthetic.procedural import _strengths, draw_tempo, procedural_sample
from flag3d_ray.data.synthetic.variation import DATASETS, GROUPS, PLAIN, RICH, Variation
from flag3d_ray.skeleton import FLAG3D24

# Of forty clips. Whoever changes them raises PROCEDURAL_GENERATOR.
DIGEST = (2, "007ef62aee5811dc3fd4cb7f2139b4e57eadd1bca11c7f31f54ae5f4445394ce")


class Recorder(np.random.Generator):
    """Remembers what was drawn: the name of the distribution and the bytes of the draw."""

    def __init__(self, seed: tuple[int, ...]) -> None:
        super().__init__(np.random.PCG64(seed))
        self.draws: list[tuple[str, bytes]] = []

    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        if name.startswith("_") or not callable(value):
            return value

        def drawn(*args, **kwargs):
            draw = value(*args, **kwargs)
            self.draws.append((name, np.asarray(draw).tobytes()))
            return draw

        return drawn


@pytest.fixture
def draws(monkeypatch):
    """A function that makes a clip and returns what was drawn for it."""

    def draws_of(seed: int, index: int, variation: Variation) -> list[tuple[str, bytes]]:
        recorders = []

        def default_rng(seed):
            recorders.append(Recorder(seed))
            return recorders[-1]

        with monkeypatch.context() as patch:
            patch.setattr(procedural.np.random, "default_rng", default_rng)
            procedural_sample(seed, index, variation)
        (recorder,) = recorders
        return recorder.draws

    return draws_of


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


def test_clips_stay_what_they_are_until_the_version_of_the_generator_is_raised():
    digest = hashlib.sha256()
    for index in range(40):
        digest.update(content_hash(procedural_sample(index % 5, index)).encode())
    assert (PROCEDURAL_GENERATOR, digest.hexdigest()) == DIGEST


@pytest.mark.parametrize("name", DATASETS)
def test_whatever_is_removed_the_same_numbers_are_drawn(draws, name):
    for index in range(6):
        whole = draws(1, index, RICH)
        assert len(whole) > 20
        assert draws(1, index, DATASETS[name]) == whole


def test_only_removing_the_tempo_moves_repetitions_and_nothing_changes_how_many_frames_there_are():
    for index in range(6):
        whole = procedural_sample(0, index)
        for group in GROUPS:
            clip = procedural_sample(0, index, Variation(**{group: False}))
            assert (clip.frames, clip.count, clip.fps) == (whole.frames, whole.count, whole.fps)
            assert np.array_equal(clip.reps_R2, whole.reps_R2) == (group != "tempo" or whole.count == 1)


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


def test_plain_clips_begin_standing_at_rest_with_one_body_that_faces_one_way():
    still = np.broadcast_to(np.eye(3), (1, len(FLAG3D24), 3, 3))
    rest_VC = forward_kinematics(still, rest_offsets(), np.zeros((1, 3)))[0]
    rest_VC[:, 1] -= rest_VC[:, 1].min()
    for index in range(8):
        assert procedural_sample(0, index, PLAIN).joints_MTVC[0, 0] == pytest.approx(rest_VC, abs=1e-4)


def test_without_tempo_repetitions_are_of_one_length_from_the_first_frame_to_the_last():
    for index in range(8):
        clip = procedural_sample(0, index, Variation(tempo=False))
        lengths = np.diff(clip.reps_R2).ravel()
        assert lengths.max() - lengths.min() <= 1
        assert np.array_equal(clip.reps_R2[1:, 0], clip.reps_R2[:-1, 1])
        assert (clip.reps_R2[0, 0], clip.reps_R2[-1, 1]) == (0, clip.frames)


def _unevenness(variation, index):
    """How far the way back of the first repetition is from its way there, in metres."""
    clip = procedural_sample(0, index, variation)
    first, last = clip.reps_R2[0]
    there_TVC = clip.joints_MTVC[0, first + 1 : last]
    return np.abs(there_TVC - there_TVC[::-1]).max()


def test_without_shape_a_repetition_comes_back_the_way_it_went():
    assert max(_unevenness(PLAIN, index) for index in range(8)) < 1e-4
    assert np.mean([_unevenness(replace(PLAIN, shape=True), index) > 0.05 for index in range(8)]) > 0.5


def test_without_shape_the_motion_is_as_large_as_with_it():
    largest = {
        shape: np.mean(
            [
                np.ptp(procedural_sample(0, i, replace(PLAIN, shape=shape)).joints_MTVC[0], axis=0).max()
                for i in range(60)
            ]
        )
        for shape in (False, True)
    }
    assert largest[False] == pytest.approx(largest[True], rel=0.3)


def _spreads(variation):
    """How much the size of a repetition differs within each of forty clips, as deviation over mean."""
    spread = []
    for index in range(40):
        clip = procedural_sample(0, index, variation)
        if clip.count < 4:
            continue
        joints_TVC = clip.joints_MTVC[0] - clip.joints_MTVC[0, :1]
        size_R = [np.linalg.norm(joints_TVC[first:last], axis=-1).max() for first, last in clip.reps_R2]
        spread.append(np.std(size_R) / np.mean(size_R))
    return np.array(spread)


def test_with_amplitude_alone_repetitions_differ_by_an_eighth_and_in_some_clips_by_a_third():
    assert _spreads(PLAIN).max() <= 0.03
    spread_N = _spreads(replace(PLAIN, amplitude=True))
    assert 0.05 <= np.quantile(spread_N, 0.25) <= 0.15
    assert 0.25 <= np.quantile(spread_N, 0.9) <= 0.5


def test_each_wave_has_a_strength_of_its_own_in_each_repetition_of_half_of_the_clips():
    drawn = [_strengths(np.random.default_rng(seed), 3, 8) for seed in range(200)]
    varied = [strength_KR for strength_KR in drawn if np.ptp(strength_KR) > 0]
    assert len(varied) / len(drawn) == pytest.approx(0.5, abs=0.1)
    assert all((strength_KR == 1).all() for strength_KR in drawn if np.ptp(strength_KR) == 0)
    assert min(map(np.min, varied)) >= 0.3
    assert max(map(np.max, varied)) <= 1.8
    common = np.mean([np.corrcoef(np.log(strength_KR[0]), np.log(strength_KR[1]))[0, 1] for strength_KR in varied])
    assert common == pytest.approx(0.5, abs=0.1)


def test_the_posture_changes_slowly_in_half_of_the_clips():
    changed = []
    for index in range(40):
        clip = procedural_sample(0, index, replace(PLAIN, distractors=True))
        # Between repetitions nothing but distractors moves: the pose at the beginning of each against the first one's.
        centred_RVC = (clip.joints_MTVC[0] - clip.joints_MTVC[0, :, :1])[clip.reps_R2[:, 0]]
        changed.append(np.linalg.norm(centred_RVC - centred_RVC[:1], axis=-1).mean(axis=1).max())
    assert np.quantile(changed, 0.9) > 2 * np.quantile(changed, 0.1)


def test_without_distractors_bones_keep_their_length_and_left_equals_right():
    for index in range(10):
        bones_TE = _bones(procedural_sample(0, index, Variation(distractors=False)))
        assert np.ptp(bones_TE, axis=0).max() < 1e-4
        left = [edge for edge, (child, _) in enumerate(FLAG3D24.edges) if FLAG3D24.joints[child].startswith("left_")]
        children = [child for child, _ in FLAG3D24.edges]
        right = [children.index(FLAG3D24.mirror[children[edge]]) for edge in left]
        assert bones_TE[0, left] == pytest.approx(bones_TE[0, right], abs=1e-4)


def test_sensor_noise_is_six_millimetres():
    noisy, clean = (procedural_sample(0, 3, Variation(distractors=on)) for on in (True, False))
    # Of a bone: the noise of both ends along it, whatever else moves.
    assert np.median((_bones(noisy) - _bones(clean)).std(axis=0)) == pytest.approx(2**0.5 * 0.006, rel=0.05)


def test_distractors_move_joints_that_rest_otherwise():
    for index in range(5):
        (still, restless) = (procedural_sample(0, index, replace(PLAIN, distractors=on)) for on in (False, True))
        moved_V = np.abs(restless.joints_MTVC - still.joints_MTVC).mean(axis=(0, 1, 3))
        assert moved_V.min() > 0.003
        assert moved_V.max() > 0.01


def test_people_face_all_ways_and_their_bones_differ_by_a_tenth():
    ways, lengths_NE = [], []
    for index in range(40):
        clip = procedural_sample(0, index, replace(PLAIN, person=True))
        across_3 = (
            clip.joints_MTVC[0, 0, FLAG3D24.index("left_hip")] - clip.joints_MTVC[0, 0, FLAG3D24.index("right_hip")]
        )
        ways.append(np.arctan2(across_3[2], across_3[0]))
        lengths_NE.append(_bones(clip)[0])
    assert np.histogram(ways, bins=4, range=(-np.pi, np.pi))[0].min() >= 3
    factor_NE = np.array(lengths_NE) / _bones(procedural_sample(0, 0, PLAIN))[0]
    assert 0.899 < factor_NE.min() < 0.92
    assert 1.08 < factor_NE.max() < 1.101


def test_a_third_of_the_clips_lie():
    lying = []
    for index in range(90):
        joints_TVC = procedural_sample(0, index, replace(PLAIN, posture=True)).joints_MTVC[0, :1]
        trunk = joints_TVC[0, FLAG3D24.index("spine3")] - joints_TVC[0, 0]
        lying.append(abs(trunk[1]) < 0.5 * np.linalg.norm(trunk))
    assert np.mean(lying) == pytest.approx(1 / 3, abs=0.15)


@pytest.mark.parametrize(("posture", "few", "many"), [(True, 10, 30), (False, 0, 8)])
def test_with_posture_half_of_the_clips_move_left_and_right_alike(posture, few, many):
    symmetric = 0
    for index in range(40):
        joints_TVC = procedural_sample(0, index, replace(PLAIN, posture=posture)).joints_MTVC[0]
        centred_TVC = joints_TVC - joints_TVC[:, :1]
        mirrored_TVC = centred_TVC[:, np.array(FLAG3D24.mirror)] * np.array([-1, 1, 1], np.float32)
        symmetric += np.abs(mirrored_TVC - centred_TVC).max() < 1e-3
    assert few <= symmetric <= many


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_changes_nearly_every_clip(group):
    for variation in (RICH, PLAIN):
        other = replace(variation, **{group: not getattr(variation, group)})
        changed = [
            not np.allclose(*(procedural_sample(0, i, one).joints_MTVC for one in (variation, other)), atol=1e-5)
            for i in range(6)
        ]
        assert sum(changed) >= 5


def test_there_are_at_most_six_groups_each_removed_alone_in_one_dataset():
    assert len(GROUPS) <= 6
    removed = {name: {group for group in GROUPS if not getattr(drawn, group)} for name, drawn in DATASETS.items()}
    assert removed == {
        "procedural": set(),
        **{f"procedural-no-{group}": {group} for group in GROUPS},
        "procedural-plain": set(GROUPS),
    }
