"""Objects of a storage as JSON: a dataclass and the name of its schema, checked when read."""

import json
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError

from tune_jobs.errors import TuneJobsError
from tune_jobs.point import content_of
from tune_jobs.records.keys import POINT_ID, STUDY_NAME

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Form = TypeVar("Form")

PointId = Annotated[str, StringConstraints(pattern=f"^{POINT_ID}$")]
StudyName = Annotated[str, StringConstraints(pattern=f"^{STUDY_NAME}$")]  # of a study or a phase


class RecordError(TuneJobsError):
    """An object that is not a record: damaged, of another schema, or at odds with itself."""


def to_json(record: "DataclassInstance", schema: str) -> bytes:
    content = {"schema": schema} | content_of(record)
    return json.dumps(content, allow_nan=False, indent=1).encode()


def from_json(cls: type[Form], data: bytes, schema: str) -> Form:
    """Read what ``to_json`` wrote; raises RecordError unless every field has its type."""
    try:
        loaded = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"A record must be JSON; reading it failed: {error}.") from None
    if isinstance(loaded, dict):
        loaded.pop("sha256", None)  # the seal of a stored object, which Storage has checked
        found = loaded.pop("schema", None)
    else:
        found = type(loaded).__name__
    if found != schema:
        raise RecordError(f"A record must be a JSON object of schema {schema!r}; got {found!r}.")
    return from_python(cls, loaded)


def from_python(cls: type[Form], content: Any) -> Form:
    """A record of what ``json.loads`` made; RecordError unless every field has its type."""
    try:
        return _adapter(cls).validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(
            f"Every field of a record must have its type; {where}: {first['msg']}, "
            f"got {first['input']!r:.60}."
        ) from None


@cache
def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(cls)
