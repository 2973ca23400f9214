import json
from dataclasses import replace

import pytest

from tune_jobs.point import PROTOCOL_VERSION, GridPoint, Recipe, TrialSpec
from tune_jobs.records.schema import RecordError
from tune_jobs.records.trial import (
    EpochRecord,
    FailureRecord,
    Provenance,
    Resumption,
    ScaleRecord,
    TrialRecord,
)

POINT = GridPoint(
    model="disco",
    dataset="emoji",
    scenario=1,
    kernel_size=7,
    interpolation=None,
    lr=0.001,
    seed=7,
)
SPEC = TrialSpec(point=POINT, recipe=Recipe(), model_version=1, dataset_fingerprint="ab")
PROVENANCE = Provenance(
    code_version="0.1.0",
    git_sha=None,
    git_dirty=None,
    python_version="3.11",
    torch_version="2.13",
    numpy_version="2.0",
    ray_version=None,
    device="cpu",
    threads=1,
    host="laptop",
)
EPOCH = EpochRecord(
    epoch=1,
    train_loss=3.5,
    train_accuracy=0.25,
    valid_loss=3.25,
    valid_accuracy=0.5,
    seconds=1.5,
    finished_at="2026-01-01T00:00:00.000+00:00",
)
RECORD = TrialRecord(
    point_id=SPEC.point_id,
    point=POINT,
    recipe=Recipe(),
    model_version=1,
    protocol_version=PROTOCOL_VERSION,
    dataset_fingerprint="ab",
    num_classes=36,
    num_parameters=1000,
    epochs=(EPOCH,),
    best_epoch=1,
    best_valid_accuracy=0.5,
    scales=tuple(
        ScaleRecord(scale=scale, total=36, correct=9, loss_sum=100.125) for scale in range(17, 65)
    ),
    test_accuracy=0.25,
    test_loss=2.78125,
    wall_seconds=2.0,
    started_at="2026-01-01T00:00:00.000+00:00",
    finished_at="2026-01-01T00:00:02.000+00:00",
    resumptions=(Resumption(at="2026-01-01T00:00:01.000+00:00", epoch=1, batch=3, host="b"),),
    weights_key=f"weights/{SPEC.point_id}-000000000000.pt",
    provenance=PROVENANCE,
)


def damaged(change) -> bytes:
    content = json.loads(RECORD.to_json())
    change(content)
    return json.dumps(content).encode()


def test_a_record_is_read_back_equal():
    assert TrialRecord.from_json(RECORD.to_json()) == RECORD


def test_a_record_from_before_it_said_what_computed_it_is_read_as_not_knowing():
    def before(content):
        del content["provenance"]["backend"], content["resumptions"][0]["backend"]

    record = TrialRecord.from_json(damaged(before))
    assert record.provenance.backend is record.resumptions[0].backend is None


def test_a_failure_is_read_back_equal():
    failure = FailureRecord(
        point_id=SPEC.point_id,
        point=POINT,
        recipe=Recipe(),
        model_version=1,
        protocol_version=PROTOCOL_VERSION,
        dataset_fingerprint="ab",
        attempt=2,
        error="DivergedError: nan",
        traceback="...",
        epochs=(EPOCH,),
        started_at="2026-01-01T00:00:00.000+00:00",
        failed_at="2026-01-01T00:00:01.000+00:00",
        provenance=PROVENANCE,
    )
    assert FailureRecord.from_json(failure.to_json()) == failure
    with pytest.raises(RecordError, match="schema 'stir-record/1'"):
        TrialRecord.from_json(failure.to_json())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (RECORD.to_json()[:-20], "must be JSON"),
        (b"\xff\xfe", "must be JSON"),
        (b"9" * 5000, "must be JSON"),
        (b"[1]", "of schema 'stir-record/1'; got 'list'"),
        (damaged(lambda r: r.pop("test_loss")), "test_loss: Field required"),
        (damaged(lambda r: r.update(more=1)), "more: Unexpected keyword argument"),
        (damaged(lambda r: r.update(test_loss="2")), "test_loss: .* got '2'"),
        (damaged(lambda r: r["epochs"][0].update(seconds=float("nan"))), "epochs.0.seconds"),
        (damaged(lambda r: r["point"].update(seed=8)), "point_id must be that of its contents"),
        (damaged(lambda r: r.update(epochs=[])), "at least one epoch"),
        (damaged(lambda r: r.update(epochs=r["epochs"] * 2)), "numbered 1, 2, 3"),
        (damaged(lambda r: r.update(best_epoch=9)), "the best among them"),
        (damaged(lambda r: r["epochs"][0].update(train_accuracy=7.0)), "must lie in 0..1"),
        (damaged(lambda r: r.update(best_valid_accuracy=0.75)), "must be that of the best epoch"),
        (damaged(lambda r: r.update(test_loss=2.5)), "test_loss must be that of the test scales"),
        (damaged(lambda r: r["scales"][20].update(loss_sum=1.0)), "test_loss must be that"),
        (
            damaged(lambda r: r.update(weights_key="weights/0123456789ab-0123456789ab.pt")),
            "own point",
        ),
        (damaged(lambda r: r.update(weights_key="../../etc/passwd")), "own point"),
        (damaged(lambda r: r["point"].update(model="../../x")), "point.model: "),
        (damaged(lambda r: r["point"].update(dataset="/etc/x")), "point.dataset: "),
        (damaged(lambda r: r["point"].update(interpolation="a\\nb")), "point.interpolation: "),
        (damaged(lambda r: r["point"].update(model=".hidden")), "point.model: "),
        (damaged(lambda r: r["point"].update(model="a/../../b")), "point.model: "),
        (damaged(lambda r: r.update(num_classes=1)), "at least 2 classes"),
        (damaged(lambda r: r.update(test_accuracy=0.3)), "must be that of the test scales"),
        (damaged(lambda r: r["scales"][20].update(correct=37)), "correct <= total"),
        (damaged(lambda r: r["scales"].pop()), r"missing: \[64\]"),
        (damaged(lambda r: r.update(started_at="2026-11-22")), "with its zone"),
    ],
)
def test_a_damaged_record_is_refused_with_the_field_named(data: bytes, message: str):
    with pytest.raises(RecordError, match=message):
        TrialRecord.from_json(data)


def test_a_number_that_is_not_finite_is_never_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(RECORD, test_loss=float("inf")).to_json()
