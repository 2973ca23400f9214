"""This user's token for Ray clusters: where it is kept, read and protected."""

import os
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
