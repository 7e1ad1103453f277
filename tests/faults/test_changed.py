"""What a run depends on changes while it is unfinished: it becomes another run with a reason, the old one stays as it is."""

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import flag3d_ray
from flag3d_ray.data.ingest import write_dataset
from flag3d_ray.data.manifest import Card
from flag3d_ray.data.splits import Split, load_split, write_split
from flag3d_ray.execution import ensure
from flag3d_ray.home import Home
from flag3d_ray.run import Run
from tests.faults.driver import LOCAL, files_of, folder_of, here, mostly_slow, results


@pytest.fixture
def run(tiny_run) -> Run:
    return tiny_run(epochs=4)


@pytest.fixture
def own_home(tmp_path: Path, write_tiny: Callable[[Path], None]) -> Home:
    """A home whose data may be changed."""
    home = Home(tmp_path / "home")
    write_tiny(home.dataset("tiny"))
    return home


def test_another_configuration_is_another_run_and_the_first_one_goes_on_where_it_was(
    home, undisturbed, interrupted, run
):
    other = replace(run, train=replace(run.train, learning_rate=2e-3))
    folder = interrupted(run, home)
    before = files_of(folder)

    ensure([other], home, LOCAL)

    assert files_of(folder) == before
    assert folder_of(other, home).record()["rerun"] == "", "nobody asked this before"
    ensure([run], home, LOCAL)
    assert results([run, other], home) == results([run, other], undisturbed([run, other]))


def another_split(folder: Path) -> None:
    split = load_split(folder, "by_action")
    write_split(folder, replace(split, train=split.test, test=split.train))


def other_data(tiny_sample) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        split: Split = load_split(folder, "by_action")
        shutil.rmtree(folder)
        card = Card(description="as before", limits="tests only", licence="none", unit="m", fps="30", axes="y up")
        samples = [tiny_sample(index) for index in range(12)]
        samples[3] = replace(samples[3], joints_MTVC=samples[3].joints_MTVC * samples[3].joints_MTVC.dtype.type(1.01))
        write_dataset(
            folder,
            lambda indices: (samples[index] for index in indices),
            12,
            card=card,
            shard_rows=6,
            finish=lambda hidden: write_split(hidden, split),
        )

    return write


@pytest.mark.parametrize("changed", mostly_slow(["dataset", "split"], "split"))
def test_other_data_under_the_same_name_make_another_run_that_says_so(own_home, interrupted, run, tiny_sample, changed):
    folder = interrupted(run, own_home)
    before = files_of(folder)
    change = other_data(tiny_sample) if changed == "dataset" else another_split
    change(own_home.dataset("tiny"))

    (cell,) = ensure([run], own_home, LOCAL)

    assert cell.state == "finished"
    assert cell.folder.key != folder.key
    assert cell.folder.record()["rerun"] == f"computed before, again now: {changed} changed"
    assert [event["epoch"] for event in cell.folder.events()] == [0, 1, 2, 3], "no epoch comes from the other data"
    assert files_of(folder) == before


ELSEWHERE = """
import pickle, sys
from flag3d_ray import execution
from flag3d_ray.provenance import source_facts
runs, home = pickle.loads(open(sys.argv[1], "rb").read())
(cell,) = execution.ensure(runs, home, execution.Resources(executor="local"))
print(cell.folder.key, cell.state, "commit" in source_facts())
"""


@dataclass(frozen=True)
class Copy:
    """A copy of the package on a machine that has no `.git`."""

    root: Path

    def asks(self, run: Run, home: Home) -> list[str]:
        """The key, the state, and whether a commit is known, when the copy is asked for the run."""
        asked = here(home.root) / "asked.pickle"
        asked.write_bytes(pickle.dumps(([run], home)))
        environment = os.environ | {"PYTHONPATH": str(self.root)}
        words = [sys.executable, "-c", ELSEWHERE, str(asked)]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=self.root, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    def edits(self, module: str, old: str, new: str) -> None:
        path = self.root.joinpath("flag3d_ray", *module.split(".")).with_suffix(".py")
        source = path.read_text()
        assert source.count(old) == 1
        path.write_text(source.replace(old, new))


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    package = Path(flag3d_ray.__file__).parent
    shutil.copytree(package, tmp_path / "copy" / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return Copy(tmp_path / "copy")


STEP = "        optimiser.step()\n"


@pytest.mark.slow
def test_source_without_git_goes_on_with_the_run_and_changed_source_makes_another(
    home, undisturbed, interrupted, run, copy
):
    folder = interrupted(run, home)
    copy.edits("training.loop", STEP, f"        # a comment changes nothing\n{STEP}")

    assert copy.asks(run, home) == [folder.key, "finished", "False"]
    assert "commit" not in folder.record()["provenance"]
    assert [event["epoch"] for event in folder.events()] == [0, 1, 2, 3]
    assert results([run], home) == results([run], undisturbed([run]))
    before = files_of(folder)

    copy.edits("training.loop", STEP, f"{STEP}{STEP}")
    key, state, _ = copy.asks(run, home)

    assert (key != folder.key, state) == (True, "finished")
    assert home.store.folder(key).record()["rerun"] == "computed before, again now: training.loop changed"
    assert files_of(folder) == before
    assert ensure([run], home, LOCAL)[0].state == "cached"
