"""Speeds of finished runs of the store: measured in earnest, they go before a calibration."""

import platform
import statistics
from collections.abc import Mapping

from flag3d_ray.costs import cost
from flag3d_ray.errors import RunError
from flag3d_ray.home import Home
from flag3d_ray.methods.catalogue import RECORDED
from flag3d_ray.plan.amounts import Amounts, amounts
from flag3d_ray.plan.speed import Seconds, Speed, kind
from flag3d_ray.run import Resources, Run, run_from_json
from flag3d_ray.store import RunFolder

_SAME = ("executor", "workers", "concurrent", "threads", "gpus", "compile")
"""Resources under which a run must have happened to tell how long another one takes."""


def speeds_of_finished(home: Home, resources: Resources) -> dict[str, Speed]:
    """Kind -> the speed of the finished learned runs of that kind, on this machine and with these resources."""
    found: dict[str, list[tuple[Run, RunFolder]]] = {}
    for folder in home.store:
        if (run := _run_here(folder, resources)) is not None:
            found.setdefault(kind(run), []).append((run, folder))
    return {name: _speed(pairs, home) for name, pairs in found.items()}


def _run_here(folder: RunFolder, resources: Resources) -> Run | None:
    record = folder.record()
    known, asked = record.get("resources", {}), vars(resources)
    here = record.get("provenance", {}).get("machine") == platform.node()
    if not here or any(known.get(name) != asked[name] for name in _SAME) or folder.status != "finished":
        return None
    if not cost(folder).evaluation or not any("seconds" in event for event in folder.events()):
        return None
    try:
        return run_from_json(record["run"], RECORDED)
    except RunError:  # of a version with other fields
        return None


def _speed(pairs: list[tuple[Run, RunFolder]], home: Home) -> Speed:
    training, prediction, start = [], [], []
    for run, folder in pairs:
        events = [event for event in folder.events() if "seconds" in event]
        read, spent = amounts(run, home), cost(folder)
        prediction.append(spent.evaluation / max(read.test, 1))
        training += [_training(event, read, prediction[-1]) for event in events]
        start.append(max(spent.fit - sum(event["seconds"] for event in events), 0.0))
    sizes = max(folder.model.stat().st_size for _, folder in pairs if folder.model.exists())
    runs = f"{len(pairs)} finished run{'s' if len(pairs) > 1 else ''}"
    return Speed(
        training=Seconds.of(training),
        prediction=Seconds.of(prediction),
        start=statistics.median(start),
        learns=True,
        model_bytes=sizes,
        training_bytes=3 * sizes,  # weights and the two moments of AdamW
        basis=runs,
    )


def _training(event: Mapping[str, float], read: Amounts, per_prediction: float) -> float:
    """Seconds per trained clip: the epoch's without those of its validation."""
    clips = event["clips_per_second"] * event["seconds"]
    return max(event["seconds"] - per_prediction * read.validation, 0.1 * event["seconds"]) / max(clips, 1.0)
