"""Seconds of training and seconds of whole epochs are never compared with each other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis import AnalysisError
from analysis.collection.collect import collect
from analysis.collection.mlflow import import_mlflow
from analysis.figures.gallery import draw_figures
from analysis.report import renderers, tables
from analysis.results.folder import ResultsFolder

EXPORT = Path(__file__).parents[2] / "golden" / "mlflow-emoji-2.csv.gz"


@pytest.fixture
def folder_of(tmp_path, put):
    def folder_of(*records, source: str | None = None) -> ResultsFolder:
        put(tmp_path / "runs", *records)
        collect([str(tmp_path / "runs")], str(tmp_path / "results"))
        return ResultsFolder(str(tmp_path / "results"), source)

    return folder_of


def old(record):
    """The record as versions wrote it that did not time training by itself."""
    untimed = {"train_seconds": None, "valid_seconds": None}
    return replace(record, epochs=tuple(replace(epoch, **untimed) for epoch in record.epochs))


def test_a_new_record_gives_both_quantities(folder_of, make_record):
    [trial] = folder_of(make_record(num_epochs=3)).trials.to_dict("records")
    assert (trial["train_seconds"], trial["last_train_seconds"]) == (1.0, 1.5)
    assert (trial["valid_seconds"], trial["epoch_seconds"]) == (0.25, 2.5)


def test_an_old_record_is_said_to_be_with_validation(folder_of, make_record):
    folder = folder_of(old(make_record(num_epochs=3)))
    _, [row] = renderers.texts(tables.epoch_time(folder))
    assert row[-1] == "2.5000 with validation"
    [(_, error)] = draw_figures(folder, ["time"])
    assert isinstance(error, AnalysisError)
    assert "with validation, which is another quantity" in str(error)


def test_a_mean_over_old_and_new_records_takes_the_timed_ones_only(folder_of, make_record):
    folder = folder_of(make_record(seed=1), old(make_record(seed=2)))
    [cell] = folder.summary.to_dict("records")
    assert (cell["seeds"], cell["train_seconds"], cell["epoch_seconds"]) == (2, 1.0, 2.5)
    [(_, figure)] = draw_figures(folder, ["time"])
    notes = [text.get_text() for text in figure.axes[0].texts]
    assert "1 run without seconds of training" in notes


def test_published_seconds_are_those_of_training(tmp_path, folder_of, make_record):
    folder_of(make_record())
    import_mlflow(str(EXPORT), str(tmp_path / "results"))
    both = ResultsFolder(str(tmp_path / "results"), "both")
    published = both.summary[both.summary["model"].str.endswith(" published")]
    assert published["train_seconds"].notna().all()
    assert np.isnan(published["epoch_seconds"]).all()
