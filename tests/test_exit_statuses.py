"""The table of exit statuses in the documents, held against what the commands return."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from analysis.cli import main as stir_analysis
from lab.records import put_record
from stir.cli import INTERRUPTED
from stir.cli import main as stir
from stir.terminal.run import READER_GONE
from tune_jobs.cli import main as tune_jobs
from tune_jobs.commands import options
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.keys import record_key
from tune_jobs.storage import Storage

ROOT = Path(__file__).parent.parent
COMMANDS = {"stir": stir, "tune-jobs": tune_jobs, "stir-analysis": stir_analysis}
POINT = GridPoint(
    model="standard",
    dataset="bars",
    scenario=2,
    kernel_size=3,
    interpolation=None,
    lr=0.001,
    seed=1,
)


def rows() -> dict[int, str]:
    """The examples of each status."""
    table = (ROOT / "docs" / "exit-status.md").read_text()
    found = re.findall(r"^\| (\d+) \| [^|]+\| (.*)\|$", table, re.MULTILINE)
    return {int(status): examples for status, examples in found}


EXAMPLES = [
    (status, example)
    for status, examples in rows().items()
    for example in re.findall(r"`([^`]+)`", examples)
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with a good storage, a damaged one and a cluster file that is not filled in."""
    monkeypatch.chdir(tmp_path)
    spec = TrialSpec(point=POINT, recipe=Recipe(), model_version=1, dataset_fingerprint="0" * 12)
    for name in ("runs", "damaged"):
        Path(name).mkdir()
        put_record(Storage(name), spec, valid_accuracy=0.5)
    Path("damaged", record_key(spec.point_id)).write_bytes(b"{}")
    shutil.copy(ROOT / "cluster.yaml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("status", "example"), EXAMPLES)
def test_an_example_ends_with_the_status_of_its_row(
    status: int, example: str, folder: Path, capsys: pytest.CaptureFixture[str]
):
    command, *words = shlex.split(example)
    try:
        found = COMMANDS[command](words)
    except SystemExit as end:  # argparse's
        found = end.code
    assert found == status
    assert bool(capsys.readouterr().err) is bool(status)


def test_the_table_has_every_status_there_is():
    assert [*rows()] == [0, 1, 2, options.OVER_BUDGET, INTERRUPTED, READER_GONE]
    assert options.INTERRUPTED == INTERRUPTED
