"""Imports go one way, and heavy packages stay behind one door each."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "flag3d_ray"

# A module may import its own layer and those above it in this list.
LAYERS = (
    (
        "errors",
        "files",
        "storage",
        "interruption",
        "private_file",
        "ray_token",
        "source",
        "threads",
        "sample",
        "skeleton",
        "metrics",
        "segments",
        "methods.base",
        "paper",
    ),
    (
        "run",
        "budget",
        "chaos",
        "store",
        "lease",
        "object_lease",
        "home",
        "provenance",
        "data",
        "models",
        "figures",
        "checkpoints",
    ),
    ("methods", "identity", "progress", "costs"),
    ("training", "tracking", "viz.density_plot", "preparation", "board"),
    (
        "evaluation",
        "cluster",
        "execution",
        "execution_ray",
        "rerun",
        "jobs",
        "search",
        "study",
        "statistics",
        "counting",
        "clip_counters",
    ),
    ("scoring", "tables", "render", "viz", "ui", "mlflow_server", "mlflow_password", "doctor", "declarations", "plan"),
    ("commands", "cli"),
)
DOORS = {
    "ray": {
        "cluster",
        "data.ingest",
        "data.stream",
        "evaluation.actors",
        "execution_ray",
        "jobs",
        "search",
        "training.ray_train",
    },
    "mlflow": {"mlflow_password", "tracking.connect", "tracking.remote", "tracking.session"},
    "optuna": {"search", "study"},
}
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def _layer(module: str) -> int:
    fits = [
        (len(prefix), number)
        for number, layer in enumerate(LAYERS)
        for prefix in layer
        if module == prefix or module.startswith(prefix + ".")
    ]
    assert fits, f"{module} stands in no layer: add it to LAYERS"
    return max(fits)[1]


@pytest.mark.parametrize("module", [name for name in MODULES if name != "__init__"])
def test_a_module_imports_only_its_own_layer_and_those_before_it(module: str) -> None:
    for name in _imports(MODULES[module]):
        if name.startswith("flag3d_ray."):
            target = name.removeprefix("flag3d_ray.")
            assert _layer(target) <= _layer(module), f"{module} imports {target}"


@pytest.mark.parametrize("package", DOORS)
def test_heavy_packages_are_imported_behind_their_doors_only(package: str) -> None:
    users = {name for name, path in MODULES.items() if any(n.split(".")[0] == package for n in _imports(path))}
    assert users == DOORS[package]


def test_nothing_in_the_package_imports_the_experiments() -> None:
    importers = {
        name for name, path in MODULES.items() if any(n.split(".")[0] == "experiments" for n in _imports(path))
    }
    assert importers == set()
