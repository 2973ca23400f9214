"""Which test object the figures of one object show."""

import pytest

from analysis.cli import main
from analysis.collection.collect import collect
from analysis.results.evaluations import PAPER_OBJECT, Object
from analysis.results.folder import ResultsFolder
from tune_jobs.records.evaluation import ObjectIndex


@pytest.fixture
def folder(tmp_path, make_record, make_evaluation, make_maps, put, monkeypatch) -> ResultsFolder:
    """A run with evaluations of classes 0 to 2, and index maps of two objects."""
    monkeypatch.chdir(tmp_path)
    record = make_record(model="pixel_pool", interpolation="bicubic")
    maps = [make_maps(record, place=ObjectIndex(*place)) for place in ((5, 1), PAPER_OBJECT)]
    put(tmp_path / "runs", record, make_evaluation(record), *maps)
    collect(["runs"], "results")
    return ResultsFolder("results")


def test_the_papers_object_is_shown_where_it_was_evaluated(folder):
    assert folder.close_up("index_maps").title.endswith("class 33, instance 0")


def test_the_first_object_is_shown_where_the_papers_was_not(folder):
    assert folder.close_up("pool_scales").title.endswith("class 0, instance 0")


@pytest.mark.parametrize(
    ("measure", "wanted"),
    [("index_maps", Object(5, 1)), ("pool_scales", Object(2, 1)), ("pool_scales", Object(0, 0))],
)
def test_the_object_asked_for_is_shown(measure, wanted, folder):
    shown = folder.close_up(measure, wanted)
    assert shown.title.endswith(f"class {wanted.class_index}, instance {wanted.instance}")
    rows = shown.rows[["class_index", "instance"]].drop_duplicates()
    assert rows.to_numpy().tolist() == [list(wanted)]


def test_the_command_takes_an_object(folder, capsys):
    assert main(["figures", "index-maps", "pooling", "--object", "2/1"]) == 2
    err = capsys.readouterr().err
    assert "no index-maps: An object must be one that was evaluated, by class and number: " in err
    assert "5/1, 33/0; got 2/1" in err
    assert "no pooling" not in err


@pytest.mark.parametrize("text", ["33", "a/0", "-1/0", "1/2/3"])
def test_an_object_that_is_none_is_refused(text, folder, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["figures", "pooling", f"--object={text}"])
    assert ended.value.code == 2
    assert "must be CLASS/NUMBER, such as 33/0" in capsys.readouterr().err
