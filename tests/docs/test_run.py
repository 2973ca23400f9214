"""The code blocks of the documents run: each page's in its order, after those of the tutorial."""

import os
import subprocess
import sys
import warnings
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import analysis
from lab.site.blocks import Block, blocks

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("only_known_models")]

ROOT = Path(__file__).parents[2]
OURS = {"stir": "stir", "tune-jobs": "tune_jobs", "stir-analysis": "analysis"}
TUTORIAL = "docs/tutorials/laptop.md"  # it trains what other pages ask about
PAGES = [
    str(path.relative_to(ROOT))
    for path in sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])
    if any(block.is_run for block in blocks("", path.read_text()))
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody who has followed the tutorial."""
    folder = tmp_path_factory.mktemp("home")
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as in a shell
        run_page(TUTORIAL, folder)
    return folder


@pytest.mark.parametrize("page", [page for page in PAGES if page != TUTORIAL])
@pytest.mark.filterwarnings("default")  # of libraries that the examples show
def test_every_block_of_a_page_runs(page: str, home: Path):
    assert run_page(page, home) >= 1


def test_the_blocks_of_the_tutorial_have_run(home: Path):
    assert len([*(home / "runs" / "records").iterdir()]) >= 4
    assert (home / "report.html").stat().st_size > 10_000


def test_the_notebook_runs_on_the_results_of_the_tutorial(home: Path):
    notebook = nbformat.read(ROOT / "examples" / "explore.ipynb", as_version=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Jupyter's own
        client = NotebookClient(notebook, resources={"metadata": {"path": str(home)}}, timeout=300)
        client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert outputs[-1]["data"]["text/plain"].isdecimal()


def run_page(page: str, home: Path) -> int:
    """Run what a page has to run; returns how much that was."""
    names: dict[str, Any] = {"__name__": page}
    found = [block for block in blocks(page, (ROOT / page).read_text()) if block.is_run]
    for block in found:
        if block.title:
            (home / block.title).write_text(block.text)
        elif block.language in ("bash", "console"):
            shell(block, home)
        elif block.language == "sql":
            analysis.query(block.text, str(home / "results"))
        elif block.language == "python":
            python(block, home, names)
    return len(found)


def shell(block: Block, home: Path) -> None:
    """Run a script as it stands, but plain commands of ours here, where they are loaded already."""
    commands = [*block.commands()]
    if "$" not in block.script and all(words[0] in OURS for words in commands):
        with chdir(home):
            for program, *words in commands:
                status = import_module(f"{OURS[program]}.cli").main(words)
                assert status == 0, f"{block.page}:{block.line}: {program} {words}"
        return
    variables = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    script = f"set -euo pipefail\n{block.script}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=home, env=variables, capture_output=True, text=True
    )
    where = f"{block.page}:{block.line}"
    assert done.returncode == 0, f"{where}\n{block.script}\n{done.stdout}{done.stderr}"


def python(block: Block, home: Path, names: dict[str, Any]) -> None:
    """Run a block in the names of its page."""
    with chdir(home):
        exec(compile(block.text, f"{block.page}:{block.line}", "exec"), names)
