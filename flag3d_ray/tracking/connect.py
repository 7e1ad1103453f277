"""Connecting to MLflow: settings, tables brought up to date, and the experiment.

MLflow takes 3 s to import and 3.5 s to create its tables on two cores, so it is imported where it is needed: in the
thread that writes, while training goes on.
"""

import contextlib
import logging
import os
import re
import sqlite3
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flag3d_ray.errors import RunError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # A request whose answer was lost may have made a run: who asks again must look for it first, which MLflow does not do.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}


def without_password(text: str) -> str:
    """A URI, or a sentence with one, without user and password: `https://user:secret@host` becomes `https://host`."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


@dataclass(frozen=True)
class Place:
    """Where the view lives: the tracking URI, and the folder for artifacts of a database that serves none itself."""

    uri: str = field(repr=False)
    artifacts: Path

    @property
    def is_database(self) -> bool:
        """SQLite or PostgreSQL, opened by this process; False for a server."""
        return self.uri.startswith(("sqlite:", "postgresql"))


def connect(place: Place) -> "MlflowClient":
    """A client of a database with today's tables, or of a server. Quiet, and without telemetry."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module=r"(mlflow|sqlalchemy|alembic|pydantic)\b")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if place.is_database:
        _try_to_open(place.uri)
    client = MlflowClient(tracking_uri=place.uri)
    try:
        client.search_experiments(max_results=1)
    except MlflowException as error:
        if not place.is_database or "out-of-date" not in str(error):
            raise
        _upgrade(place.uri)
        client = MlflowClient(tracking_uri=place.uri)
    return client


def _try_to_open(uri: str) -> None:
    """Raise at once what MLflow would try again for 100 s, with all other stores of the process waiting for it."""
    if uri.startswith("postgresql"):
        require_driver(uri)
        from sqlalchemy import NullPool, create_engine

        with create_engine(uri, poolclass=NullPool, connect_args={"connect_timeout": 5}).connect():
            return
    database = Path(uri.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(database, timeout=5.0)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master")


def require_driver(uri: str) -> None:
    """Raise where SQLAlchemy lacks what it talks to PostgreSQL with.

    Raises:
        RunError: it is not installed; with the command that does.
    """
    from sqlalchemy import make_url

    try:
        make_url(uri).get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        remedy = 'pip install "flag3d_ray[postgres]"'
        raise RunError(where="MLFLOW_TRACKING_URI", rule=f"{error.name} is not installed", remedy=remedy) from error


def _upgrade(uri: str) -> None:
    import mlflow.db

    assert mlflow.db.upgrade.callback is not None
    mlflow.db.upgrade.callback(uri)


def find_experiment(client: "MlflowClient", place: Place, name: str) -> str:
    """The id of the experiment, which is created, or taken out of the bin, where needed."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        artifacts = place.artifacts.absolute().as_uri() if place.is_database else None
        with contextlib.suppress(MlflowException):  # another driver may create it at the same moment
            return client.create_experiment(name, artifact_location=artifacts)
        found = client.get_experiment_by_name(name)
    if found is None:
        raise RunError(
            where=f"MLflow at {without_password(place.uri)}",
            rule=f"cannot create {name!r}",
            remedy="look at the server's log",
        )
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id
