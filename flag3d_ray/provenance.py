"""Where a number came from: commit, uncommitted changes, versions, machine. For the record, not for the key."""

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("flag3d-ray", "torch", "ray", "numpy", "optuna", "mlflow", "pyarrow", "transformers")


@cache
def provenance() -> dict[str, str]:
    """Facts that let somebody else redo a run."""
    facts = {"python": platform.python_version(), "machine": platform.node(), "processor": platform.machine()}
    facts |= {f"version.{name}": _version(name) for name in _PACKAGES}
    commit = _git("rev-parse", "HEAD")
    if commit:
        diff = _git("diff", "HEAD")
        facts["commit"] = commit
        facts["uncommitted"] = hashlib.sha256(diff.encode()).hexdigest()[:12] if diff else "none"
    return facts


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _git(*words: str) -> str:
    here = Path(__file__).parent
    try:
        done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
