import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import stir
import tune_jobs
from siconvnet import MODELS, build_model
from siconvnet.evaluation.equivariance import SCALE_PAIRS, SCALES
from siconvnet.evaluation.objects import ObjectImages
from siconvnet.models import registry
from stir import STIRDataset
from tune_jobs.cli import main
from tune_jobs.errors import TuneJobsError
from tune_jobs.evaluation.measures import (
    MAP_SCALES,
    evaluate,
    evaluate_point,
    index_maps,
    objects_to_test,
)
from tune_jobs.evaluation.outlook import COMPARED_SECONDS, Outlook, outlook
from tune_jobs.evaluation.points import FEW, evaluable, evaluate_points
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.evaluation import (
    ALWAYS,
    Evaluation,
    IndexMaps,
    ObjectIndex,
    Predictions,
    Wanted,
)
from tune_jobs.records.keys import (
    evaluation_key,
    maps_key,
    predictions_key,
    record_key,
    samples_key,
    study_key,
    weights_key,
)
from tune_jobs.records.schema import RecordError
from tune_jobs.records.search import Sample, samples_to_lines
from tune_jobs.records.study import StudyPoint, StudyRecord
from tune_jobs.records.trial import TrialRecord, utc_now
from tune_jobs.storage import Storage
from tune_jobs.storage.datasets import put_dataset
from tune_jobs.study.plugins import import_models
from tune_jobs.trial.checkpoint import tensors_to_bytes
from tune_jobs.trial.session import Surroundings
from tune_jobs.trial.trial import run_trial

POINT = GridPoint(
    model="standard",
    dataset="bars",
    scenario=2,
    kernel_size=3,
    interpolation=None,
    lr=0.003,
    seed=1,
)
RECIPE = Recipe(max_epochs=1)
OWN_NET = """
from torch import nn

from siconvnet import register_model


def build(*, in_channels, num_classes, **options):
    return nn.Sequential(
        nn.AdaptiveMaxPool2d(4), nn.Flatten(), nn.Linear(in_channels * 16, num_classes)
    )


register_model("own_net", build, version=3)
"""


@pytest.fixture(scope="module")
def dataset(bars: Path) -> STIRDataset:
    return stir.load(bars)


def trained(dataset: STIRDataset, storage: Storage, point: GridPoint) -> TrialRecord:
    put_dataset(dataset, storage)
    spec = TrialSpec(
        point=point,
        recipe=RECIPE,
        model_version=MODELS[point.model].version,
        dataset_fingerprint=dataset.fingerprint,
    )
    outcome = run_trial(spec, dataset, storage, Surroundings(driver="test", threads=1))
    assert outcome.record is not None, outcome.error
    return outcome.record


def write_study(storage: Storage, *points: GridPoint | TrialRecord, reported: bool = True) -> None:
    entries = tuple(
        StudyPoint(point_id=point.point_id, point=point.point, reported=reported)
        if isinstance(point, TrialRecord)
        else StudyPoint(point_id=f"{point.seed:012}", point=point, reported=reported)
        for point in points
    )
    record = StudyRecord(
        study="small",
        phase="all",
        recipe=RECIPE,
        rule=None,
        points=entries,
        choices=(),
        written_at=utc_now(),
    )
    storage.write(study_key("small", "all"), record.to_json())


