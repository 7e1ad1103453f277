"""A job's name says what it asks, its upload is small, and asking again attaches to it. The job server is a stand-in."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient, JobType

from flag3d_ray import jobs
from flag3d_ray.errors import RunError
from flag3d_ray.jobs import UPLOADED, Job, connect, files_of, follow, stop, submit, upload_folder


class JobServer(JobSubmissionClient):
    """A client whose server is itself: jobs by identifier, in the order of their submission."""

    def __init__(self) -> None:  # connects to nothing
        self.statuses: dict[str, JobStatus] = {}
        self.asked: list[dict[str, Any]] = []
        self.hidden: set[str] = set()

    def list_jobs(self) -> list[JobDetails]:
        shown = [(name, status) for name, status in self.statuses.items() if name not in self.hidden]
        known = {"type": JobType.SUBMISSION, "entrypoint": ""}
        return [
            JobDetails(**known, submission_id=name, status=status, start_time=number)  # type: ignore[call-arg]
            for number, (name, status) in enumerate(shown)
        ]

    def submit_job(self, **asked: Any) -> str:
        if asked["submission_id"] in self.statuses:
            raise RuntimeError("Request failed with status code 500: Job with submission_id x already exists.")
        self.asked.append(asked)
        self.statuses[asked["submission_id"]] = JobStatus.RUNNING
        return asked["submission_id"]

    def get_job_status(self, name: str) -> JobStatus:
        return self.statuses[name]

    def stop_job(self, name: str) -> bool:
        return not self.statuses[name].is_terminal()

    async def tail_job_logs(self, name: str) -> AsyncIterator[str]:
        for line in ("epoch 1\n", "epoch 2\n"):
            yield line
        self.statuses[name] = JobStatus.SUCCEEDED


@pytest.fixture
def server() -> JobServer:
    return JobServer()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout of a package of one file."""
    for name in UPLOADED[:3]:
        (tmp_path / "root" / name).mkdir(parents=True)
        (tmp_path / "root" / name / "__init__.py").write_text(f"# {name}\n")
    (tmp_path / "root" / "constraints.txt").write_text("torch==2.13.0\n")
    return tmp_path / "root"


JOB = Job("table", ("python", "-m", "jobs.table", "3", "--title", "a b"), {"FLAG3D_HOME": "/mnt/flag3d"})


def test_the_upload_is_source_and_its_provenance_and_nothing_else(root):
    for junk in (".flag3d", "flag3d_ray/__pycache__", "flag3d_ray/.cache", "data"):
        (root / junk).mkdir()
        (root / junk / "junk").write_text("junk")

    with upload_folder(root) as upload:
        sent = {str(file.relative_to(upload)) for file in files_of(upload)}

    assert sent == {*(f"{name}/__init__.py" for name in UPLOADED[:3]), "constraints.txt", "provenance.json"}
    assert not upload.exists()


def test_the_upload_of_this_package_is_a_few_megabytes():
    with upload_folder() as upload:
        assert jobs.size_of(upload) < 16 * 2**20
        assert (upload / "jobs" / "table.py").exists()


def test_data_among_the_source_are_refused_by_name(root, monkeypatch):
    monkeypatch.setattr(jobs, "UPLOAD_LIMIT", 1000)
    (root / "experiments" / "recordings.npz").write_bytes(bytes(2000))

    with pytest.raises(RunError, match=r"largest: experiments/recordings\.npz"), upload_folder(root):
        pass


def test_an_installed_package_without_jobs_is_refused_with_the_remedy(root):
    shutil.rmtree(root / "jobs")

    with pytest.raises(RunError, match=r"no jobs beside the package.*--editable"), upload_folder(root):
        pass


def test_a_name_depends_on_what_is_asked_and_on_the_source_only(root):
    with upload_folder(root) as upload:
        name = JOB.stem(upload)
        others = {
            Job("table", (*JOB.command, "--no-run"), JOB.variables).stem(upload),
            Job("table", JOB.command, {"FLAG3D_HOME": "/elsewhere"}).stem(upload),
        }
        (upload / "uncommitted.diff").write_text("a page was edited")
        assert JOB.stem(upload) == name
        (upload / "experiments" / "__init__.py").write_text("SEEDS = 5\n")
        others.add(JOB.stem(upload))

    assert name.startswith("flag3d-table-")
    assert len(others - {name}) == 3


def test_a_job_gets_its_words_its_variables_and_the_upload(server, tmp_path):
    submitted = submit(server, JOB, tmp_path)

    (asked,) = server.asked
    assert not submitted.attached
    assert asked["submission_id"] == submitted.id
    assert asked["entrypoint"] == "python -m jobs.table 3 --title 'a b'"
    assert asked["runtime_env"]["working_dir"] == str(tmp_path)
    assert asked["runtime_env"]["env_vars"] == {"RAY_AUTH_MODE": "token", "FLAG3D_HOME": "/mnt/flag3d"}


def test_asking_again_attaches_to_the_job_that_runs(server, tmp_path):
    first, again = submit(server, JOB, tmp_path), submit(server, JOB, tmp_path)

    assert (again.id, again.attached) == (first.id, True)
    assert len(server.asked) == 1


@pytest.mark.parametrize("ended", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED])
def test_a_job_that_ended_is_asked_again_under_the_next_number(server, tmp_path, ended):
    first = submit(server, JOB, tmp_path)
    server.statuses[first.id] = ended
    server.statuses["flag3d-demo-0123456789-7"] = JobStatus.RUNNING

    again = submit(server, JOB, tmp_path)

    assert not again.attached
    assert (first.id[-2:], again.id[-2:]) == ("-1", "-2")
    assert first.id[:-2] == again.id[:-2]


def test_of_two_terminals_that_ask_at_once_the_second_attaches(server, tmp_path):
    first = submit(server, JOB, tmp_path)
    server.hidden.add(first.id)

    assert submit(server, JOB, tmp_path) == jobs.Submitted(first.id, attached=True)


def test_following_hands_on_the_output_and_gives_the_status(server):
    server.statuses["flag3d-table-1"], heard = JobStatus.RUNNING, []

    assert follow(server, "flag3d-table-1", heard.append) == JobStatus.SUCCEEDED
    assert heard == ["epoch 1\n", "epoch 2\n"]


def test_a_lost_connection_is_not_the_jobs_end(server, monkeypatch):
    async def torn(name: str) -> AsyncIterator[str]:
        yield "epoch 1\n"
        raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")

    monkeypatch.setattr(server, "tail_job_logs", torn)
    with pytest.raises(RunError, match=r"lost the job server.*submit again to attach"):
        follow(server, "flag3d-table-1", lambda text: None)


def test_jobs_of_others_are_neither_listed_nor_stopped(server):
    server.statuses |= {"raysubmit_x": JobStatus.RUNNING, "flag3d-demo-1-1": JobStatus.RUNNING}

    assert [known.submission_id for known in jobs.jobs(server)] == ["flag3d-demo-1-1"]
    assert stop(server, "flag3d-demo-1-1")
    with pytest.raises(RunError, match="no such job"):
        stop(server, "raysubmit_x")


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("http://head.example.org:8265", "the cluster's token in the clear"),
        ("http://127.0.0.1.example.org:8265", "the cluster's token in the clear"),
        ("ray://127.0.0.1:10001", "not the address of a job server"),
        ("127.0.0.1:8265", "not the address of a job server"),
        ("auto", "not the address of a job server"),
    ],
)
def test_an_address_that_would_give_the_token_away_or_is_none_is_refused(address, rule):
    with pytest.raises(RunError, match=rule):
        connect(address)


@pytest.mark.parametrize(
    ("error", "rule"),
    [
        (ConnectionError("refused"), "no job server answers"),
        (RuntimeError("Version check returned 404."), "no job server answers"),
        (AuthenticationError("invalid token"), "refuses the token"),
    ],
)
def test_a_server_that_does_not_answer_or_refuses_the_token_is_an_error_with_a_remedy(
    tmp_path, monkeypatch, error, rule
):
    """No client is made: Ray reads the token once per process, and the tests that start Ray need theirs."""
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("a-secret-of-the-cluster-0123456789")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")

    def client(address: str) -> None:
        assert os.environ["RAY_API_SERVER_ADDRESS"] == address
        raise error

    monkeypatch.setattr(jobs, "JobSubmissionClient", client)
    with pytest.raises(RunError, match=rule):
        connect("http://127.0.0.1:1")


def test_without_a_token_nothing_is_asked(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))

    with pytest.raises(RunError, match="here is none"):
        connect("http://127.0.0.1:1")
