"""Sequences -> clips: crop, resample, centre on the root, label. One object serves training, validation and test.

A clip is (sequence, copy); its crop is frozen, so clip i is the same clip in every epoch, process and run. Only the
augmentation beyond the paper (`DataSpec.turn`, `DataSpec.noise`) is drawn anew, from (seed, epoch, clip).
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import torch
from jaxtyping import Float32, Int

from flag3d_ray.data.caption_order import told
from flag3d_ray.data.count_windows import draw_window
from flag3d_ray.data.crops import Crop, draw_crop, resample_indices
from flag3d_ray.data.dataset import CACHE_BYTES, Dataset, open_dataset
from flag3d_ray.data.exclusions import load_exclusions
from flag3d_ray.data.labels import density_batch, repetition_batch
from flag3d_ray.data.splits import split_indices
from flag3d_ray.data.text import EmbeddingTable, encoder
from flag3d_ray.errors import DataError
from flag3d_ray.methods.base import Shapes
from flag3d_ray.run import DataSpec
from flag3d_ray.sample import Batch, Sample
from flag3d_ray.skeleton import layout

Part = Literal["train", "valid", "test"]

MIRROR_C = np.array([-1, 1, 1], np.float32)
"""x, y, z seen in the mirror x = 0; pixels and scores likewise."""


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """Where the clips come from; hashable, so that a process opens each source once."""

    folder: Path
    text_cache: Path
    part: Part
    data: DataSpec

    @property
    def copies(self) -> int:
        """Crops per sequence of this part: validation is cropped like the test set."""
        return self.data.crops if self.part == "train" else self.data.test_crops


class Clips:
    """Random access to the clips of one part of a split, without the sequences of the spec's exclusion list.

    `dataset` is the spec's, opened; by default with the options of `open_dataset`.

    Raises:
        DataError: the dataset, split or list is not there or damaged, or the list leaves nothing of the part.
    """

    def __init__(self, spec: ClipSpec, dataset: Dataset | None = None) -> None:
        self.spec = spec
        self.dataset = open_dataset(spec.folder) if dataset is None else dataset
        self._sequences = _remaining(self.dataset, split_indices(self.dataset, spec.data.split, spec.part), spec)
        self._texts = embedding_table(spec) if spec.data.text is not None else None
        self._captions = captions(spec)

    def __len__(self) -> int:
        return len(self._sequences) * self.spec.copies

    @property
    def shapes(self) -> Shapes:
        """What a method must know to be built for these clips."""
        width = self._texts.width if self._texts is not None else 0
        name = self.dataset.manifest.layout
        return Shapes(frames=self.spec.data.frames, layout=name, text_width=width, channels=layout(name).channels)

    def sequence(self, clip: int) -> int:
        """Row in the dataset of the sequence that a clip is cut from."""
        return int(self._sequences[clip // self.spec.copies])

    def batch(self, clips: Int[np.ndarray, " B"], *, augment: tuple[int, int] | None = None) -> Batch:
        """The clips as a batch with labels.

        Args:
            clips: indices in [0, len(self)).
            augment: (seed, epoch) to draw heading, noise and mirror from, or None for the clips as they are.
        """
        samples = [self.dataset.sample(self.sequence(int(clip))) for clip in clips]
        crops = [self._crop(int(clip), sample) for clip, sample in zip(clips, samples, strict=True)]
        frames = self.spec.data.frames
        lengths_B = np.array([len(crop) for crop in crops])
        joints_BTVC = np.stack(
            [
                sample.joints_MTVC[0, crop.start : crop.end][resample_indices(len(crop), frames)]
                for sample, crop in zip(samples, crops, strict=True)
            ]
        )
        joints_BTVC = joints_BTVC - joints_BTVC[:, :, :1]
        if augment is not None:
            joints_BTVC = self._augmented(joints_BTVC, clips, *augment)
        reps = [crop.reps_R2 for crop in crops]
        data = self.spec.data
        density_BT = density_batch(reps, lengths_B, frames, data.labels, data.pad_labels)
        text_BLD, text_valid_BL = self._text([sample.action_id for sample in samples])
        return Batch(
            clip_ids=tuple(
                self._clip_id(int(clip), sample.sample_id) for clip, sample in zip(clips, samples, strict=True)
            ),
            joints_BTVC=torch.from_numpy(joints_BTVC),
            valid_BT=torch.from_numpy(np.arange(frames) < lengths_B[:, None]),
            text_BLD=text_BLD,
            text_valid_BL=text_valid_BL,
            density_BT=torch.from_numpy(density_BT),
            count_B=torch.tensor([float(len(reps_R2)) for reps_R2 in reps]),
            reps_BT=torch.from_numpy(repetition_batch(reps, lengths_B, frames, data.pad_labels)),
        )

    def _clip_id(self, clip: int, sample_id: str) -> str:
        return f"{sample_id}#{clip % self.spec.copies}"

    def _crop(self, clip: int, sample: Sample) -> Crop:
        """Drawn again each time: 20 microseconds, where keeping them would take 50 MB per process at 180,000 clips."""
        if self.spec.part != "train" and self.spec.data.test_windows == "counts":
            return draw_window(sample.sample_id, 1 + clip % self.spec.copies, sample.reps_R2)
        if self.spec.copies == 1:
            return Crop(0, sample.frames, sample.reps_R2)
        return draw_crop(sample.sample_id, clip % self.spec.copies, sample.reps_R2, sample.frames)

    def _augmented(
        self, joints_BTVC: Float32[np.ndarray, "B T V C"], clips: Int[np.ndarray, " B"], seed: int, epoch: int
    ) -> Float32[np.ndarray, "B T V C"]:
        data = self.spec.data
        if not data.turn and not data.noise and not data.mirror:
            return joints_BTVC
        moved, other_side = np.empty_like(joints_BTVC), list(layout(self.dataset.manifest.layout).mirror)
        for row, clip in enumerate(clips):
            rng = np.random.default_rng((seed, epoch, int(clip)))
            angle = rng.uniform(-data.turn, data.turn)
            cos, sin = np.cos(angle), np.sin(angle)
            turn = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], dtype=np.float32)
            moved[row] = joints_BTVC[row] @ turn
            if data.noise:
                moved[row] += rng.normal(0, data.noise, joints_BTVC[row].shape).astype(np.float32)
            if data.mirror and rng.random() < 0.5:
                moved[row] = moved[row][:, other_side] * MIRROR_C[: joints_BTVC.shape[-1]]
        return moved

    def _text(self, actions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        text = self.spec.data.text
        if text is None or self._texts is None:
            return torch.zeros(len(actions), 1, 0), torch.ones(len(actions), 1, dtype=torch.bool)
        embedded_BLD, valid_BL = self._texts.lookup([self._captions[action] for action in actions], text.tokens)
        return torch.from_numpy(embedded_BLD), torch.from_numpy(valid_BL)


@lru_cache(maxsize=8)
def captions(spec: ClipSpec) -> dict[str, str]:
    """Action id -> the caption that its clips are read with; empty without text. An action has one caption."""
    text, found = spec.data.text, {}
    if text is None:
        return found
    excluded = _excluded(spec)
    for shard in open_dataset(spec.folder).shards:
        columns = pq.read_table(shard, columns=["sample_id", "action_id", "captions"]).to_pydict()
        for sample_id, action, levels in zip(*columns.values(), strict=True):
            if sample_id not in excluded:
                found[action] = levels[text.caption_level - 1]
    return told(found, open_dataset(spec.folder), spec.data, spec.part)


def _remaining(dataset: Dataset, rows_N: Int[np.ndarray, " n"], spec: ClipSpec) -> Int[np.ndarray, " k"]:
    """Those of the rows that the exclusion list does not name."""
    if not spec.data.exclude:
        return rows_N
    excluded, names = _excluded(spec), dataset.index["sample_id"].to_pylist()
    kept_K = rows_N[[names[row] not in excluded for row in rows_N]]
    if len(rows_N) and not len(kept_K):
        rule = f"it names all {len(rows_N)} sequences of the part {spec.part} of {spec.data.split}"
        where = f"exclusion list {spec.data.exclude} of {spec.folder}"
        raise DataError(where=where, rule=rule, remedy="give a shorter list with --exclude, or another split")
    return kept_K


def _excluded(spec: ClipSpec) -> set[str]:
    """The sequences that the spec's exclusion list names."""
    return set(load_exclusions(spec.folder, spec.data.exclude).sample_ids) if spec.data.exclude else set()


@lru_cache(maxsize=8)
def embedding_table(spec: ClipSpec) -> EmbeddingTable:
    """The embeddings of every caption of the dataset at the level that the spec reads, encoded where the cache lacks them.

    Raises:
        EncoderUnreachable: something must be encoded and the encoder's weights are not there.
    """
    assert spec.data.text is not None
    return EmbeddingTable.build(sorted(set(captions(spec).values())), encoder(spec.data.text.encoder), spec.text_cache)


@lru_cache(maxsize=8)
def open_clips(spec: ClipSpec) -> Clips:
    """The clips of a spec, opened once per process."""
    return Clips(spec)


@lru_cache(maxsize=2)
def open_clips_beside_others(spec: ClipSpec) -> Clips:
    """The same for one of many reading processes on a machine, which takes an eighth of the memory.

    Of 180,000 clips in random order eight processes with whole caches and mapped shards took 17 GiB.
    """
    return Clips(spec, open_dataset(spec.folder, cache_bytes=CACHE_BYTES // 8, map_files=False))
