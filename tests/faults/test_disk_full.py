"""A disk that is full, for real: a small file system in memory, filled up right before a file of a run is written."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray.evaluation import predictions
from flag3d_ray.execution import ensure
from flag3d_ray.files import DiskFull
from flag3d_ray.home import Home
from flag3d_ray.run import Run
from flag3d_ray.store import RunFolder
from flag3d_ray.training import loop
from tests.faults.driver import LOCAL, folder_of, here, mostly_slow, results

MEGABYTES = 16


@pytest.fixture
def run(tiny_run) -> Run:
    return tiny_run(epochs=4)


@pytest.fixture
def small_disk(tmp_path: Path, tiny_home: Home) -> Iterator[Home]:
    """A home on a disk of a few megabytes; its data lie elsewhere."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a file system of a chosen size cannot be mounted here ({error})")
    home = Home(disk / "home")
    home.dataset("tiny").parent.mkdir(parents=True)
    home.dataset("tiny").symlink_to(tiny_home.dataset("tiny"))
    try:
        yield home
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def filler(home: Home) -> Path:
    return here(home.root) / "other-files"


def fill(home: Home) -> None:
    """Somebody else writes until nothing fits any more."""
    with filler(home).open("ab", buffering=0) as file:
        for size in (2**16, 2**10, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


def full_before(name: str, owner: Any, call: int, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full from the `call`-th call of a function on."""
    function, calls = getattr(owner, name), [0]

    def after_filling(*words: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            fill(home)
        return function(*words, **options)

    monkeypatch.setattr(owner, name, after_filling)


MOMENTS: dict[str, tuple[str, Any, int, str]] = {
    "last checkpoint": ("save_training", loop, 2, "last.safetensors"),
    "best weights": ("save_tensors", loop, 1, "model.safetensors"),
    "log": ("append_event", RunFolder, 1, "events.jsonl"),
    "predictions": ("write", predictions, 1, "predictions.parquet"),
}


@pytest.mark.parametrize("moment", mostly_slow(MOMENTS, "last checkpoint"))
def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_space(
    small_disk, undisturbed, run, monkeypatch, moment
):
    function, owner, call, file = MOMENTS[moment]
    folder = folder_of(run, small_disk)
    with monkeypatch.context() as patched:
        full_before(function, owner, call, small_disk, patched)
        with pytest.raises(DiskFull, match=rf"{file}: no space left.*free some space"):
            ensure([run], small_disk, LOCAL)

    assert list(here(folder.path).rglob("*.part")) == []
    assert folder.status in ("started", "fitted")
    epochs = len(folder.events())
    filler(small_disk).unlink()

    (cell,) = ensure([run], small_disk, LOCAL)

    assert cell.state == "finished"
    assert folder.record()["recovery"] == "", f"it goes on after {epochs} epochs"
    assert [event["epoch"] for event in folder.events()] == [0, 1, 2, 3]
    assert results([run], small_disk) == results([run], undisturbed([run]))
