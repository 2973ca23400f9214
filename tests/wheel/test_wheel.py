"""The wheel in an empty environment, folder and home: from the layers alone to a report."""

import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = """
import sys, torch
from siconvnet import ScalePool, SiConv2d
from siconvnet.fast import backend
layer = SiConv2d(3, 16, num_scales=29, kernel_size=7)
pooled = ScalePool("pixel")(layer(torch.rand(2, 3, 64, 64)))
assert pooled.shape == (2, 16, 58, 58)
assert not {"ray", "pandas", "rich"} & sys.modules.keys()
print(backend())
"""
STUDY = """
name: small
axes: {model: [standard, disco], dataset: emoji, scenario: 2, kernel_size: 7, interpolation: null,
       lr: 0.001, seed: 1}
recipe: {max_epochs: 1}
"""
INSTALL = (
    *("pip", "install", "--quiet", "--no-compile"),
    *("--constraint", str(ROOT / "constraints.txt")),
)
Run = Callable[..., str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution of this tree, as a stranger would."""
    folder = tmp_path_factory.mktemp("built")
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, capture_output=True, check=True)
    (sdist,) = folder.glob("*.tar.gz")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder)]
    subprocess.run([*command, str(sdist)], capture_output=True, check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a program of a new virtual environment; its working and home folders are empty.

    pip takes from its cache what it has downloaded before, and does not compile what it installs.
    """
    bare = tmp_path_factory.mktemp("bare")
    venv.create(bare / "env", with_pip=True)
    for name in ("home", "work"):
        (bare / name).mkdir()
    kept = ("LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    settings = {name: os.environ[name] for name in kept if name in os.environ}
    settings |= {name: text for name, text in os.environ.items() if name.startswith("PIP_")}
    settings |= {
        "HOME": str(bare / "home"),
        "PATH": f"{bare / 'env' / 'bin'}:/usr/bin:/bin",
        **pip_cache(),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    began = time.monotonic()

    def run(*command: str, status: int = 0) -> str:
        done = subprocess.run(
            [bare / "env" / "bin" / command[0], *command[1:]],
            cwd=bare / "work",
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        shown = " ".join(command) if "\n" not in command[-1] else f"{command[0]} -c ..."
        sys.stdout.write(f"{time.monotonic() - began:6.1f} s  $ {shown}\n{done.stdout[-3000:]}\n")
        assert done.returncode == status
        return done.stdout

    return run


def pip_cache() -> dict[str, str]:
    """Where pip keeps what it has fetched for whoever runs the tests, if it keeps it."""
    command = [sys.executable, "-m", "pip", "cache", "dir"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return {} if told.returncode else {"PIP_CACHE_DIR": told.stdout.strip()}


def test_layers_work_with_pytorch_alone_and_commands_name_their_extra(wheel: Path, run: Run):
    run(*INSTALL, str(wheel))
    installed = run("pip", "list", "--format", "freeze")
    assert "rich==" not in installed
    assert "ray==" not in installed
    assert run("python", "-c", LAYERS).startswith("compiled-")
    for extra, command in (
        ("data", ("stir", "list")),
        ("tune", ("tune-jobs", "plan", "demo")),
        ("analysis", ("stir-analysis", "tables")),
    ):
        said = run(*command, status=2)
        assert f"pip install 'scale-generalization[{extra}]'" in said


def test_from_data_to_a_report(wheel: Path, run: Run):
    run(*INSTALL, f"{wheel}[all]")
    run("stir", "build", "emoji")
    assert "points: 6" in run("tune-jobs", "plan", "demo")  # a study that the wheel brings
    run("python", "-c", f"open('small.yaml', 'w').write({STUDY!r})")
    assert "nothing is left to do" not in run("tune-jobs", "plan", "small.yaml")
    run("tune-jobs", "run", "small.yaml")
    assert "nothing is left to do" in run("tune-jobs", "plan", "small.yaml")
    run("stir-analysis", "collect", "--storage", "runs", "--out", "results")
    run("stir-analysis", "report", "--results", "results", "--out", ".")
    assert "</html>" in run("python", "-c", "print(open('report.html').read()[-20:])")
