"""The shape of the project: imports run one way, and no file, function or folder outgrows a reader.

``docs/architecture.md`` draws the same directions.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("stir", "siconvnet", "tune_jobs", "analysis")
EXEMPT = ("tune_jobs.frame imports pandas",)  # what it returns is a frame
GEAR = ("lab", "benchmarks")  # may import everything of ours, and is imported by none of it
ALLOWED = {
    "stir": set(),
    "siconvnet": set(),
    "tune_jobs": {"stir", "siconvnet"},
    "analysis": {
        *("stir.dataset", "stir.errors", "stir.scenarios", "stir.schema", "stir.terminal"),
        *("tune_jobs.errors", "tune_jobs.records", "tune_jobs.redaction", "tune_jobs.storage"),
    },
}
FORBIDDEN = {
    "stir": {"ray", "pandas"},
    "siconvnet": {"ray", "pandas"},
    "tune_jobs": {"pandas", "matplotlib"},
    "analysis": {"ray", "torch"},
}
# Rooms of a package, a file or a folder each, from the ground up. A room imports from those below
# its own floor; two rooms on one floor know nothing of each other.
FLOORS = {
    "stir": (
        {"errors"},
        {"archive", "cores", "scenarios", "terminal"},
        {"catalogue"},
        {"schema"},
        {"dataset", "sources"},
        {"build", "download", "sheet"},
        {"cli"},
    ),
    "siconvnet": (
        {"kernel_bank", "modes"},
        {"resample"},
        {"exact"},
        {"compiled"},
        {"bases", "fast"},
        {"forms"},
        {"layers"},
        {"baselines", "selection"},
        {"stages"},
        {"networks"},
        {"models"},
        {"fit_state", "step_graphs", "testing"},
        {"fit"},
        {"evaluation"},
    ),
    "tune_jobs": (
        {"clock", "redaction", "wording"},
        {"errors"},
        {"names", "yaml_file"},
        {"point"},
        {"records"},
        {"storage", "study"},
        {"exports", "plan", "trial"},
        {"cluster", "search"},
        {"driver", "evaluation"},
        {"frame", "terminal"},
        {"commands"},
        {"cli"},
    ),
    "analysis": (
        {"errors", "protocol", "stats", "text"},
        {"style", "tables"},
        {"results"},
        {"charts", "collection", "figures"},
        {"report"},
        {"commands"},
        {"cli"},
    ),
}
LONGEST_FILE, LONGEST_FUNCTION, MOST_FILES = 350, 60, 12  # lines, lines, of a folder
Sources = Mapping[str, str]  # what each module holds, by its dotted name


def sources(*packages: str) -> dict[str, str]:
    """The text of every module; a package's own ``__init__`` goes by the package's name."""
    found = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = path.read_text()
    return found


def imported(text: str) -> set[str]:
    """Every module a file names in an import statement, at the top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def goes_against(package: str, name: str) -> bool:
    """Whether importing ``name`` from ``package`` goes against the direction of the packages."""
    top = name.partition(".")[0]
    if top in FORBIDDEN[package] or top in GEAR:
        return True
    if top not in OURS or top == package:
        return False
    return not any(
        name == allowed or name.startswith(f"{allowed}.") or allowed.startswith(f"{name}.")
        for allowed in ALLOWED[package]
    )


def room(module: str) -> str:
    """The second part of a dotted name, empty for the package itself."""
    return module.split(".")[1] if "." in module else ""


def upward(package: str, modules: Sources) -> Iterator[str]:
    """Imports from a room on the same or a higher floor, and rooms that stand on none."""
    floors = {name: floor for floor, names in enumerate(FLOORS[package]) for name in names}
    for module, text in modules.items():
        here = room(module)
        if here in ("", "__main__"):
            continue
        if here not in floors:
            yield f"{module} stands on no floor"
            continue
        for name in sorted(imported(text)):
            there = room(name)
            if name.partition(".")[0] != package or there in ("", here):
                continue
            if floors.get(there, len(floors)) >= floors[here]:
                yield f"{module} imports {name}"


