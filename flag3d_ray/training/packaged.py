"""A trained run as a folder that can be given away: it needs neither the store nor the dataset to count a recording.

    model.safetensors   the weights
    run.json            the run, as `flag3d_ray.run.to_json` writes it
    card.md             for people: data, seeds, metrics, licence
    manifest.json       format, shapes of the input, digest of the text encoder's weights, SHA-256 of the other files

Nothing is pickled. A folder is loaded if every file has its SHA-256 and every tensor its place.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import nn

from flag3d_ray.checkpoints import MANIFEST, MODEL
from flag3d_ray.data.manifest import file_sha256, load_manifest
from flag3d_ray.data.text_encoders import encoder
from flag3d_ray.errors import RunError
from flag3d_ray.files import read_bytes, read_json, write_bytes, write_json
from flag3d_ray.home import Home
from flag3d_ray.methods.base import Fitted, Shapes
from flag3d_ray.methods.catalogue import RECORDED
from flag3d_ray.run import Run, run_from_json, to_json
from flag3d_ray.storage import StorePath
from flag3d_ray.store import RunFolder
from flag3d_ray.training.fit import load_estimator

FORMAT = "flag3d-checkpoint/1"
RUN, CARD = "run.json", "card.md"
_MOST_BYTES = {RUN: 1 << 20, CARD: 1 << 20, MODEL: 1 << 32}


@dataclass(frozen=True, eq=False, kw_only=True)
class Checkpoint:
    """A network or fitted estimator that is ready to predict, and what its input must be.

    `text_digest` is that of the weights of the text encoder that it was trained with, empty without language.
    """

    name: str
    run: Run
    shapes: Shapes
    estimator: nn.Module | Fitted
    text_digest: str = ""


@dataclass(frozen=True)
class _Folder(RunFolder):
    """A packaged folder, for `load_estimator`: its model lies at the top."""

    @property
    def model(self) -> StorePath:
        return self.path / MODEL


def export_checkpoint(run_folder: RunFolder, destination: Path, card: str) -> Path:
    """Write a trained run of a store as a folder of its own, whole or not at all; returns it.

    Args:
        run_folder: `runs/KEY` of a home that still has the run's dataset, whose joint layout is written down.
        card: Markdown that says what it was trained on, with which seeds, how well it does and under which licence.

    Raises:
        RunError: the run has no model yet, the destination exists or cannot be written, the card is empty.
        DataError: the run's dataset is not in the home.
    """
    if destination.exists():
        raise RunError(where=str(destination), rule="exists already", remedy="name another folder, or remove it")
    if not card.strip():
        raise RunError(where="card", rule="it is empty", remedy="write data, seeds, metrics and licence into it")
    found = load_run(run_folder)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=destination.parent, prefix=".flag3d-")
    except OSError as error:
        rule = f"its folder cannot be made: {error.strerror}"
        raise RunError(where=str(destination), rule=rule, remedy="name a folder elsewhere") from error
    with scratch as beside:
        hidden = Path(beside) / destination.name
        write_bytes(hidden / MODEL, read_bytes(run_folder.model))
        write_json(hidden / RUN, to_json(found.run))
        write_bytes(hidden / CARD, card.encode())
        manifest = {
            "format": FORMAT,
            "key": run_folder.key,
            "shapes": asdict(found.shapes),
            "text_encoder": found.text_digest,
            "files": {name: file_sha256(hidden / name) for name in (MODEL, RUN, CARD)},
        }
        write_json(hidden / MANIFEST, manifest)
        hidden.rename(destination)
    return destination


def find_checkpoint(word: str, home: Home) -> StorePath:
    """The folder that `--checkpoint` names: a path, or the key of a run in the home's store or its first digits.

    Raises:
        RunError: there is none, or several begin so; the message lists what is there.
    """
    if word and Path(word).is_dir():
        return Path(word)
    fitting = [folder for folder in home.store if folder.key.startswith(word)] if word else []
    if len(fitting) == 1:
        return fitting[0].path
    rule = (
        f"the keys of {len(fitting)} runs begin so" if fitting else "no such file or folder, and no run's key begins so"
    )
    raise RunError(where=f"checkpoint {word!r}", rule=rule, remedy=what_to_name(home))


def find_model(word: str, home: Home) -> StorePath:
    """The file of weights that `--init-from` names: itself, or that of the folder or run that `find_checkpoint` finds.

    Raises:
        RunError: there is none, or the run has none yet.
    """
    if Path(word).is_file():
        return Path(word)
    folder = find_checkpoint(word, home)
    packed = folder / MODEL
    model = packed if packed.is_file() else RunFolder(folder.absolute()).model
    if not model.is_file():
        raise RunError(where=f"--init-from {word}", rule="it holds no weights", remedy=what_to_name(home))
    return model


def what_to_name(home: Home, most: int = 5) -> str:
    """A remedy for who has not named a network: the newest ones of the store, or how to train one."""
    trained = sorted(_trained(home), key=lambda folder: -folder.model.stat().st_mtime)
    if not trained:
        return "train one with `flag3d train transrac --preset tiny`, then name its key or folder"
    said = "; ".join(f"{folder.key[:8]} ({folder.record().get('label', '')})" for folder in trained[:most])
    return f"name one of them: {said}"


def _trained(home: Home) -> Iterator[RunFolder]:
    """Runs of networks that have a model: those of epochs."""
    for folder in home.store:
        if folder.model.is_file() and folder.record().get("run", {}).get("train", {}).get("epochs"):
            yield folder


def load_checkpoint(folder: StorePath) -> Checkpoint:
    """A packaged folder, or the folder of a run in a store.

    Raises:
        RunError: it is neither, a file is missing, has another SHA-256 or is no safetensors file or JSON, the run needs
            another version of this package, or the weights do not fit the method.
        DataError: a run of a store whose dataset is not there.
    """
    if isinstance(folder, Path) and (folder / MANIFEST).is_file():
        return _packaged(folder)
    run_folder = RunFolder(folder.absolute())
    if run_folder.record_path.is_file():
        return load_run(run_folder)
    rule = "neither a packaged checkpoint (manifest.json) nor the folder of a run (record.json)"
    raise RunError(where=str(folder), rule=rule, remedy="name runs/KEY of a home, or a folder that was exported")


def load_run(folder: RunFolder) -> Checkpoint:
    """A trained run of a store, with the shapes of its dataset's clips.

    Raises:
        RunError: it has no model yet, or the weights do not fit.
        DataError: its dataset is not in the home that the folder lies in.
    """
    if not folder.model.is_file():
        rule = f"the run has no model: it is {folder.status}"
        raise RunError(
            where=folder.key, rule=rule, remedy="type the command that trains it again, and wait for its end"
        )
    record = folder.record()
    run = run_from_json(record["run"], RECORDED)
    shapes = run_shapes(run, Home(folder.path.parents[1]))
    digest = record.get("digests", {}).get("text_encoder", "")
    return Checkpoint(
        name=f"{run.label} ({folder.key[:8]})",
        run=run,
        shapes=shapes,
        estimator=_estimator(run, folder, shapes),
        text_digest=digest,
    )


def run_shapes(run: Run, home: Home) -> Shapes:
    """The shapes of a run's clips, without opening any: as `data.clips.Clips.shapes`.

    Raises:
        DataError: the dataset is not in the home.
        EncoderUnreachable: the text encoder's weights are not there, which its width is read from.
    """
    text = run.data.text
    return Shapes(
        frames=run.data.frames,
        layout=load_manifest(home.dataset(run.data.dataset)).layout,
        text_width=encoder(text.encoder).width if text is not None else 0,
    )


def _packaged(folder: Path) -> Checkpoint:
    manifest = _manifest(folder)
    for name, digest in manifest["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size > _MOST_BYTES[name] or file_sha256(path) != digest:
            raise _damaged(folder, f"{name} is missing or does not have the SHA-256 of {MANIFEST}")
    record, shapes = read_json(folder / RUN), Shapes(**manifest["shapes"])
    if not isinstance(record, dict) or record.get("type") != Run.__name__:
        raise _damaged(folder, f"{RUN} is not a run")
    run = run_from_json(record, RECORDED)
    return Checkpoint(
        name=f"{run.label} ({folder.name})",
        run=run,
        shapes=shapes,
        estimator=_estimator(run, _Folder(folder), shapes),
        text_digest=manifest.get("text_encoder", ""),
    )


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if path.stat().st_size > _MOST_BYTES[RUN]:
        raise _damaged(folder, f"{MANIFEST} is too large")
    manifest = read_json(path)
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise _damaged(folder, f"format {found!r}, this version reads {FORMAT}")
    shapes = {field.name for field in fields(Shapes)}
    if set(manifest.get("files") or ()) != set(_MOST_BYTES) or set(manifest.get("shapes") or ()) != shapes:
        raise _damaged(folder, f"{MANIFEST} does not name {', '.join(_MOST_BYTES)} and the shapes of the input")
    return manifest


def _estimator(run: Run, folder: RunFolder, shapes: Shapes) -> nn.Module | Fitted:
    try:
        return load_estimator(run, folder, shapes)
    except (RuntimeError, KeyError, ValueError) as error:
        rule = f"its weights do not fit its method: {str(error).splitlines()[0][:200]}"
        raise RunError(
            where=str(folder.path), rule=rule, remedy="export or train it again with this version"
        ) from error


def _damaged(folder: Path, rule: str) -> RunError:
    return RunError(where=str(folder), rule=rule, remedy="copy the folder again from where it came, all four files")
