"""What an installation brings: dependencies by extra, types, and a source distribution."""

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PACKAGES = {  # and the extras that they may import from
    "siconvnet": [],
    "stir": ["data"],
    "tune_jobs": ["tune", "aws", "mlflow", "optuna"],
    "analysis": ["analysis"],
}
OF_DOCS = {"griffelib", "mkdocs"}  # that the site's own requirements bring
OURS = {*PACKAGES, "lab", "benchmarks"}
OF_RAY = {"aiohttp", "jsonschema", "pandas", "tensorboardx"}  # that ray[tune,default] brings


def names(requirements: list[str]) -> set[str]:
    """The distributions that are required, by their normalized names."""
    found = (re.match(r"[A-Za-z0-9_.-]+", each) for each in requirements)
    return {re.sub(r"[-_.]+", "-", match[0]).lower() for match in found if match}


def third_party(package: str) -> set[str]:
    """The distributions whose modules a package imports."""
    homes = packages_distributions()
    tops = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                tops |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                tops.add(node.module.partition(".")[0])
    ours = {*OURS, *sys.stdlib_module_names, "_typeshed"}
    return {home.lower().replace("_", "-") for top in tops - ours for home in homes[top][:1]}


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_imports_only_what_its_extra_declares(package: str):
    declared = names(PROJECT["dependencies"]) | (OF_RAY if package == "tune_jobs" else set())
    for extra in PACKAGES[package]:
        declared |= names(EXTRAS[extra])
    if "boto3" in declared:
        declared.add("botocore")
    if "mlflow-skinny" in declared:
        declared.add("mlflow")
    assert third_party(package) - declared == set()


def test_benchmarks_import_only_what_the_tests_bring():
    """Else one does not start in the environment that ``make test`` makes."""
    declared = names(PROJECT["dependencies"]) | OF_RAY | OF_DOCS | {"botocore"}
    for extra in ("data", "tune", "analysis", "mlflow", "optuna", "docs", "test"):
        declared |= names(EXTRAS[extra])
    assert (third_party("lab") | third_party("benchmarks")) - declared == set()


def test_layers_and_models_need_pytorch_and_numpy_only():
    assert names(PROJECT["dependencies"]) == {"numpy", "torch"}
    assert third_party("siconvnet") == {"torch"}


def test_every_requirement_is_pinned():
    pinned = names([line for line in (ROOT / "constraints.txt").read_text().splitlines() if line])
    wanted = names([*PROJECT["dependencies"], *(each for of in EXTRAS.values() for each in of)])
    assert wanted - pinned - {"scale-generalization"} == set()


@pytest.mark.parametrize(
    ("command", "package", "missing", "extra"),
    [
        ("stir list", "stir", "rich", "data"),
        ("tune-jobs status", "tune_jobs", "pydantic", "tune"),
        ("stir-analysis tables", "analysis", "pyarrow", "analysis"),
    ],
)
def test_a_command_without_its_extra_says_which_one_it_needs(
    command: str, package: str, missing: str, extra: str
):
    code = (
        f"import sys; sys.modules['{missing}'] = None; sys.argv = {command.split()};"
        f"from {package}.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    prog = command.split()[0]
    assert done.stderr == (
        f"{prog}: This command needs the extra {extra}, of which {missing} is not here: "
        f"pip install 'scale-generalization[{extra}]'.\n"
    )


def test_every_console_script_is_the_command_of_its_package():
    assert PROJECT["scripts"] == {
        "stir": "stir.__main__:main",
        "tune-jobs": "tune_jobs.__main__:main",
        "stir-analysis": "analysis.__main__:main",
    }


def test_all_packages_say_that_they_are_typed():
    assert [package for package in PACKAGES if not (ROOT / package / "py.typed").exists()] == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")
def test_a_source_distribution_has_every_file_under_version_control(tmp_path: Path):
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]
    tree = tmp_path / "tree"
    for name in files:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    code = f"from setuptools.build_meta import build_sdist; build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        inside = {name.partition("/")[2] for name in packed.getnames()}
    assert [name for name in files if name not in inside] == []
