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
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{module} has no source file")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    imported = tuple(sorted(_imports(tree)))
    _drop_docstrings(tree)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16], imported


def _imports(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            for alias in node.names:
                child = f"{node.module}.{alias.name}"
                names.add(child if _is_module(child) else node.module)
    return names


@cache
def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:] or [ast.Pass()]
