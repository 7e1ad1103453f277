"""The synthetic dataset: reproducible, of the paper's shape, with key scores that the motion deserves."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from flag3d_ray.data import lexicon
from flag3d_ray.data.dataset import open_dataset
from flag3d_ray.data.manifest import check
from flag3d_ray.data.schema import check_sample, content_hash
from flag3d_ray.data.splits import PARTS, split_by_action, split_indices
from flag3d_ray.data.synthetic import generate
from flag3d_ray.data.synthetic.generate import Synthetic, make_synthetic, resampled, synthetic_sample
from flag3d_ray.data.synthetic.procedural import procedural_sample
from flag3d_ray.data.synthetic.variation import GROUPS, PLAIN, RICH
from flag3d_ray.errors import DataError

SMALL = Synthetic(takes_per_action=1, procedural=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home") / "small"
    make_synthetic(folder, SMALL)
    return folder


def test_a_sequence_is_a_function_of_spec_and_index():
    assert content_hash(synthetic_sample(SMALL, 17)) == content_hash(synthetic_sample(SMALL, 17))
    assert content_hash(synthetic_sample(replace(SMALL, seed=1), 17)) != content_hash(synthetic_sample(SMALL, 17))


def test_samples_carry_the_lexicons_words():
    sample = synthetic_sample(SMALL, 41)
    assert sample.action_id == "A042"
    assert sample.captions == lexicon.captions("A042")
    assert sample.standards == tuple(standard.text for standard in lexicon.standards("A042"))
    assert sample.body_part == lexicon.body_part("A042")
    check_sample(sample, "A042")


def test_the_full_plan_has_the_shape_of_table_2():
    spec = Synthetic()
    counts, durations = generate._lengths(spec)
    assert len(spec) == len(counts) == 1800
    assert (counts.mean(), counts.std()) == pytest.approx((9.71, 7.99), rel=0.03)
    assert (durations.mean(), durations.std()) == pytest.approx((33.27, 16.16), rel=0.03)
    assert (counts.min(), counts.max()) == (1, 62)


def test_sequences_have_the_planned_count_and_length():
    counts, durations = generate._lengths(SMALL)
    for index in (0, 30, 59):
        sample = synthetic_sample(SMALL, index)
        assert sample.count == counts[index]
        assert sample.frames == pytest.approx(durations[index] * 30, abs=1)


def test_every_person_performs_every_activity_three_times():
    people = generate._people(Synthetic()).reshape(60, 30)
    assert all(Counter(row.tolist()) == {person: 3 for person in range(10)} for row in people)


def test_a_few_takes_already_show_all_people():
    assert set(generate._people(SMALL).tolist()) == set(range(10))


def test_a_quarter_of_the_key_scores_is_zero_and_people_differ():
    rates = generate._fault_rates(Synthetic())
    assert rates.mean() == pytest.approx(0.25, abs=0.01)
    assert rates.max() > 3 * rates.min()
    rng = np.random.default_rng(0)
    keys = np.concatenate([generate._draw_keys(rng, 8, 3, rate)[0] for rate in rates.tolist() * 60])
    assert np.mean(keys == 0) == pytest.approx(0.25, abs=0.02)


def test_flaws_are_graded_where_a_standard_is_broken_and_absent_elsewhere():
    keys_RS, strength_RS = generate._draw_keys(np.random.default_rng(0), 500, 3, 0.4)
    assert np.all(strength_RS[keys_RS == 1] == 0)
    broken = strength_RS[keys_RS == 0]
    assert broken.min() > 0.3
    assert broken.max() <= 1
    assert broken.std() > 0.15


def test_the_written_dataset_is_what_the_functions_give(folder):
    check(folder, deep=True)
    dataset = open_dataset(folder)
    assert len(dataset) == 65
    for row in (0, 33, 59, 60, 64):
        assert content_hash(dataset.sample(row)) == content_hash(synthetic_sample(SMALL, row))
    assert dataset.manifest.generator["takes_per_action"] == 1
    assert "Not FLAG3D++" in dataset.manifest.card.limits


def test_the_written_dataset_has_its_splits(folder):
    dataset = open_dataset(folder)
    for name in ("by_action", "by_person", "from_procedural", "mixed"):
        rows = [split_indices(dataset, name, part) for part in PARTS]
        assert sum(map(len, rows)) == 65
        assert all(len(part) for part in rows)


def test_mixed_trains_on_random_motions_and_activities_and_tests_what_by_action_tests(folder):
    dataset = open_dataset(folder)
    train, valid, test = (split_indices(dataset, "mixed", part) for part in PARTS)
    index = dataset.index.select(["action_id", "source"]).to_pydict()
    actions, source = (np.array(column) for column in index.values())
    assert set(np.flatnonzero(source == "procedural")) <= set(train)
    assert Counter(source[train]) == {"procedural": 5, "rendered": 45}
    assert not set(actions[train]) & set(actions[test])
    assert not set(actions[valid]) & set(actions[test])
    assert not set(actions[train]) & set(actions[valid])
    by_action = split_by_action({action: lexicon.body_part(action) for action in lexicon.activity_ids()})
    assert set(actions[test]) == set(by_action.test)
    assert set(actions[valid]) == set(by_action.valid)


def test_removed_variation_changes_the_random_motions_and_no_activity():
    plain = replace(SMALL, variation=PLAIN)
    assert content_hash(synthetic_sample(plain, 17)) == content_hash(synthetic_sample(SMALL, 17))
    assert content_hash(synthetic_sample(plain, 62)) == content_hash(procedural_sample(0, 2, PLAIN))
    assert content_hash(synthetic_sample(plain, 62)) != content_hash(synthetic_sample(SMALL, 62))


def test_the_manifest_says_which_variation_was_removed(tmp_path):
    spec = Synthetic(takes_per_action=0, procedural=2, variation=replace(RICH, tempo=False), frames=32)
    manifest = make_synthetic(tmp_path / "even", spec)
    assert manifest.generator["variation"] == {**dict.fromkeys(GROUPS, True), "tempo": False}


def test_sample_ids_are_unique_and_tell_activity_person_and_take():
    spec = Synthetic()
    ids = {f"{index // 30}-{person}-{index % 30 // 10}" for index, person in enumerate(generate._people(spec).tolist())}
    assert len(ids) == 1800
    assert synthetic_sample(SMALL, 2).sample_id == "A003P03R01"


@pytest.mark.parametrize(
    "values", [{"takes_per_action": 0}, {"takes_per_action": -1}, {"subjects": 2}, {"subjects": 11}]
)
def test_a_spec_out_of_range_is_refused(values):
    with pytest.raises(DataError):
        Synthetic(**values)


def test_an_index_out_of_range_is_refused():
    with pytest.raises(IndexError):
        synthetic_sample(SMALL, 65)


@pytest.mark.parametrize("index", [0, 17, 42, 59, 63])
def test_a_resampled_sequence_has_the_asked_length_and_keeps_its_repetitions(index):
    whole = synthetic_sample(SMALL, index)
    clip = resampled(whole, 128)
    check_sample(clip, "clip")
    assert clip.frames == 128
    assert clip.count == whole.count
    assert clip.frames / clip.fps == pytest.approx(whole.frames / whole.fps)
    assert np.array_equal(clip.joints_MTVC[:, -1], whole.joints_MTVC[:, -1])
    seconds = np.abs(clip.reps_R2 / clip.fps - whole.reps_R2 / whole.fps)
    assert seconds.max() <= 1.5 / clip.fps


def test_repetitions_as_many_as_frames_become_one_frame_each():
    whole = synthetic_sample(SMALL, 0)
    bounds = np.arange(whole.count + 1)
    crowded = replace(whole, reps_R2=np.stack([bounds[:-1], bounds[1:]], axis=1).astype(np.int32))
    clip = resampled(crowded, whole.count)
    check_sample(clip, "clip")
    assert clip.reps_R2.tolist() == [[number, number + 1] for number in range(whole.count)]
    with pytest.raises(DataError, match="do not fit"):
        resampled(crowded, whole.count - 1)


def test_a_spec_with_frames_gives_clips_of_that_length():
    clips = replace(SMALL, frames=64)
    assert {synthetic_sample(clips, index).frames for index in (0, 30, 62)} == {64}
