"""`flag3d submit` checks its words, follows or detaches, and says how to come back; a job needs a home that stays."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from flag3d_ray import jobs
from flag3d_ray.commands.submit import VERBS, run_as_job
from flag3d_ray.jobs import Submitted

ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:8265"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[jobs.Job]:
    """The jobs that reached the cluster; nothing is uploaded."""
    seen: list[jobs.Job] = []

    def submit(client, job: jobs.Job, upload: Path) -> Submitted:
        seen.append(job)
        return Submitted("flag3d-x-1", attached=len(seen) > 1)

    server = SimpleNamespace(get_address=lambda: ADDRESS, get_job_info=lambda name: SimpleNamespace(message="exit 1"))
    monkeypatch.setattr(jobs, "connect", lambda address: server)
    monkeypatch.setattr(jobs, "submit", submit)
    monkeypatch.setattr(jobs, "follow", lambda client, name, say: say("18 cells: 18 finished\n") or "SUCCEEDED")
    return seen


def test_a_verb_goes_to_the_cluster_with_its_words_and_without_ours(flag3d, asked):
    said = flag3d("submit", "table", "3", "--preset", "tiny", "--home", "/mnt/x", "--concurrent", "4", "--no-track")

    assert said.code == 0
    assert asked[0].command == (
        "python",
        "-m",
        "jobs.table",
        "3",
        "--preset",
        "tiny",
        "--concurrent",
        "4",
        "--no-track",
    )
    assert asked[0].variables == {"FLAG3D_HOME": "/mnt/x"}
    assert "18 cells: 18 finished" in said.out


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back_and_how_to_end_it(flag3d, asked, monkeypatch):
    def interrupted(client, name, say):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "follow", interrupted)
    monkeypatch.setattr(jobs, "stop", lambda client, name: pytest.fail("the job was stopped"))

    said = flag3d("submit", "demo", "--home", "/mnt/x")

    assert said.code == 130
    assert f"flag3d submit demo --address {ADDRESS} --home /mnt/x" in said.out
    assert f"flag3d submit --stop flag3d-x-1 --address {ADDRESS}" in said.out


def test_without_following_the_command_ends_at_once_and_says_how_to_attach(flag3d, asked, monkeypatch):
    monkeypatch.setattr(jobs, "follow", lambda *_: pytest.fail("followed"))

    said = flag3d("submit", "sweep", "hlrac", "--no-follow")

    assert said.code == 0
    assert f"attach: flag3d submit sweep hlrac --address {ADDRESS}" in said.out
    assert "attached to it" in flag3d("submit", "sweep", "hlrac", "--no-follow").out


def test_a_job_that_fails_is_an_error_with_rays_reason(flag3d, asked, monkeypatch):
    monkeypatch.setattr(jobs, "follow", lambda *_: "FAILED")

    said = flag3d("submit", "demo")

    assert said.code == 2
    assert "exit 1" in said.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("train", "fourier"), "no such job"),
        (("table", "3", "--pre-set", "tiny"), "--pre-set"),
        (("table",), "name"),
        ((), "asks for one thing"),
        (("demo", "--list"), "asks for one thing"),
    ],
)
def test_words_that_the_cluster_would_refuse_are_refused_before_anything_is_uploaded(flag3d, asked, words, expected):
    said = flag3d("submit", *words)

    assert said.code == 2
    assert expected in said.err
    assert asked == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_job_is_short_says_how_to_submit_it_and_refuses_a_home_that_is_deleted_with_it(verb, monkeypatch):
    text = (ROOT / "jobs" / f"{verb}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 30
    assert f"flag3d submit {verb}" in text
    assert "ray job submit" in text
    assert "Expected duration" in text
    assert f'run_as_job("{verb}")' in text

    monkeypatch.delenv("FLAG3D_HOME", raising=False)
    with pytest.raises(SystemExit, match="submit with --home FOLDER"):
        run_as_job(verb)


@pytest.mark.slow
def test_a_job_runs_its_verb_on_the_cluster_that_runs_it():
    command = [sys.executable, "-m", "jobs.table", "3", "--help"]
    done = subprocess.run(
        command, cwd=ROOT, env={"FLAG3D_HOME": "/nowhere"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "flag3d table" in done.stdout
