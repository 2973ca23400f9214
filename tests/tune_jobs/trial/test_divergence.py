"""A trial whose loss is no longer finite, and one whose model returns no logits."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import stir
from siconvnet import register_model
from stir import STIRDataset
from tune_jobs.cli import main
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.keys import record_key
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage
from tune_jobs.trial.session import Surroundings
from tune_jobs.trial.trial import run_trial

BATCHES = 4  # of training in an epoch


class Linear(nn.Module):
    def __init__(self, in_channels: int, num_classes: int, batches: float = math.inf) -> None:
        super().__init__()
        self.layer = nn.Linear(in_channels * 64 * 64, num_classes)
        self.register_buffer("left", torch.tensor(batches))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.left -= int(self.training)
        return self.layer(x.flatten(1)) * (1.0 if self.left >= 0 else math.nan)


class Column(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[:, :, None, None]


def late(in_channels: int, num_classes: int, **options) -> nn.Module:
    return Linear(in_channels, num_classes, 2.5 * BATCHES)


def column(in_channels: int, num_classes: int, **options) -> nn.Module:
    return Column(in_channels, num_classes)


@pytest.fixture(autouse=True)
def own_models(only_known_models: None) -> None:
    for build in (late, column):
        register_model(build.__name__, build, version=1)


@pytest.fixture(scope="module")
def dataset(bars: Path) -> STIRDataset:
    return stir.load(bars)


def spec_of(model: str, dataset: STIRDataset, **recipe) -> TrialSpec:
    point = GridPoint(
        model=model, dataset="bars", scenario=2, kernel_size=3, interpolation=None, lr=1e-4, seed=1
    )
    return TrialSpec(
        point=point,
        recipe=Recipe(max_epochs=9, batch_size=16, **recipe),
        model_version=1,
        dataset_fingerprint=dataset.fingerprint,
    )


def run(spec: TrialSpec, dataset: STIRDataset, storage: Storage, **options):
    return run_trial(spec, dataset, storage, Surroundings(driver="this", threads=1), **options)


def test_a_trial_that_may_stop_reports_the_best_epoch_before_its_loss_diverged(
    dataset: STIRDataset, storage: Storage
):
    spec = spec_of("late", dataset, on_divergence="stop")
    record = run(spec, dataset, storage).record
    assert record is not None
    assert [epoch.epoch for epoch in record.epochs] == [1, 2]
    best = max(record.epochs, key=lambda epoch: epoch.valid_accuracy)
    assert (record.best_epoch, record.best_valid_accuracy) == (best.epoch, best.valid_accuracy)
    assert math.isfinite(record.test_loss)
    data = storage.read(record_key(spec.point_id))
    assert TrialRecord.from_json(data).recipe.on_divergence == "stop"


def test_it_ends_the_same_when_it_is_interrupted_after_the_divergence(
    dataset: STIRDataset, storage: Storage, tmp_path: Path
):
    spec = spec_of("late", dataset, on_divergence="stop")
    calls = iter(range(1000))
    outcome = run(spec, dataset, storage, stop_asked=lambda: next(calls) == 26)  # while testing
    assert outcome.status == "paused"
    resumed = run(spec, dataset, storage).record
    whole = run(spec, dataset, Storage(tmp_path)).record
    assert resumed
    assert whole
    assert resumed.scales == whole.scales
    assert resumed.resumptions
    assert resumed.weights_key == whole.weights_key


def test_the_same_trial_fails_by_default_under_another_id_and_its_records_are_as_before(
    dataset: STIRDataset, storage: Storage
):
    spec = spec_of("late", dataset)
    outcome = run(spec, dataset, storage)
    assert outcome.status == "failed"
    assert outcome.error.startswith("DivergedError: A loss must be a finite number; in epoch 3")
    assert spec.point_id != spec_of("late", dataset, on_divergence="stop").point_id
    assert b"on_divergence" not in storage.read(f"failures/{spec.point_id}/1.json")


def test_a_model_that_returns_no_logits_fails_before_its_first_step_with_its_name(
    dataset: STIRDataset, storage: Storage
):
    outcome = run(spec_of("column", dataset), dataset, storage)
    assert outcome.status == "failed"
    assert outcome.error == (
        "LogitsError: The model column must return floating-point logits of the shape "
        "(N, num_classes), which is (16, 4) here; got torch.float32 (16, 4, 1, 1)."
    )


@pytest.mark.parametrize("option", [[], ["--on-divergence", "stop"]], ids=["fail", "stop"])
def test_train_takes_what_to_do_on_divergence(option: list, bars: Path, tmp_path: Path, capsys):
    asked = ["--model", "late", "--dataset", str(bars), "--scenario", "2", "--kernel-size", "3"]
    places = ["--lr", "1e-4", "--storage", str(tmp_path)]
    assert main(["train", *asked, *places, *option]) == (0 if option else 1)
    out, err = capsys.readouterr()
    assert ("of 2, " in out) if option else ("DivergedError" in err)
