"""Where a number came from: commit, uncommitted changes, versions, machine. For the record, not for the key.

Copies of the source that `flag3d submit` sends to a cluster have no `.git`; two files beside the package tell for it.
"""

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from flag3d_ray.files import read_json, write_bytes, write_json
from flag3d_ray.storage import StorePath

FACTS_FILE = "provenance.json"
CHANGES_FILE = "uncommitted.diff"
CONSTRAINTS_FILE = "constraints.txt"

_PACKAGES = ("flag3d-ray", "torch", "ray", "numpy", "optuna", "mlflow", "pyarrow", "transformers")


@cache
def provenance() -> dict[str, str]:
    """Facts that let somebody else redo a run: the machine it was started on, versions, and `source_facts`."""
    facts = {"python": platform.python_version(), "machine": platform.node(), "processor": platform.machine()}
    facts |= {f"version.{name}": _version(name) for name in _PACKAGES}
    return facts | source_facts()


def source_facts(root: Path | None = None) -> dict[str, str]:
    """Commit and digests of the uncommitted changes and of the constraints; what is not known is left out.

    Args:
        root: the folder that holds the package; this package's by default.
    """
    root = root or _root()
    sent = root / FACTS_FILE
    if sent.exists():
        return read_json(sent)
    facts = {}
    # Without the first condition an installed copy would claim the commit of whatever project its environment lies in.
    if (root / ".git").exists() and (commit := _git(root, "rev-parse", "HEAD").strip()):
        changes = uncommitted_changes(root)
        facts = {"commit": commit, "uncommitted": _digest(changes) if changes else "none"}
    constraints = root / CONSTRAINTS_FILE
    if constraints.exists():
        facts["constraints"] = _digest(constraints.read_text(encoding="utf-8"))
    return facts


def uncommitted_changes(root: Path | None = None) -> str:
    """What differs from the commit, as a patch for `git apply`; empty where nothing does or nothing is known of it."""
    root = root or _root()
    sent = root / CHANGES_FILE
    if sent.exists():
        return sent.read_text(encoding="utf-8")
    return _git(root, "diff", "--binary", "HEAD") if (root / ".git").exists() else ""


def send_along(root: Path, copy: Path) -> None:
    """Write what is known of `root`'s source beside a copy of it that has no `.git`."""
    write_json(copy / FACTS_FILE, source_facts(root))
    if changes := uncommitted_changes(root):
        write_bytes(copy / CHANGES_FILE, changes.encode())


def keep_changes(folder: StorePath) -> None:
    """Keep the uncommitted changes in a folder, under the digest that the records name."""
    digest = provenance().get("uncommitted", "none")
    kept = folder / f"{digest}.diff"
    if digest != "none" and not kept.exists():
        write_bytes(kept, uncommitted_changes().encode())


def _root() -> Path:
    return Path(__file__).parents[1]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", errors="replace") if done.returncode == 0 else ""
