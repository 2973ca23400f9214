"""Parse the address of a storage: a folder, or s3://bucket/prefix; all else is refused."""

import re
from pathlib import Path

from tune_jobs.errors import TuneJobsError
from tune_jobs.storage.s3 import S3Address

_S3 = re.compile(r"s3://", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
# Schemes of other tools, and of ours without its slashes; a folder of such a name is ./s3:name.
_OTHERS = re.compile(r"(?:s3[an]?|gs|gcs|az|abfss?|wasbs?|hdfs|file|ftp|https?):", re.IGNORECASE)


def parse_address(text: str) -> S3Address | Path:
    """The folder, absolute and with ``~`` replaced, or the place on S3 that ``text`` means.

    Raises TuneJobsError, in one sentence, for everything else.
    """
    if not text.strip() or re.search(r"[\x00-\x1f\x7f]", text):
        raise TuneJobsError(
            "Storage must be a folder or s3://bucket/prefix, without control characters; "
            f"got {text!r}."
        )
    if begin := _S3.match(text):
        return S3Address.parse(f"s3://{text[begin.end() :]}")
    if _SCHEME.match(text) or _OTHERS.match(text):
        raise TuneJobsError(f"Storage must be a folder or s3://bucket/prefix; got {text!r}.")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise TuneJobsError(
            f"Storage in a home must be of a user who has one; no home is known for {text!r}. "
            "Give the whole path."
        ) from None
