"""From shards to batches: clips per second, side by side in one run, and the memory it takes.

    python -m benchmarks.data_path --sequences 6000
    python -m benchmarks.data_path --sequences 180000 --home /somewhere/with/8/GB

Makes the dataset where it is not there (clips of 128 frames, killed it goes on), then lets four readers deliver the same
4096 clips as float32 [256, 128, 24, 3] in turns, several rounds; medians of CPU seconds and ratios are printed:

    memory copy   the limit: an array in memory copied batch by batch
    shards        `Dataset.joints`: whole row groups, copied into batches
    rows          `Dataset.sample`: each row decoded and checked, stacked
    DataLoader    PyTorch's, over one .npy file per clip, no worker processes

and last, in wall time with the start of Ray left out, one epoch of `training_stream`: clips cropped, resampled, labelled,
in seeded order, through Ray Data.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.memory import PeakMemory
from flag3d_ray.cluster import cluster
from flag3d_ray.data.clips import ClipSpec, open_clips
from flag3d_ray.data.dataset import open_dataset
from flag3d_ray.data.stream import decode, in_order, training_stream
from flag3d_ray.data.synthetic.generate import Synthetic, make_synthetic
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.run import DataSpec, Resources, Run, TrainSpec

FRAMES, BATCH, COMPARED = 128, 256, 4096
ACTIVITIES = 60


class Files(Dataset):
    """One .npy file per clip."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(np.load(self._paths[index]))


def made(folder: Path, sequences: int) -> None:
    """Make the dataset on Ray where it is missing, and print how fast and in how much memory."""
    if folder.exists():
        return
    began, done = time.perf_counter(), []
    spec = Synthetic(takes_per_action=-(-sequences // ACTIVITIES), frames=FRAMES)
    with PeakMemory() as memory, cluster(Resources(cpus=2)):
        make_synthetic(folder, spec, executor="ray", progress=lambda rows, _: _show(done, rows, len(spec), began))
    seconds = time.perf_counter() - began
    fresh = len(spec) - done[0][0]
    print(f"\nmade {len(spec)} sequences of {FRAMES} frames, the last {fresh} in {seconds:.0f} s; {memory}")


def _show(done: list[tuple[int, float]], rows: int, total: int, began: float) -> None:
    done.append((rows, time.perf_counter() - began))
    print(f"\r{rows} of {total} sequences, {done[-1][1]:.0f} s", end="", flush=True)


def batches_of_rows(folder: Path) -> Iterator[np.ndarray]:
    """Rows decoded one by one and stacked."""
    opened = open_dataset(folder, cache_bytes=0)
    rows = (opened.sample(row).joints_MTVC[0] for row in range(COMPARED))
    while batch := list(itertools.islice(rows, BATCH)):
        yield np.stack(batch)


def compare(folder: Path, scratch: Path, rounds: int) -> None:
    """Print the four readers' medians of CPU time, and check that they deliver the same clips."""
    clips_NTVC = np.concatenate(list(itertools.islice(open_dataset(folder).joints(BATCH), COMPARED // BATCH)))[:, 0]
    paths = [scratch / f"{number:06d}.npy" for number in range(len(clips_NTVC))]
    for path, clip_TVC in zip(paths, clips_NTVC, strict=True):
        np.save(path, clip_TVC)
    target_BTVC = np.empty_like(clips_NTVC[:BATCH])

    def memory_copy() -> Iterator[np.ndarray]:
        for start in range(0, len(clips_NTVC), BATCH):
            np.copyto(target_BTVC, clips_NTVC[start : start + BATCH])
            yield target_BTVC

    opened = open_dataset(folder)  # once, as the list of files is
    readers: dict[str, Callable[[], Iterator]] = {
        "memory copy": memory_copy,
        "shards": lambda: itertools.islice(opened.joints(BATCH), COMPARED // BATCH),
        "rows": lambda: batches_of_rows(folder),
        "DataLoader": lambda: iter(DataLoader(Files(paths), batch_size=BATCH)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, reader in readers.items():
            began, delivered = time.process_time(), 0
            for batch in reader():
                delivered += len(batch)
            seconds[name].append(time.process_time() - began)
            if delivered != len(clips_NTVC):
                raise SystemExit(f"{name} delivered {delivered} of {len(clips_NTVC)} clips: no time is reported")
    for name, reader in readers.items():
        last = np.asarray([*reader()][-1]).reshape(clips_NTVC[-BATCH:].shape)
        if not np.array_equal(last, clips_NTVC[-BATCH:]):
            raise SystemExit(f"{name} delivers other clips: no time is reported")
    medians = {name: statistics.median(spent) for name, spent in seconds.items()}
    for name, median in medians.items():
        ratio = medians["DataLoader"] / median
        print(f"{name:12} {len(clips_NTVC) / median:10.0f} clips/s of CPU time   {ratio:6.1f} x DataLoader")


def stream(folder: Path, batch: int) -> None:
    """Print clips per second of one epoch through Ray Data, checked to be complete, and the memory it took."""
    data = DataSpec(dataset=folder.name, frames=FRAMES, crops=1, test_crops=1)
    run = Run(method=Random(), data=data, train=TrainSpec(epochs=1, batch=batch))
    source = ClipSpec(folder=folder, text_cache=folder / "text", part="train", data=data)
    expected = len(open_clips(source))
    with PeakMemory() as memory, cluster(Resources(cpus=2)):
        dataset = training_stream(source, run, 0, 0, 1)
        dataset.context.execution_options = in_order()
        dataset.context.issue_detectors_config.detectors = []  # the memory is measured here, and printed once
        began, first, seen = time.perf_counter(), 0.0, set()
        for table in dataset.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=4):
            (row,) = cast(pa.Table, table).to_pylist()
            first = first or time.perf_counter() - began
            seen.update(decode({name: value for name, value in row.items() if name not in ("epoch", "rows")}).clip_ids)
        seconds = time.perf_counter() - began
    if len(seen) != expected:
        raise SystemExit(f"the stream delivered {len(seen)} of {expected} clips: no time is reported")
    print(
        f"stream       {expected / seconds:10.0f} clips/s of wall time, {expected} clips, each once, in {seconds:.0f} s, "
        f"the first batch after {first:.1f} s; {memory}"
    )


def main() -> None:
    """Parse the arguments and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=6000, help="a multiple of 60, at least 4140")
    parser.add_argument("--home", type=Path, help="where the dataset is made and stays; a temporary folder by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64, help="of the stream")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="flag3d-data-path-") as scratch:
        folder = (options.home or Path(scratch)) / f"clips-{options.sequences}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        made(folder, options.sequences)
        (Path(scratch) / "npy").mkdir()
        compare(folder, Path(scratch) / "npy", options.rounds)
        stream(folder, options.batch)


if __name__ == "__main__":
    main()
