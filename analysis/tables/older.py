"""Results tables of version 2, brought to the present columns as they are read."""

from collections.abc import Mapping

import pyarrow as pa

from analysis.tables.schemas import SCHEMAS

OLDER_VERSION = "2"
# Columns of version 3 that version 2 does not have: nulls, as they were not recorded.
_LATER = {
    "trials": {
        *("on_divergence", "train_seconds", "last_train_seconds", "valid_seconds", "backend"),
    },
    "epochs": {"train_seconds", "valid_seconds"},
}


def is_older(name: str, table: pa.Table, marks: Mapping[str, str]) -> bool:
    """Whether a table is as version 2 wrote it."""
    names = {*SCHEMAS[name].names} - _LATER.get(name, set())
    if name == "trials":
        names.add("last_epoch_seconds")
    return marks.get("schema_version") == OLDER_VERSION and {*table.schema.names} == names


def brought_up(name: str, table: pa.Table) -> pa.Table:
    """The same rows with the columns of ``SCHEMAS[name]``.

    In version 2 ``epoch_seconds`` was all of an epoch for our trials and training alone for the
    published ones.
    """
    if name == "trials":
        published = [source == "published" for source in table["source"].to_pylist()]
        ours = [not other for other in published]
        seconds, last = table["epoch_seconds"], table["last_epoch_seconds"]
        table = table.drop_columns(["epoch_seconds", "last_epoch_seconds"])
        for column, values, kept in (
            ("train_seconds", seconds, published),
            ("last_train_seconds", last, published),
            ("epoch_seconds", seconds, ours),
        ):
            table = table.append_column(column, _only(values, kept))
    for field in SCHEMAS[name]:
        if field.name not in table.schema.names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(SCHEMAS[name].names).cast(SCHEMAS[name])


def _only(seconds: pa.ChunkedArray, kept: list[bool]) -> pa.Array:
    """The values at the places that are kept, nulls elsewhere."""
    pairs = zip(seconds.to_pylist(), kept, strict=True)
    return pa.array([value if here else None for value, here in pairs], pa.float64())