@pytest.fixture(scope="module")
def plain(dataset: STIRDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """A storage with one trained point of ``standard``."""
    storage = Storage(tmp_path_factory.mktemp("plain"))
    return storage, trained(dataset, storage, POINT)


class Mean(nn.Module):
    """Answers the same everywhere, so that a resized map is the map of a resized object."""

    def feature_maps(self, images: Tensor) -> tuple[Tensor, ...]:
        return (torch.full_like(images, 0.5),)


def test_the_error_of_an_exactly_equivariant_model_is_zero_but_for_rounding(
    dataset: STIRDataset, plain: tuple
):
    found = evaluate(plain[1], Mean(), objects_to_test(dataset))
    assert found.equivariance.shape == (1, 4, 1, len(SCALE_PAIRS))
    assert found.equivariance.max() < 1e-12  # the rounding of a resize in float32, squared


def test_the_error_of_a_model_that_is_not_equivariant_is_not_zero(plain: tuple):
    storage, record = plain
    evaluate_point(record.point_id, storage)
    found = Evaluation.from_npz(storage.read(evaluation_key(record.point_id)))
    assert found.equivariance.shape == (2, 4, 1, 6)
    assert np.nanmedian(found.equivariance) > 0.01
    assert (found.point_id, found.weights_key) == (record.point_id, record.weights_key)
    assert found.pool_scales == ()


def test_progress_counts_images_from_first_to_last(dataset: STIRDataset, plain: tuple):
    torch.manual_seed(1)
    model = build_model("slice_pool", in_channels=1, num_classes=4, kernel_size=15)
    seen: list[tuple[int, int]] = []
    every = objects_to_test(dataset)
    rows = [every.scales.index(scale) for scale in (*SCALES, 20)]
    objects = ObjectImages(every.images[rows], every.positions[rows], (*SCALES, 20))
    evaluate(plain[1], model, objects, lambda done, total: seen.append((done, total)))
    total = 4 * (6 + 7)  # of four objects, at six scales and at all
    assert {one for _, one in seen} == {total}
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1][0] == total


def test_what_an_evaluation_will_take_is_known_from_what_validation_took(
    dataset: STIRDataset, storage: Storage
):
    """Four objects at 16 sizes are validated on, 64 images, in 2 s."""
    records = [
        trained(dataset, storage, replace(POINT, model=model)) for model in ("standard", "xu")
    ]
    for record in records:
        epochs = tuple(replace(one, train_seconds=9.0, valid_seconds=2.0) for one in record.epochs)
        storage.write(record_key(record.point_id), replace(record, epochs=epochs).to_json())
    wanted = Wanted(predictions=True, maps=(ObjectIndex(0, 0),))
    point_ids = [record.point_id for record in records]
    found = outlook(point_ids, storage, wanted)
    # Errors at 6 sizes (of standard alone), answers at 48, maps at 4 of one object.
    assert found.images == dict(zip(point_ids, (4 * 6 + 4 * 48 + 4, 4 * 48 + 4), strict=True))
    assert found.seconds == pytest.approx((220 + 196) * 2 / 64 + 24 * COMPARED_SECONDS)


def test_points_that_cannot_be_looked_at_leave_the_time_unknown(
    dataset: STIRDataset, storage: Storage
):
    record = trained(dataset, storage, POINT)

    def missing() -> None:
        raise ModuleNotFoundError("No module named 'mine'")

    assert outlook([record.point_id], storage, ALWAYS, missing) == Outlook({}, None)


def test_chosen_kernel_sizes_are_odd_sizes_within_the_model(dataset: STIRDataset, plain: tuple):
    torch.manual_seed(1)
    model = build_model(
        "slice_pool", in_channels=1, num_classes=4, kernel_size=15, interpolation="area"
    )
    every = objects_to_test(dataset)
    rows = [every.scales.index(scale) for scale in SCALES]
    found = evaluate(
        plain[1], model, ObjectImages(every.images[rows], every.positions[rows], SCALES)
    )
    assert [sizes.shape for sizes in found.pool_scales] == [(16, 4, 1, 6), (32, 4, 1, 6)]
    assert tuple(found.scales) == SCALES
    for sizes in found.pool_scales:
        assert set(np.unique(sizes).tolist()) <= set(range(15, 65, 2))
    assert len(np.unique(found.pool_scales[0])) > 3
    assert found.equivariance.shape == (2, 4, 1, 6)


@pytest.mark.parametrize(("model", "stages"), [("pixel_pool", 2), ("slice_pool", 0)])
def test_index_maps_are_the_sizes_whose_mean_over_the_box_is_evaluated(
    model: str, stages: int, dataset: STIRDataset, plain: tuple
):
    """A pooling that chooses once for an image has no maps."""
    torch.manual_seed(1)
    net = build_model(model, in_channels=1, num_classes=4, kernel_size=15, interpolation="area")
    every = objects_to_test(dataset)
    rows = [every.scales.index(scale) for scale in SCALES]
    objects = ObjectImages(every.images[rows], every.positions[rows], SCALES)
    place, largest = ObjectIndex(2, 0), SCALES.index(64)
    maps = index_maps(plain[1], net, every, place)
    assert len(maps.maps) == stages
    assert tuple(maps.scales) == MAP_SCALES
    for sizes, means in zip(maps.maps, evaluate(plain[1], net, objects).pool_scales, strict=False):
        side = sizes.shape[-1]
        x, y = objects.positions[largest, 2, 0].tolist()
        box = sizes[:, MAP_SCALES.index(64), y : y + side, x : x + side]
        np.testing.assert_allclose(box.mean(axis=(1, 2)), means[:, 2, 0, largest], rtol=1e-6)
        assert set(np.unique(sizes).tolist()) <= set(range(15, 65, 2))


