"""The password stands before every page: an application behind it sees nobody who does not know it."""

import asyncio
import base64
import stat
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray.mlflow_password import USER, authorization, ensure_password, password_file, with_password


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers everything with 200."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"runs"})


def answer(kind: str, path: str, given: list[bytes], expected: str) -> list[dict[str, Any]]:
    """What the application behind the password sends to a caller with these `Authorization` headers."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    headers = [(b"authorization", value) for value in given]
    scope = {"type": kind, "method": "GET", "path": path, "query_string": b"", "headers": headers}
    asyncio.run(with_password(pages, expected)(scope, receive, send))
    return sent


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flag3d" / "ui_password"
    assert ensure_password(path)
    return path


def test_the_password_is_made_once_for_its_owner_and_outside_of_any_home(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = file.read_text()
    assert len(first) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not ensure_password(file)
    assert file.read_text() == first
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert password_file() == Path("/somewhere/flag3d/ui_password")


def test_clients_that_know_basic_authentication_send_what_is_expected(file: Path) -> None:
    scheme, _, pair = authorization(file).partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(pair).decode() == f"{USER}:{file.read_text()}"


@pytest.mark.parametrize("path", ["/", "/health", "/version", "/api/2.0/mlflow/runs/search", "/static-files/x.js"])
def test_every_path_asks_for_the_password(file: Path, path: str) -> None:
    expected = authorization(file)
    refused = answer("http", path, [], expected)[0]
    assert refused["status"] == 401
    assert dict(refused["headers"])[b"www-authenticate"].startswith(b"Basic ")
    assert answer("http", path, [expected.encode()], expected)[0]["status"] == 200


@pytest.mark.parametrize(
    "given", [b"", b"Basic", b"Basic \xff\xfe", b"Bearer s3cret", b"Basic Zmxh", b"Basic " + b"A" * 100_000]
)
def test_anything_else_is_refused(file: Path, given: bytes) -> None:
    (start, body) = answer("http", "/", [given], authorization(file))
    assert start["status"] == 401
    assert b"runs" not in body["body"]


def test_a_websocket_without_the_password_is_closed(file: Path) -> None:
    assert [message["type"] for message in answer("websocket", "/", [], authorization(file))] == ["websocket.close"]
