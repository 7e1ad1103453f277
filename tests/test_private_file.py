"""Secrets lie in files that nobody but their owner reads, however they were made and whoever else makes them."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flag3d_ray.errors import RunError
from flag3d_ray.private_file import create_private, make_private, readable_by_others


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_and_its_folder_are_the_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert create_private(tmp_path / "new" / "secret", "s3cret")
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "secret").read_text() == "s3cret"
    assert mode(tmp_path / "new" / "secret") == 0o600
    assert mode(tmp_path / "new") == 0o700


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    assert create_private(tmp_path / "secret", "first")
    assert not create_private(tmp_path / "secret", "second")
    assert (tmp_path / "secret").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_of_many_that_start_at_once_one_wins_and_all_read_the_same(tmp_path: Path) -> None:
    file = tmp_path / "secret"

    def start(number: int) -> tuple[bool, str]:
        return create_private(file, str(number)), file.read_text()

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(start, range(32)))
    assert [won for won, _ in found].count(True) == 1
    assert len({text for _, text in found}) == 1


@pytest.mark.parametrize("old", [0o644, 0o640, 0o620, 0o604])
def test_permissions_of_others_are_taken_away_and_reported(tmp_path: Path, old: int) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret")
    file.chmod(old)
    assert readable_by_others(file)
    assert make_private(file)
    assert mode(file) == 0o600
    assert not make_private(file)


def test_another_users_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("s3cret")
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(RunError, match="another user"):
        make_private(tmp_path / "secret")


def test_a_mode_that_cannot_be_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("s3cret")
    (tmp_path / "secret").chmod(0o644)

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "chmod", read_only)
    with pytest.raises(RunError, match="chmod 600"):
        make_private(tmp_path / "secret")
