"""Ray asks for a token unless the user switched that off, and the token is nobody else's to read."""

import os
import stat
from pathlib import Path

import pytest

from flag3d_ray.errors import RunError
from flag3d_ray.ray_token import MODE, TOKEN, TOKEN_FILE, prepare_token, token_file, token_is_on


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where this test's token is, or will be."""
    for name in (MODE, TOKEN):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "ray" / "token"
    monkeypatch.setenv(TOKEN_FILE, str(path))
    return path


def test_the_token_is_on_unless_the_user_chose_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert token_is_on()
    assert os.environ[MODE] == "token"
    monkeypatch.setenv(MODE, "disabled")
    assert not token_is_on()
    assert os.environ[MODE] == "disabled"


def test_the_file_is_rays_own_unless_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(TOKEN_FILE)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert token_file() == tmp_path / ".ray" / "auth_token"


def test_a_token_is_made_once_and_only_its_owner_can_read_it(file: Path) -> None:
    assert prepare_token(create=True) == []
    first = file.read_text()
    assert len(bytes.fromhex(first)) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert prepare_token(create=True) == []
    assert file.read_text() == first


def test_an_empty_file_is_no_token(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("\n")
    prepare_token(create=True)
    assert len(file.read_text()) == 64


def test_a_token_that_others_could_read_is_closed_to_them_with_a_word(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("s3cret")
    file.chmod(0o644)
    (said,) = prepare_token(create=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert str(file) in said
    assert "s3cret" not in said


def test_another_users_token_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_token(create=True)
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(RunError, match="another user"):
        prepare_token(create=True)


def test_for_a_cluster_that_runs_already_no_token_is_made_up(file: Path) -> None:
    with pytest.raises(RunError, match="copy the head's file here"):
        prepare_token(create=False)
    assert not file.exists()


def test_a_token_of_the_environment_is_left_to_ray(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "s3cret")
    assert prepare_token(create=False) == []
    assert not file.exists()


def test_a_user_who_switched_it_off_is_told_what_that_means(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE, "disabled")
    (said,) = prepare_token(create=True)
    assert "may run code here" in said
    assert not file.exists()
