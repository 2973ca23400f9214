"""What an older version stored and said of it, read by this one; see README.md."""

import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from analysis import load
from analysis.cli import main as stir_analysis
from analysis.tables.schemas import SCHEMAS
from lab.records import put_record
from siconvnet.evaluation.objects import ObjectImages
from siconvnet.evaluation.pool_scales import pool_scales
from stir import STIRDataset
from tune_jobs.cli import main as tune_jobs
from tune_jobs.evaluation.measures import evaluate_point, load_model, objects_to_test
from tune_jobs.plan.inventory import take_inventory
from tune_jobs.plan.opened import open_study
from tune_jobs.point import Recipe
from tune_jobs.records.evaluation import Evaluation
from tune_jobs.records.keys import evaluation_key
from tune_jobs.storage import Storage
from tune_jobs.study.file import load_study

KEYS = {  # what identifies a row of each table
    "trials": ["point_id"],
    "epochs": ["point_id", "epoch"],
    "scale_accuracy": ["point_id", "scale"],
    "study_points": ["study", "phase", "point_id"],
    "cells": ["study", "phase", "model"],
    "searches": ["study", "sample"],
    "evaluations": ["key", "measure"],
    "equivariance": ["point_id", "stage", "class_index", "instance", "scale", "other_scale"],
    "pool_scales": ["point_id", "stage", "channel", "class_index", "instance", "scale"],
    "pool_correlations": ["point_id", "stage", "channel"],
}
# Columns that say where the tables were made, or that held training and validation in one.
GONE = {"storage", "last_epoch_seconds"}


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old storage, unpacked, with study files that name its dataset."""
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(Path(__file__).with_name("storage.tar.xz")) as packed:
        packed.extractall(folder, filter="data")
    [dataset] = (folder / "runs/datasets").iterdir()
    for study in (folder / "said").glob("*.yaml"):
        study.write_text(study.read_text().replace("DATASET", str(dataset)))
    return folder


def said(golden: Path, name: str) -> dict[str, Any]:
    return json.loads((golden / "said" / f"{name}.json").read_text())


def table(folder: Path, name: str) -> pd.DataFrame:
    """The rows of a table, of one file or of its parts, in the order of their keys."""
    whole = folder / f"{name}.parquet"
    files = [whole] if whole.exists() else sorted((folder / name).iterdir())
    frame = pd.concat(pq.read_table(file).to_pandas() for file in files)
    return frame.sort_values(KEYS[name], ignore_index=True)


@pytest.mark.parametrize("study", ["study", "search", "diverges"])
def test_plan_says_what_the_older_version_said(
    golden: Path, study: str, capsys: pytest.CaptureFixture[str]
):
    file = str(golden / "said" / f"{study}.yaml")
    storage = str(golden / "runs")
    assert tune_jobs(["plan", file, "--storage", storage, "--max-concurrent", "2", "--json"]) == 0
    out, err = capsys.readouterr()
    plan = json.loads(out)
    then = said(golden, f"plan-{study}")
    for phase, phase_then in zip(plan.get("phases", []), then.get("phases", []), strict=True):
        for cell, cell_then in zip(phase["cells"], phase_then["cells"], strict=True):
            # Since then times of records by another form of the layers are scaled to this one's.
            assert cell_then["trial_seconds"] / 4 < cell["trial_seconds"]
            assert cell["trial_seconds"] < 1.25 * cell_then["trial_seconds"]
            for name in ("trial_seconds", "measured"):  # what another form took is not measured
                cell[name] = cell_then[name]
            for name in cell.keys() - cell_then.keys():  # keys may be added, none may go
                del cell[name]
    assert {name: plan[name] for name in then} == then
    assert err == ""


def test_status_says_what_the_older_version_said(golden: Path, capsys: pytest.CaptureFixture[str]):
    assert tune_jobs(["status", "--storage", str(golden / "runs"), "--json"]) == 0
    out, err = capsys.readouterr()
    status, then = json.loads(out), said(golden, "status")
    assert {name: status[name] for name in then} == then
    assert err == ""


def test_the_points_of_its_studies_have_the_ids_of_its_records(golden: Path):
    inventory = take_inventory(Storage(golden / "runs"))
    ids: set[str] = set()
    for study in ("study", "diverges"):
        opened = open_study(load_study(str(golden / "said" / f"{study}.yaml")), None)
        ids |= {opened.spec(point).point_id for point in opened.study.points}
    assert len(ids & inventory.finished) == 8  # of 9 whose rate is given; the other diverged
    assert ids - inventory.finished == inventory.failed
    assert inventory.strays == ()


def test_collected_tables_hold_what_they_held(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    runs, results = str(golden / "runs"), str(tmp_path / "results")
    assert stir_analysis(["collect", "--storage", runs, "--out", results]) == 0
    assert "13 trials (13 new), 1 failed, 6 new evaluations" in capsys.readouterr().out
    for name in KEYS:
        before, now = table(golden / "results", name), table(tmp_path / "results", name)
        columns = [column for column in before if column not in GONE]
        assert len(before)
        pd.testing.assert_frame_equal(now[columns], before[columns])
    assert stir_analysis(["report", "--results", results, "--out", str(tmp_path / "report")]) == 0
    assert (tmp_path / "report/report.html").stat().st_size > 10_000


def test_collected_tables_of_the_older_version_are_read_and_reported(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    results = str(golden / "results")
    for name in ("trials", "epochs", "cells"):
        before, now = table(golden / "results", name), load(name, results)
        now = now.sort_values(KEYS[name], ignore_index=True)
        assert list(now) == SCHEMAS[name].names
        columns = [column for column in before if column in SCHEMAS[name].names]
        pd.testing.assert_frame_equal(now[columns], before[columns])
    assert load("trials", results)[["train_seconds", "on_divergence"]].isna().all(axis=None)
    assert stir_analysis(["report", "--results", results, "--out", str(tmp_path)]) == 0


def test_a_folder_of_the_older_version_takes_new_trials_and_has_their_columns_then(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(golden / "results", tmp_path / "results")
    storage = Storage(tmp_path / "runs")
    opened = open_study(load_study(str(golden / "said/study.yaml")), None)
    spec = replace(opened.spec(opened.study.points[0]), recipe=Recipe(max_epochs=7))
    put_record(storage, spec, valid_accuracy=0.5)
    argv = ["collect", "--storage", storage.uri, "--out", str(tmp_path / "results")]
    assert stir_analysis(argv) == 0
    assert pq.read_schema(tmp_path / "results/trials.parquet").names == SCHEMAS["trials"].names
    assert (
        len(load("trials", str(tmp_path / "results")))
        == len(table(golden / "results", "trials")) + 1
    )


def weights_of(golden: Path, model: str, lr: float) -> tuple[Storage, str]:
    """The old storage, and the point of a model's first seed at a learning rate."""
    opened = open_study(load_study(str(golden / "said/study.yaml")), None)
    [point_id] = {
        opened.spec(point).point_id
        for point in opened.study.points
        if (point.model, point.lr, point.seed) == (model, lr, 1)
    }
    return Storage(golden / "runs"), point_id


