"""Tables too large for memory: many Parquet files each, which the table ``evaluations`` names.

A file is written a point at a time and stored whole. One that ``evaluations`` does not name, as a
collection leaves behind that was cut off, is not read.
"""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from analysis.errors import AnalysisError
from analysis.tables.schemas import SCHEMAS
from tune_jobs.storage import Storage

_ROWS_TOGETHER = 2**20  # written and read at a time


class PartWriter:
    """Rows of several tables, put into one file each that is stored when the block ends well."""

    def __init__(self, part: str, results: Storage) -> None:
        self.part, self._results = part, results
        self._folder = tempfile.TemporaryDirectory()
        self._files: dict[str, pq.ParquetWriter] = {}

    def add(self, name: str, rows: pa.Table) -> None:
        """Write a point's rows of the table ``name``."""
        if name not in self._files:
            self._files[name] = pq.ParquetWriter(
                self._path(name), _in_file(SCHEMAS[name]), compression="zstd"
            )
        rows = rows.cast(_in_file(SCHEMAS[name]))
        self._files[name].write_table(rows, row_group_size=_ROWS_TOGETHER)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._folder:
            for name, file in self._files.items():
                file.close()
                if kind is None:
                    self._results.upload(_key(name, self.part), self._path(name))

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / f"{name}.parquet"


def dataset(name: str, evaluations: pa.Table, results: Storage) -> ds.Dataset:
    """A table in parts; rows are read as they are asked for, nothing before."""
    named = evaluations.filter((pc.field("measure") == name) & (pc.field("rows") > 0))
    paths = [results.located(_key(name, part)) for part in named["part"].unique().to_pylist()]
    if not paths:
        return ds.dataset(SCHEMAS[name].empty_table())
    return ds.FileSystemDataset.from_paths(
        [path for _, path in paths],
        schema=SCHEMAS[name],
        format=ds.ParquetFileFormat(),
        filesystem=paths[0][0],
    )


def read(name: str, evaluations: pa.Table, results: Storage) -> pa.Table:
    """The whole of a table in parts, checked against the row counts of ``evaluations``."""
    try:
        table = dataset(name, evaluations, results).to_table()
    except (pa.ArrowException, OSError) as error:
        raise AnalysisError(
            f"The parts of {name} in {results.uri} must all be there and whole; reading them "
            f"failed: {error}"
        ) from None
    expected = sum(evaluations.filter(pc.field("measure") == name)["rows"].to_pylist())
    if table.num_rows != expected:
        raise AnalysisError(
            f"The parts of {name} in {results.uri} must hold as many rows as evaluations says, "
            f"{expected}; they hold {table.num_rows}. Collect into a new folder."
        )
    return table


def _in_file(schema: pa.Schema) -> pa.Schema:
    """Texts as such: Parquet makes dictionaries of them anyway, and Arrow skips a file's rows by
    their statistics only if its own type says text.
    """
    return pa.schema(
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in schema
    )


def _key(name: str, part: str) -> str:
    return f"{name}/{part}.parquet"
