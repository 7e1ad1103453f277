"""Python, packages, processors, memory and disks: what a launch needs of the machine."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from flag3d_ray.doctor.check import Check
from flag3d_ray.home import DEFAULT, VARIABLE

DISTRIBUTION = "flag3d-ray"
OLDEST_PYTHON = (3, 11)
GIB = 2**30
DISK_BYTES = 5 * GIB
# Ray idles at 0.7 GiB, each of its workers that trains at about 0.5 GiB.
MEMORY_BYTES = 3 * GIB
NVIDIA_SECONDS = 5.0


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
