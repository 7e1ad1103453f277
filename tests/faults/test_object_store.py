"""A home on a real S3 server: the same numbers as in a folder, also through a kill; of two hosts one leads.

The server is SeaweedFS in a process of its own (`tests/s3_server.py`), no mock. Two hosts are two processes of this machine,
of which each says another host name.
"""

import os
import re
import signal
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from flag3d_ray import lease
from flag3d_ray.execution import ensure
from flag3d_ray.files import read_bytes
from flag3d_ray.home import Home
from flag3d_ray.methods.catalogue import RECORDED
from flag3d_ray.run import Run
from flag3d_ray.tracking import Place, fill_view
from flag3d_ray.training import loop
from tests.faults.driver import LOCAL, ON_RAY, driver, folder_of, results, table_of, wait_for
from tests.s3_server import S3Server

pytestmark = pytest.mark.slow
STALE, EPOCHS = 15.0, 6


def with_variables(variables: Mapping[str, str]) -> None:
    """Reach the server: drivers are forked from a process that was started before it was."""
    os.environ.update(variables)


def on_host(name: str, variables: Mapping[str, str], go: Path | None = None) -> None:
    """Be a process on another host, where a lease is dead after some seconds without a heartbeat.

    With `go` its training waits in the fourth epoch until that file is there.
    """
    with_variables(variables)
    socket.gethostname = lambda: name
    lease.HEARTBEAT, lease.STALE = 1.0, STALE
    loss, steps = loop._loss, count(1)

    def waiting(module, batch):
        while next(steps) >= 7 and go is not None and not go.exists():
            time.sleep(0.1)
        return loss(module, batch)

    loop._loss = waiting


@pytest.fixture
def variables(s3: S3Server, s3_url: str) -> dict[str, str]:
    """What a process needs to reach the home at `s3_url`, and to keep its copies apart."""
    return s3.environment | {"FLAG3D_CACHE": os.environ["FLAG3D_CACHE"]}


@pytest.fixture
def s3_home(s3_url: str, write_tiny: Callable[[Path], None]) -> Home:
    """A home on the S3 server with the dataset `tiny` and no runs."""
    home = Home.at(s3_url)
    with home.new_dataset("tiny") as folder:
        write_tiny(folder)
    return home


@pytest.mark.parametrize("resources", [LOCAL, ON_RAY], ids=["here", "Ray"])
def test_a_killed_launch_goes_on_and_gives_the_bytes_of_a_home_in_a_folder(
    resources, s3_home, variables, tiny_run, undisturbed
):
    runs = [tiny_run(epochs=12, seed=seed) for seed in (1, 2)]
    reach = partial(with_variables, variables)
    with driver(runs, s3_home, resources, before=reach) as first:
        wait_for(lambda: len(folder_of(runs[0], s3_home).events()) >= 3)
        first.send(signal.SIGKILL)
        assert first.ended() == -signal.SIGKILL
    assert [folder_of(run, s3_home).status for run in runs] != ["finished", "finished"]

    with driver(runs, s3_home, resources, before=reach) as second:
        assert second.ended() == 0, second.said()

    calm = undisturbed(runs)
    assert [[event["epoch"] for event in folder_of(run, s3_home).events()] for run in runs] == [list(range(12))] * 2
    assert len(folder_of(runs[0], s3_home).record()["places"]) == 2
    assert results(runs, s3_home) == results(runs, calm)
    assert table_of(runs, s3_home) == table_of(runs, calm)


def test_keys_of_the_server_are_in_no_record_log_or_view(s3_home, s3, tiny_run):
    ensure([tiny_run()], s3_home, LOCAL)
    fill_view(s3_home.store, Place(s3_home.mlflow_uri, s3_home.local / "mlruns"), RECORDED)
    there = [read_bytes(path) for folder in s3_home.store for path in folder.path.iterdir() if path.is_file()]
    here = [path.read_bytes() for path in s3_home.local.rglob("*") if path.is_file()]
    assert len(there) >= 5
    assert any(b"flag3d.key" in data for data in here), "the view is here"
    assert not any(word.encode() in data for data in there + here for word in (s3.secret, s3.key))


@pytest.fixture(params=["folder", "S3"])
def shared_home(request: pytest.FixtureRequest) -> Home:
    """A home that two hosts see."""
    return request.getfixturevalue("home" if request.param == "folder" else "s3_home")


@pytest.fixture
def host(request: pytest.FixtureRequest, shared_home: Home) -> Callable[..., Callable[[], None]]:
    """What makes a driver one on the host of that name."""
    reach = {} if isinstance(shared_home.root, Path) else request.getfixturevalue("variables")
    return lambda name, go=None: partial(on_host, name, reach, go)


@pytest.fixture
def run(tiny_run) -> Run:
    """Six epochs of two steps."""
    return tiny_run(epochs=EPOCHS, seed=5)


def test_of_two_hosts_one_leads_and_the_other_follows_and_says_so(shared_home, host, run, undisturbed, tmp_path):
    go = tmp_path / "go"
    with driver([run], shared_home, before=host("alpha", go)) as first:
        wait_for(lambda: folder_of(run, shared_home).events())
        with driver([run], shared_home, before=host("beta")) as second:
            wait_for(lambda: f"led by pid {first.process.pid} on alpha" in _plain(second.said()))
            go.touch()
            assert [first.ended(), second.ended()] == [0, 0]

    assert len(folder_of(run, shared_home).record()["places"]) == 1
    assert [event["epoch"] for event in folder_of(run, shared_home).events()] == list(range(EPOCHS))
    assert results([run], shared_home) == results([run], undisturbed([run]))


def test_a_host_that_dies_is_followed_by_the_other(shared_home, host, run, undisturbed, tmp_path):
    with driver([run], shared_home, before=host("alpha", tmp_path / "never")) as first:
        wait_for(lambda: folder_of(run, shared_home).events())
        with driver([run], shared_home, before=host("beta")) as second:
            wait_for(lambda: f"led by pid {first.process.pid} on alpha" in _plain(second.said()))
            first.send(signal.SIGKILL)
            assert second.ended() == 0, second.said()

    assert len(folder_of(run, shared_home).record()["places"]) == 2
    assert [event["epoch"] for event in folder_of(run, shared_home).events()] == list(range(EPOCHS))
    assert results([run], shared_home) == results([run], undisturbed([run]))


def _plain(text: str) -> str:
    """Text without what colours it and without line breaks."""
    return re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m", "", text))
