"""Leases at a URL: generations, of which one writer creates each. On the file system in memory, and on an S3 server."""

import json
import secrets
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from upath import UPath

from flag3d_ray import lease, object_lease, storage
from flag3d_ray.errors import RunError
from flag3d_ray.lease import Holder, Leases, leader, read_holder
from flag3d_ray.storage import located

RACE = """
import sys
from flag3d_ray.lease import Leases
from flag3d_ray.storage import located
path = located(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
with Leases() as leases:
    other = leases.acquire(path)
    print("mine" if other is None else other.pid, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.slow)])
def path(request: pytest.FixtureRequest):
    """The lease of a run that nobody leads."""
    in_memory = request.param == "memory"
    return _lease(f"memory://{secrets.token_hex(6)}" if in_memory else request.getfixturevalue("s3_url"))


@pytest.fixture
def elsewhere() -> Holder:
    """A driver on another host."""
    return Holder("elsewhere", 1, 0.0)


def _lease(home: str) -> UPath:
    root = located(home)
    assert not isinstance(root, Path)
    return root / "runs" / "KEY" / "lease.json"


def _generations(path) -> list[str]:
    return storage.names(path.parent)


def test_who_takes_a_free_lease_leads_until_it_is_released(path) -> None:
    with Leases() as leases:
        assert leases.acquire(path) is None
        assert leader(path) == Holder.this_process()
        assert leases.acquire(path) is None
        leases.release([path])
        assert leader(path) is None
        assert leases.acquire(path) is None
    assert read_holder(path) is None


def test_no_number_is_given_twice_and_the_old_ones_go(path) -> None:
    for number in (1, 2, 3):
        with Leases() as leases:
            leases.acquire(path)
        assert _generations(path) == [f"lease.{number}.json"]


def test_a_dead_process_of_this_host_is_followed_at_once(path) -> None:
    dead = replace(Holder.this_process(), started=0.0)
    assert object_lease.take(path, 0, asdict(dead))
    assert leader(path) is None
    with Leases() as leases:
        assert leases.acquire(path) is None
        assert leader(path) == Holder.this_process()
        assert _generations(path) == ["lease.2.json"]


def test_another_host_leads_until_its_heartbeat_is_too_old(path, elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    object_lease.take(path, 0, asdict(elsewhere))
    with Leases() as leases:
        assert leases.acquire(path) == elsewhere
        monkeypatch.setattr(lease, "STALE", -5.0)
        assert leases.acquire(path) is None
        assert read_holder(path) == Holder.this_process()


def test_a_clock_that_is_wrong_here_makes_no_heartbeat_old(path, elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    object_lease.take(path, 0, asdict(elsewhere))
    object_lease._server_offset.cache_clear()
    monkeypatch.setattr("flag3d_ray.object_lease.time.time", lambda: now() + 3600.0)
    age = object_lease.age(path, 1)
    object_lease._server_offset.cache_clear()
    assert age is not None
    assert age < 30.0


def test_who_read_an_old_generation_does_not_win_over_a_later_one(path, elsewhere) -> None:
    """It reads 1, which is dead; others take 2 and 3, and delete 1 and 2; then it can create 2, and must not lead by it."""
    for number in range(3):
        object_lease.take(path, number, asdict(elsewhere))
    assert _generations(path) == ["lease.3.json"]
    assert not object_lease.take(path, 1, asdict(Holder.this_process()))
    assert _generations(path) == ["lease.3.json"]
    assert read_holder(path) == elsewhere


def test_a_ghost_whose_heart_beats_again_does_not_lead(path, elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT", 0.02)
    with Leases() as leases:
        leases.acquire(path)
        assert object_lease.take(path, 1, asdict(elsewhere))
        until = time.monotonic() + 30
        while path in leases._held and time.monotonic() < until:
            time.sleep(0.02)
        assert path not in leases._held
    assert read_holder(path) == elsewhere


def test_the_heart_beats_while_a_lease_is_held(path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT", 0.02)
    beats = []
    rewrite = object_lease.rewrite
    monkeypatch.setattr(object_lease, "rewrite", lambda *words: (rewrite(*words), beats.append(words[1:])))
    with Leases() as leases:
        leases.acquire(path)
        until = time.monotonic() + 30
        while len(beats) < 3 and time.monotonic() < until:
            time.sleep(0.02)
    assert beats[:3] == 3 * [(1, asdict(Holder.this_process()))]
    assert beats[-1] == (1, {})


def test_a_heartbeat_outlives_a_storage_that_is_away_for_a_while(path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT", 0.02)
    with Leases() as leases:
        leases.acquire(path)
        with monkeypatch.context() as away:

            def lost(*_: object) -> None:
                raise storage.StorageLost(where="s3://x", rule="gone", remedy="wait")

            away.setattr(object_lease, "rewrite", lost)
            time.sleep(0.2)
        assert leases._thread.is_alive()
        assert leader(path) == Holder.this_process()


@pytest.mark.parametrize("content", [b"", b'{"host": "x", "pi', b'{"host": "x"}'], ids=["empty", "torn", "too little"])
def test_a_damaged_lease_is_nobodys(path, content: bytes) -> None:
    storage.write(path.with_name("lease.4.json"), content)
    assert leader(path) is None
    with Leases() as leases:
        assert leases.acquire(path) is None
        assert _generations(path) == ["lease.5.json"]


def test_a_storage_that_creates_a_file_twice_is_refused(path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_lease, "_exclusive", set())
    monkeypatch.setattr(storage, "create", lambda path, data: storage.write(path, data) is None)
    with Leases() as leases, pytest.raises(RunError, match="two drivers could lead one run"):
        leases.acquire(path)


@pytest.mark.slow
def test_of_processes_that_race_exactly_one_wins(s3_url: str) -> None:
    path = _lease(s3_url)
    object_lease.take(
        path, 0, asdict(replace(Holder.this_process(), pid=2**22 + 1))
    )  # a dead one's: all want to take over
    words = [sys.executable, "-c", RACE, str(path)]
    racers = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        assert [_said(racer) for racer in racers] == 4 * ["ready"]
        for racer in racers:
            _go(racer)
        said = [_said(racer) for racer in racers]
    finally:
        for racer in racers:
            racer.communicate("\n", timeout=60)
    winner = racers[said.index("mine")]
    assert sorted(said) == sorted(["mine"] + 3 * [str(winner.pid)])
    assert json.loads(storage.read(path.with_name("lease.2.json"))) == {}


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
