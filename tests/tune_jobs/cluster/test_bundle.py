"""What is sent to a cluster, and what never is."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import siconvnet
from tune_jobs.cluster import bundle
from tune_jobs.cluster.allow_list import ELF_CORE, candidates
from tune_jobs.cluster.bundle import Bundle
from tune_jobs.errors import TuneJobsError
from tune_jobs.study.plugins import import_models

ROOT = Path(__file__).parents[3]
MODULES = ("bundled_model", "bundled_layers", "bundled_layers.wide", "bundled_layers.data.loader")
PRIVATE_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of somebody, with a module, what it imports, and what it does not."""
    folder = tmp_path / "home"
    (folder / "bundled_layers" / "data").mkdir(parents=True)
    (folder / "bundled_model.py").write_text("import bundled_layers.wide\n")
    (folder / "bundled_layers" / "__init__.py").write_text("")
    (folder / "bundled_layers" / "wide.py").write_text("import bundled_layers.data.loader\n")
    (folder / "bundled_layers" / "data" / "loader.py").write_text("")
    (folder / "bundled_layers" / ".keys").write_text("secret")
    (folder / "something_else.py").write_text("")
    (folder / "data").mkdir()
    (folder / "study.yaml").write_text("name: x")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)  # those of another test
    import_models(["bundled_model"])
    return folder


def bundled(home: Path) -> Bundle:
    return Bundle.of(study_file=home / "study.yaml", imports=["bundled_model"])


def pack(home: Path, name: str) -> tuple[Path, str]:
    folder = home.parent / name
    folder.mkdir()
    return folder, bundled(home).write(folder)


def sent(home: Path) -> set[str]:
    """What is sent of the package ``bundled_layers``."""
    layers = home / "bundled_layers"
    return {str(one.path.relative_to(layers)) for one in candidates(layers) if not one.reason}


def test_code_study_and_what_a_module_loaded_travel_and_nothing_else(home: Path):
    folder, _ = pack(home, "packed")
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".dist-info") == [
        *("bundled_layers", "bundled_model.py", "siconvnet", "stir", "study.yaml", "tune_jobs"),
    ]
    assert sent(home) == {"__init__.py", "wide.py", "data/loader.py"}
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {
        *(".py", ".typed", ".yaml", ".cpp", ".h", ".so", ".json", ""),
    }


def test_every_source_file_of_the_packages_travels(home: Path):
    listed = subprocess.run(
        ["git", "ls-files", *bundle.PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = {name for name, _ in bundled(home).files}
    assert {name for name in listed.stdout.splitlines() if (ROOT / name).exists()} <= names


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("id_rsa", "x"), ("tls.key", "x"), ("cert.pem", "x"), ("secrets.yaml", "a: 1")),
        *(("aws-credentials.yml", "a: 1"), ("prod.env", "A=1"), ("kubeconfig.yaml", "a: 1")),
        *(("core.12345", "x"), ("service-account.json", "{}"), ("notes.py", PRIVATE_KEY)),
        *(("runs/old.py", ""), ("data/labels.yaml", "a: 1"), ("venv/lib/x.py", "")),
        *(("env/x.py", ""), ("node_modules/x.py", ""), (".ssh/config.py", "")),
        *(("weights.npz", "x"), ("big.py", "#" * 1_000_001), ("big.yaml", "#" * 1_000_001)),
    ],
)
def test_keys_secrets_data_dumps_and_environments_are_held_back(
    name: str, content: str, home: Path
):
    path = home / "bundled_layers" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    if path.parent.name in ("lib", "env"):
        (home / "bundled_layers" / name.partition("/")[0] / "pyvenv.cfg").write_text("")
    assert sent(home) == {"__init__.py", "wide.py", "data/loader.py"}


def test_a_core_dump_and_a_pipe_are_held_back_whatever_they_are_called(home: Path):
    dump = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x04\x00"
    assert ELF_CORE.match(dump)
    (home / "bundled_layers" / "model.py.yaml").write_bytes(dump)
    os.mkfifo(home / "bundled_layers" / "pipe.py")
    assert sent(home) == {"__init__.py", "wide.py", "data/loader.py"}


def test_what_git_tracks_travels_but_for_secrets(home: Path):
    layers = home / "bundled_layers"
    (layers / "table.csv").write_text("1,2")
    (layers / "untracked.csv").write_text("1,2")
    (layers / "deploy.key").write_text("x")
    (layers / "notes.txt").write_text(PRIVATE_KEY)
    tracked = ["table.csv", "deploy.key", "notes.txt", "wide.py"]
    for words in (["init", "-q"], ["add", "-f", *(f"bundled_layers/{name}" for name in tracked)]):
        subprocess.run(["git", *words], cwd=home, check=True)
    assert sent(home) == {"__init__.py", "wide.py", "data/loader.py", "table.csv"}


@pytest.mark.parametrize("kind", ["file", "folder", "chain", "dangling", "relative"])
def test_a_link_out_of_the_project_is_refused_by_name(kind: str, home: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "passwd").write_text("root")
    link = home / "bundled_layers" / ("extra" if kind == "folder" else "extra.py")
    targets = {
        "file": outside / "passwd",
        "folder": outside,
        "dangling": outside / "nothing",
        "relative": Path("../../outside/passwd"),
    }
    if kind == "chain":
        (home / "bundled_layers" / "between.yaml").symlink_to(outside / "passwd")
        targets["chain"] = home / "bundled_layers" / "between.yaml"
    link.symlink_to(targets[kind])
    with pytest.raises(TuneJobsError, match=r"its own project, .* is a link to /.*outside"):
        bundled(home)


