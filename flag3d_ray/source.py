"""Digests of the package's own source: a comment or a docstring changes nothing, an operator does."""

import ast
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "flag3d_ray"


def source_digests(roots: tuple[str, ...]) -> dict[str, str]:
    """SHA-256 (16 digits) of each module that `roots` import inside the package, themselves included, lazily or not."""
    found: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module not in found:
            digest, imported = _read(module)
            found[module] = digest
            waiting.extend(imported)
    return dict(sorted(found.items()))


@cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    file = _file(module)
    if file is None:
        raise ModuleNotFoundError(f"{module} has no source file")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = tuple(sorted(_imports(tree)))
    _drop_docstrings(tree)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16], imported


@cache
def _file(module: str) -> Path | None:
    """Where a module stands. Inside the package without `find_spec`, which imports parents, and so torch for a name."""
    package, *inside = module.split(".")
    spec = find_spec(package if package == PACKAGE else module)
    if spec is None or spec.origin is None:
        return None
    if package != PACKAGE:
        return Path(spec.origin)
    path = Path(spec.origin).parent.joinpath(*inside)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _imports(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            for alias in node.names:
                child = f"{node.module}.{alias.name}"
                names.add(child if _file(child) else node.module)
    return names


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
