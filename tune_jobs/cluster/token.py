"""This user's token for Ray clusters: where it is kept, read and protected."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

TOKEN_FILE = "~/.ray/auth_token"


def token_path() -> Path:
    """Where this user's token is kept: ``RAY_AUTH_TOKEN_PATH``, else where Ray puts it."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or TOKEN_FILE).expanduser()


def read_token() -> str:
    """This user's token: ``RAY_AUTH_TOKEN``, else the file's content; empty if there is none."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    path = token_path()
    if not path.is_file():
        return ""
    protect_token()
    return path.read_text().strip()


def protect_token() -> None:
    """Let only its owner read the token's file, which Ray makes readable by others."""
    path = token_path()
    with suppress(OSError):  # not there, or another user's
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)


def make_token() -> bool:
    """Make this user's token if there is none, as Ray does; whether one was made."""
    if read_token():
        return False
    path = token_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))
    return True
