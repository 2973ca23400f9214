"""Parse an ``s3://`` URI, connect to its server, and name its errors; ``storage`` retries."""

import os
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import pyarrow as pa
from pyarrow import fs

from tune_jobs.errors import TuneJobsError

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
CONNECTIONS = 64  # at once, to one server
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0  # without a byte, until a connection counts as dead
OPTIONS = ("endpoint_override", "scheme", "region")
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What more time mends although its HTTP status is below 500: Amazon's names for a body or an
# answer that got lost on the way.
PASSING = re.compile(
    r"HTTP status (?:408|429|5\d\d)|IncompleteBody|RequestTimeout|BadDigest|"
    r"AWS Error (?:NETWORK_CONNECTION|SLOW_DOWN|INTERNAL_FAILURE|SERVICE_UNAVAILABLE|THROTTLING|"
    r"REQUEST_TIMEOUT|REQUEST_TIME_TOO_SKEWED|INVALID_RESPONSE_STATUS|CLIENT_SIGNING_FAILURE)"
)
REASONS = {
    "ACCESS_DENIED": "access is denied",
    "NO_SUCH_BUCKET": "there is no such bucket",
    "SIGNATURE_DOES_NOT_MATCH": "its keys are not accepted; see AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY",
    "INVALID_ACCESS_KEY_ID": "its keys are not accepted; see AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY",
    "NETWORK_CONNECTION": "it cannot be reached",
    "SLOW_DOWN": "it asks for fewer requests",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Address:
    """A folder of a bucket and the server that has it; no credentials.

    ``endpoint`` is host and port of a server that is not Amazon's, ``region`` None where the
    environment or the bucket decides.
    """

    bucket: str
    prefix: str
    endpoint: str | None
    scheme: str
    region: str | None

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Read ``s3://bucket/prefix?endpoint_override=HOST:PORT&scheme=http&region=NAME``.

        What the URI does not say about the server is taken from AWS_ENDPOINT_URL now, so that the
        address means the same on another machine.
        """
        try:
            parts = urlsplit(uri)
            uri.encode()
        except ValueError:  # [ without ], or no text
            raise _not_s3(uri) from None
        if "@" in parts.netloc:
            raise TuneJobsError(
                "A storage URI must hold no credentials, since it is shown and stored; give them "
                "as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or in a profile."
            )
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := sorted(options.keys() - set(OPTIONS)):
            raise TuneJobsError(
                f"Storage on S3 must have no options but {', '.join(OPTIONS)}; "
                f"got the option {unknown[0]!r}."
            )
        folders = [folder for folder in unquote(parts.path).split("/") if folder not in ("", ".")]
        prefix = "/".join(folders)
        strange = parts.fragment or ".." in folders or CONTROL.search(prefix)
        if strange or not BUCKET.fullmatch(parts.netloc):
            raise _not_s3(uri)
        given = options.get("endpoint_override") or next(
            filter(None, map(os.environ.get, ENDPOINT_VARIABLES)), ""
        )
        endpoint, scheme = _server(given)
        scheme = options.get("scheme") or scheme or "https"
        if scheme not in ("http", "https"):
            raise TuneJobsError(f"scheme must be http or https; got {scheme!r}.")
        return cls(
            bucket=parts.netloc,
            prefix=prefix,
            endpoint=endpoint,
            scheme=scheme,
            region=options.get("region") or None,
        )

    @property
    def uri(self) -> str:
        """The address as a URI that ``parse`` reads back, whatever the environment."""
        options = {"region": self.region} if self.region else {}
        if self.endpoint:
            options = {"endpoint_override": self.endpoint, "scheme": self.scheme} | options
        query = f"?{urlencode(options, safe=':')}" if options else ""
        return f"s3://{self.bucket}{f'/{quote(self.prefix)}' * bool(self.prefix)}{query}"

    @property
    def root(self) -> str:
        """Bucket and prefix, as paths begin in an S3FileSystem."""
        return f"{self.bucket}/{self.prefix}".rstrip("/")

    def connect(self) -> fs.S3FileSystem:
        """A file system that asks once: trying again is up to the caller."""
        pa.set_io_thread_count(max(CONNECTIONS, pa.io_thread_count()))  # bounds the connections
        region = self.region
        if region is None and self.endpoint is None:
            region = fs.resolve_s3_region(self.bucket)
        return fs.S3FileSystem(
            endpoint_override=self.endpoint,
            scheme=self.scheme,
            region=region,
            connect_timeout=CONNECT_SECONDS,
            request_timeout=ANSWER_SECONDS,
            allow_delayed_open=True,  # a small object is one request, a PUT
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
        )


def _not_s3(uri: str) -> TuneJobsError:
    return TuneJobsError(
        "Storage on S3 must be s3://bucket/prefix, the bucket of letters, digits, dots and dashes, "
        f"the prefix without .. and control characters; got {uri!r}."
    )


def _server(text: str) -> tuple[str | None, str | None]:
    """Host and port, and the scheme if there is one, of ``HOST:PORT`` or ``http://HOST:PORT/``."""
    if not text:
        return None, None
    scheme, separator, rest = text.rpartition("://")
    host = rest.rstrip("/")
    port = host.rpartition("]")[2].rpartition(":")[2] if ":" in host.rpartition("]")[2] else "0"
    if not HOST.fullmatch(host) or int(port) > 65535 or (separator and not scheme):
        raise TuneJobsError(
            "The endpoint of an S3 server must be HOST:PORT or http://HOST:PORT, without "
            f"credentials; got {text!r}."
        )
    return host, scheme.lower() or None


def is_passing(error: OSError) -> bool:
    """Whether the same request may well succeed later: too many requests, an outage, a lost line.

    >>> is_passing(OSError("AWS Error SLOW_DOWN during PutObject operation: "))
    True
    >>> is_passing(OSError("AWS Error ACCESS_DENIED during PutObject operation: "))
    False
    """
    return PASSING.search(str(error)) is not None


def reason(error: BaseException | None) -> str:
    """What went wrong, in a short phrase.

    >>> reason(OSError("When reading: AWS Error NO_SUCH_BUCKET during PutObject operation: gone"))
    'there is no such bucket'
    """
    code = re.search(r"AWS Error (\w+)", str(error))
    known = REASONS.get(code[1]) if code else None
    return known or getattr(error, "strerror", None) or " ".join(str(error).split())
