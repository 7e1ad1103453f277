"""Ray's token: the secret that every process of a cluster shows to every other, and that callers from outside lack.

Ray looks for it in RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, and in ~/.ray/auth_token. It would make the
last one itself, with the mode of any other file, so it is made here before Ray starts.
Nothing here returns or prints the token.
"""

import os
import secrets
from pathlib import Path

from flag3d_ray.errors import RunError
from flag3d_ray.private_file import create_private, make_private

MODE = "RAY_AUTH_MODE"
TOKEN = "RAY_AUTH_TOKEN"
TOKEN_FILE = "RAY_AUTH_TOKEN_PATH"
_TOKEN_BYTES = 32  # as many as Ray's own generator takes


def token_is_on() -> bool:
    """Whether clusters ask for the token: unless the user switched it off in the environment."""
    return os.environ.setdefault(MODE, "token").lower() == "token"


def token_file() -> Path:
    """Where Ray reads the token if the environment does not hold it."""
    return Path(os.environ.get(TOKEN_FILE) or Path.home() / ".ray" / "auth_token")


def prepare_token(*, create: bool) -> list[str]:
    """Leave Ray a token that only this user can read, and return what the user should know.

    Args:
        create: make a token where there is none; False for a cluster that runs already and has its own.

    Raises:
        RunError: there is none and none is to be made, or its file is another user's or cannot be closed to others.
    """
    if not token_is_on():
        return [
            f"{MODE}={os.environ[MODE]}: whoever reaches Ray's ports may run code here; unset it to ask for a token"
        ]
    if os.environ.get(TOKEN):
        return []
    file = token_file()
    if not _has_text(file):
        if not create:
            rule, remedy = (
                "the cluster asks for its token, and here is none",
                "copy the head's file here, with mode 0600",
            )
            raise RunError(where=str(file), rule=rule, remedy=remedy)
        file.unlink(missing_ok=True)
        create_private(file, secrets.token_hex(_TOKEN_BYTES))
    if make_private(file):
        return [
            f"{file} could be read by others and is closed to them now; if they are not to be trusted, delete it when no "
            "cluster runs, and the next launch makes another token"
        ]
    return []


def _has_text(file: Path) -> bool:
    try:
        return bool(file.read_bytes().strip())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise RunError(
            where=str(file), rule=f"cannot be read: {error.strerror}", remedy=f"let {TOKEN_FILE} name a file of yours"
        ) from error
