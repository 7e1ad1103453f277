"""A home at a URL. That it answers is known before: `Home.at` asks."""

from collections.abc import Iterator

from flag3d_ray.doctor.check import Check
from flag3d_ray.home import Home


def place(home: Home) -> Iterator[Check]:
    """Where the runs lie, and where this machine keeps copies and views."""
    yield Check("home", "pass", f"{home.root} answers; copies and views lie in {home.local}")


def datasets(home: Home) -> Iterator[Check]:
    """The datasets at the URL by name; their files are compared with their manifests when they are fetched."""
    names = home.datasets()
    yield Check("datasets", "pass", ", ".join(names) or "none yet; `flag3d data make` makes the synthetic ones")
