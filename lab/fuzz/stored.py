"""Objects of a storage, spoilt as bytes or as values, for what reads them."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import analysis.cli
from lab.fuzz.attempt import command, refused
from lab.fuzz.spoil import other_array, scalar, spoilt, twisted
from lab.records import WHEN, put_failure, put_record
from siconvnet import build_model
from stir import schema
from tune_jobs import cli as service
from tune_jobs.errors import TuneJobsError
from tune_jobs.evaluation.measures import load_model
from tune_jobs.point import GridPoint, Recipe, TrialSpec, cell_of
from tune_jobs.records.evaluation import Evaluation
from tune_jobs.records.keys import (
    outcome_key,
    record_key,
    samples_key,
    search_key,
    study_key,
    weights_key,
)
from tune_jobs.records.schema import RecordError
from tune_jobs.records.search import Sample, SearchOutcome, SearchRecord, samples_to_lines
from tune_jobs.records.state import TrialState
from tune_jobs.records.study import Choice, RateEvidence, RunEvidence, StudyPoint, StudyRecord
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import new_claim, write_claim
from tune_jobs.trial.checkpoint import load_checkpoint, tensors_to_bytes

Attempt = Callable[[random.Random], object]


def spec(seed: int) -> TrialSpec:
    point = GridPoint(
        model="standard",
        dataset="emoji",
        scenario=2,
        kernel_size=7,
        interpolation=None,
        lr=0.001,
        seed=seed,
    )
    return TrialSpec(point=point, recipe=Recipe(), model_version=1, dataset_fingerprint="feed" * 4)


def _study() -> StudyRecord:
    """A phase of one point, whose rule chose its rate."""
    one = spec(1)
    run = RunEvidence(
        point_id=one.point_id,
        seed=1,
        outcome=TrialState.FINISHED,
        best_valid_accuracy=0.5,
        collapsed=False,
    )
    rate = RateEvidence(lr=0.001, median=0.5, sound_share=1.0, runs=(run,))
    cell = cell_of(one.point)
    return StudyRecord(
        study="mine",
        phase="runs",
        recipe=one.recipe,
        rule="robust",
        points=(StudyPoint(point_id=one.point_id, point=one.point, reported=True),),
        choices=(Choice(cell=cell, rule="robust", lr=0.001, undecided="", rates=(rate,)),),
        written_at=WHEN,
    )


STUDY = _study()
SEARCH = SearchRecord(
    study="drawn",
    fixed={"model": "standard"},
    drawn={"lr": {"choice": [0.001, 0.01]}},
    trials=2,
    rng=1,
    sampler="random",
    asha=None,
    written_at=WHEN,
)
OUTCOME = SearchOutcome(
    study="drawn",
    point_id=spec(1).point_id,
    status=TrialState.STOPPED,
    reason="behind the others",
    valid_accuracies=(0.25, 0.5),
    test_accuracy=None,
    ended_at=WHEN,
)


def tiny_dataset() -> schema.Arrays:
    """One class of one instance, a square at each scale."""
    arrays = schema.blank(1, 1, 1)
    arrays["imgs"][..., 30:34, 30:34] = 255
    arrays["lbldata"] = np.array(["only"])
    arrays["metadata"] = np.array([[key, "text"] for key in schema.METADATA])
    return arrays


def spoilt_json(example: Any, rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return spoilt(json.dumps(example).encode(), rng)
    return json.dumps(twisted(example, rng)).encode("utf-8", "surrogatepass")


def _fill(folder: Path) -> Storage:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    storage = Storage(folder)
    put_record(storage, spec(1), valid_accuracy=0.5)
    put_record(storage, spec(2), valid_accuracy=0.25)
    put_failure(storage, spec(3), "ValueError: no")
    write_claim(storage, spec(4).point_id, new_claim("driver", (1, 0), None))
    drawn = Sample(
        study="drawn",
        number=1,
        point_id=spec(1).point_id,
        drawn={"lr": 0.001},
        point=spec(1).point,
        recipe=spec(1).recipe,
    )
    storage.write(study_key("mine", "runs"), STUDY.to_json())
    storage.write(search_key("drawn"), SEARCH.to_json())
    storage.write(samples_key("drawn"), samples_to_lines([drawn]))
    storage.write(outcome_key("drawn", drawn.point_id), OUTCOME.to_json())
    return storage


def _spoil_one(storage: Storage, rng: random.Random) -> str:
    """Spoil an object, with its digest as it was or made anew; returns its key."""
    folder = rng.choice(("records", "failures", "claims", "studies", "searches"))
    key = rng.choice([item.key for item in storage.list(folder)])
    path = Path(storage.uri) / key
    if rng.random() < 0.4:
        path.write_bytes(spoilt(path.read_bytes(), rng))
    else:  # of samples the first line, which is the only one
        storage.write(key, spoilt_json(json.loads(storage.read(key)), rng))
    if rng.random() < 0.1:
        path.rename(path.with_name(rng.choice(("x.json", f"{path.name}.bak", f" {path.name}"))))
    return key


def service_objects(folder: Path) -> Attempt:
    """For status, plan and clean."""

    def attempt(rng: random.Random) -> int:
        storage = _fill(folder / "runs")
        _spoil_one(storage, rng)
        arguments = rng.choice(
            (("status",), ("status", "--json"), ("clean", "--dry-run"), ("clean",))
        )
        return command(service.main, *arguments, "--storage", storage.uri)

    return attempt


def collected_objects(folder: Path) -> Attempt:
    """For collect."""

    def attempt(rng: random.Random) -> int:
        storage = _fill(folder / "runs")
        _spoil_one(storage, rng)
        shutil.rmtree(folder / "results", ignore_errors=True)
        out = str(folder / "results")
        return command(analysis.cli.main, "collect", "--storage", storage.uri, "--out", out)

    return attempt


def checkpoints(folder: Path) -> Attempt:
    """For a trial that goes on from one."""
    storage, point_id = Storage(folder), spec(1).point_id
    content = {
        "fit": {"model": {"weight": torch.zeros(4, 4)}, "epoch": 2, "batch": 1},
        "epochs": [],
        "resumptions": [],
        "started_at": "2026-01-01T00:00:00.000+00:00",
        "wall_seconds": 1.0,
        "epoch_seconds": 1.0,
        "train_seconds": 1.0,
        "valid_seconds": 0.0,
    }
    fit, whole = {"fit": content["fit"]}, tensors_to_bytes(content)

    def attempt(rng: random.Random) -> object:
        if rng.random() < 0.5:
            data = spoilt(whole, rng)
        else:
            plain = twisted({name: value for name, value in content.items() if name != "fit"}, rng)
            data = tensors_to_bytes(fit | plain if isinstance(plain, dict) else plain)
        storage.write(f"checkpoints/{point_id}.pt", data)
        return load_checkpoint(storage, point_id)

    return attempt


def weights(folder: Path) -> Attempt:
    """For what loads a finished point's model; their key names what they hold."""
    storage = Storage(folder)
    model = build_model("standard", in_channels=1, num_classes=4, kernel_size=7)
    content = model.state_dict()
    record = replace(
        put_record(storage, spec(1), valid_accuracy=0.5),
        num_parameters=sum(one.numel() for one in model.parameters()),
    )
    whole = tensors_to_bytes(content)

    def attempt(rng: random.Random) -> object:
        if rng.random() < 0.5:
            data = spoilt(whole, rng)
        else:
            name = rng.choice(list(content))
            other = rng.choice((content[name][:1], torch.zeros(()), scalar(rng)))
            data = tensors_to_bytes(content | {name: other})
        key = weights_key(record.point_id, hashlib.sha256(data).hexdigest())
        storage.write(key, data)
        storage.write(record_key(record.point_id), replace(record, weights_key=key).to_json())
        found = refused(lambda: load_model(storage, record.point_id), TuneJobsError)
        storage.delete(key)
        return found

    return attempt


def evaluations(folder: Path) -> Attempt:
    """For what reads evaluations of weights."""
    evaluation = Evaluation(
        point_id=spec(1).point_id,
        weights_key=f"weights/{spec(1).point_id}-000000000000.pt",
        equivariance=np.zeros((2, 3, 1, 4)),
        pairs=np.zeros((4, 2), np.int64),
        pool_scales=(np.zeros((2, 3, 1, 5), np.float32),),
        scales=np.arange(5),
    )
    whole, path = evaluation.to_npz(), folder / "x.npz"
    path.write_bytes(whole)
    with np.load(path, allow_pickle=False) as bundle:
        arrays = dict(bundle)

    def attempt(rng: random.Random) -> object:
        if rng.random() < 0.5:
            data = spoilt(whole, rng)
        else:
            name = rng.choice(list(arrays))
            np.savez(path, **arrays | {name: other_array(arrays[name], rng)})  # type: ignore[arg-type]
            data = path.read_bytes()
        return refused(lambda: Evaluation.from_npz(data), RecordError)

    return attempt