def test_a_link_inside_the_project_travels_as_what_it_leads_to(home: Path):
    layers = home / "bundled_layers"
    (layers / "narrow.py").symlink_to(layers / "wide.py")
    (layers / "key.py").symlink_to(layers / ".keys")
    folder, _ = pack(home, "packed")
    copy = folder / "bundled_layers" / "narrow.py"
    assert not copy.is_symlink()
    assert copy.read_text() == (layers / "wide.py").read_text()
    assert not (folder / "bundled_layers" / "key.py").exists()


def test_code_that_travelled_knows_its_commit(home: Path):
    folder, _ = pack(home, "packed")
    code = "import tune_jobs.trial.provenance as p; print(p.__file__, *p.git_state())"
    done, here = (
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=where,
            env=os.environ | {"PYTHONPATH": str(path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for where, path in ((folder, folder), (home, ROOT))
    )
    assert done.startswith(str(folder))
    assert done.split()[1:] == here.split()[1:]


def test_the_hash_depends_on_content_only(home: Path):
    _, first = pack(home, "first")
    os.utime(home / "study.yaml", (0, 0))
    _, second = pack(home, "second")
    (home / "study.yaml").write_text("name: y")
    _, third = pack(home, "third")
    assert first == second != third


def test_test_gear_neither_travels_nor_changes_the_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A model in a clone of this project, where lab and tests lie beside the packages."""
    clone = tmp_path / "clone"
    for name in (*bundle.PACKAGES, "lab"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    (clone / "cloned_model.py").write_text("import cloned_parts\n")
    (clone / "cloned_parts.py").write_text("")
    monkeypatch.setattr(bundle, "_our_folder", lambda: clone)
    monkeypatch.setattr(sys, "path", [str(clone), *sys.path])
    monkeypatch.setattr(bundle, "_home", lambda module: _beside(clone, module))
    for name in ("cloned_model", "cloned_parts"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import_models(["cloned_model"])
    hashes = set()
    for line in ("", "# changed\n"):
        with (clone / "lab" / "store.py").open("a") as file:
            file.write(line)
        packed = Bundle.of(study_file=None, imports=["cloned_model"])
        names = {name.partition("/")[0] for name, _ in packed.files}
        assert names == {*bundle.PACKAGES, "cloned_model.py", "cloned_parts.py"}
        folder = tmp_path / f"packed{len(hashes)}"
        folder.mkdir()
        hashes.add(packed.write(folder))
    assert len(hashes) == 1


def _beside(folder: Path, module: str) -> Path | None:
    """Where a module of a clone lies, also one that this process loaded from elsewhere."""
    found = (folder / module, folder / f"{module}.py")
    return next((path for path in found if path.exists()), None)


def test_a_wheel_holds_neither_test_gear_nor_tests(tmp_path: Path):
    copied = ("stir", "siconvnet", "tune_jobs", "analysis", "lab", "tests", "pyproject.toml")
    source = tmp_path / "source"
    for name in (*copied, "README.md", "LICENSE"):
        here = ROOT / name
        copy = shutil.copytree if here.is_dir() else shutil.copy
        source.mkdir(exist_ok=True)
        copy(here, source / name)
    code = "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    tops = {name.partition("/")[0] for name in names if name.endswith(".py")}
    assert tops == {"stir", "siconvnet", "tune_jobs", "analysis"}


def test_code_beyond_the_limit_is_refused_with_the_folder_that_is_too_big(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("a", "b", "c", "d"):
        (home / "bundled_layers" / f"{name}.py").write_text("#" * 900_000)
    monkeypatch.setattr(bundle, "MOST_BYTES", 2_500_000)
    with pytest.raises(TuneJobsError, match=r"must be at most 2 MB; this is .*bundled_layers"):
        bundled(home)


def test_the_compiled_loops_that_were_built_here_travel():
    folder = Path(siconvnet.__file__).parent / "compiled"
    built = {f"siconvnet/compiled/{path.name}" for path in folder.glob("*.so")}
    packed = Bundle.of(study_file=None, imports=())
    assert {name for name, _ in packed.files if name.endswith(".so")} == built
    assert not [each for each in packed.held_back if each.path.suffix == ".so"]


def test_a_package_with_entry_points_travels_with_them_and_nothing_that_lies_beside_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    site = tmp_path / "site"
    info = site / "nice_net-2.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nice-net\nVersion: 2.1\n")
    (info / "top_level.txt").write_text("nice_net\n")
    (info / "entry_points.txt").write_text(
        "[console_scripts]\nnice = nice_net:main\n[siconvnet.models]\nnice = nice_net\n"
    )
    (site / "nice_net").mkdir()
    (site / "nice_net" / "__init__.py").write_text("")
    (site / "numpy_like.py").write_text("")
    monkeypatch.syspath_prepend(site)
    points = metadata.entry_points(group="siconvnet.models")
    packed = Bundle.of(study_file=None, imports=(), entry_points=points)
    folder = tmp_path / "packed"
    folder.mkdir()
    before = packed.write(folder)
    assert (folder / "nice_net" / "__init__.py").exists()
    assert not (folder / "numpy_like.py").exists()
    (found,) = metadata.distributions(path=[str(folder)], name="nice-net")
    assert found.version == "2.1"
    assert [(one.group, one.name, one.value) for one in found.entry_points] == [
        ("siconvnet.models", "nice", "nice_net")
    ]
    without = Bundle.of(study_file=None, imports=["nice_net"])
    (tmp_path / "without").mkdir()
    assert without.write(tmp_path / "without") != before
