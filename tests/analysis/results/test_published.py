import os
from pathlib import Path

import pandas as pd
import pytest

from analysis.collection.mlflow import import_mlflow
from analysis.results.folder import ResultsFolder
from analysis.results.published import published_summary

EXPORT = Path(os.environ.get("STIR_PUBLISHED", "data/published")) / "mlflow_export.csv.gz"


def test_the_shipped_summary_has_the_columns_that_a_summary_has(tmp_path):
    golden = Path(__file__).parents[2] / "golden" / "mlflow-emoji-2.csv.gz"
    import_mlflow(str(golden), str(tmp_path))
    made = ResultsFolder(str(tmp_path)).summary
    assert list(published_summary().columns) == list(made.columns)


@pytest.mark.skipif(
    not EXPORT.exists(), reason="STIR_PUBLISHED names no folder with mlflow_export.csv.gz"
)
def test_the_shipped_summary_is_what_the_published_runs_give_in_all_columns(tmp_path):
    import_mlflow(str(EXPORT), str(tmp_path))
    made = ResultsFolder(str(tmp_path)).summary
    made.to_csv(tmp_path / "made.csv", index=False, float_format="%.8g")
    pd.testing.assert_frame_equal(published_summary(), pd.read_csv(tmp_path / "made.csv"))
