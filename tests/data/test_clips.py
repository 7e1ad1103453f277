"""Clips: cropped, resampled, centred on the root, labelled; frozen but for the declared augmentation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from flag3d_ray.data.clips import Clips, ClipSpec, captions
from flag3d_ray.data.crops import draw_crop, resample_indices
from flag3d_ray.data.exclusions import Exclusions, store_exclusions
from flag3d_ray.data.ingest import write_dataset
from flag3d_ray.data.manifest import load_manifest
from flag3d_ray.data.splits import load_split, write_split
from flag3d_ray.errors import DataError
from flag3d_ray.run import DataSpec, Text
from flag3d_ray.skeleton import layout


@pytest.fixture
def clips_of(tiny_home):
    def open_part(part, **data) -> Clips:
        spec = DataSpec(**({"dataset": "tiny", "frames": 32, "crops": 3, "test_crops": 2} | data))
        return Clips(ClipSpec(folder=tiny_home.dataset("tiny"), text_cache=tiny_home.text, part=part, data=spec))

    return open_part


def test_every_sequence_of_a_part_gives_its_number_of_copies(clips_of):
    assert len(clips_of("train")) == 6 * 3
    assert len(clips_of("valid")) == 2 * 2
    assert len(clips_of("test")) == 4 * 2


def test_all_copies_of_a_sequence_lie_in_one_part_and_parts_share_no_action(clips_of):
    actions = {}
    for part in ("train", "valid", "test"):
        clips = clips_of(part)
        ids = clips.batch(np.arange(len(clips))).clip_ids
        assert len(set(ids)) == len(clips)
        actions[part] = {clips.dataset.sample(clips.sequence(clip)).action_id for clip in range(len(clips))}

    assert not actions["train"] & actions["valid"]
    assert not (actions["train"] | actions["valid"]) & actions["test"]


def test_a_clip_is_the_root_centred_resampled_crop_of_its_sequence(clips_of):
    clips = clips_of("train")
    batch = clips.batch(np.arange(len(clips)))

    for clip in range(len(clips)):
        sample = clips.dataset.sample(clips.sequence(clip))
        part = draw_crop(sample.sample_id, clip % 3, sample.reps_R2, sample.frames)
        expected_TVC = sample.joints_MTVC[0, part.start : part.end][resample_indices(len(part), 32)]
        np.testing.assert_allclose(
            batch.joints_BTVC[clip].numpy(), expected_TVC - expected_TVC[:, :1], rtol=0, atol=1e-6
        )
        assert batch.count_B is not None
        assert batch.count_B[clip] == len(part.reps_R2)
        assert batch.clip_ids[clip] == f"{sample.sample_id}#{clip % 3}"


def test_the_density_of_a_clip_sums_to_its_count(clips_of):
    batch = clips_of("train").batch(np.arange(18))

    assert batch.density_BT is not None
    torch.testing.assert_close(batch.density_BT.sum(dim=1), batch.count_B, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frames", [32, 256])
def test_the_frames_of_a_clip_belong_to_as_many_repetitions_as_it_has_and_padding_to_none(clips_of, frames):
    batch = clips_of("train", frames=frames).batch(np.arange(18))

    assert batch.reps_BT is not None
    assert (batch.reps_BT[~batch.valid_BT] == -1).all()
    torch.testing.assert_close(batch.reps_BT.amax(dim=1) + 1, batch.count_B, check_dtype=False)


def test_frames_beyond_the_end_of_a_short_sequence_are_not_valid(clips_of):
    clips = clips_of("train", frames=256, crops=1)

    batch = clips.batch(np.arange(len(clips)))

    lengths = [clips.dataset.sample(clips.sequence(clip)).frames for clip in range(len(clips))]
    assert max(lengths) < 256
    assert batch.valid_BT.sum(dim=1).tolist() == lengths
    assert batch.valid_BT[0].tolist() == sorted(batch.valid_BT[0].tolist(), reverse=True)


def test_one_crop_means_whole_sequences(clips_of):
    clips = clips_of("train", crops=1)

    counts = [clips.dataset.sample(clips.sequence(clip)).count for clip in range(len(clips))]
    assert clips.batch(np.arange(len(clips))).count_B.tolist() == counts


def test_a_clip_is_the_same_in_any_batch(clips_of):
    clips, again = clips_of("train", turn=1.0, noise=0.01), clips_of("train", turn=1.0, noise=0.01)

    together = clips.batch(np.arange(18), augment=(0, 4))
    alone = again.batch(np.array([11]), augment=(0, 4))

    torch.testing.assert_close(together.joints_BTVC[11:12], alone.joints_BTVC, rtol=0, atol=0)


def test_augmentation_differs_by_seed_and_epoch_and_is_absent_from_evaluation(clips_of):
    clips, rows = clips_of("train", turn=1.0, noise=0.01), np.arange(4)

    plain = clips.batch(rows).joints_BTVC
    drawn = [clips.batch(rows, augment=key).joints_BTVC for key in ((0, 0), (0, 1), (1, 0))]

    torch.testing.assert_close(plain, clips_of("train").batch(rows).joints_BTVC, rtol=0, atol=0)
    for index, one in enumerate(drawn):
        assert all(not torch.equal(one, other) for other in [plain, *drawn[:index]])


def test_a_turn_is_a_rotation_about_the_vertical(clips_of):
    plain = clips_of("train").batch(np.arange(4)).joints_BTVC
    turned = clips_of("train", turn=3.0).batch(np.arange(4), augment=(0, 0)).joints_BTVC

    torch.testing.assert_close(turned[..., 1], plain[..., 1])
    torch.testing.assert_close(turned.norm(dim=-1), plain.norm(dim=-1))
    assert (turned - plain).abs().max() > 0.1


def test_noise_has_the_declared_size(clips_of):
    plain = clips_of("train").batch(np.arange(18)).joints_BTVC
    noisy = clips_of("train", noise=0.02).batch(np.arange(18), augment=(0, 0)).joints_BTVC

    assert (noisy - plain).std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_clips_of_one_action_carry_the_embedding_of_their_caption(clips_of, level):
    clips = clips_of("train", crops=1, text=Text(encoder="lexical", caption_level=level))

    batch = clips.batch(np.arange(6))  # two people per action

    assert clips.shapes.text_width == batch.text_BLD.shape[2] > 0
    torch.testing.assert_close(batch.text_BLD[0::2], batch.text_BLD[1::2])
    assert not torch.equal(batch.text_BLD[0], batch.text_BLD[2])


def test_the_caption_level_changes_the_embedding(clips_of):
    texts = [
        clips_of("train", text=Text(encoder="lexical", caption_level=level)).batch(np.arange(1)).text_BLD
        for level in (1, 2, 3)
    ]

    assert not torch.equal(texts[0], texts[1])
    assert not torch.equal(texts[1], texts[2])


def test_without_language_the_text_has_no_width(clips_of):
    batch = clips_of("train").batch(np.arange(2))

    assert batch.text_BLD.shape == (2, 1, 0)


def test_the_label_construction_is_the_specs(clips_of):
    accumulated = clips_of("train", labels="accumulate").batch(np.arange(18)).density_BT
    assigned = clips_of("train", labels="assign").batch(np.arange(18)).density_BT

    assert (accumulated.sum(dim=1) > assigned.sum(dim=1)).all()


def test_a_batch_loses_its_labels_and_nothing_else_for_prediction(clips_of):
    batch = clips_of("train").batch(np.arange(3))
    bare = batch.without_labels()

    assert bare.density_BT is None
    assert bare.count_B is None
    assert bare.reps_BT is None
    assert bare.joints_BTVC is batch.joints_BTVC


EXCLUDED = ("A001-S02", "A004-S01", "A005-S01")  # one of training, validation and test each


@pytest.fixture
def excluding(tmp_path, write_tiny):
    """Clips of a part without named sequences."""
    folder = tmp_path / "tiny"
    write_tiny(folder)

    def open_part(part, names=EXCLUDED, **data) -> Clips:
        everyone = [sample.sample_id for sample in Clips(_spec(folder, "train")).dataset]
        exclude = store_exclusions(folder, Exclusions.of((name, "") for name in names), everyone)
        return Clips(_spec(folder, part, exclude=exclude, **data))

    return open_part


def _spec(folder, part, **data) -> ClipSpec:
    spec = DataSpec(**({"dataset": "tiny", "frames": 32, "crops": 3, "test_crops": 2} | data))
    return ClipSpec(folder=folder, text_cache=folder.parent / "text", part=part, data=spec)


@pytest.mark.parametrize("part", ["train", "valid", "test"])
def test_excluded_sequences_are_in_no_part_and_the_clips_of_the_others_stay_as_they_are(clips_of, excluding, part):
    everything, fewer = clips_of(part), excluding(part)
    kept = [clip for clip in range(len(everything)) if _sample_id(everything, clip) not in EXCLUDED]
    assert len(fewer) == len(kept) == len(everything) - fewer.spec.copies
    one, other = everything.batch(np.array(kept)), fewer.batch(np.arange(len(fewer)))
    assert one.clip_ids == other.clip_ids
    torch.testing.assert_close(one.joints_BTVC, other.joints_BTVC, rtol=0, atol=0)


def test_excluding_what_no_part_contains_changes_nothing(clips_of, excluding):
    everything = clips_of("valid")
    assert excluding("valid", ["A001-S02"]).batch(np.arange(4)).clip_ids == everything.batch(np.arange(4)).clip_ids


def test_a_list_that_leaves_nothing_of_a_part_is_refused(excluding):
    with pytest.raises(DataError, match="all 2 sequences of the part valid of by_action"):
        excluding("valid", ["A004-S01", "A004-S02"])


def test_a_list_that_is_not_stored_is_named(clips_of):
    with pytest.raises(DataError, match=r"no exclusion list '0123456789ab'.*--exclude"):
        clips_of("train", exclude="0123456789ab")


def test_the_caption_of_an_action_is_not_read_from_an_excluded_sequence(tmp_path, tiny_sample, tiny_home):
    wrong = replace(tiny_sample(1), captions=("lies", "lies", "lies"))
    samples = [tiny_sample(0), wrong, *map(tiny_sample, range(2, 12))]
    folder, card = tmp_path / "tiny", load_manifest(tiny_home.dataset("tiny")).card
    split = load_split(tiny_home.dataset("tiny"), "by_action")
    write_dataset(
        folder, lambda rows: map(samples.__getitem__, rows), 12, card=card, finish=lambda f: write_split(f, split)
    )
    exclude = store_exclusions(folder, Exclusions.of([(wrong.sample_id, "")]), [wrong.sample_id])
    text = Text(encoder="lexical")
    assert captions(_spec(folder, "train", text=text))["A001"] == "lies"
    assert captions(_spec(folder, "train", text=text, exclude=exclude))["A001"] == tiny_sample(0).captions[0]


def _sample_id(clips: Clips, clip: int) -> str:
    return clips.dataset.sample(clips.sequence(clip)).sample_id


def test_shuffled_captions_reach_the_batch_as_another_actions_and_nothing_else_changes(clips_of):
    text = Text(encoder="lexical")
    for part in ("train", "valid", "test"):
        one, other = (clips_of(part, text=replace(text, caption=c)) for c in ("true", "shuffled"))
        rows = np.arange(len(one))
        true, shuffled = one.batch(rows), other.batch(rows)
        assert torch.equal(true.joints_BTVC, shuffled.joints_BTVC)
        said = [captions(clips.spec) for clips in (one, other)]
        for row in rows:
            action = one.dataset.sample(one.sequence(int(row))).action_id
            assert said[0][action] != said[1][action]
            assert not torch.equal(true.text_BLD[row], shuffled.text_BLD[row])


def test_test_and_validation_clips_may_be_windows_of_every_count_and_training_clips_are_not(clips_of):
    for part in ("train", "valid", "test"):
        crops, windows = clips_of(part, test_crops=6), clips_of(part, test_crops=6, test_windows="counts")
        rows = range(len(windows))
        batch = windows.batch(np.array(rows))
        assert batch.count_B is not None
        if part == "train":
            assert torch.equal(batch.joints_BTVC, crops.batch(np.array(rows)).joints_BTVC)
            continue
        expected = [min(1 + row % 6, windows.dataset.sample(windows.sequence(row)).count) for row in rows]
        assert batch.count_B.tolist() == expected


def test_half_of_the_training_clips_are_mirrored_anew_in_each_epoch_and_keep_their_labels(clips_of):
    plain, mirrored = clips_of("train"), clips_of("train", mirror=True)
    rows = np.arange(len(plain))
    straight = plain.batch(rows)
    swapped_BTVC = straight.joints_BTVC[:, :, list(layout("flag3d24").mirror)] * torch.tensor([-1.0, 1.0, 1.0])
    sides = []
    for epoch in range(4):
        batch = mirrored.batch(rows, augment=(0, epoch))
        same = (batch.joints_BTVC == straight.joints_BTVC).flatten(1).all(dim=1)
        other = (batch.joints_BTVC == swapped_BTVC).flatten(1).all(dim=1)
        assert bool((same ^ other).all())
        assert torch.equal(batch.density_BT, straight.density_BT)
        sides.append(other)
    assert 0.3 < torch.stack(sides).float().mean() < 0.7
    assert not torch.equal(sides[0], sides[1])
    assert torch.equal(mirrored.batch(rows).joints_BTVC, straight.joints_BTVC), "not where nothing is augmented"
