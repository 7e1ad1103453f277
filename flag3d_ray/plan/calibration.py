"""What a plan must know of this machine, measured in a short calibration and kept in the home until source or machine change.

Speeds are measured by as many processes at a time as runs would go on at a time, since neighbours slow one another down.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from flag3d_ray.data.synthetic.generate import Synthetic, make_synthetic
from flag3d_ray.data.text import encoder, encoder_digest
from flag3d_ray.execution import ensure
from flag3d_ray.files import read_json, write_json
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.plan.amounts import is_made
from flag3d_ray.plan.measure import Measured, measure
from flag3d_ray.plan.speed import Speed, digest, machine, places, speed_key
from flag3d_ray.run import DataSpec, Resources, Run, TrainSpec
from flag3d_ray.source import source_digests

Report = Callable[[str], None]
SMALL = Synthetic(takes_per_action=1, subjects=3)
NAME = "calibration"
TEXTS = 4
LAUNCHED = 6  # runs of the smallest launch


@dataclass(frozen=True, kw_only=True)
class Overheads:
    """Seconds beside the runs' own work.

    `launch` is the start and end of a launch, `generation` the start of trials whose parents have ended, `trial` what a place
    needs from one run to the next; `row` and `row_bytes` are a generated sequence.
    """

    launch: float
    generation: float
    trial: float
    row: float
    row_bytes: float


@dataclass(frozen=True)
class Encoding:
    """Seconds to load a text encoder, and per text."""

    load: float
    text: float


@dataclass(frozen=True)
class Calibration:
    """What was measured: speeds by `speed_key`, encoders by name."""

    overheads: Overheads
    speeds: Mapping[str, Speed]
    encoders: Mapping[str, Encoding]


def calibrate(
    runs: Iterable[Run], encoders: Iterable[str], home: Home, resources: Resources, report: Report
) -> Calibration:
    """Measurements for runs and text encoders, from the home's file where it has them; `report` hears what is measured."""
    kinds = {speed_key(run, resources): run for run in runs}
    names = {name: digest("encoder", encoder_digest(name), machine(resources)) for name in encoders}
    overheads = digest("overheads", machine(resources), source_digests((make_synthetic.__module__, ensure.__module__)))
    file = home.local / "calibration.json"
    known: dict[str, Any] = read_json(file) if file.exists() else {}
    if missing := {overheads, *kinds, *names.values()} - known.keys():
        with tempfile.TemporaryDirectory(prefix="flag3d-plan-") as scratch:
            small = Home(Path(scratch))
            row = _make_small(small)
            if overheads in missing:
                report("a launch of nothing")
                known[overheads] = _launch(small, resources) | row
            lacking = {key: _at_hand(run, home, small, resources) for key, run in kinds.items() if key in missing}
            known |= _measured(lacking, resources, report)
            known |= {key: _encoding(name) for name, key in names.items() if key in missing}
        write_json(file, known)
    return Calibration(
        Overheads(**known[overheads]),
        {key: Speed.from_json(known[key]) for key in kinds},
        {name: Encoding(**known[key]) for name, key in names.items()},
    )


def _at_hand(run: Run, home: Home, small: Home, resources: Resources) -> Measured:
    """The run on its own dataset where that is here; otherwise on the small one, which has the same layout."""
    folder = home.dataset(run.data.dataset)
    if is_made(folder):
        part = "train" if run.train.epochs or run.init_from is None else "test"
        return Measured(run, folder, run.data.split, part, resources.threads)
    return Measured(run, small.dataset(NAME), "by_action", "train", resources.threads)


def _make_small(small: Home) -> dict[str, float]:
    """Make the small dataset twice: the first time also loads and digests what makes it, half of its time."""
    make_synthetic(small.dataset(NAME), SMALL)
    began = time.process_time()
    manifest = make_synthetic(small.dataset(NAME), SMALL, force=True)
    row = (time.process_time() - began) / len(SMALL)
    stored = sum((small.dataset(NAME) / shard.file).stat().st_size for shard in manifest.shards)
    return {"row": row, "row_bytes": stored / len(SMALL)}


def _launch(small: Home, resources: Resources) -> dict[str, float]:
    """Run the cheapest method a few times, and once more from one of these, and read the times of what it leaves.

    A cluster that runs already does not see the scratch folder: one is started here in its place.
    """
    resources = replace(resources, address="local")
    data = DataSpec(dataset=NAME, frames=64, crops=1, test_crops=1)
    first = [Run(method=Random(), data=data, train=TrainSpec(epochs=0), seed=seed) for seed in range(LAUNCHED)]
    began = time.time()
    ensure([*first, replace(first[0], seed=LAUNCHED, init_from=first[0])], small, resources)
    wall = time.time() - began
    fitted = sorted(small.store.folder(run_key(run, small)).model.stat().st_mtime for run in first)
    child = max(folder.model.stat().st_mtime for folder in small.store)
    pace = (fitted[-1] - fitted[0]) / (LAUNCHED - 1)
    generation = max(child - fitted[-1], 0.0)
    launch = max(wall - generation - pace * (LAUNCHED - 1), 0.0)
    return {"launch": launch, "generation": generation, "trial": pace * places(resources)}


def _measured(asked: Mapping[str, Measured], resources: Resources, report: Report) -> dict[str, Any]:
    """Every kind, several at a time in processes of their own."""
    processes = min(places(resources), len(asked))
    if processes < 2:
        return _told(asked, map(measure, asked.values()), report)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return _told(asked, pool.map(measure, asked.values()), report)


def _told(asked: Mapping[str, Measured], speeds: Iterable[Speed], report: Report) -> dict[str, Any]:
    """The speeds by key, each awaited with a word: all together take a minute or more."""
    found: dict[str, Any] = {}
    waited = iter(speeds)
    for number, (key, one) in enumerate(asked.items(), start=1):
        report(f"kinds of run, {number} of {len(asked)}: {one.run.method.name}")
        found[key] = next(waited).to_json()
    return found


def _encoding(name: str) -> dict[str, float]:
    words = encoder(name)
    timed = partial(words.encode, ["lift both arms above the head, then lower them"])
    marks = [time.process_time()]
    for _ in range(1 + TEXTS):
        timed()
        marks.append(time.process_time())
    text = (marks[-1] - marks[1]) / TEXTS
    return asdict(Encoding(load=max(marks[1] - marks[0] - text, 0.0), text=text))
