"""The four packages import each other in one direction only (see CONTRIBUTING.md)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"stir", "siconvnet", "tune_jobs", "analysis"}
ALLOWED = {
    "stir": set(),
    "siconvnet": set(),
    "tune_jobs": {"stir", "siconvnet"},
    "analysis": {
        "stir.scenarios",
        "stir.terminal",
        "tune_jobs.errors",
        "tune_jobs.records",
        "tune_jobs.redaction",
        "tune_jobs.storage",
    },
}
FORBIDDEN = {
    "stir": {"ray", "pandas"},
    "siconvnet": {"ray", "pandas"},
    "tune_jobs": {"pandas", "matplotlib"},
    "analysis": {"ray", "torch"},
}


def imported_modules(path: Path) -> set[str]:
    """Every module a file names in an import statement, at the top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def turned_round(package: str, name: str) -> bool:
    """Whether importing ``name`` from ``package`` goes against the direction."""
    top = name.partition(".")[0]
    if top in FORBIDDEN[package]:
        return True
    if top not in OURS - {package}:
        return False
    return not any(
        name == allowed or name.startswith(f"{allowed}.") or allowed.startswith(f"{name}.")
        for allowed in ALLOWED[package]
    )


@pytest.mark.parametrize("package", sorted(OURS))
def test_no_import_goes_against_the_direction(package: str):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in sorted(imported_modules(path))
        if turned_round(package, name)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("package", "name", "against"),
    [
        ("stir", "siconvnet", True),
        ("siconvnet", "stir.scenarios", True),
        ("tune_jobs", "siconvnet.models", False),
        ("tune_jobs", "analysis.tables.parquet", True),
        ("analysis", "stir.scenarios.SCENARIOS", False),
        ("analysis", "tune_jobs.trial.trial", True),
        ("analysis", "torch.nn", True),
        ("tune_jobs", "ray.tune", False),
    ],
)
def test_the_direction_is_the_one_of_the_design(package: str, name: str, against: bool):
    assert turned_round(package, name) is against


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("stir", {"torch", "ray", "pandas", "matplotlib"}),
        ("stir.cli", {"torch", "ray", "pandas"}),
        ("siconvnet", {"ray", "pandas", "matplotlib"}),
        ("tune_jobs", {"torch", "ray"}),
        ("tune_jobs.cli", {"torch", "ray"}),
        ("analysis", {"torch", "ray", "matplotlib"}),
        ("analysis.cli", {"torch", "ray", "matplotlib"}),
    ],
)
def test_importing_stays_light(module: str, heavy: set[str]):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert heavy & set(loaded.stdout.split()) == set()
