"""Where the modules and data of a study are looked for."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from siconvnet import MODELS
from tune_jobs.cli import main
from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.opened import open_study
from tune_jobs.study.file import load_study

MODULE = """
from torch import nn
from siconvnet import register_model

def build(*, in_channels, num_classes, **options):
    return nn.Linear({width}, num_classes)

register_model("found", build, version={width})
"""
STUDY = """
name: mine
imports: [found_models]
axes: {model: found, dataset: data/bars.npz, scenario: 2, kernel_size: 7, interpolation: null,
       lr: 0.001, seed: 1}
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, only_known_models: None) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("found_models", None)


def folder_of(root: Path, *, width: int, bars: Path) -> Path:
    (root / "data").mkdir(parents=True)
    (root / "data" / "bars.npz").write_bytes(bars.read_bytes())
    (root / "found_models.py").write_text(MODULE.format(width=width))
    (root / "study.yaml").write_text(STUDY)
    return root / "study.yaml"


def test_modules_and_data_beside_a_study_are_found_from_anywhere(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    study = folder_of(tmp_path / "project", width=3, bars=bars)
    monkeypatch.chdir(tmp_path)
    opened = open_study(load_study("project/study.yaml"), None)
    assert MODELS["found"].version == 3
    assert opened.missing == {}
    assert opened.datasets["bars"].path == study.parent / "data" / "bars.npz"


def test_two_studies_with_modules_of_one_name_are_never_mixed_up(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = folder_of(tmp_path / "first", width=3, bars=bars)
    second = folder_of(tmp_path / "second", width=5, bars=bars)
    load_study(str(first))
    load_study(str(first))
    with pytest.raises(TuneJobsError, match="must have different names in one process") as raised:
        load_study(str(second))
    assert str(second.parent) in str(raised.value)
    del sys.modules["found_models"]
    load_study(str(second))
    assert MODELS["found"].version == 5


def test_the_message_of_a_missing_model_says_how_it_becomes_known_and_where_it_was_looked_for(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    study = folder_of(tmp_path / "project", width=3, bars=bars)
    study.write_text(STUDY.replace("model: found", "model: lost"))
    assert main(["plan", str(study), "--storage", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "No model is called 'lost'. Known: standard, " in said
    assert "`imports:` names the module that registers it (now found_models; looked for" in said
    assert f"{study.parent} and on Python's path" in said
    assert "by an entry point in siconvnet.models (now none)" in said
    assert said.count("\n") == 1


def test_the_message_of_a_missing_module_says_where_it_was_looked_for(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    study = folder_of(tmp_path / "project", width=3, bars=bars)
    study.write_text(STUDY.replace("found_models", "lost_models"))
    assert main(["plan", str(study), "--storage", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "importing 'lost_models' gave ModuleNotFoundError" in said
    assert f"in {Path.cwd()} and {study.parent} and on Python's path" in said


def test_train_says_the_same_of_a_missing_model(capsys: pytest.CaptureFixture[str]):
    words = ["train", "--model", "lost", "--dataset", "emoji", "--scenario", "1"]
    assert main(words) == 2
    assert "`imports:` names the module that registers it (now none;" in capsys.readouterr().err
