"""The commands with which a machine installs this software, run here with a Python that notes."""

import os
import subprocess
from pathlib import Path

import pytest

from tune_jobs.cluster.setup.cluster_file import shipped_values

PYTHON = """#!/bin/bash
echo "$*" >> "$HOME/noted"
case $* in *"$REFUSED"*) exit 2 ;; esac
"""
# Stands in for bash's own, on machines of both kinds.
TEST = 'test() {{ [ "$*" = "-e /dev/nvidiactl" ] && {there}; }}; '
WHEEL = "scale_generalization-0.1.0-cp311-cp311-linux_x86_64.whl"
NOTHING = "refuse nothing"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A machine's Python, beside what has been sent to its home."""
    (tmp_path / ".stir").mkdir()
    (tmp_path / ".stir" / WHEEL).touch()
    path = tmp_path / "bin" / "python"
    path.parent.mkdir()
    path.write_text(PYTHON)
    path.chmod(0o755)
    return path


def run(python: Path, *, gpu: bool, refused: str = NOTHING) -> tuple[list[str], str, int]:
    """Run the commands as Ray does, one after another until one fails.

    Returns what the Python was asked for, what was printed, and the last exit status.
    """
    home, printed, status = python.parents[1], "", 0
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    for command in shipped_values()["install"]:
        there = TEST.format(there=str(gpu).lower())
        done = subprocess.run(
            ["bash", "-c", f"{there}({command})"],
            env={"HOME": str(home), "PATH": path, "REFUSED": refused},
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        printed, status = printed + done.stdout, done.returncode
        if status:
            break
    return (home / "noted").read_text().splitlines(), printed, status


def uses_of_uv(python: Path) -> tuple[str, str]:
    """What uv is to do: fetch PyTorch for CPUs, and all that is still missing."""
    sent = python.parents[1] / ".stir"
    install = f"-m uv pip install --python {python} -c {sent}/constraints.txt"
    return f"{install} --torch-backend cpu torch", f"{install} {sent}/{WHEEL}[data,tune,aws]"


def test_a_machine_without_a_gpu_takes_pytorch_for_cpus_before_the_rest(python: Path):
    noted, printed, status = run(python, gpu=False)
    assert noted[1:] == [*uses_of_uv(python)]
    assert (printed, status) == ("", 0)


def test_a_machine_with_a_gpu_takes_pypis(python: Path):
    noted, printed, status = run(python, gpu=True)
    assert noted[1:] == [uses_of_uv(python)[1]]
    assert (printed, status) == ("", 0)


def test_where_pytorchs_index_is_out_of_reach_pypis_serves(python: Path):
    noted, printed, status = run(python, gpu=False, refused="--torch-backend")
    assert noted[1:] == [*uses_of_uv(python)]
    assert (printed, status) == ("PyPI's PyTorch comes instead\n", 0)


@pytest.mark.parametrize(("refused", "asked"), [("-m pip", 1), ("[data,tune,aws]", 3)])
def test_a_machine_that_cannot_install_the_software_does_not_start(
    refused: str, asked: int, python: Path
):
    noted, _, status = run(python, gpu=False, refused=refused)
    assert (len(noted), status) == (asked, 2)
