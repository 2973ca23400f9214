"""Objects of a storage as JSON: a dataclass and the name of its schema, checked when read."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from tune_jobs.errors import TuneJobsError
from tune_jobs.point import content_of
from tune_jobs.records.keys import POINT_ID, STUDY_NAME

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

_SCHEMA_FIRST = re.compile(rb'\{\s*"schema":\s*"([^"\\]*)"\s*,')

Form = TypeVar("Form")

PointId = Annotated[str, StringConstraints(pattern=f"^{POINT_ID}$")]
StudyName = Annotated[str, StringConstraints(pattern=f"^{STUDY_NAME}$")]  # of a study or a phase


class RecordError(TuneJobsError):
    """An object that is not a record: damaged, of another schema, or at odds with itself."""


class OtherVersionError(RecordError):
    """An object of a version of its schema that this version of the software does not know."""


def time_of(text: str) -> datetime:
    """A time as records write it; RecordError if it is none, or of no zone."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise RecordError(f"A time must be ISO 8601 with its zone; got {text!r:.60}.")
    return time


def _checked(text: str) -> str:
    time_of(text)
    return text


Time = Annotated[str, AfterValidator(_checked)]


@contextmanager
def named(where: str, remedy: str = "") -> Iterator[None]:
    """Let a RecordError say where the object lies, and what would do."""
    try:
        yield
    except RecordError as error:
        raise RecordError(f"{where}{error}{remedy}") from None


def to_json(record: "DataclassInstance", schema: str) -> bytes:
    content = {"schema": schema} | content_of(record)
    return json.dumps(content, allow_nan=False, indent=1).encode()


def from_json(cls: type[Form], data: bytes, schema: str) -> Form:
    """Read what ``to_json`` wrote; raises RecordError unless every field has its type."""
    written = _SCHEMA_FIRST.match(data)
    if written and written[1] == schema.encode():  # as we write it: no need to read it twice
        return from_bare_json(cls, b"{" + data[written.end() :])
    try:
        loaded = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"A record must be JSON; reading it failed: {error}.") from None
    found = loaded.pop("schema", None) if isinstance(loaded, dict) else type(loaded).__name__
    if found != schema:
        is_version = isinstance(found, str) and found.split("/")[0] == schema.split("/")[0]
        raise (OtherVersionError if is_version else RecordError)(
            f"A record must be a JSON object of schema {schema!r}; got {found!r:.60}."
        )
    return from_python(cls, loaded)


def from_python(cls: type[Form], content: Any) -> Form:
    """A record of what ``json.loads`` made; RecordError unless every field has its type."""
    try:
        data = json.dumps(content)
    except RecursionError as error:  # which reading the same may stop just short of
        raise RecordError(f"A record must not be so deep; reading it failed: {error}.") from None
    return from_bare_json(cls, data)


def from_bare_json(cls: type[Form], data: str | bytes) -> Form:
    """Read JSON without a schema's name; RecordError unless every field has its type."""
    try:
        return _adapter(cls).validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            raise RecordError(
                f"A record must be JSON; reading it failed: {first['msg']}."
            ) from None
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "value_error":  # a sentence of our own
            raise RecordError(f"{where}: {first.get('ctx', {})['error']}") from None
        raise RecordError(
            f"Every field of a record must have its type; {where}: {first['msg']}, "
            f"got {first['input']!r:.60}."
        ) from None


@cache
def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(cls)
