"""Three Ray nodes on this machine: a job's runs are spread over them, and a node that dies changes no number."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from flag3d_ray import render
from flag3d_ray.execution import ensure
from flag3d_ray.home import VARIABLE, Home
from flag3d_ray.identity import run_key
from flag3d_ray.provenance import source_facts
from flag3d_ray.run import Resources, Run, to_json
from flag3d_ray.scoring import score
from flag3d_ray.store import RunFolder
from flag3d_ray.tables import Row, Table
from tests.cluster_nodes import ClusterNodes

JOB = Path(__file__).with_name("cluster_job.py")
EPOCHS = 40
SECONDS = 400.0  # two minutes on two idle cores


def folder_of(run: Run, home: Home) -> RunFolder:
    return home.store.folder(run_key(run, home))


def wait_for(condition: Callable[[], Any]) -> Any:
    """What the condition gives once it gives something."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError):
            if found := condition():
                return found
        time.sleep(0.1)
    pytest.fail(f"waited {SECONDS:.0f} s")


@pytest.fixture
def runs(tiny_run) -> list[Run]:
    """Three runs that start from a fourth."""
    source = tiny_run(keep="last")
    return [replace(tiny_run(epochs=EPOCHS, init_from=source), seed=seed) for seed in (1, 2, 3)]


@pytest.fixture
def table(runs) -> Callable[[Home], str]:
    """The table of the runs, rendered from what a home holds."""
    rows = tuple(Row(method=f"run{number}", label=f"run {number}", runs=(run,)) for number, run in enumerate(runs))
    declared = Table(name="ablations", title="Seeds", dataset="tiny", preset="tiny", rows=rows)
    return lambda home: render.markdown(score(declared, home))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_node_that_dies_in_mid_run_changes_nothing_in_the_table(fresh_home, runs, table, tmp_path):
    pytest.importorskip("aiohttp_cors", reason="the job server needs ray[default]")
    quiet, home = fresh_home(), fresh_home()
    ensure(runs, quiet, Resources(executor="local"))
    asked = tmp_path / "runs.json"
    asked.write_text(json.dumps([to_json(run) for run in runs]), encoding="utf-8")
    folders = [folder_of(run, home) for run in runs]

    with ClusterNodes(workers=2, variables={VARIABLE: str(home.root)}) as nodes:
        with client(nodes, asked) as first, client(nodes, asked) as second:
            said = [first.said(), second.said()]
            victim = wait_for(lambda: in_mid_run(folders))
            lost = victim.record()["places"][-1]["node"]
            nodes.kill(lost)
            assert [first.ended(), second.ended()] == [0, 0]
        wait_for(lambda: lost not in nodes.alive())

    name = said[0].split()[1]
    assert said == [f"submitted {name}", f"attached {name}"]
    assert [folder.status for folder in folders] == ["finished"] * 3
    places = [place["node"] for place in victim.record()["places"]]
    assert places[0] == lost != places[-1]
    assert len({place["node"] for folder in folders for place in folder.record()["places"]}) == 2
    assert [event["epoch"] for event in victim.events()] == list(range(EPOCHS))
    assert table(home) == table(quiet)
    for run, folder in zip(runs, folders, strict=True):
        assert folder.predictions.read_bytes() == folder_of(run, quiet).predictions.read_bytes()
        assert folder.record()["provenance"].items() >= source_facts().items()
    assert [process for process in psutil.process_iter() if str(home.root) in " ".join(words_of(process))] == []


@dataclass(frozen=True)
class Client:
    """A process that submits the job and follows it."""

    process: subprocess.Popen
    log: Path

    def said(self) -> str:
        """Whether it submitted the job or attached to it, and the job's name."""
        return wait_for(lambda: self.log.read_text(encoding="utf-8").partition("\n")[0])

    def ended(self) -> int:
        """How the job ended, zero for well. Fails with the job's output otherwise."""
        code = self.process.wait(SECONDS)
        assert code == 0, self.log.read_text(encoding="utf-8")
        return code


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


def in_mid_run(folders: list[RunFolder]) -> RunFolder | None:
    """A run in the first half of its epochs, once two nodes are at work."""
    running = [folder for folder in folders if 2 <= len(folder.events()) < EPOCHS // 2]
    nodes = {place["node"] for folder in folders for place in folder.record().get("places", [])}
    return running[0] if len(nodes) == 2 and running else None


def words_of(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []
