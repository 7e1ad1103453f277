"""Jobs on a running Ray cluster: what to upload, under which name to submit it, how to follow it, and how to leave it.

A job is named after what it asks, so that asking again while it runs attaches to it. The upload is a copy of the package,
the experiments and the jobs, a few megabytes; data, runs and results stay in the home, which every node sees.
"""

import asyncio
import hashlib
import logging
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from aiohttp import ClientError
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from flag3d_ray.errors import RunError
from flag3d_ray.provenance import CHANGES_FILE, CONSTRAINTS_FILE, FACTS_FILE, send_along
from flag3d_ray.ray_token import prepare_token

UPLOADED = ("flag3d_ray", "experiments", "jobs", CONSTRAINTS_FILE)
UPLOAD_LIMIT = 32 * 2**20  # bytes; Ray's job server refuses more than 100 MiB, with an error that does not say so
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ADDRESS_VARIABLE = "RAY_API_SERVER_ADDRESS"
_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)


@dataclass(frozen=True)
class Job:
    """What is asked of a cluster: a command, run in the upload's folder on the head, and variables for all its processes."""

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)

    def stem(self, upload: Path) -> str:
        """`flag3d-NAME-DIGEST`, where the digest is that of the command, the variables and the uploaded source."""
        digest = hashlib.sha256(repr((self.command, sorted(self.variables.items()))).encode())
        for file in files_of(upload):
            if file.name in (FACTS_FILE, CHANGES_FILE):
                continue  # they tell of the whole checkout; a page edited meanwhile does not change the question
            digest.update(f"{file.relative_to(upload)}\0{file.stat().st_size}\0".encode())
            digest.update(file.read_bytes())
        return f"flag3d-{self.name}-{digest.hexdigest()[:10]}"


@dataclass(frozen=True)
class Submitted:
    """A job on the cluster, and whether it ran already when it was asked for."""

    id: str
    attached: bool


@contextmanager
def upload_folder(root: Path | None = None) -> Iterator[Path]:
    """A temporary copy of what a job needs, with the provenance that workers cannot find out themselves.

    Raises:
        RunError: this is an installed package without its jobs, or the copy is larger than `UPLOAD_LIMIT`.
    """
    root = root or Path(__file__).parents[1]
    if missing := [name for name in UPLOADED if not (root / name).exists()]:
        rule = f"no {', '.join(missing)} beside the package"
        raise RunError(
            where=str(root), rule=rule, remedy="submit from a checkout installed with `pip install --editable`"
        )
    with TemporaryDirectory(prefix="flag3d-upload-") as folder:
        copy = Path(folder)
        for name in UPLOADED:
            if (root / name).is_dir():
                shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            else:
                shutil.copy2(root / name, copy / name)
        send_along(root, copy)
        _require_small(copy)
        yield copy


def files_of(folder: Path) -> list[Path]:
    """All files below a folder, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def size_of(folder: Path) -> int:
    """Bytes in all files below a folder."""
    return sum(path.stat().st_size for path in files_of(folder))


def _require_small(copy: Path) -> None:
    if (size := size_of(copy)) > UPLOAD_LIMIT:
        largest = max(files_of(copy), key=lambda path: path.stat().st_size).relative_to(copy)
        rule = f"{size / 2**20:.0f} MiB, more than the {UPLOAD_LIMIT / 2**20:.0f} MiB that source takes; largest: {largest}"
        raise RunError(where="upload", rule=rule, remedy="move data out of the source folders, or commit the changes")


def connect(address: str) -> JobSubmissionClient:
    """A client of the job server at an address such as http://127.0.0.1:8265. The token goes along, and is never shown.

    Raises:
        RunError: the token would cross a network in the clear, the server does not answer, or it refuses the token.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        remedy = "give the dashboard's address, as http://127.0.0.1:8265"
        raise RunError(where=f"--address {address}", rule="not the address of a job server", remedy=remedy)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        rule = "http to another machine sends the cluster's token in the clear"
        remedy = f"forward the port (`ray dashboard cluster.yaml`, or ssh -L 8265:127.0.0.1:8265 {parts.hostname}) or use https"
        raise RunError(where=f"--address {address}", rule=rule, remedy=remedy)
    prepare_token(create=False)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Ray's client prefers its variables to the address that it is given.
    os.environ[_ADDRESS_VARIABLE] = address
    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        remedy = (
            "take the token of the cluster's head; RAY_AUTH_TOKEN_PATH names its file, ~/.ray/auth_token without it"
        )
        raise RunError(where=address, rule="the job server refuses the token", remedy=remedy) from error
    except (OSError, RuntimeError, ValueError) as error:  # nobody, an old Ray, or another server on that port
        remedy = "start the cluster, forward its port, and see that ray[default] is installed on its head"
        raise RunError(where=address, rule=f"no job server answers: {error}", remedy=remedy) from error


def submit(client: JobSubmissionClient, job: Job, upload: Path) -> Submitted:
    """Start the job, or find the one that asks the same and has not ended.

    Ray takes each identifier once, so a job that ended is asked again under the next number.
    """
    stem = job.stem(upload)
    earlier = [known for known in jobs(client) if _submission_id(known).rpartition("-")[0] == stem]
    if running := [known for known in earlier if not known.status.is_terminal()]:
        return Submitted(_submission_id(running[-1]), attached=True)
    number = 1 + max((int(_submission_id(known).rpartition("-")[2]) for known in earlier), default=0)
    name = f"{stem}-{number}"
    try:
        client.submit_job(
            entrypoint=shlex.join(job.command),
            submission_id=name,
            runtime_env={"working_dir": str(upload), "env_vars": {"RAY_AUTH_MODE": "token", **job.variables}},
            metadata={"flag3d": job.name},
        )
    except RuntimeError as error:
        if "already exists" not in str(error):  # of two terminals that ask at once, one is second
            raise RunError(where=name, rule=str(error), remedy="see the head's logs, then submit again") from error
        return Submitted(name, attached=True)
    return Submitted(name, attached=False)


def jobs(client: JobSubmissionClient) -> list[JobDetails]:
    """The jobs that were submitted to the cluster under our names, oldest first."""
    ours = [known for known in client.list_jobs() if _submission_id(known).startswith("flag3d-")]
    return sorted(ours, key=lambda known: known.start_time or 0)


def follow(client: JobSubmissionClient, name: str, say: Callable[[str], None]) -> JobStatus:
    """Hand on the job's output, from its beginning, until it ends. KeyboardInterrupt leaves the job running.

    Raises:
        RunError: the connection was lost; the job goes on.
    """

    async def tail() -> None:
        async for text in client.tail_job_logs(name):
            say(text)

    try:
        asyncio.run(tail())
        return client.get_job_status(name)
    except (RuntimeError, OSError, ClientError) as error:
        raise RunError(
            where=name, rule=f"lost the job server: {error}", remedy="submit again to attach to it"
        ) from error


def stop(client: JobSubmissionClient, name: str) -> bool:
    """Ask a job to end; whether it was running. What it finished is kept, and the same question continues it.

    Raises:
        RunError: there is no such job.
    """
    if name not in map(_submission_id, jobs(client)):
        raise RunError(where=name, rule="no such job on this cluster", remedy="`flag3d submit --list` shows them")
    return client.stop_job(name)


def _submission_id(details: JobDetails) -> str:
    return details.submission_id or ""
