"""Tensors kept between processes in the user's cache folder; losing them costs only time."""

import hashlib
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor


def remembered(
    name: str, inputs: object, shape: tuple[int, ...], compute: Callable[[], Tensor]
) -> Tensor:
    """What ``compute`` gives, from the cache folder if it was computed before; float32.

    ``inputs`` is everything the answer depends on: its ``repr`` decides which file is looked at.
    The folder is ``$XDG_CACHE_HOME/siconvnet``, else ``~/.cache/siconvnet``. A file that is
    missing, damaged or cannot be written is no error: the answer is computed.
    """
    key = hashlib.sha256(repr((name, inputs, shape)).encode()).hexdigest()[:16]
    try:
        path = _folder() / f"{name}-{key}"
    except RuntimeError:  # a user without a home, as in some containers
        return compute().float().reshape(shape)
    kept = _read(path, shape)
    if kept is not None:
        return kept
    answer = compute().float().reshape(shape)
    with suppress(OSError):
        _write(path, answer)
    return answer


def _folder() -> Path:
    """The cache folder of this package; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "siconvnet"


def _read(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """The tensor in a file that starts with the digest of the rest; None if it is not whole."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, numbers = content[:32], content[32:]
    if hashlib.sha256(numbers).digest() != digest:
        return None
    return torch.frombuffer(bytearray(numbers), dtype=torch.float32).reshape(shape)


def _write(path: Path, answer: Tensor) -> None:
    """Put the tensor and its digest in a file, which appears whole or not at all."""
    numbers = answer.contiguous().numpy().tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as file:  # with the permissions that the umask gives
            file.write(hashlib.sha256(numbers).digest() + numbers)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
