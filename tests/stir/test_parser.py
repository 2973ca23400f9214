import re
from importlib import import_module
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[2] / "tune_jobs" / "study" / "shipped"
COMMANDS = [("stir", "stir"), ("tune-jobs", "tune_jobs"), ("stir-analysis", "analysis")]


def said(package: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        import_module(f"{package}.cli").main(words)
    assert isinstance(end.value.code, int)
    shown = capsys.readouterr()
    return end.value.code, shown.out + shown.err


@pytest.mark.parametrize(("command", "package"), COMMANDS)
def test_every_command_line_says_its_version_and_those_that_results_may_depend_on(
    command: str, package: str, capsys: pytest.CaptureFixture[str]
):
    status, shown = said(package, ["--version"], capsys)
    number = r"\d+\.\d+\S*"
    assert status == 0
    assert re.fullmatch(
        rf"{command} {number}, Python {number}, PyTorch {number}, Ray {number}\n", shown
    )


@pytest.mark.parametrize(("command", "package"), COMMANDS)
def test_the_first_help_has_examples_on_lines_of_their_own(
    command: str, package: str, capsys: pytest.CaptureFixture[str]
):
    status, shown = said(package, ["--help"], capsys)
    assert status == 0
    assert f"\nexample: {command} " in shown
    assert f"\n         {command} " in shown


@pytest.mark.parametrize(
    ("package", "asked", "meant"),
    [
        ("stir", "biuld", "build"),
        ("tune_jobs", "evalute", "evaluate"),
        ("analysis", "qery", "query"),
    ],
)
def test_a_misspelt_command_hints_at_the_nearest_one(
    package: str, asked: str, meant: str, capsys: pytest.CaptureFixture[str]
):
    status, shown = said(package, [asked], capsys)
    assert status == 2
    assert shown.endswith(f"Did you mean '{meant}'?\n")


@pytest.mark.parametrize(
    ("package", "words", "meant"),
    [
        ("stir", ["build", "emoji", "--uot", "x"], "--out"),
        ("stir", ["show", "emoji", "--oot=sheet.png"], "--out"),
        ("tune_jobs", ["--versoin"], "--version"),
        ("tune_jobs", ["run", "emoji", "--strage", "x"], "--storage"),
        ("tune_jobs", ["train", "--modell", "standard"], "--model"),
        ("analysis", ["tables", "--fromat", "csv"], "--format"),
    ],
)
def test_a_misspelt_option_hints_at_the_nearest_one(
    package: str, words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
):
    status, shown = said(package, words, capsys)
    assert status == 2
    assert shown.endswith(f". Did you mean '{meant}'?\n")


@pytest.mark.parametrize(("option", "rule"), [("--lr", "a number"), ("--seed", "a whole number")])
def test_what_is_no_number_is_told_the_rule(
    option: str, rule: str, capsys: pytest.CaptureFixture[str]
):
    status, shown = said("tune_jobs", ["train", option, "1e"], capsys)
    assert status == 2
    assert shown.endswith(f"argument {option}: must be {rule}; got '1e'\n")


def test_an_option_that_is_like_none_is_refused_by_its_command_without_a_hint(
    capsys: pytest.CaptureFixture[str],
):
    status, shown = said("tune_jobs", ["status", "--colour", "blue"], capsys)
    assert status == 2
    assert shown.startswith("usage: tune-jobs status ")
    assert shown.endswith("error: unrecognized arguments: --colour blue\n")


def test_the_help_of_a_command_names_every_shipped_study(capsys: pytest.CaptureFixture[str]):
    _, shown = said("tune_jobs", ["plan", "--help"], capsys)
    studies = sorted(path.stem for path in SHIPPED.glob("*.yaml"))
    assert f"a shipped study: {', '.join(studies)}" in " ".join(shown.split())
