"""A search that is ended from outside: nothing is left running, and the same command brings the study to its end."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flag3d_ray.home import Home
from tests.faults.driver import SECONDS, wait_for

TRIALS = 3


@pytest.fixture
def home(tmp_path: Path, write_tiny: Callable[[Path], None]) -> Home:
    home = Home(tmp_path / "home")
    write_tiny(home.dataset("synthetic-demo"))
    return home


@contextmanager
def sigint_not_ignored() -> Iterator[None]:
    """A shell that starts pytest in the background has it ignore SIGINT, and a child would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def searching(home: Home) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts the search; whatever still runs at the end of a test is killed."""
    words = ("sweep", "hlrac", "--trials", str(TRIALS), "--concurrent", "1", "--no-track", "--home", str(home.root))
    started = []

    def start() -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).with_name("flag3d")), *words]
        with sigint_not_ignored():
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_child_hears_ctrl_c_where_pytest_ignores_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with sigint_not_ignored():
            child = subprocess.Popen(["sleep", "60"])
    finally:
        signal.signal(signal.SIGINT, before)

    child.send_signal(signal.SIGINT)

    assert child.wait(timeout=30) == -signal.SIGINT


@pytest.mark.slow
@pytest.mark.parametrize(("ends", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_search_that_is_ended_says_what_to_type_and_goes_on_there(home, searching, ends, code):
    first = searching()
    wait_for(lambda: first.poll() is not None or any(folder.record().get("running") for folder in home.store))
    first.send_signal(ends)

    said, _ = first.communicate(timeout=SECONDS)

    assert first.returncode == code, said
    assert "the same command continues it" in said
    assert [folder.key for folder in home.store if folder.record().get("running")] == []

    again = searching()
    said, _ = again.communicate(timeout=SECONDS)

    assert again.returncode == 0, said
    assert f"{TRIALS} trials completed" in said
    assert {folder.status for folder in home.store} == {"finished"}
