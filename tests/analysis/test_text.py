"""Names from elsewhere in every medium: they are read, and act on nothing."""

import functools
import gzip
import re
import unicodedata
import warnings
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import text
from analysis.cli import main
from analysis.figures import canvas
from analysis.figures.gallery import draw_figures
from analysis.results.folder import ResultsFolder

EXPORT = Path(__file__).parents[1] / "golden" / "mlflow-emoji-2.csv.gz"
# What a record may name a model, and what an export from elsewhere may.
OURS = ["漢字モデル", "a|b*c_d", "[bold]x[", "\u202elan", "\ue000x"]
THEIRS = ["bell\x07", "red\x1b[31m"]


@pytest.fixture
def results(tmp_path, make_record, put, monkeypatch) -> str:
    """Runs of models and datasets with names that act on a screen or have no glyph."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "runs", *(make_record(model=name) for name in OURS))
    put(tmp_path / "runs", *(make_record(model=name, dataset="数data") for name in OURS[:3]))
    assert main(["collect", "--storage", "runs"]) == 0
    head, *lines = gzip.decompress(EXPORT.read_bytes()).decode().splitlines()
    rows = [
        line.replace("pixel_pool", name).replace("standard", name).replace("emoji", "数\x0cdata")
        for name, line in zip(THEIRS * 2, lines, strict=False)
    ]
    (tmp_path / "export.csv").write_text("\n".join([head, *rows]), newline="")
    assert main(["import-mlflow", "export.csv"]) == 0
    return "results"


@given(st.text())
def test_what_is_shown_has_no_character_that_acts(name):
    for shown in (text.visible(name), *text.terminal(name).split("\n")):
        assert not {unicodedata.category(sign) for sign in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert text.terminal(name).count("\n") == name.count("\n")


@given(st.text(), st.text())
def test_latex_gets_no_more_than_braces_and_known_commands(one, other):
    for sign in re.findall(r"(?<!\\)[%$#&~^]", text.as_latex(one + other)):
        raise AssertionError(sign)


@pytest.mark.parametrize("name", ["overview", "boxes", "generalization", "time", "learning"])
def test_figures_are_valid_and_drawn_without_a_warning(name, results):
    [(_, figure)] = draw_figures(ResultsFolder(results, "both"), [name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg, pdf = canvas.to_bytes(figure, "svg"), canvas.to_bytes(figure, "pdf")
    ElementTree.fromstring(svg)
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", svg)
    assert pdf.startswith(b"%PDF")
    assert pdf.rstrip().endswith(b"%%EOF")


def test_two_names_without_glyphs_stay_two(results):
    assert canvas.drawable("漢") != canvas.drawable("字")
    assert canvas.drawable("Größe ß") == "Größe ß"


def test_a_terminal_gets_no_control_characters_and_no_markup(results, capsys):
    assert main(["query", "select model from trials order by 1"]) == 0
    out = capsys.readouterr().out
    assert "[bold]x[" in out
    assert r"red\x1b[31m" in out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", out)


def test_messages_get_none_either(results, capsys):
    assert main(["figures", "\x1b]0;title\x07"]) == 2
    assert main(["tables", "accuracy", "--results", "no\x1b[2Jwhere"]) == 2
    err = capsys.readouterr().err
    assert r"\x1b" in err
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", err)


def test_a_table_in_markdown_has_as_many_bars_in_every_row(results, capsys):
    assert main(["tables", "accuracy", "--source", "both"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_a_report_holds_the_names_and_no_control_characters(results, tmp_path, monkeypatch):
    one = functools.partial(draw_figures, names=["boxes"])
    monkeypatch.setattr("analysis.report.report.draw_figures", one)
    assert main(["report", "--out", "page", "--source", "both"]) == 0
    page = (tmp_path / "page" / "report.html").read_text()
    assert "漢字モデル" in page
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\u202e\ufffe]", page)
