"""MLflow behind one generated password, for a server that others can reach.

MLflow's own `basic-auth` app needs Flask-WTF, keeps a second database, and asks for credentials route by route. Here
Starlette's middleware stands before the whole application, pages and health check included: no route can be forgotten, and
the browsers and clients that know HTTP Basic authentication work as they are. `mlflow server --app-name flag3d-password`
finds `create_app` by the entry point of that name in pyproject.toml.
"""

import base64
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from flag3d_ray.private_file import create_private, make_private

if TYPE_CHECKING:
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.types import ASGIApp

APP = "flag3d-password"
USER = "flag3d"
FILE_VARIABLE = "FLAG3D_UI_PASSWORD_FILE"
"""Tells the server where its password lies; the password itself is in no argument and no environment."""
_PASSWORD_BYTES = 24


def password_file() -> Path:
    """Outside of every home: those are copied and shared."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "flag3d" / "ui_password"


def ensure_password(file: Path) -> bool:
    """Generate the password unless there is one; whether it is new. Only its owner can read the file afterwards.

    Raises:
        RunError: the file is another user's.
    """
    new = create_private(file, secrets.token_urlsafe(_PASSWORD_BYTES))
    make_private(file)
    return new


def authorization(file: Path) -> str:
    """The value of the header `Authorization` that a client sends."""
    pair = f"{USER}:{file.read_text(encoding='utf-8').strip()}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def with_password(app: "ASGIApp", expected: str) -> "AuthenticationMiddleware":
    """The application for callers that send `expected` as their authorization; all others get 401."""
    from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.requests import HTTPConnection
    from starlette.responses import PlainTextResponse

    class OnePassword(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
            given = conn.headers.get("authorization", "")
            if not secrets.compare_digest(given.encode(), expected.encode()):
                raise AuthenticationError("user and password, please")
            return AuthCredentials(), SimpleUser(USER)

    def refused(_: HTTPConnection, error: Exception) -> PlainTextResponse:
        return PlainTextResponse(str(error), 401, {"WWW-Authenticate": 'Basic realm="flag3d", charset="UTF-8"'})

    return AuthenticationMiddleware(app, OnePassword(), refused)


def create_app() -> "AuthenticationMiddleware":
    """MLflow's application behind the password in the file that `FLAG3D_UI_PASSWORD_FILE` names."""
    from mlflow.server.fastapi_app import app

    return with_password(app, authorization(Path(os.environ[FILE_VARIABLE])))
