"""What the store remembers of sweeps and tables, so that a lost view can be built again."""

import threading
import time
from pathlib import Path

import pytest

from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.progress import Cell
from flag3d_ray.run import DataSpec, Run, TrainSpec
from flag3d_ray.store import RunFolder
from flag3d_ray.tracking import content
from flag3d_ray.tracking.content import Group, remembered_groups


def cell(root: Path, key: str) -> Cell:
    folder = RunFolder(root / key)
    folder.write_record(status="started")
    run = Run(method=Random(), data=DataSpec(dataset="synthetic"), train=TrainSpec(epochs=0))
    return Cell(run, folder, "running")


def test_of_two_launches_that_show_the_same_table_at_once_neither_forgets_what_the_other_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, read = Group("table 3", "flag3d", {}), content._read_group
    group.remember(tmp_path, [cell(tmp_path, "first")])

    def slow(path: Path) -> Group:
        found = read(path)
        time.sleep(0.3)
        return found

    monkeypatch.setattr(content, "_read_group", slow)
    launches = [
        threading.Thread(target=group.remember, args=(tmp_path, [cell(tmp_path, key)])) for key in ("one", "other")
    ]
    for launch in launches:
        launch.start()
    for launch in launches:
        launch.join()

    (known,) = remembered_groups(tmp_path)
    assert set(known.keys) == {"first", "one", "other"}
