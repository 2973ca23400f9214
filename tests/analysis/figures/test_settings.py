"""The user's matplotlib reaches neither our commands nor our figures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.cli import main
from analysis.collection.collect import collect

INLINE = "module://matplotlib_inline.backend_inline"
MINE = """lines.linewidth: 20
font.size: 30
savefig.dpi: 30
figure.facecolor: red
svg.fonttype: none
"""
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def results(tmp_path_factory, make_record, put) -> Path:
    folder = tmp_path_factory.mktemp("settings")
    put(folder / "runs", make_record(seed=1), make_record(model="xu", correct=18))
    collect([str(folder / "runs")], str(folder / "results"))
    return folder


def run(folder: Path, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "analysis", *argv],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("argv", [["--help"], ["tables", "accuracy"]])
def test_a_backend_that_is_not_there_keeps_no_command_from_starting(argv, results):
    done = run(results, *argv, MPLBACKEND=INLINE)
    assert (done.returncode, done.stderr) == (0, "")


def test_commands_that_draw_nothing_do_not_import_matplotlib(results):
    code = (
        "import sys; from analysis.cli import main; "
        "main(['query', 'select 1 as one']); main(['tables', 'accuracy']); "
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=results,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_figures_are_the_same_bytes_whatever_the_users_settings(results, tmp_path):
    plain = ["figures", "boxes", "--results", str(results / "results")]
    assert main([*plain, "--out", str(tmp_path / "plain")]) == 0
    (results / "matplotlibrc").write_text(MINE)
    (tmp_path / "damaged").write_bytes(b"\xff\xfe lines.linewidth: thick\nno.such: key")
    others = {
        "in the folder": {"MPLBACKEND": INLINE},
        "by name, damaged": {"MATPLOTLIBRC": str(tmp_path / "damaged")},
    }
    for name, environment in others.items():
        out = tmp_path / name
        done = run(results, "figures", "boxes", "--out", str(out), **environment)
        said = done.stderr.replace("Drawing figures: 1 of 1\n", "")  # which a slow machine says
        assert (done.returncode, said) == (0, ""), name
        for kind in ("svg", "png", "pdf"):
            same = (tmp_path / "plain" / "figures" / f"boxes.{kind}").read_bytes()
            assert (out / "figures" / f"boxes.{kind}").read_bytes() == same, (name, kind)
