"""Table 2's numbers of a dataset are those of its samples."""

from pathlib import Path

import numpy as np
import pytest

from flag3d_ray.data.dataset import open_dataset
from flag3d_ray.data.summary import Spread, summarise


def test_durations_counts_and_scores_are_those_of_the_samples(tiny_home):
    dataset = open_dataset(tiny_home.dataset("tiny"))
    samples = list(dataset)

    summary = summarise(dataset)

    assert summary.durations_N.tolist() == [sample.frames / sample.fps for sample in samples]
    assert summary.counts_N.tolist() == [sample.count for sample in samples]
    assert summary.scores_N == pytest.approx([sample.score for sample in samples])
    assert (summary.sequences, summary.actions, summary.people) == (12, 6, 2)
    assert summary.repetitions == sum(sample.count for sample in samples)


def test_metrics_have_the_names_of_the_printed_table(tiny_home):
    from flag3d_ray.paper import published

    metrics = summarise(open_dataset(tiny_home.dataset("tiny"))).metrics()

    assert set(metrics) == set(published(2).rows[0].metrics)
    assert metrics["count/min"] == 3
    assert metrics["count/max"] == 6


def test_the_deviation_is_the_populations():
    spread = Spread.of(np.array([1.0, 3.0]))
    assert (spread.mean, spread.std, spread.min, spread.max) == (2.0, 1.0, 1.0, 3.0)


def test_sequences_without_repetitions_have_a_duration_and_no_count(tmp_path: Path, tiny_sample):
    from dataclasses import replace

    from flag3d_ray.data.ingest import write_dataset
    from flag3d_ray.data.manifest import Card

    none = np.zeros((0, 2), np.int32)
    samples = [replace(tiny_sample(index), reps_R2=none, keys_RS=None) for index in range(2)]
    card = Card(description="x", limits="x", licence="x", unit="m", fps="30", axes="y up")
    write_dataset(tmp_path / "walks", lambda indices: (samples[i] for i in indices), 2, card=card)

    summary = summarise(open_dataset(tmp_path / "walks"))

    assert summary.sequences == 2
    assert len(summary.counts_N) == len(summary.scores_N) == 0
    assert [name for name in summary.metrics() if name.startswith("count")] == []
