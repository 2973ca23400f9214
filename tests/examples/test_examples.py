"""The examples as users take them: copied, installed, tested, and run as a study."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.examples import EXAMPLES, install_examples

BIN = Path(sys.executable).parent
STUDY = """
name: both
axes: {model: [log-polar, standard], dataset: letters, scenario: 2, kernel_size: 7,
       interpolation: null, lr: 0.001, seed: 1}
recipe: {max_epochs: 2}
"""


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody who has installed both examples."""
    return install_examples(tmp_path_factory.mktemp("installed"))


def run(*words: str, home: Path, variables: dict[str, str]) -> str:
    done = subprocess.run(
        [BIN / words[0], *words[1:]], cwd=home, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_examples_pass_their_own_tests(variables: dict[str, str], tmp_path: Path):
    for name in EXAMPLES:
        shutil.copy(*EXAMPLES[name].glob("test_*.py"), tmp_path)
    assert " passed" in run("pytest", "-q", home=tmp_path, variables=variables)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_study_of_an_example_is_planned(name: str, variables: dict[str, str], tmp_path: Path):
    words = ("tune-jobs", "plan", str(EXAMPLES[name] / "study.yaml"), "--json")
    cells = json.loads(run(*words, home=tmp_path, variables=variables))
    assert "standard" in json.dumps(cells)


@pytest.mark.ray
def test_installed_examples_run_beside_standard_without_imports(
    variables: dict[str, str], tmp_path: Path
):
    (tmp_path / "both.yaml").write_text(STUDY)
    run("stir", "build", "letters", home=tmp_path, variables=variables)
    said = run("tune-jobs", "run", "both.yaml", home=tmp_path, variables=variables)
    assert "2 finished" in said
    records = [json.loads(path.read_text()) for path in tmp_path.glob("runs/records/*.json")]
    assert {record["point"]["model"] for record in records} == {"log-polar", "standard"}
    assert {record["point"]["dataset"] for record in records} == {"letters"}


def test_without_being_installed_the_modules_serve_by_imports_and_by_path(tmp_path: Path):
    home = tmp_path / "project"
    home.mkdir()
    shutil.copy(EXAMPLES["own_model"] / "own_model.py", home)
    (home / "study.yaml").write_text("imports: [own_model]\n" + STUDY)
    env = {name: value for name, value in os.environ.items() if name != "STIR_DATA"}
    said = subprocess.run(
        [BIN / "tune-jobs", "plan", "project/study.yaml"],
        cwd=tmp_path, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert said.returncode == 2
    assert "No dataset is called 'letters'" in said.stderr
    study = STUDY.replace("letters", "letters.npz")
    (home / "study.yaml").write_text("imports: [own_model]\n" + study)
    assert "log-polar" in run("tune-jobs", "plan", "project/study.yaml", home=tmp_path,
                              variables=env)  # fmt: skip
