"""How many runs failed stands beside every mean."""

import pytest

from analysis.cli import main
from analysis.collection.collect import collect
from analysis.figures.gallery import draw_figures
from analysis.report import renderers, tables
from analysis.results.folder import ResultsFolder


@pytest.fixture
def folder(tmp_path, make_record, make_failure, put, monkeypatch) -> ResultsFolder:
    """Three finished runs of a cell; of the failures two belong to it, three do not."""
    monkeypatch.chdir(tmp_path)
    put(
        tmp_path / "runs",
        *(make_record(seed=seed, correct=14) for seed in (1, 2, 3)),
        *(make_failure(seed=seed) for seed in (4, 5)),
        make_failure(seed=6, lr=1e-2),
        make_failure(seed=7, kernel_size=11),
        make_failure(seed=8, model="xu"),
    )
    collect(["runs"], "results")
    return ResultsFolder("results")


def test_a_cell_counts_the_failures_of_its_settings_and_learning_rate(folder):
    [cell] = folder.summary.to_dict("records")
    assert (cell["seeds"], cell["failed"]) == (3, 2)


def test_a_comparison_counts_them(folder, capsys):
    [row] = tables.comparison(folder).frame.to_dict("records")
    assert (row["seeds"], row["failed"]) == (3, 2)
    assert main(["compare"]) == 0
    head, row, *_ = capsys.readouterr().out.splitlines()
    assert dict(zip(head.split(), row.split(), strict=False))["failed"] == "2"


def test_printed_means_have_them_beside(folder):
    _, [row] = renderers.texts(tables.accuracy(folder))
    assert row[-1].endswith("n = 3, 2 failed")
    _, [row] = renderers.texts(tables.epoch_time(folder))
    assert row[-1].endswith(", 2 failed")


@pytest.mark.parametrize(
    "name", ["overview", "generalization", "boxes", "comparison", "learning", "time"]
)
def test_figures_of_means_have_them_beside(name, folder):
    [(_, figure)] = draw_figures(folder, [name])
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    texts += [axes.get_title(loc="right") for axes in figure.axes]
    texts += [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    assert any("2 failed" in text for text in texts)


def test_failures_beside_runs_of_two_sources_are_those_of_ours(tmp_path, folder):
    both = ResultsFolder("results", "both")
    assert list(both.summary["failed"]) == [2]
