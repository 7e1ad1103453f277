"""Ray loses processes, a node, all of itself: the runs go on elsewhere or with the same command, and no number changes."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from flag3d_ray.home import VARIABLE, Home
from flag3d_ray.provenance import source_facts
from flag3d_ray.run import Run, to_json
from flag3d_ray.store import RunFolder
from tests.cluster_nodes import ClusterNodes, words_of
from tests.faults.driver import ON_RAY, SECONDS, Driver, driver, folder_of, results, table_of, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

JOB = Path(__file__).parents[1] / "cluster_job.py"
EPOCHS = 40
TRIAL, EVALUATOR = "ray::ImplicitFunc", "ray::Evaluator"  # titles of the processes that fit and that predict
RAY_ITSELF = ("raylet", "gcs_server")


@pytest.fixture
def long_runs(tiny_run) -> list[Run]:
    return [tiny_run(epochs=EPOCHS, seed=seed) for seed in (1, 2)]


def in_mid_run(folders: Sequence[RunFolder]) -> RunFolder | None:
    """A run in the first half of its epochs."""
    return next((folder for folder in folders if 2 <= len(folder.events()) < EPOCHS // 2), None)


def epochs_of(folder: RunFolder) -> list[int]:
    return [event["epoch"] for event in folder.events()]


# ------------------------------------------------------------------------------------- a Ray that a launch has started


def processes(leader: Driver, *names: str) -> list[psutil.Process]:
    """Processes of a launch whose title or program begins with one of the names."""
    found = psutil.Process(leader.process.pid).children(recursive=True)
    return [process for process in found if Path(" ".join(words_of(process)[:1])).name.startswith(names)]


def test_a_trial_and_an_evaluator_that_are_killed_are_replaced_within_the_launch(home, undisturbed, long_runs):
    folders = [folder_of(run, home) for run in long_runs]
    with driver(long_runs, home, ON_RAY) as leader:
        victim = wait_for(lambda: in_mid_run(folders), leader)
        for process in processes(leader, TRIAL):  # which of them fits which run cannot be seen
            process.kill()
        evaluator, *_ = wait_for(lambda: processes(leader, EVALUATOR), leader)
        evaluator.kill()
        assert leader.ended() == 0, leader.said()

    assert len(victim.record()["places"]) == 2
    assert [epochs_of(folder) for folder in folders] == [list(range(EPOCHS))] * 2
    assert results(long_runs, home) == results(long_runs, undisturbed(long_runs))
    assert table_of(long_runs, home) == table_of(long_runs, undisturbed(long_runs))


def test_a_launch_whose_ray_was_stopped_ends_and_the_same_command_continues_it(home, undisturbed, long_runs):
    """What `ray stop` does on this machine: it ends the Ray of every command."""
    folders = [folder_of(run, home) for run in long_runs]
    with driver(long_runs, home, ON_RAY) as leader:
        wait_for(lambda: in_mid_run(folders), leader)
        for process in processes(leader, *RAY_ITSELF):
            process.kill()
        assert leader.ended() != 0
    assert [folder.status for folder in folders] != ["finished"] * 2

    with driver(long_runs, home, ON_RAY) as again:
        assert again.ended() == 0, again.said()

    assert [epochs_of(folder) for folder in folders] == [list(range(EPOCHS))] * 2
    assert table_of(long_runs, home) == table_of(long_runs, undisturbed(long_runs))


# ------------------------------------------------------------------------------------- a cluster that jobs are sent to


@dataclass(frozen=True)
class Client:
    """A process that submits the job and follows it."""

    process: subprocess.Popen
    log: Path

    def said(self) -> str:
        """Whether it submitted the job or attached to it, and the job's name."""
        return wait_for(lambda: self.log.read_text(encoding="utf-8").partition("\n")[0])

    def ended(self) -> int:
        """The exit code, zero where the job ended well."""
        return self.process.wait(SECONDS)