def test_weights_are_as_equivariant_as_they_were(golden: Path):
    storage, point_id = weights_of(golden, "standard", 0.001)
    before = Evaluation.from_npz(storage.read(evaluation_key(point_id)))
    storage.delete(evaluation_key(point_id))
    evaluate_point(point_id, storage)
    now = Evaluation.from_npz(storage.read(evaluation_key(point_id)))
    assert now.weights_key == before.weights_key
    assert np.array_equal(now.pairs, before.pairs)
    np.testing.assert_allclose(now.equivariance, before.equivariance, rtol=1e-3, atol=1e-4)


def test_weights_choose_the_kernel_sizes_that_they_chose(golden: Path):
    storage, point_id = weights_of(golden, "energy_pool", 0.01)
    before = Evaluation.from_npz(storage.read(evaluation_key(point_id)))
    [path] = (golden / "runs/datasets").iterdir()
    whole = objects_to_test(STIRDataset(path))
    row = whole.scales.index(48)
    few = ObjectImages(
        images=whole.images[row : row + 1, :2],
        positions=whole.positions[row : row + 1, :2],
        scales=(48,),
    )
    sizes = pool_scales(load_model(storage, point_id), few, batch_size=2)
    assert len(sizes) == len(before.pool_scales) == 2
    for now, then in zip(sizes, before.pool_scales, strict=True):
        np.testing.assert_allclose(now.numpy(), then[:, :2, :, row : row + 1], rtol=1e-3, atol=0.05)