def test_index_maps_are_stored_for_the_objects_asked_for_and_no_other(plain: tuple):
    storage, record = plain
    evaluate_point(record.point_id, storage, Wanted(maps=(ObjectIndex(3, 0),)))
    evaluate_point(record.point_id, storage, Wanted(maps=(ObjectIndex(1, 0),)))
    keys = [item.key for item in storage.list("index_maps")]
    assert keys == [maps_key(record.point_id, ObjectIndex(place, 0)) for place in (1, 3)]
    found = IndexMaps.from_npz(storage.read(keys[1]))
    assert (found.object, found.maps) == (ObjectIndex(3, 0), ())


def test_an_object_that_the_dataset_has_not_is_named(plain: tuple):
    storage, record = plain
    with pytest.raises(TuneJobsError, match=r"one of 4 classes .* with 1 instance each; got 4/0"):
        evaluate_point(record.point_id, storage, Wanted(maps=(ObjectIndex(4, 0),)))


def test_without_a_study_every_finished_point_is_evaluated(plain: tuple):
    storage, record = plain
    found = evaluable(None, storage)
    assert set(found.todo) | set(found.done) == {record.point_id}
    assert found.unfinished == ()


def test_a_model_without_stage_maps_is_evaluated_to_nothing(dataset: STIRDataset, storage: Storage):
    record = trained(dataset, storage, replace(POINT, model="ensemble"))
    evaluate_point(record.point_id, storage)
    found = Evaluation.from_npz(storage.read(evaluation_key(record.point_id)))
    assert found.equivariance.shape == (0, 4, 1, 6)
    assert found.pool_scales == ()


def test_predictions_have_the_accuracy_of_the_record(plain: tuple):
    storage, record = plain
    evaluate_point(record.point_id, storage, Wanted(predictions=True))
    found = Predictions.from_npz(storage.read(predictions_key(record.point_id)))
    right = (found.predicted == found.labels).sum(axis=(1, 2))
    assert dict(zip(found.scales.tolist(), right.tolist(), strict=True)) == {
        entry.scale: entry.correct for entry in record.scales
    }


def test_a_loaded_model_answers_as_recorded(plain: tuple, dataset: STIRDataset):
    storage, record = plain
    model = tune_jobs.load_model(storage.uri, record.point_id)
    images, labels = dataset.to_torch("test", [40], shuffle=False).tensors
    with torch.no_grad():
        right = int((model(images).argmax(dim=1) == labels).sum())
    assert right == next(entry.correct for entry in record.scales if entry.scale == 40)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no archive", "as torch.save writes them"),
        ({"0.weight": torch.zeros(1)}, "Error.* in loading state_dict"),
        ([1, 2], "Expected state_dict to be dict-like"),
        ({1: {}}, "are not: "),
    ],
    ids=["bytes", "of another model", "a list", "odd keys"],
)
def test_weights_that_are_not_the_models_are_refused_in_a_sentence(
    content: Any, said: str, plain: tuple, tmp_path: Path
):
    record, storage = plain[1], Storage(tmp_path)
    data = content if isinstance(content, bytes) else tensors_to_bytes(content)
    key = weights_key(record.point_id, hashlib.sha256(data).hexdigest())
    storage.write(key, data)
    other = replace(record, weights_key=key)
    storage.write(record_key(record.point_id), other.to_json())
    with pytest.raises(TuneJobsError, match=said) as error:
        tune_jobs.load_model(storage, record.point_id)
    assert "\n" not in str(error.value)


