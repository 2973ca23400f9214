"""The projects in examples/, installed as packages into a folder of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXAMPLES = {name: ROOT / "examples" / name for name in ("own_model", "own_dataset")}


def install_examples(folder: Path) -> dict[str, str]:
    """Install all examples below a folder; returns an environment in which they are found."""
    site = folder / "site"
    copies = [shutil.copytree(path, folder / name) for name, path in EXAMPLES.items()]
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", site)
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *copies], check=True)
    path = os.pathsep.join([str(ROOT), str(site)])
    kept = {name: value for name, value in os.environ.items() if name != "STIR_DATA"}
    return kept | {"PYTHONPATH": path}
