"""What tests of several verbs share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flag3d_ray.home import Home


@pytest.fixture
def home(tmp_path: Path, write_tiny: Callable[[Path], None]) -> Home:
    """A home whose `synthetic-demo` is the tiny dataset."""
    home = Home(tmp_path / "home")
    write_tiny(home.dataset("synthetic-demo"))
    return home
