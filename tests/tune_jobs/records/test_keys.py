import pytest

from tune_jobs.records.keys import (
    Kind,
    calibration_key,
    checkpoint_key,
    claim_key,
    damaged_key,
    dataset_key,
    evaluation_key,
    failure_key,
    maps_key,
    outcome_key,
    parse_key,
    point_id_of,
    predictions_key,
    record_key,
    rentals_key,
    samples_key,
    search_key,
    study_key,
    weights_key,
)

ID = "0123456789ab"
DIGEST = "ba9876543210"
KEYS = {
    Kind.RECORD: record_key(ID),
    Kind.WEIGHTS: weights_key(ID, DIGEST * 5),
    Kind.FAILURE: failure_key(ID, 12),
    Kind.CLAIM: claim_key(ID),
    Kind.CHECKPOINT: checkpoint_key(ID),
    Kind.DATASET: dataset_key("my data@2", DIGEST * 5),
    Kind.EVALUATION: evaluation_key(ID),
    Kind.PREDICTIONS: predictions_key(ID),
    Kind.INDEX_MAPS: maps_key(ID, (3, 0)),
    Kind.STUDY: study_key("my-study", "all"),
    Kind.CALIBRATION: calibration_key("amd-epyc"),
    Kind.SEARCH: search_key("my-study"),
    Kind.SAMPLES: samples_key("my-study"),
    Kind.OUTCOME: outcome_key("my-study", ID),
    Kind.RENTALS: rentals_key("my-study", ID),
    Kind.DAMAGED: damaged_key(ID, DIGEST * 5),
}


def test_every_kind_of_object_has_a_key():
    assert set(KEYS) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_a_key_is_taken_apart_into_what_it_was_made_of(kind: Kind):
    key = parse_key(KEYS[kind])
    assert key is not None
    assert key.kind is kind
    of_others = {Kind.CALIBRATION, Kind.DATASET, Kind.STUDY, Kind.SEARCH, Kind.SAMPLES}
    of_others |= {Kind.RENTALS}
    assert key.point_id == (None if kind in of_others else ID)
    assert point_id_of(KEYS[kind]) == key.point_id
    assert key.attempt == (12 if kind is Kind.FAILURE else None)
    assert (key.class_index, key.instance) == ((3, 0) if kind is Kind.INDEX_MAPS else (None, None))
    assert key.driver == (ID if kind is Kind.RENTALS else None)
    assert key.digest == (DIGEST if kind in (Kind.WEIGHTS, Kind.DATASET, Kind.DAMAGED) else None)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "change",
    [
        lambda key: f"{key}.bak",
        lambda key: f"{key}~",
        lambda key: f"{key}\n",
        lambda key: f"{key}/x",
        lambda key: key.replace(".", " (1).", 1),
        lambda key: key.replace(".", ".sync-conflict-20260101-000000.", 1),
        lambda key: key.upper(),
        lambda key: f"old/{key}",
        lambda key: f"/{key}",
        lambda key: key.replace("/", "//", 1),
        lambda key: key.replace("/", "/.stversions/", 1),
        lambda key: key.replace("/", "/../records/", 1),
        lambda key: key.rpartition(".")[0],
    ],
)
def test_no_other_name_is_taken_for_a_key(kind: Kind, change):
    assert parse_key(change(KEYS[kind])) is None


@pytest.mark.parametrize(
    "key", ["", "records", "records/", f"failures/{ID}/0x1.json", f"failures/{ID}/01.json",
            f"records/{ID[:-1]}.json", f"records/{ID}٣.json", "studies/../x.json"],
)  # fmt: skip
def test_what_is_nearly_a_key_is_none(key: str):
    assert parse_key(key) is None
