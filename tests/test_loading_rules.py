"""Nothing that came from outside is unpickled: calls that could are in two files, each run in a process of its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("flag3d_ray", "experiments", "jobs", "benchmarks")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]

UNPICKLER = "flag3d_ray/data/restricted_pickle.py"
"""A subclass of `pickle.Unpickler` that finds no name outside its own dictionary (tests/data/test_restricted_pickle.py)."""
FORBIDDEN = {"joblib", "dill", "cloudpickle", "marshal", "shelve", "pandas.read_pickle", "hickle", "skops", "yaml"}
MAY_UNPICKLE = {"numpy.load", "numpy.lib.format.read_array"}
UNSAFE = {"pickle.load", "pickle.loads", "pickle.Unpickler", "_pickle.load", "_pickle.loads", "_pickle.Unpickler"}


def _names(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for: {'np': 'numpy', 'loads': 'pickle.loads'}."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.partition(".")[0]
                known |= {alias.asname: alias.name} if alias.asname else {root: root}
        elif isinstance(node, ast.ImportFrom) and node.module:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return known


def _dotted(node: ast.expr, known: dict[str, str]) -> str:
    """`np.lib.format.read_array` -> `numpy.lib.format.read_array`; empty for what is no plain name."""
    if isinstance(node, ast.Name):
        return known.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (head := _dotted(node.value, known)):
        return f"{head}.{node.attr}"
    return ""


def _keyword(call: ast.Call, name: str) -> object:
    """The constant given for a keyword; None where it is absent, `...` where it is computed or hidden behind `**`."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else ...
    return ... if any(keyword.arg is None for keyword in call.keywords) else None


def offences(source: str) -> Iterator[str]:
    """Every way in which a module could unpickle, as `LINE: what`."""
    tree = ast.parse(source)
    known = _names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and _is_unsafe(name := _dotted(node, known)):
            yield f"{node.lineno}: {name}"
        if isinstance(node, ast.Call):
            name, allowed = _dotted(node.func, known), _keyword(node, "allow_pickle")
            if name == "torch.load" and _keyword(node, "weights_only") is not True:
                yield f"{node.lineno}: torch.load without weights_only=True"
            if allowed not in (None, False, ...) or (allowed is ... and name in MAY_UNPICKLE):
                yield f"{node.lineno}: {name} with allow_pickle"


def _is_unsafe(name: str) -> bool:
    return name in UNSAFE | FORBIDDEN or name.partition(".")[0] in FORBIDDEN


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_unpickles_but_the_restricted_one(path: Path) -> None:
    found = list(offences(path.read_text(encoding="utf-8")))
    if str(path.relative_to(ROOT)) == UNPICKLER:
        assert {offence.partition(": ")[2] for offence in found} == {"pickle.Unpickler"}
    else:
        assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle; pickle.load(file)",
        "from pickle import loads as read; read(data)",
        "import pickle as p; p.Unpickler(file).load()",
        "import joblib; joblib.load(path)",
        "import numpy as np; np.load(path, allow_pickle=True)",
        "import numpy; numpy.load(path, allow_pickle=trusted)",
        "import numpy as np; np.load(path, **options)",
        "from numpy.lib.format import read_array; read_array(file, allow_pickle=True)",
        "import torch; torch.load(path)",
        "import torch; torch.load(path, weights_only=False)",
        "from torch import load; load(path)",
        "import pandas as pd; pd.read_pickle(path)",
    ],
)
def test_each_way_to_unpickle_is_noticed(line: str) -> None:
    assert list(offences(line))


@pytest.mark.parametrize(
    "line",
    [
        "import json; json.load(file)",
        "import numpy as np; np.load(path)",
        "import numpy as np; np.load(path, allow_pickle=False)",
        "import torch; torch.load(path, weights_only=True)",
        "import pickle\ntry: f()\nexcept pickle.UnpicklingError: pass",
    ],
)
def test_safe_calls_are_let_be(line: str) -> None:
    assert list(offences(line)) == []
