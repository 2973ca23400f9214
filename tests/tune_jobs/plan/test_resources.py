from dataclasses import replace
from pathlib import Path

import pytest

from stir import DatasetSummary
from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.resources import batches, resources_of
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.study.file import parse_study
from tune_jobs.study.study import Resources

EMOJI = DatasetSummary(
    name="emoji",
    path=Path("emoji.npz"),
    fingerprint="ab",
    num_classes=36,
    instances=1,
    num_channels=1,
)
POINT = GridPoint(
    model="standard",
    dataset="emoji",
    scenario=2,
    kernel_size=7,
    interpolation=None,
    lr=0.001,
    seed=1,
)


def spec(model: str, seed: int = 1) -> TrialSpec:
    return TrialSpec(
        point=replace(POINT, model=model, seed=seed),
        recipe=Recipe(batch_size=32),
        model_version=1,
        dataset_fingerprint="ab",
    )


def test_a_trial_takes_the_share_of_a_gpu_that_its_model_and_images_need():
    resources = Resources(cpus=2, gpus=1.0, gpu_gb=10.0)
    shares = {
        model: resources_of(spec(model), resources, {"emoji": EMOJI})
        for model in ("standard", "conv3d", "my_own")
    }
    assert shares["standard"] == Resources(cpus=2, gpus=0.25, gpu_gb=10.0)  # 1.3 GB each
    assert shares["standard"].gpus < shares["conv3d"].gpus < shares["my_own"].gpus == 1.0


def test_images_take_of_a_gpu_what_they_need():
    # 50 emoji a class: 36 * 50 images of 4096 bytes at 16 + 16 + 48 scales are 0.6 GB.
    many = {"emoji": replace(EMOJI, instances=50)}
    resources = Resources(gpus=1.0, gpu_gb=6.0)
    assert resources_of(spec("standard"), resources, many).gpus == 0.3333


def test_a_share_that_the_study_gives_holds_for_all_models():
    resources = Resources(cpus=2, gpus=0.5)
    assert resources_of(spec("conv3d"), resources, {}) == resources


def test_trials_of_one_shape_go_together_in_their_order():
    small, large = Resources(gpus=0.25), Resources(gpus=0.5)
    given = [spec("disco", 1), spec("conv3d", 1), spec("disco", 2), spec("disco", 3)]
    made = batches(given, lambda one: large if one.point.model == "conv3d" else small, 2)
    assert made == [(small, [given[0], given[2]]), (small, [given[3]]), (large, [given[1]])]


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ({"gpus": "auto"}, Resources(gpus=1.0, gpu_gb=16.0)),
        ({"gpus": "auto", "gpu_gb": 24, "cpus": 3}, Resources(cpus=3, gpus=1.0, gpu_gb=24.0)),
    ],
)
def test_a_study_asks_for_shares_by_memory(resources: dict, wanted: Resources):
    axes = {"model": "disco", "dataset": "emoji", "scenario": 2, "kernel_size": 7}
    axes |= {"interpolation": None, "lr": 0.001, "seed": 1}
    content = {"name": "mine", "axes": axes, "resources": resources}
    assert parse_study(content, where="x.yaml").resources == wanted


@pytest.mark.parametrize("resources", [{"gpu_gb": 24}, {"gpus": "auto", "gpu_gb": 0.5}])
def test_memory_without_auto_or_too_little_is_refused(resources: dict):
    axes = {"model": "disco", "dataset": "emoji", "scenario": 2, "kernel_size": 7}
    axes |= {"interpolation": None, "lr": 0.001, "seed": 1}
    content = {"name": "mine", "axes": axes, "resources": resources}
    with pytest.raises(TuneJobsError, match=r"x\.yaml: resources\.gpu_gb must be the gigabytes"):
        parse_study(content, where="x.yaml")
