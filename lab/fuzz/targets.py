"""What is fuzzed, by name: made ready in a folder, each then takes one input after another."""

import random
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from unittest import mock

import yaml

import stir.cli
from lab.fuzz import grammar, stored, tables
from lab.fuzz.attempt import command, refused
from lab.fuzz.spoil import other_array, spoilt, twisted
from stir import StirError, archive, schema
from stir.sources import aerial, idx, photos, trafficsign
from tune_jobs import cli as service
from tune_jobs.errors import TuneJobsError
from tune_jobs.storage import Storage

Attempt = Callable[[random.Random], object]
ROOT = Path(__file__).parents[2]
ASKED = ("plan", "status", "export", "clean", "cluster-check")  # commands that start nothing


def _yaml(text: str, folder: Path, run: Callable[[str], object], rng: random.Random) -> object:
    """Give a command a file that is made by rule, or an example spoilt as text or as values."""
    path = folder / "input.yaml"
    match rng.randrange(3):
        case 0:
            path.write_text(grammar.yaml(rng), errors="replace")
        case 1:
            path.write_bytes(spoilt(text.encode(), rng))
        case 2:
            value = twisted(yaml.safe_load(text), rng)
            path.write_text(yaml.safe_dump(value, allow_unicode=True), errors="replace")
    return run(str(path))


def _studies(folder: Path) -> Attempt:
    examples = [path.read_text() for path in sorted((ROOT / "tune_jobs/study/shipped").iterdir())]

    def plan(path: str) -> int:
        return command(service.main, "plan", path, "--storage", str(folder), "--data", str(folder))

    return lambda rng: _yaml(rng.choice(examples), folder, plan, rng)


def _clusters(folder: Path) -> Attempt:
    example = (ROOT / "cluster.yaml").read_text()
    return lambda rng: _yaml(
        example, folder, lambda path: command(service.main, "cluster-check", path), rng
    )


def _datasets(folder: Path) -> Attempt:
    path = folder / "x.npz"
    arrays = stored.tiny_dataset()
    archive.write(path, arrays)
    whole = path.read_bytes()

    def attempt(rng: random.Random) -> int:
        if rng.random() < 0.5:
            path.write_bytes(spoilt(whole, rng))
        else:
            name = rng.choice(list(arrays))
            archive.write(path, arrays | {name: other_array(arrays[name], rng)})
        if rng.random() < 0.8:
            return command(stir.cli.main, "check", str(path))
        return command(stir.cli.main, "show", str(path), "--out", str(folder / "sheet.png"))

    return attempt


def _idx_files(folder: Path) -> Attempt:
    labels = struct.pack(">2I", idx.LABELS_MAGIC, 50) + bytes(range(50))

    def attempt(rng: random.Random) -> object:
        (folder / "train-labels-idx1-ubyte").write_bytes(spoilt(labels, rng))
        return refused(lambda: idx.read_labels(folder, "train"), StirError, OSError)

    return attempt


def _mapillary(folder: Path) -> Attempt:
    box = {"xmin": 1.5, "ymin": 2.5, "xmax": 71.0, "ymax": 72.0}
    entry = {"label": "a", "bbox": box, "properties": {"occluded": False}}
    example = {"width": 100, "objects": [entry, entry]}
    for name in ("splits", "annotations"):
        (folder / name).mkdir()
    (folder / "splits" / "train.txt").write_text("aa\n")
    (folder / "splits" / "val.txt").write_text("")
    photo_of = {"aa": photos.Photo(folder / "x.zip", "images/aa.jpg")}

    def attempt(rng: random.Random) -> object:
        (folder / "annotations" / "aa.json").write_bytes(stored.spoilt_json(example, rng))
        return refused(lambda: trafficsign.read_signs(folder, photo_of), StirError, OSError)

    return attempt


def _dota(folder: Path) -> Attempt:
    line = "10.0 10.0 90.0 10.0 90.0 60.0 10.0 60.0 ship 0"
    example = "\n".join(["imagesource:GoogleEarth", "gsd:0.1", line, line]).encode()
    photo_of = {"P1": photos.Photo(folder / "part1.zip", "images/P1.png")}
    for split in ("train", "val"):
        (folder / split).mkdir()

    def attempt(rng: random.Random) -> object:
        for split in ("train", "val"):
            path = folder / split / f"DOTA-v1.5_{split}.zip"
            with zipfile.ZipFile(path, "w") as bundle:
                bundle.writestr("P1.txt", spoilt(example, rng))
            if rng.random() < 0.3:
                path.write_bytes(spoilt(path.read_bytes(), rng))
        photos.close_all()
        with mock.patch.object(photos, "measure", return_value=(4000, 4000, "RGB")):
            return refused(lambda: aerial.read_objects(folder, photo_of), StirError, OSError)

    return attempt


def _uris(folder: Path) -> Attempt:
    return lambda rng: refused(lambda: Storage(grammar.uri(rng)), TuneJobsError)


def _command_lines(folder: Path) -> Attempt:
    import analysis.cli

    mains = {
        service.main: ASKED,
        stir.cli.main: ("check", "list", "show", *schema.NAMES),
        analysis.cli.main: ("query", "tables", "collect", "compare", "import-mlflow", "select 1"),
    }

    def attempt(rng: random.Random) -> int:
        main = rng.choice(list(mains))
        arguments = grammar.arguments((*mains[main], str(folder), str(folder / "none")), rng)
        return command(main, *(rng.choice(mains[main]), *arguments))

    return attempt


SLOW = ("collected objects", "MLflow exports", "names")  # which come half as often as the others
TARGETS: Mapping[str, Callable[[Path], Attempt]] = MappingProxyType(
    {
        "study files": _studies,
        "cluster files": _clusters,
        "stored objects": stored.service_objects,
        "collected objects": stored.collected_objects,
        "checkpoints": stored.checkpoints,
        "weights": stored.weights,
        "evaluations": stored.evaluations,
        "results tables": tables.results,
        "datasets": _datasets,
        "idx files": _idx_files,
        "Mapillary annotations": _mapillary,
        "DOTA annotations": _dota,
        "MLflow exports": tables.exports,
        "queries": tables.queries,
        "names": tables.names,
        "storage URIs": _uris,
        "command lines": _command_lines,
    }
)
CYCLE = (*TARGETS, *(name for name in TARGETS if name not in SLOW))  # of one input after another
