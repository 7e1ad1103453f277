"""What is known of the source goes along with a copy that has no `.git`."""

import subprocess
from pathlib import Path

import pytest

from flag3d_ray import provenance
from flag3d_ray.provenance import keep_changes, send_along, source_facts, uncommitted_changes


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit and a change that is not committed."""
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "network.py").write_text("WIDTH = 1\n")
    (root / "constraints.txt").write_text("torch==2.13.0\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "first")
    (root / "network.py").write_text("WIDTH = 2\n")
    return root


def test_a_copy_without_git_tells_what_the_checkout_tells(checkout, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()

    send_along(checkout, copy)

    assert source_facts(copy) == source_facts(checkout)
    assert source_facts(copy)["commit"] == git(checkout, "rev-parse", "HEAD")
    assert set(source_facts(copy)) == {"commit", "uncommitted", "constraints"}


def test_the_changes_that_went_along_make_the_commit_into_what_was_run(checkout, tmp_path):
    copy, again = tmp_path / "copy", tmp_path / "again"
    copy.mkdir()
    send_along(checkout, copy)
    git(tmp_path, "clone", "--quiet", str(checkout), str(again))

    git(again, "apply", str(copy / "uncommitted.diff"))

    assert uncommitted_changes(copy) == uncommitted_changes(checkout)
    assert (again / "network.py").read_text() == "WIDTH = 2\n"


def test_a_clean_checkout_says_so_and_sends_no_patch(checkout, tmp_path):
    git(checkout, "commit", "--quiet", "--all", "--message", "second")

    send_along(checkout, tmp_path)

    assert source_facts(tmp_path)["uncommitted"] == "none"
    assert not (tmp_path / "uncommitted.diff").exists()


def test_an_installed_copy_claims_no_commit_of_the_project_around_it(checkout):
    installed = checkout / "site-packages"
    installed.mkdir()

    assert source_facts(installed) == {}
    assert uncommitted_changes(installed) == ""


def test_changes_are_kept_under_the_digest_that_records_name(checkout, tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "_root", lambda: checkout)
    monkeypatch.setattr(provenance, "provenance", lambda: source_facts(checkout))

    keep_changes(tmp_path / "changes")

    (kept,) = (tmp_path / "changes").iterdir()
    assert kept.stem == source_facts(checkout)["uncommitted"]
    assert kept.read_text() == uncommitted_changes(checkout)