def test_weights_of_another_version_of_the_model_name_the_code_that_reads_them(
    plain: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    record, storage = plain[1], Storage(tmp_path)
    provenance = replace(record.provenance, git_sha="0123456789abcdef" * 2 + "01234567")
    data = tensors_to_bytes({"new": torch.zeros(1)})
    key = weights_key(record.point_id, hashlib.sha256(data).hexdigest())
    storage.write(key, data)
    other = replace(record, weights_key=key, provenance=provenance)
    storage.write(record_key(record.point_id), other.to_json())
    newer = replace(MODELS["standard"], version=99)
    monkeypatch.setitem(registry._models, "standard", newer)
    said = "They are of its version 1, this code has 99; commit 0123456789ab reads them"
    with pytest.raises(TuneJobsError, match=said):
        tune_jobs.load_model(storage, record.point_id)


def test_a_record_without_its_weights_is_named(plain: tuple, tmp_path: Path):
    record, storage = plain[1], Storage(tmp_path)
    storage.write(record_key(record.point_id), record.to_json())
    with pytest.raises(TuneJobsError, match=f"{tmp_path} has no {record.weights_key}"):
        tune_jobs.load_model(storage, record.point_id)


def test_a_point_without_a_record_is_named(storage: Storage):
    with pytest.raises(TuneJobsError, match=r"has none of '0123456789ab'"):
        tune_jobs.load_model(storage, "0123456789ab")


def test_what_is_there_is_not_evaluated_again(plain: tuple, monkeypatch: pytest.MonkeyPatch):
    storage, record = plain
    evaluate_point(record.point_id, storage)
    monkeypatch.setattr(
        "tune_jobs.evaluation.measures.evaluate", lambda *args: pytest.fail("again")
    )
    evaluate_point(record.point_id, storage)


def test_points_are_sorted_by_what_there_is_of_them(dataset: STIRDataset, storage: Storage):
    first = trained(dataset, storage, POINT)
    second = trained(dataset, storage, replace(POINT, seed=2))
    write_study(storage, first, second, replace(POINT, seed=3))
    assert list(evaluate_points([first.point_id], storage)) == [(first.point_id, "")]
    found = evaluable("small", storage)
    assert found.done == (first.point_id,)
    assert found.todo == (second.point_id,)
    assert found.unfinished == ("000000000003",)
    assert evaluable("small", storage, Wanted(predictions=True)).done == ()


def test_points_that_a_study_does_not_report_are_left_out(plain: tuple):
    storage, record = plain
    write_study(storage, record, reported=False)
    found = evaluable("small", storage)
    assert (found.todo, found.done, found.unfinished) == ((), (), ())


def test_of_a_search_the_samples_that_trained_to_their_end_are_evaluated(plain: tuple):
    storage, record = plain
    samples = [
        Sample(
            study="wide",
            number=number,
            point_id=point_id,
            drawn={},
            point=POINT,
            recipe=RECIPE,
        )
        for number, point_id in enumerate(["0" * 12, record.point_id, record.point_id], start=1)
    ]
    storage.write(samples_key("wide"), samples_to_lines(samples))
    found = evaluable("wide", storage)
    assert found.todo + found.done == (record.point_id,)
    assert found.unfinished == ()  # the first was stopped, as searches do


@pytest.mark.ray
def test_many_points_are_evaluated_on_ray_and_a_bad_one_does_not_stop_them(
    dataset: STIRDataset, storage: Storage
):
    seeds = range(1, FEW + 2)
    records = [trained(dataset, storage, replace(POINT, seed=seed)) for seed in seeds]
    storage.write(records[0].weights_key, b"damaged")
    point_ids = [record.point_id for record in records]
    expected = outlook(point_ids, storage, ALWAYS)
    seen: list[tuple[int, int]] = []
    outcomes = dict(
        evaluate_points(
            point_ids,
            storage,
            images=expected.images,
            max_concurrent=2,
            progress=lambda done, total: seen.append((done, total)),
        )
    )
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (24 * len(point_ids), 24 * len(point_ids))  # 4 objects at 6 sizes each
    assert outcomes.keys() == set(point_ids)
    assert [point_id for point_id, reason in outcomes.items() if reason] == point_ids[:1]
    assert [item.key for item in storage.list("evaluations")] == sorted(
        evaluation_key(point_id) for point_id in point_ids[1:]
    )


def test_the_command_evaluates_what_is_left_and_says_how_much(
    dataset: STIRDataset, storage: Storage, capsys: pytest.CaptureFixture[str]
):
    record = trained(dataset, storage, POINT)
    write_study(storage, record)
    command = ["evaluate", "small", "--storage", storage.uri, "--predictions"]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines() == [
        "study small: 1 to evaluate, 0 evaluated, 0 without a result",
        "216 images, about 0 s",  # of 4 objects, at 6 sizes for errors and at 48 for answers
        f"1/1 {record.point_id}",
        "study small: 1 evaluated, 0 failed",
    ]
    assert storage.exists(predictions_key(record.point_id))
    assert main(command) == 0
    assert capsys.readouterr().out == (
        "study small: 0 to evaluate, 1 evaluated, 0 without a result\n"
    )


def test_a_model_of_ones_own_is_evaluated_when_the_study_names_its_module(
    dataset: STIRDataset,
    storage: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    (tmp_path / "own_net.py").write_text(OWN_NET)
    study = tmp_path / "small.yaml"
    study.write_text(
        "name: small\nimports: [own_net]\naxes: {model: own_net, dataset: emoji, scenario: 2, "
        "kernel_size: 3, interpolation: null, lr: 0.001, seed: 1}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import_models(["own_net"])
    record = trained(dataset, storage, replace(POINT, model="own_net"))
    write_study(storage, record)
    assert main(["evaluate", str(study), "--storage", storage.uri]) == 0
    assert "1 evaluated, 0 failed" in capsys.readouterr().out
    found = Evaluation.from_npz(storage.read(evaluation_key(record.point_id)))
    assert found.equivariance.shape == (0, 4, 1, 6)


def test_one_changed_bit_in_the_weights_is_noticed(dataset: STIRDataset, storage: Storage):
    record = trained(dataset, storage, POINT)
    data = bytearray(storage.read(record.weights_key))
    data[len(data) // 2] ^= 1
    storage.write(record.weights_key, bytes(data))
    with pytest.raises(TuneJobsError, match="must be those that their key names"):
        tune_jobs.load_model(storage, record.point_id)


def test_weights_that_are_damaged_are_named_and_the_exit_status_is_1(
    dataset: STIRDataset, storage: Storage, capsys: pytest.CaptureFixture[str]
):
    record = trained(dataset, storage, POINT)
    storage.write(record.weights_key, b"damaged")
    write_study(storage, record)
    assert main(["evaluate", "small", "--storage", storage.uri]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"tune-jobs: {record.point_id}: ")
    assert captured.out.endswith("study small: 0 evaluated, 1 failed\n")
    assert list(storage.list("evaluations")) == []


def test_a_study_that_was_never_run_is_refused(
    storage: Storage, capsys: pytest.CaptureFixture[str]
):
    assert main(["evaluate", "small", "--storage", storage.uri]) == 2
    assert "must have been run before it is evaluated" in capsys.readouterr().err


def test_an_evaluation_is_read_back_equal_and_a_damaged_one_refused(plain: tuple):
    storage, record = plain
    evaluate_point(record.point_id, storage)
    data = storage.read(evaluation_key(record.point_id))
    assert Evaluation.from_npz(data).to_npz() == data
    for damaged in (data[:-30], b"", json.dumps([1]).encode(), data[:200] + data[230:]):
        with pytest.raises(RecordError, match=r"must be a whole \.npz of plain arrays"):
            Evaluation.from_npz(damaged)
    with pytest.raises(RecordError, match="must be of schema 'stir-predictions/1'"):
        Predictions.from_npz(data)


@pytest.mark.parametrize("text", ["0", "a/0", "0/0/0", "-1/0", "0/"])
def test_an_object_that_is_no_class_and_instance_is_refused(
    text: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        main(["evaluate", "small", f"--maps={text}"])
    assert "a class and an instance counted from 0" in capsys.readouterr().err


def test_an_evaluation_of_pickled_objects_is_refused(tmp_path: Path):
    np.savez(tmp_path / "x.npz", schema=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RecordError, match=r"must be a whole \.npz of plain arrays"):
        Evaluation.from_npz((tmp_path / "x.npz").read_bytes())
