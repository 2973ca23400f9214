"""Objects of a storage, spoilt as bytes or as values, for what reads them."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import analysis.cli
from lab.fuzz.attempt import command, refused
from lab.fuzz.spoil import other_array, spoilt, twisted
from lab.records import put_failure, put_record
from stir import schema
from tune_jobs import cli as service
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.evaluation import Evaluation
from tune_jobs.records.schema import RecordError
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
    return storage


def _spoil_one(storage: Storage, rng: random.Random) -> str:
    """Spoil an object, with its digest as it was or made anew; returns its key."""
    folder = rng.choice(("records", "failures", "claims"))
    key = rng.choice([item.key for item in storage.list(folder)])
    path = Path(storage.uri) / key
    if rng.random() < 0.4:
        path.write_bytes(spoilt(path.read_bytes(), rng))
    else:
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
