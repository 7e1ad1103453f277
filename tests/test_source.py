"""The digest of source: what changes it and what does not. Each test writes a package of its own."""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flag3d_ray import source
from flag3d_ray.source import source_digests

MODULE = '''
"""What the module is for."""
from copied.leaf import LIMIT  # where the limit comes from


class Sum:
    """A sum."""

    def of(self, a, b):
        """Both together."""
        # the order does not matter
        return a + b + LIMIT
'''

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes modules of a package `copied` that stands in for flag3d_ray, and forgets what was read of them."""
    package = tmp_path / "copied"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(source, "PACKAGE", "copied")

    def forget() -> None:
        source._read.cache_clear()
        source._file.cache_clear()
        for name in [name for name in sys.modules if name.split(".")[0] == "copied"]:
            del sys.modules[name]

    def write_modules(**modules: str) -> None:
        for name, text in modules.items():
            (package / f"{name}.py").write_text(text)
        forget()

    yield write_modules
    forget()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# the order does not matter", "# it does not matter in which order"),
        ('"""Both together."""', '"""One plus the other."""'),
        ('"""A sum."""', '"""What two numbers make."""'),
        ('"""What the module is for."""', '"""Something else."""'),
        ("a, b)", "a,  b )"),
        ("\n\n\nclass", "\n\n\n\n\nclass"),
    ],
    ids=["comment", "docstring", "class docstring", "module docstring", "spaces", "lines"],
)
def test_what_does_not_run_does_not_count(write: Write, old: str, new: str) -> None:
    write(root=MODULE, leaf="LIMIT = 1\n")
    before = source_digests(("copied.root",))
    assert old in MODULE
    write(root=MODULE.replace(old, new))
    assert source_digests(("copied.root",)) == before


def test_taking_the_only_line_away_from_under_a_docstring_counts_as_nothing(write: Write) -> None:
    write(root='def f():\n    """Nothing."""\n')
    before = source_digests(("copied.root",))
    write(root="def f():\n    pass\n")
    assert source_digests(("copied.root",)) == before


@pytest.mark.parametrize(("old", "new"), [("a + b", "a - b"), ("LIMIT\n", "2 * LIMIT\n"), ("def of", "def off")])
def test_what_runs_counts(write: Write, old: str, new: str) -> None:
    write(root=MODULE, leaf="LIMIT = 1\n")
    before = source_digests(("copied.root",))
    assert old in MODULE
    write(root=MODULE.replace(old, new))
    after = source_digests(("copied.root",))
    assert after["copied.root"] != before["copied.root"]
    assert after["copied.leaf"] == before["copied.leaf"]


def test_what_a_module_imports_counts_however_deep(write: Write) -> None:
    write(root=MODULE, leaf="from copied import deep\nLIMIT = deep.ONE\n", deep="ONE = 1\n")
    before = source_digests(("copied.root",))
    assert set(before) == {"copied.root", "copied.leaf", "copied.deep"}
    write(deep="ONE = 2\n")
    after = source_digests(("copied.root",))
    assert {name for name in after if after[name] != before[name]} == {"copied.deep"}


@pytest.mark.parametrize(
    "line",
    [
        "import copied.leaf",
        "import copied.leaf as other",
        "from copied import leaf",
        "from copied.leaf import LIMIT",
        "def f():\n    from copied.leaf import LIMIT",
        "if False:\n    import copied.leaf",
    ],
)
def test_an_import_is_seen_wherever_it_stands(write: Write, line: str) -> None:
    write(root=line + "\n", leaf="LIMIT = 1\n")
    assert "copied.leaf" in source_digests(("copied.root",))


def test_modules_that_import_each_other_end(write: Write) -> None:
    write(root="import copied.leaf\n", leaf="import copied.root\n")
    assert set(source_digests(("copied.root",))) == {"copied.root", "copied.leaf"}


def test_other_packages_do_not_count(write: Write) -> None:
    write(root="import json\nimport numpy as np\nfrom os import path\n")
    assert set(source_digests(("copied.root",))) == {"copied.root"}


def test_reading_source_imports_nothing(write: Write) -> None:
    write(root="from copied.leaf import LIMIT\n", leaf="raise SystemExit\n")
    assert set(source_digests(("copied.root",))) == {"copied.root", "copied.leaf"}
    assert [name for name in sys.modules if name.startswith("copied.")] == []


def test_a_module_without_a_file_is_named(write: Write) -> None:
    write(root="import copied.vanished\n")
    with pytest.raises(ModuleNotFoundError, match=r"copied\.vanished"):
        source_digests(("copied.root",))


def test_every_module_of_the_package_is_imported_by_its_full_name() -> None:
    """Relative imports would not be followed."""
    relative = []
    for path in Path(source.__file__).parent.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        relative += [f"{path.name}:{node.lineno}" for node in nodes if isinstance(node, ast.ImportFrom) and node.level]
    assert relative == []
