import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import AnalysisError, load
from analysis.tables.schemas import SCHEMAS

OLD = {
    "point_id": ["mlflow-1", "0123456789ab"],
    "source": ["published", "ours"],
    "epoch_seconds": [1.5, 2.5],
    "last_epoch_seconds": [1.0, 2.0],
}


def test_seconds_of_published_trials_were_those_of_training(tmp_path):
    later = {"train_seconds", "last_train_seconds", "valid_seconds", "backend", "on_divergence"}
    names = [name for name in SCHEMAS["trials"].names if name not in later]
    columns = {
        name: OLD.get(name) or pa.nulls(2, SCHEMAS["trials"].field(name).type) for name in names
    }
    table = pa.table(columns | {"last_epoch_seconds": OLD["last_epoch_seconds"]})
    marks = {"schema_version": "2", "row_count": "2"}
    pq.write_table(table.replace_schema_metadata(marks), tmp_path / "trials.parquet")
    trials = load("trials", str(tmp_path)).set_index("source")
    seconds = trials[["train_seconds", "last_train_seconds", "epoch_seconds"]]
    assert seconds.loc["published"].fillna(-1).tolist() == [1.5, 1.0, -1]
    assert seconds.loc["ours"].fillna(-1).tolist() == [-1, -1, 2.5]


def test_a_table_of_version_2_with_other_columns_is_refused(tmp_path):
    table = pa.table(OLD).replace_schema_metadata({"schema_version": "2", "row_count": "2"})
    pq.write_table(table, tmp_path / "trials.parquet")
    with pytest.raises(AnalysisError, match="it has version 2 and 4 columns"):
        load("trials", str(tmp_path))
