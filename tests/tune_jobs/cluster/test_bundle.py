import os
import subprocess
import sys
from pathlib import Path

import pytest

from tune_jobs.cluster import bundle
from tune_jobs.errors import TuneJobsError
from tune_jobs.study.plugins import import_models


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of somebody, with a module, what it imports, and what it does not."""
    folder = tmp_path / "home"
    (folder / "bundled_layers").mkdir(parents=True)
    (folder / "bundled_model.py").write_text("import bundled_layers.wide\n")
    (folder / "bundled_layers" / "__init__.py").write_text("")
    (folder / "bundled_layers" / "wide.py").write_text("")
    (folder / "bundled_layers" / ".keys").write_text("secret")
    (folder / "something_else.py").write_text("")
    (folder / "data").mkdir()
    (folder / "study.yaml").write_text("name: x")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    for name in ("bundled_model", "bundled_layers", "bundled_layers.wide"):
        monkeypatch.delitem(sys.modules, name, raising=False)  # those of another test
    import_models(["bundled_model"])
    return folder


def pack(home: Path, name: str) -> tuple[Path, str]:
    folder = home.parent / name
    folder.mkdir()
    return folder, bundle.write_bundle(
        folder, study_file=home / "study.yaml", imports=["bundled_model"]
    )


def test_code_study_and_what_a_module_loaded_travel_and_nothing_else(home: Path):
    folder, _ = pack(home, "packed")
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".dist-info") == [
        *("bundled_layers", "bundled_model.py", "siconvnet", "stir", "study.yaml", "tune_jobs"),
    ]
    assert sorted(path.name for path in (folder / "bundled_layers").iterdir()) == [
        *("__init__.py", "wide.py"),
    ]
    assert not list(folder.rglob("*.pyc"))


def test_code_that_travelled_knows_its_commit(home: Path):
    folder, _ = pack(home, "packed")
    code = "import tune_jobs.trial.provenance as p; print(p.__file__, *p.git_state())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    here = subprocess.run(
        [sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(folder))
    assert done.stdout.split()[1:] == here.stdout.split()[1:]


def test_the_hash_depends_on_content_only(home: Path):
    _, first = pack(home, "first")
    os.utime(home / "study.yaml", (0, 0))
    _, second = pack(home, "second")
    (home / "study.yaml").write_text("name: y")
    _, third = pack(home, "third")
    assert first == second != third


def test_code_beyond_the_limit_is_refused_with_the_folder_that_is_too_big(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    (home / "bundled_layers" / "images.npz").write_bytes(bytes(3_000_000))
    monkeypatch.setattr(bundle, "MOST_BYTES", 2_500_000)
    with pytest.raises(TuneJobsError, match=r"must be at most 2 MB; this is .*bundled_layers"):
        pack(home, "packed")
