import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import AnalysisError, load
from analysis.collection.collect import collect
from analysis.tables import parquet
from tune_jobs.storage import Storage


@pytest.fixture
def results(tmp_path, make_record, put):
    put(tmp_path / "runs", make_record())
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    return tmp_path / "results"


def test_a_file_carries_its_schema_version_and_row_count(results):
    metadata = pq.read_metadata(results / "scale_accuracy.parquet").metadata
    assert metadata[b"schema_version"] == b"3"
    assert metadata[b"row_count"] == b"48"


def test_an_unknown_table_names_those_there_are(results):
    with pytest.raises(
        AnalysisError, match="one of trials, epochs, scale_accuracy, study_points, cells"
    ):
        load("trial", str(results))


def test_a_damaged_file_is_named(results):
    path = results / "trials.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(AnalysisError, match=r"trials\.parquet in .* must be a whole Parquet file"):
        load("trials", str(results))


def test_a_table_of_another_schema_version_is_refused(results):
    table = pq.read_table(results / "trials.parquet")
    pq.write_table(
        table.replace_schema_metadata({"schema_version": "7"}), results / "trials.parquet"
    )
    with pytest.raises(AnalysisError, match="schema of version 3; it has version 7"):
        load("trials", str(results))


def test_a_table_whose_metadata_is_no_text_is_refused(results):
    path = results / "trials.parquet"
    table = pq.read_table(path).replace_schema_metadata(
        {b"schema_version": b"\xff", b"\xfe": b"\0"}
    )
    pq.write_table(table, path)
    with pytest.raises(AnalysisError, match="it has version \ufffd and"):
        load("trials", str(results))


def test_a_table_with_rows_of_no_model_is_refused(results):
    path = results / "trials.parquet"
    table = pq.read_table(path)
    at = table.column_names.index("model")
    without = table.set_column(at, "model", pa.nulls(1, table["model"].type))
    pq.write_table(without.replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(AnalysisError, match="rows of model have none"):
        load("trials", str(results))


def test_rows_lost_behind_our_back_are_noticed(results):
    table = pq.read_table(results / "epochs.parquet")
    pq.write_table(table.slice(1), results / "epochs.parquet")
    with pytest.raises(AnalysisError, match="as many rows as it says, 3; it holds 2"):
        load("epochs", str(results))


def test_doubled_rows_are_refused(results):
    table = parquet.read("trials", Storage(results))
    with pytest.raises(AnalysisError, match="1 of 2 rows are doubled"):
        parquet.write("trials", pa.concat_tables([table, table]), Storage(results))
