"""The SHA-256 that an object carries in itself, where the tools that read it pass over it.

JSON has it as its first field, ``.pt`` and ``.npz`` (zip archives) as the archive's comment. What
is hashed is the object's key and its content, so that another object's bytes are found out too.
Weights need none: their key ends with the digest of their content.
"""

import hashlib
import re

from tune_jobs.records.schema import RecordError

SEALED_FOLDERS = frozenset(
    {
        "checkpoints",
        "claims",
        "costs",
        "evaluations",
        "failures",
        "index_maps",
        "predictions",
        "records",
        "searches",
        "studies",
    }
)
_FORMS = {"json": "json", "jsonl": "json", "npz": "zip", "pt": "zip"}
_WEIGHTS = re.compile(r"weights/.*-([0-9a-f]{12})\.pt")
_DIGITS = 64
_FIELD = b'{"sha256": "', b'",'
_COMMENT = (len(b"sha256:") + _DIGITS).to_bytes(2, "little") + b"sha256:"
_END_OF_ZIP = b"PK\5\6"  # 22 bytes before the end of an archive without a comment
_END_BYTES = 22


class DamagedError(RecordError):
    """An object whose bytes are not those that were written."""


def seal(key: str, data: bytes) -> bytes:
    """The bytes to store for an object: its own where its folder or form has no seal."""
    form = _form(key)
    if form == "json" and data[:1] == b"{" and data.strip() != b"{}":
        before, after = _FIELD
        return before + _digest(key, data) + after + data[1:]
    if form == "zip" and _ends_as_zip(data):
        return data[:-2] + _COMMENT + _digest(key, data)
    return data


def unseal(key: str, stored: bytes) -> bytes:
    """An object's content, given the bytes stored for it.

    Raises DamagedError unless they are the ones that ``seal`` made for this key, or, from a version
    that did not seal, could be whole: JSON from its start to its end, an archive to its end.
    """
    _require_weights(key, stored)
    form = _form(key)
    if form is None:
        return stored
    content, digest = (_split_json if form == "json" else _split_zip)(key, stored)
    if digest is not None and digest != _digest(key, content):
        raise DamagedError(
            f"An object must be as it was written; {key} has other contents than its SHA-256 says."
        )
    return content


def _form(key: str) -> str | None:
    if key.partition("/")[0] not in SEALED_FOLDERS:
        return None
    return _FORMS.get(key.rpartition(".")[2])


def _require_weights(key: str, stored: bytes) -> None:
    if named := _WEIGHTS.fullmatch(key):
        found = hashlib.sha256(stored).hexdigest()[: len(named[1])]
        if found != named[1]:
            raise DamagedError(
                f"Weights must be those that their key names; {key} holds others ({found}), so it "
                "is damaged. Remove the record, and a run trains the point again."
            )


def _split_json(key: str, stored: bytes) -> tuple[bytes, bytes | None]:
    before, after = _FIELD
    head = stored[: len(before) + _DIGITS + len(after)]
    if head.startswith(before) and head.endswith(after):
        return b"{" + stored[len(head) :], head[len(before) : -len(after)]
    # Most bytes of a damaged field are still its own, few bytes of an unsealed object are like it.
    alike = sum(one == other for one, other in zip(stored, before, strict=False))
    if stored[:1] != b"{" or alike > len(before) * 2 // 3:
        raise DamagedError(f"A JSON object must begin as it was written; {key} does not.")
    if not stored.rstrip().endswith(b"}"):
        raise DamagedError(f"A JSON object must end as it was written; {key} does not.")
    return stored, None


def _split_zip(key: str, stored: bytes) -> tuple[bytes, bytes | None]:
    start = len(stored) - len(_COMMENT) - _DIGITS
    if start > 0 and stored.startswith(_COMMENT, start):
        return stored[:start] + b"\0\0", stored[-_DIGITS:]
    if not _ends_as_zip(stored):
        raise DamagedError(f"An archive must end as it was written; {key} does not.")
    return stored, None


def _ends_as_zip(data: bytes) -> bool:
    end = data[-_END_BYTES:]
    return end.startswith(_END_OF_ZIP) and end.endswith(b"\0\0")


def _digest(key: str, content: bytes) -> bytes:
    digest = hashlib.sha256(key.encode() + b"\0")
    digest.update(content)
    return digest.hexdigest().encode()
