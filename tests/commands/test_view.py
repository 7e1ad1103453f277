"""`flag3d doctor`, `flag3d ui` and `flag3d track`: the verbs that look at what is there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray.doctor import Check
from flag3d_ray.home import Home

Flag3d = Callable[..., Any]


def test_doctor_shows_every_check_and_ends_with_1_if_one_fails(flag3d: Flag3d, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Check("python", "pass", "3.11"), Check("disk", "warn", "2 GiB free", "free 3 GiB")]
    monkeypatch.setattr("flag3d_ray.doctor.checks", lambda home: found)
    said = flag3d("doctor")
    assert said.code == 0
    assert all(text in said.out for text in ("pass", "python", "3.11", "warn", "disk", "2 GiB free", "free 3 GiB"))
    found.append(Check("packages", "fail", "torch is missing", "pip install torch"))
    assert flag3d("doctor").code == 1


def test_what_a_check_found_is_printed_as_text(flag3d: Flag3d, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "[red]/data/[/]:smile:\x1b]0;title\x07"
    monkeypatch.setattr("flag3d_ray.doctor.checks", lambda home: [Check("home", "pass", hostile)])
    said = flag3d("doctor")
    assert said.code == 0
    assert "[red]/data/[/]:smile:?]0;title?" in said.out


def test_ui_serves_the_home_that_is_asked_for(flag3d: Flag3d, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served = []
    monkeypatch.setattr("flag3d_ray.ui.serve", lambda *asked, password: served.append((*asked, password)))
    assert flag3d("ui", "--port", 6001, "--home", tmp_path).code == 0
    assert flag3d("ui", "--host", "lab-3", "--password", "--home", tmp_path).code == 0
    assert served == [(Home(tmp_path), 6001, "127.0.0.1", False), (Home(tmp_path), 5000, "lab-3", True)]


def test_track_asks_what_to_do(flag3d: Flag3d) -> None:
    said = flag3d("track")
    assert said.code == 2
    assert "flag3d track --fill" in said.err


def test_track_fills_the_view_of_the_home_and_names_what_it_left_out(
    flag3d: Flag3d, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from flag3d_ray.methods.catalogue import RECORDED

    asked = []

    def fill_view(store, place, methods) -> list[str]:
        asked.append((store.root, place.uri, place.artifacts, methods))
        return ["0123: the record names [no] run"]

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("flag3d_ray.tracking.fill_view", fill_view)
    said = flag3d("track", "--fill", "--home", tmp_path)
    assert said.code == 0
    assert asked == [(tmp_path / "runs", f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "mlruns", RECORDED)]
    assert "left out: 0123: the record names [no] run" in said.out


def test_the_password_of_a_tracking_server_is_not_printed(flag3d: Flag3d, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:s3cr3t@tracking.example/path")
    monkeypatch.setattr("flag3d_ray.tracking.fill_view", lambda store, place, methods: [])
    said = flag3d("track", "--fill")
    assert "https://tracking.example/path" in said.out
    assert "s3cr3t" not in said.out + said.err
