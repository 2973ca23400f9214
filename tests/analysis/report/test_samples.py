import re
from dataclasses import replace

import numpy as np
import pytest

import stir
from analysis.collection.collect import collect
from analysis.report.samples import Answer, chosen, samples
from analysis.results.folder import ResultsFolder
from tune_jobs.records.evaluation import Predictions
from tune_jobs.records.keys import dataset_key, predictions_key
from tune_jobs.storage import Storage


def test_answers_are_chosen_evenly_from_the_smallest_object_on():
    labels = np.zeros((5, 1, 1), np.int64)
    predicted = np.array([0, 1, 0, 0, 0], np.int64).reshape(5, 1, 1)
    right = chosen(predicted, labels, right=True, most=2)
    assert [one.place[0] for one in right] == [0, 4]
    assert chosen(predicted, labels, right=False) == [Answer((1, 0, 0), predicted=1, label=0)]
    assert chosen(labels, labels, right=False) == []


@pytest.fixture
def evaluated(tmp_path, bars, make_record, put):
    """A run whose answers are right but for the first class, which is taken for the next."""
    record = make_record(dataset="bars")
    put(tmp_path / "runs", record)
    storage = Storage(tmp_path / "runs")
    labels = stir.load(bars).labels[2].astype(np.int64)
    predicted = np.where(labels == 0, 1, labels)
    found = Predictions(
        point_id=record.point_id,
        weights_key=record.weights_key,
        predicted=predicted,
        labels=labels,
        scales=np.arange(17, 65),
    )
    storage.write(predictions_key(record.point_id), found.to_npz())
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    return ResultsFolder(str(tmp_path / "results")), storage, record


def test_right_and_wrong_answers_stand_beside_their_images(evaluated, bars):
    folder, storage, record = evaluated
    storage.upload(dataset_key("bars", record.dataset_fingerprint), bars)
    html, missing = samples(folder, storage)
    assert missing == []
    assert html.count("data:image/png;base64,") == 12
    names = [str(name) for name in stir.load(bars).labeldata]
    assert f"17 px: {names[0]}, answered {names[1]}</small>" in html
    _, wrong = html.split("<strong>Wrong</strong>")
    assert len(re.findall(f": {names[0]}, answered {names[1]}", wrong)) == 6


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ({"point_id": "0" * 12, "weights_key": f"weights/{'0' * 12}-{'0' * 12}.pt"}, "its own key"),
        ({"predicted": np.full((48, 4, 1), 9)}, "one of 4 classes .* got 9 to 9"),
        ({"labels": np.full((48, 4, 1), -1)}, "one of 4 classes .* got -1 to -1"),
        ({"predicted": np.zeros((48, 0, 1), int), "labels": np.zeros((48, 0, 1), int)}, "got none"),
    ],
    ids=["of another point", "no class", "no label", "of no image"],
)
def test_predictions_that_do_not_fit_are_named_and_left_out(evaluated, bars, damage, sentence):
    folder, storage, record = evaluated
    storage.upload(dataset_key("bars", record.dataset_fingerprint), bars)
    key = predictions_key(record.point_id)
    storage.write(key, replace(Predictions.from_npz(storage.read(key)), **damage).to_npz())
    html, [missing] = samples(folder, storage)
    assert html == ""
    assert re.search(f"/{key}: .*{sentence}", missing)


def test_a_damaged_dataset_is_named_and_left_out(evaluated, bars, tmp_path):
    folder, storage, record = evaluated
    (tmp_path / "half.npz").write_bytes(bars.read_bytes()[:1000])
    storage.upload(dataset_key("bars", record.dataset_fingerprint), tmp_path / "half.npz")
    html, [missing] = samples(folder, storage)
    assert html == ""
    assert missing.startswith("Sample test images of bars: ")


def test_without_the_images_or_predictions_it_is_said_what_is_missing(evaluated, tmp_path):
    folder, storage, _ = evaluated
    html, [sentence] = samples(folder, storage)
    assert html == ""
    assert "has no datasets/bars-feedfeedfeed.npz" in sentence
    html, [sentence] = samples(folder, Storage(tmp_path / "other"))
    assert html == ""
    assert "tune-jobs evaluate --predictions" in sentence