@contextlib.contextmanager
def client(nodes: ClusterNodes, asked: Path) -> Iterator[Client]:
    """A client that has submitted its job, or found that it runs."""
    command = [sys.executable, str(JOB), "submit", nodes.address, str(asked)]
    with tempfile.NamedTemporaryFile(dir=asked.parent, delete=False) as log:
        process = subprocess.Popen(command, env=os.environ | nodes.environment, stdout=log, stderr=log)
    try:
        started = Client(process, Path(log.name))
        started.said()
        yield started
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def shared(fresh_home) -> Home:
    """The home that every node sees."""
    pytest.importorskip("aiohttp_cors", reason="the job server needs ray[default]")
    return fresh_home()


@pytest.fixture(scope="module")
def nodes(shared: Home) -> Iterator[ClusterNodes]:
    """A head and two workers, the same for all tests of this file."""
    with ClusterNodes(workers=2, variables={VARIABLE: str(shared.root)}) as started:
        yield started


@pytest.fixture
def asked(tmp_path: Path) -> Callable[[Sequence[Run]], Path]:
    """Runs as the file that a job reads."""

    def write(runs: Sequence[Run]) -> Path:
        file = tmp_path / "runs.json"
        file.write_text(json.dumps([to_json(run) for run in runs]), encoding="utf-8")
        return file

    return write


def test_a_node_that_dies_in_mid_run_changes_nothing_in_the_table(nodes, shared, undisturbed, tiny_run, asked):
    source = tiny_run(keep="last")
    runs = [replace(tiny_run(epochs=EPOCHS, init_from=source), seed=seed) for seed in (1, 2, 3)]
    folders = [folder_of(run, shared) for run in runs]

    def two_nodes_at_work() -> RunFolder | None:
        places = {place["node"] for folder in folders for place in folder.record().get("places", [])}
        return in_mid_run(folders) if len(places) == 2 else None

    with client(nodes, asked(runs)) as first, client(nodes, asked(runs)) as second:
        said = [first.said(), second.said()]
        victim = wait_for(two_nodes_at_work)
        lost = victim.record()["places"][-1]["node"]
        nodes.kill(lost)
        assert [first.ended(), second.ended()] == [0, 0], first.log.read_text(encoding="utf-8")
    wait_for(lambda: lost not in nodes.alive())

    name = said[0].split()[1]
    assert said == [f"submitted {name}", f"attached {name}"]
    assert [folder.status for folder in folders] == ["finished"] * 3
    places = [place["node"] for place in victim.record()["places"]]
    assert places[0] == lost != places[-1]
    assert len({place["node"] for folder in folders for place in folder.record()["places"]}) == 2
    assert epochs_of(victim) == list(range(EPOCHS))
    assert results(runs, shared) == results(runs, undisturbed(runs))
    assert table_of(runs, shared) == table_of(runs, undisturbed(runs))
    assert all(folder.record()["provenance"].items() >= source_facts().items() for folder in folders)


def test_after_all_nodes_were_lost_the_same_job_on_a_new_cluster_gives_the_same_table(
    nodes, shared, undisturbed, long_runs, asked
):
    folders = [folder_of(run, shared) for run in long_runs]
    with client(nodes, asked(long_runs)) as submitted:
        victim = wait_for(lambda: in_mid_run(folders))
        nodes.stop()
        assert submitted.ended() != 0
    assert [one for one in psutil.process_iter() if str(shared.root) in " ".join(words_of(one))] == []
    assert victim.status == "started"

    with (
        ClusterNodes(workers=1, variables={VARIABLE: str(shared.root)}) as again,
        client(again, asked(long_runs)) as submitted,
    ):
        assert submitted.ended() == 0, submitted.log.read_text(encoding="utf-8")

    assert [epochs_of(folder) for folder in folders] == [list(range(EPOCHS))] * 2
    assert table_of(long_runs, shared) == table_of(long_runs, undisturbed(long_runs))
