"""One process leads a run at a time; the dead lead nothing."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from flag3d_ray import lease
from flag3d_ray.lease import STALE, Holder, Leases, leader, read_holder

HOLD = """
import sys
from pathlib import Path
from flag3d_ray.lease import Leases
with Leases() as leases:
    other = leases.acquire(Path(sys.argv[1]))
    print("mine" if other is None else other.pid, flush=True)
    sys.stdin.readline()
"""


def _start(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _end(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=60)


def _write(path: Path, holder: Holder, age: float = 0.0) -> None:
    path.write_text(json.dumps(vars(holder)))
    os.utime(path, (time.time() - age, time.time() - age))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lease.json"


@pytest.fixture
def other_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that leads."""
    process = _start(path)
    assert _said(process) == "mine"
    yield process
    process.kill()
    _end(process)


def test_who_takes_a_free_lease_leads_until_it_is_released(path: Path) -> None:
    with Leases() as leases:
        assert leases.acquire(path) is None
        assert leader(path) == Holder.this_process()
        assert leases.acquire(path) is None
        leases.release([path])
        assert leader(path) is None
        assert not path.exists()


def test_the_end_of_the_block_releases_all(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "lease.json", tmp_path / "b" / "lease.json"]
    with Leases() as leases:
        for path in paths:
            leases.acquire(path)
        assert all(leader(path) for path in paths)
    assert [path for path in paths if path.exists()] == []


def test_a_second_launch_is_told_who_leads(path: Path, other_process: subprocess.Popen[str]) -> None:
    with Leases() as leases:
        holder = leases.acquire(path)
    assert holder is not None
    assert holder.pid == other_process.pid
    assert str(holder) == f"pid {other_process.pid} on {socket.gethostname()}"
    assert leader(path) == holder, "the end of our block must not release another's lease"


def test_a_killed_process_leads_no_more(path: Path, other_process: subprocess.Popen[str]) -> None:
    other_process.kill()
    other_process.wait()
    assert read_holder(path) is not None
    assert leader(path) is None
    with Leases() as leases:
        assert leases.acquire(path) is None
        assert leader(path) == Holder.this_process()


def test_of_processes_that_race_exactly_one_wins(path: Path) -> None:
    _write(path, Holder(socket.gethostname(), 2**22 + 1, 0.0))  # a dead one's, so that all of them want to take over
    racers = [_start(path) for _ in range(4)]
    try:
        said = [_said(racer) for racer in racers]
    finally:
        for racer in racers:
            _end(racer)
    winner = racers[said.index("mine")]
    assert sorted(said) == sorted(["mine"] + 3 * [str(winner.pid)])


def test_another_process_with_the_same_number_is_not_the_holder(path: Path) -> None:
    me = Holder.this_process()
    _write(path, replace(me, started=me.started - 100.0))
    assert leader(path) is None


def test_a_clock_that_is_set_makes_nobody_dead(
    path: Path, other_process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    me, boot_time = Holder.this_process(), psutil.boot_time()
    monkeypatch.setattr("psutil._psplatform.boot_time", lambda: boot_time - 3600.0)
    assert psutil.boot_time() == boot_time - 3600.0, "all starts are an hour earlier now"
    assert Holder.this_process() == me
    with Leases() as leases:
        holder = leases.acquire(path)
    assert holder is not None
    assert holder.pid == other_process.pid


def test_another_host_leads_as_long_as_its_heart_beats(path: Path) -> None:
    elsewhere = Holder("elsewhere", 1, 0.0)
    _write(path, elsewhere, age=STALE / 2)
    with Leases() as leases:
        assert leases.acquire(path) == elsewhere
    _write(path, elsewhere, age=STALE + 1)
    with Leases() as leases:
        assert leases.acquire(path) is None


def test_the_heart_beats_while_a_lease_is_held(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT", 0.02)
    with Leases() as leases:
        leases.acquire(path)
        os.utime(path, (0, 0))
        until = time.monotonic() + 30
        while path.stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.02)
        assert time.time() - path.stat().st_mtime < 30


def test_a_heartbeat_outlives_a_lease_that_somebody_deleted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT", 0.02)
    with Leases() as leases:
        leases.acquire(path)
        path.unlink()
        time.sleep(0.1)
        assert leases._thread.is_alive()
        assert leases.acquire(path) is None


@pytest.mark.parametrize("content", ["", '{"host": "x", "pi', '{"host": "x"}'], ids=["empty", "torn", "too little"])
def test_a_damaged_lease_is_nobodys(path: Path, content: str) -> None:
    path.write_text(content)
    assert leader(path) is None
    with Leases() as leases:
        assert leases.acquire(path) is None


def test_a_lease_that_was_taken_over_is_not_released_by_its_old_holder(path: Path) -> None:
    with Leases() as leases:
        leases.acquire(path)
        _write(path, Holder("elsewhere", 1, 0.0))
    assert read_holder(path) == Holder("elsewhere", 1, 0.0)
