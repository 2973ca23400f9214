"""The table ``reported``: the trials that figures and tables average, one learning rate a cell."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.results import cells, studies
from analysis.tables import parquet, schemas
from tune_jobs.storage import Storage

REPORTED = "reported"


def reported_trials(results: Storage) -> pa.Table:
    """The reported trials of all sources, columns as in ``trials``.

    See ``cells.reported`` for which these are, and ``cells.labelled`` for what ``model`` says of
    them. Worked out of the other tables, so that it always agrees with them.
    """
    of_studies, chosen, trials = (
        parquet.read_if_any(name, results).to_pandas()
        for name in ("study_points", "cells", "trials")
    )
    kept = cells.labelled(cells.reported(trials, studies.points(of_studies, chosen)))
    return pa.Table.from_pandas(kept, schema=schemas.SCHEMAS["trials"], preserve_index=False)


def store_reported(results: Storage) -> None:
    """Write ``reported.parquet`` beside the other tables, for tools that read files.

    Nothing of ours reads it back.
    """
    table = reported_trials(results).sort_by("point_id")
    marks = {"schema_version": str(schemas.SCHEMA_VERSION), "row_count": str(table.num_rows)}
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(marks), buffer, compression="zstd")
    results.write(f"{REPORTED}.parquet", buffer.getvalue())
