"""The wheel and the constraints that a cluster's machines install."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest

from tune_jobs.cluster.check.versions import local_versions
from tune_jobs.cluster.setup.software import describe, pinned, write_software

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def installed(software: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the wheel into, without its requirements."""
    folder = tmp_path_factory.mktemp("installed")
    (wheel,) = software.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-compile", "--target", str(folder), str(wheel)], check=True)
    return folder


def test_pip_installs_the_code_as_it_is_here(installed: Path):
    for name in ("stir/schema.py", "siconvnet/layers.py", "tune_jobs/study/shipped/demo.yaml"):
        assert (installed / name).read_bytes() == (ROOT / name).read_bytes()
    assert not (installed / "tests").exists()


def test_what_is_installed_fills_in_a_cluster_file_without_a_checkout(installed: Path):
    shipped = installed / "tune_jobs" / "cluster" / "setup" / "shipped"
    assert (shipped / "cluster.yaml").read_bytes() == (ROOT / "cluster.yaml").read_bytes()
    assert (shipped / "stack.yaml").read_bytes() == (ROOT / "deploy" / "stack.yaml").read_bytes()


def test_the_command_line_runs_from_what_is_installed(installed: Path):
    line = [sys.executable, str(installed / "bin" / "tune-jobs"), "--help"]
    done = subprocess.run(
        line, env={"PYTHONPATH": str(installed)}, capture_output=True, text=True, cwd=installed
    )
    assert done.returncode == 0, done.stderr
    assert "cluster-init" in done.stdout


def test_requirements_are_pinned_to_what_is_installed_here():
    pins = dict(line.split("==") for line in pinned())
    here = local_versions()
    assert (pins["ray"], pins["torch"]) == (here["ray"], here["torch"])
    assert pins["boto3"] == metadata.version("boto3")  # the head launches machines with it
    assert "scale-generalization" not in pins
    assert not any("+" in version for version in pins.values())


def test_equal_code_makes_an_equal_wheel_and_an_older_one_goes(software: Path, tmp_path: Path):
    (tmp_path / "scale_generalization-0.0.1-py3-none-any.whl").touch()
    assert write_software(tmp_path) == tuple(sorted(path.name for path in software.iterdir()))[::-1]
    for path in software.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_wheel_from_another_platform_fits_everywhere_and_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    names = write_software(tmp_path)
    assert names[0].endswith("-py3-none-any.whl")
    with ZipFile(tmp_path / names[0]) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".so")]
    assert "without compiled loops, which only linux-x86_64" in describe(names, tmp_path)


def test_every_file_of_the_wheel_is_in_its_record(software: Path):
    (wheel,) = software.glob("*.whl")
    with ZipFile(wheel) as archive:
        (record,) = [name for name in archive.namelist() if name.endswith("/RECORD")]
        listed = {line.split(",")[0] for line in archive.read(record).decode().splitlines()}
        assert listed == set(archive.namelist())
