"""The command line's promises: its options, its help, and how it ends when something is wrong.

`golden/cli_options.txt` freezes the options. After a change that is meant: `FLAG3D_RENEW_GOLDEN=1 pytest
tests/test_cli.py`, look at the difference, commit it.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from flag3d_ray import cli
from flag3d_ray.errors import RunError

GOLDEN = Path(__file__).parent / "golden" / "cli_options.txt"
RENEW = "FLAG3D_RENEW_GOLDEN"
HEAVY = ("torch", "ray", "mlflow", "optuna", "numpy", "pyarrow", "transformers", "scipy", "matplotlib")


def _verbs(command: Any, words: tuple[str, ...] = ("flag3d",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name, child in command.commands.items():
        yield from _verbs(child, (*words, name))


VERBS = {" ".join(words): command for words, command in _verbs(typer.main.get_command(cli.app))}


def _options() -> str:
    lines = []
    for words, command in VERBS.items():
        lines.append(words)
        for parameter in command.params:
            names = " ".join([*parameter.opts, *parameter.secondary_opts])
            if parameter.param_type_name == "argument":
                names = parameter.name.upper()
            default = "required" if parameter.required else f"default {parameter.default!r}"
            variable = f", ${parameter.envvar}" if parameter.envvar else ""
            lines.append(f"  {names}, {default}{variable}")
    return "\n".join(lines) + "\n"


def test_the_options_of_every_verb_are_frozen() -> None:
    if os.environ.get(RENEW):
        GOLDEN.write_text(_options(), encoding="utf-8")
    assert _options() == GOLDEN.read_text(encoding="utf-8"), f"if this is meant: {RENEW}=1, see the module's docstring"


def _example(command: Any) -> list[str]:
    examples = re.findall(r"Example: (flag3d .+)", command.help or "")
    assert len(examples) == 1, "a verb's help ends with one example"
    return shlex.split(examples[0])


@pytest.mark.parametrize("words", VERBS)
def test_every_help_has_an_example_of_its_own_verb(words: str) -> None:
    assert " ".join(_example(VERBS[words])).startswith(words)


@pytest.mark.parametrize("words", VERBS)
def test_every_example_can_be_typed(words: str) -> None:
    typed = _example(VERBS[words])[len(words.split()) :]
    assert VERBS[words].make_context(words, typed).params is not None


@pytest.mark.parametrize("words", VERBS)
def test_every_option_says_what_it_does(words: str, flag3d: Callable[..., Any]) -> None:
    silent = [parameter.name for parameter in VERBS[words].params if not parameter.help]
    assert silent == []
    said = flag3d(*words.split()[1:], "--help")
    assert said.code == 0
    assert "Example: flag3d" in said.out


def test_help_loads_no_heavy_package() -> None:
    code = (
        "import sys; sys.argv = ['flag3d', 'table', '--help']\n"
        "from flag3d_ray.cli import main\n"
        "try:\n    main()\n"
        f"finally:\n    print('loaded', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_no_words_show_the_verbs(flag3d: Callable[..., Any]) -> None:
    said = flag3d()
    assert all(words.split()[1] in said.out + said.err for words in VERBS)


def test_an_error_that_the_user_can_solve_ends_with_2_and_without_a_traceback() -> None:
    code = (
        "import sys; sys.argv = ['flag3d', 'table', '3', '--variant', 'wrong']; from flag3d_ray.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    first, rule, remedy = done.stderr.splitlines()
    assert first.split() == ["error", "--variant", "wrong"]
    assert rule.split() == ["rule", "unknown", "formula"]
    assert remedy.split(maxsplit=1) == ["remedy", "use paper or released"]


def test_square_brackets_in_an_error_are_not_taken_for_colours(
    flag3d: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RunError(where="[red]a[/red]", rule="shape [T, 3]", remedy="give [T, 24, 3]")

    monkeypatch.setattr(cli, "app", fail)
    said = flag3d("x")
    assert said.code == 2
    assert all(text in said.err for text in ("[red]a[/red]", "shape [T, 3]", "give [T, 24, 3]"))


def test_what_a_storages_client_raises_ends_with_2_and_without_a_traceback(
    flag3d: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    exceptions = pytest.importorskip("botocore.exceptions")

    def fail() -> None:
        raise exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    monkeypatch.setattr(cli, "app", fail)
    said = flag3d("x")
    assert said.code == 2
    assert all(text in said.err for text in ("EndpointConnectionError", "http://127.0.0.1:1", "same command again"))


def test_a_text_where_a_path_is_wanted_ends_with_2_and_without_a_traceback(flag3d: Callable[..., Any]) -> None:
    said = flag3d("count", "x" * 5000)
    assert said.code == 2
    assert "too long for the name of a file" in said.err
    assert len(said.err) < 500


def test_an_error_of_the_program_keeps_its_traceback(
    flag3d: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(ZeroDivisionError):
        flag3d("x")


@pytest.mark.parametrize("words", ["unknown", "table", "table x", "table 3 --colour red", "train"])
def test_words_that_make_no_sense_end_with_2(flag3d: Callable[..., Any], words: str) -> None:
    said = flag3d(*words.split())
    assert said.code == 2
    assert "Traceback" not in said.err
