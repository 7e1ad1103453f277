"""The card of a trained run, for people: what it is, what it was trained on, how well it does, under which licence.

Everything but the licence and the remarks is read from the store: a card states no number that was not measured.
"""

from collections.abc import Iterator, Mapping

from flag3d_ray.data.manifest import file_sha256, load_manifest
from flag3d_ray.errors import RunError
from flag3d_ray.files import local_copy
from flag3d_ray.home import Home
from flag3d_ray.methods.catalogue import RECORDED
from flag3d_ray.run import Run, run_from_json
from flag3d_ray.store import RunFolder
from flag3d_ray.training.checkpoint import load_tensors

METRICS: Mapping[str, str] = {"mae": "MAE", "obo/1": "OBO@1", "obo/avg": "OBO@Avg", "n": "clips"}


def model_card(folder: RunFolder, home: Home, licence: str, remarks: str = "") -> str:
    """Markdown for `packaged.export_checkpoint`.

    Args:
        folder: a finished run of the home.
        licence: of the weights.
        remarks: what else a user must know, as Markdown.

    Raises:
        RunError: the run is not finished, or no licence is said.
        DataError: its dataset is not in the home.
    """
    if folder.status != "finished":
        rule = f"the run has not ended: {folder.status}"
        remedy = "wait for its end, or type the command that trains it again: it goes on where it was"
        raise RunError(where=folder.key, rule=rule, remedy=remedy)
    if not licence.strip():
        raise RunError(where="licence", rule="it is empty", remedy="name the licence of the weights")
    record = folder.record()
    run = run_from_json(record["run"], RECORDED)
    parts = [
        f"# {run.label}",
        "\n".join(_facts(run, record, folder, licence)),
        "## Data\n\n" + _data(run, home),
        "## Measured\n\n" + "\n".join(_measured(run, folder, home)),
    ]
    return "\n\n".join([*parts, *([f"## Remarks\n\n{remarks.strip()}"] if remarks.strip() else [])]) + "\n"


def _facts(run: Run, record: Mapping, folder: RunFolder, licence: str) -> Iterator[str]:
    tensors, facts = load_tensors(folder.model)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    commit = str(record.get("provenance", {}).get("commit", "")) or "unknown"
    yield f"* Paper of the method: {run.method.paper}"
    yield f"* {numbers:,} numbers in {len(tensors)} tensors, SHA-256 {_sha256(folder)}"
    if run.train.epochs:
        spec, kept = run.train, facts.get("epoch")
        clips = f"at most {spec.max_clips_per_epoch} clips each" if spec.max_clips_per_epoch else "all clips each"
        yield (
            f"* {spec.epochs} epochs, {clips}, batches of {spec.batch}, learning rate up to {spec.learning_rate:g}, "
            f"{spec.precision}, seed {run.seed}; weights of epoch {kept} (counted from 0)"
        )
    if run.init_from is not None:
        yield f"* Started from: {run.init_from.label}"
    yield f"* Run {folder.key}, commit {commit}, {record.get('seconds', 0.0):.0f} s of training"
    yield f"* Licence of the weights: {licence.strip()}"


def _data(run: Run, home: Home) -> str:
    manifest = load_manifest(home.dataset(run.data.dataset))
    card, data = manifest.card, run.data
    augmented = [f"turned by up to {data.turn:g} rad"] if data.turn else []
    augmented += [f"noise of {1000 * data.noise:g} mm"] if data.noise else []
    augmented += ["half of them mirrored"] if data.mirror else []
    return (
        f"`{data.dataset}` ({manifest.samples} sequences, layout {manifest.layout}, digest {manifest.digest[:16]}), split "
        f"`{data.split}`, {data.crops} crops per training sequence in {data.frames} frames"
        f"{', ' if augmented else ''}{', '.join(augmented)}.\n\n{card.description}\n\n{card.limits}\n\n"
        f"Licence of the data: {card.licence}."
    )


def _measured(run: Run, folder: RunFolder, home: Home) -> Iterator[str]:
    yield f"| judged on | split | {' | '.join(METRICS.values())} |"
    yield f"|---|---|{'---:|' * len(METRICS)}"
    yield from dict.fromkeys(_rows(run, folder, home))  # weights that are judged on their own data are measured once
    yield "\nOne seed; clips of the test side of each split. Synthetic results do not compare with published ones."


def _rows(run: Run, folder: RunFolder, home: Home) -> Iterator[str]:
    yield _row(run, folder)
    for other in home.store:
        record = other.record()
        if other.status == "finished" and other.key != folder.key and "run" in record:
            judged = run_from_json(record["run"], RECORDED)
            if judged.is_transfer and _starts_from(record, folder):
                yield _row(judged, other)


def _starts_from(record: Mapping, folder: RunFolder) -> bool:
    return record.get("digests", {}).get("init_from") in (folder.key, _sha256(folder))


def _sha256(folder: RunFolder) -> str:
    with local_copy(folder.model) as file:
        return file_sha256(file)


def _row(run: Run, folder: RunFolder) -> str:
    metrics = folder.metrics()
    said = [f"{metrics[name]:g}" if name == "n" else f"{metrics[name]:.4f}" for name in METRICS]
    return f"| {run.data.dataset} | {run.data.split}, {run.data.test_windows} | {' | '.join(said)} |"
