"""One folder per run: its record, its log, its status."""

import errno
import os
import secrets
from pathlib import Path

import pytest

from flag3d_ray.files import DiskFull, write_bytes, write_json
from flag3d_ray.storage import located
from flag3d_ray.store import RunFolder, Store


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return Store(tmp_path / "runs").folder("0123")


@pytest.fixture(params=["folder", "memory"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    """A run in a folder, and one at a URL."""
    root = tmp_path if request.param == "folder" else located(f"memory://{secrets.token_hex(6)}")
    return Store(root / "runs").folder("0123")


def test_looking_at_a_run_that_is_not_there_makes_nothing(anywhere: RunFolder) -> None:
    assert (anywhere.key, anywhere.status, anywhere.record(), anywhere.events()) == ("0123", "missing", {}, [])
    assert not anywhere.path.exists()


def test_a_record_is_added_to(anywhere: RunFolder) -> None:
    anywhere.write_record(status="started", seconds=1.5)
    anywhere.write_record(status="failed", reason="too hot")
    assert anywhere.record() == {"status": "failed", "seconds": 1.5, "reason": "too hot"}
    assert anywhere.status == "failed"


def test_metrics_make_a_run_finished_whatever_its_record_says(anywhere: RunFolder) -> None:
    anywhere.write_record(status="failed")
    write_json(anywhere.metrics_path, {"mae": 0.25})
    assert anywhere.status == "finished"
    assert anywhere.metrics() == {"mae": 0.25}


def test_a_run_is_fitted_only_as_long_as_it_has_a_model(anywhere: RunFolder) -> None:
    anywhere.write_record(status="fitted")
    assert anywhere.status == "started"
    write_json(anywhere.model, {})
    assert anywhere.status == "fitted"


def test_events_come_back_in_order_and_dated(anywhere: RunFolder) -> None:
    for epoch in range(3):
        anywhere.append_event({"epoch": epoch, "loss": 1.0 / (epoch + 1)})
    events = anywhere.events()
    assert [event["epoch"] for event in events] == [0, 1, 2]
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


@pytest.mark.parametrize("torn", ['{"epoch": 1, "lo', "{", '{"epoch": 1}'], ids=["in the middle", "at once", "no end"])
def test_a_torn_last_line_is_not_read_and_does_not_swallow_the_next(folder: RunFolder, torn: str) -> None:
    folder.append_event({"epoch": 0})
    with folder.events_path.open("a") as file:
        file.write(torn)
    assert [event["epoch"] for event in folder.events()] == [0]
    folder.append_event({"epoch": 2})
    assert [event["epoch"] for event in folder.events()] == [0, 2]
    assert len(folder.events_path.read_text().splitlines()) == 2


def test_a_log_that_is_one_torn_line_is_empty(folder: RunFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.events_path.write_text('{"epo')
    assert folder.events() == []
    folder.append_event({"epoch": 0})
    assert [event["epoch"] for event in folder.events()] == [0]


def test_an_event_with_nan_is_refused_and_not_written(anywhere: RunFolder) -> None:
    anywhere.append_event({"epoch": 0})
    with pytest.raises(ValueError, match="Out of range float"):
        anywhere.append_event({"epoch": 1, "loss": float("nan")})
    assert [event["epoch"] for event in anywhere.events()] == [0]


def test_an_event_on_a_full_disk_is_named(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.append_event({"epoch": 0})

    opened = Path.open

    def no_space(self: Path, mode: str = "r", *args, **kwargs):
        if mode == "a":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", no_space)
    with pytest.raises(DiskFull, match=r"events\.jsonl"):
        folder.append_event({"epoch": 1})


def test_a_resumed_run_forgets_the_epochs_that_it_repeats(anywhere: RunFolder) -> None:
    anywhere.append_event({"note": "no epoch"})
    for epoch in range(4):
        anywhere.append_event({"epoch": epoch, "loss": float(epoch)})
    kept = anywhere.events()[:3]
    anywhere.forget_events_from(2)
    assert anywhere.events() == kept
    anywhere.append_event({"epoch": 2})
    assert [event.get("epoch") for event in anywhere.events()] == [None, 0, 1, 2]


def test_clearing_keeps_the_lease_and_its_lock(folder: RunFolder) -> None:
    folder.write_record(status="failed")
    folder.append_event({"epoch": 0})
    folder.model.parent.mkdir()
    folder.model.write_bytes(b"weights")
    folder.lease.write_text("{}")
    folder.lease.with_suffix(".lock").touch()
    folder.clear()
    assert sorted(path.name for path in folder.path.iterdir()) == ["lease.json", "lease.lock"]
    assert folder.status == "missing"


def test_clearing_at_a_url_keeps_the_generations_of_the_lease() -> None:
    folder = Store(located(f"memory://{secrets.token_hex(6)}")).folder("0123")
    folder.write_record(status="failed")
    write_bytes(folder.model, b"weights")
    write_bytes(folder.lease.with_name("lease.3.json"), b"{}")
    folder.clear()
    assert [path.name for path in folder.path.iterdir()] == ["lease.3.json"]
    assert folder.status == "missing"


def test_clearing_what_is_not_there_is_no_error(anywhere: RunFolder) -> None:
    anywhere.clear()
    assert not anywhere.path.exists()


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_a_store_lists_its_runs_by_key_and_nothing_else(kind: str, tmp_path: Path) -> None:
    store = Store((tmp_path if kind == "folder" else located(f"memory://{secrets.token_hex(6)}")) / "runs")
    assert list(store) == []
    for key in ("bb", "aa"):
        store.folder(key).write_record(status="started")
    write_json(store.root / "no-record" / "metrics.json", {})
    write_json(store.root / ".groups" / "one.json", {})
    assert [folder.key for folder in store] == ["aa", "bb"]