def circle(modules: Sources) -> list[str]:
    """The modules of one circle of imports, if there is any."""
    graph = {
        module: {name for name in imported(text) if name in modules and name != module}
        for module, text in modules.items()
        if room(module)  # what a package gathers for its users closes no circle
    }
    folders = {module for module in graph if any(name.startswith(f"{module}.") for name in graph)}
    leaves = {module: graph[module] - folders for module in graph.keys() - folders}
    try:
        TopologicalSorter(leaves).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def functions(text: str) -> Iterator[tuple[str, int]]:
    """The name of each function and its length in lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("package", OURS)
def test_no_import_goes_against_the_direction_of_the_packages(package: str):
    wrong = [
        f"{module} imports {name}"
        for module, text in sources(package).items()
        for name in sorted(imported(text))
        if goes_against(package, name)
    ]
    assert [line for line in wrong if line not in EXEMPT] == []


@pytest.mark.parametrize(
    ("package", "name", "against"),
    [
        ("stir", "siconvnet", True),
        ("siconvnet", "stir.scenarios", True),
        ("tune_jobs", "siconvnet.models", False),
        ("tune_jobs", "analysis.tables", True),
        ("tune_jobs", "lab.records", True),
        ("analysis", "stir.scenarios.SCENARIOS", False),
        ("analysis", "tune_jobs.trial", True),
        ("analysis", "tune_jobs.records.trial", False),
        ("analysis", "torch.nn", True),
        ("tune_jobs", "ray.tune", False),
    ],
)
def test_the_direction_is_the_one_of_the_design(package: str, name: str, against: bool):
    assert goes_against(package, name) is against


@pytest.mark.parametrize("package", OURS)
def test_inside_a_package_imports_go_down_and_never_round(package: str):
    modules = sources(package)
    assert list(upward(package, modules)) == []
    assert circle(modules) == []


def test_a_planted_upward_import_is_found():
    planted = {
        "tune_jobs.plan.cost": "def f():\n    from tune_jobs.driver.phases import run_study\n",
        "tune_jobs.trial.trial": "from tune_jobs.plan.cost import expect\n",
        "tune_jobs.attic": "",
        "tune_jobs.cli": "from tune_jobs.commands import run\n",
    }
    assert list(upward("tune_jobs", planted)) == [
        "tune_jobs.plan.cost imports tune_jobs.driver.phases",
        "tune_jobs.plan.cost imports tune_jobs.driver.phases.run_study",
        "tune_jobs.trial.trial imports tune_jobs.plan.cost",
        "tune_jobs.trial.trial imports tune_jobs.plan.cost.expect",
        "tune_jobs.attic stands on no floor",
    ]


def test_a_planted_circle_is_found():
    planted = {
        "tune_jobs.driver.experiment": "from tune_jobs.driver.turns import Slots\n",
        "tune_jobs.driver.turns": "if TYPE_CHECKING:\n    from tune_jobs.driver import course\n",
        "tune_jobs.driver.course": "from tune_jobs.driver.experiment import spec_of\n",
        "tune_jobs.driver.stop": "",
    }
    assert set(circle(planted)) == planted.keys() - {"tune_jobs.driver.stop"}


def test_the_drawing_of_the_architecture_has_every_room_on_its_floor():
    text = (ROOT / "docs" / "architecture.md").read_text()
    for package, floors in FLOORS.items():
        drawn = re.search(rf"%% {package}\n(.*?)```", text, re.DOTALL)
        assert drawn, f"no drawing of {package}"
        boxes = re.findall(r'^\s*\w+\["(.+?)"\]$', drawn[1], re.MULTILINE)
        assert [set(box.split(" | ")) for box in boxes] == [*map(set, reversed(floors))]


def test_no_file_or_function_is_too_long_to_read():
    long = []
    for module, text in sources(*OURS, "lab").items():
        if text.count("\n") > LONGEST_FILE:
            long.append(f"{module}: {text.count(chr(10))} lines")
        long += [
            f"{module}.{name}: {lines} lines"
            for name, lines in functions(text)
            if lines > LONGEST_FUNCTION
        ]
    assert long == []


def test_no_folder_has_more_than_a_dozen_files():
    crowded = {}
    for folder in {
        path.parent for package in (*OURS, "lab") for path in (ROOT / package).rglob("*.py")
    }:
        files = [path for path in folder.glob("*.py") if not path.name.startswith("__")]
        if len(files) > MOST_FILES:
            crowded[str(folder.relative_to(ROOT))] = len(files)
    assert crowded == {}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("stir", {"torch", "ray", "pandas", "matplotlib"}),
        ("stir.cli", {"torch", "ray", "pandas"}),
        ("siconvnet", {"ray", "pandas", "matplotlib"}),
        ("tune_jobs", {"torch", "ray"}),
        ("tune_jobs.cli", {"torch", "ray"}),
        ("analysis", {"torch", "ray", "matplotlib"}),
        ("analysis.cli", {"torch", "ray"}),
    ],
)
def test_importing_stays_light(module: str, heavy: set[str]):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert heavy & set(loaded.stdout.split()) == set()
