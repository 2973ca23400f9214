from dataclasses import replace
from typing import Any

import pytest

from lab.records import put_record
from siconvnet.models.benchmark import OURS, PAPER
from tune_jobs.plan.cost import (
    Here,
    Kind,
    Measured,
    Source,
    costliest_first,
    expect,
    measure,
)
from tune_jobs.plan.prior import GPU_PRIOR_MS, PRIOR_MS
from tune_jobs.point import Cell, Recipe, TrialSpec, cell_of
from tune_jobs.records.calibration import Calibration, ModelSeconds
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage

CELL = Cell(model="standard", dataset="emoji", scenario=2, kernel_size=7, interpolation=None)
NOTHING = Measured({}, {})
PER_SCALE = 36


def spec(cell: Cell, seed: int = 1) -> TrialSpec:
    point = cell.point(lr=1e-3, seed=seed)
    return TrialSpec(point=point, recipe=Recipe(), model_version=1, dataset_fingerprint="ab")


def seconds(cell: Cell, measured: Measured = NOTHING, recipe: Recipe | None = None) -> float:
    expected = expect(cell, recipe or Recipe(), PER_SCALE, measured)
    assert expected is not None
    return expected.seconds


def machine(models: dict[str, ModelSeconds] | None = None) -> Here:
    """The machine that trials will run on."""
    kind = Kind(gpu=False, threads=1, backend="compiled-avx2", processor="Fast One")
    return Here(kind=kind, models=models or {})


def ran_on(record: TrialRecord, **provenance: Any) -> TrialRecord:
    """The record as if its trial had run there; else on a machine like that of ``machine``."""
    there = {"backend": "compiled-avx2", "processor": "Fast One"} | provenance
    return replace(record, provenance=replace(record.provenance, **there))


def test_without_records_the_table_is_used_and_says_so():
    expected = expect(CELL, Recipe(), PER_SCALE, NOTHING)
    assert expected is not None
    assert expected.source == Source.TABLE
    # 73 epochs of 16 scales at 0.6 + 0.5 ms an image, then one look at 48 scales.
    assert expected.seconds == pytest.approx(PER_SCALE * (73 * 16 * 1.1 + 48 * 0.5) / 1000)


@pytest.mark.parametrize("table", [PRIOR_MS, GPU_PRIOR_MS])
def test_every_model_of_ours_is_in_the_tables(table: dict):
    assert set(table) == {spec.name for spec in (*PAPER, *OURS)}


def test_all_scales_take_about_three_times_as_long():
    # Three times the epochs' images, and a test of the same size.
    assert seconds(replace(CELL, scenario=4)) == pytest.approx(3 * seconds(CELL), rel=0.05)


def test_a_short_recipe_bounds_the_epochs_and_more_patience_adds_to_them():
    testing = PER_SCALE * 48 * 0.5 / 1000
    short = seconds(CELL, recipe=Recipe(max_epochs=1)) - testing
    assert seconds(CELL, recipe=Recipe(patience=15)) - testing == pytest.approx(78 * short)


def test_records_of_a_cell_replace_the_table(storage: Storage):
    records = [
        put_record(
            storage, spec(CELL, seed), valid_accuracy=0.5, epochs=4, epoch_seconds=1.0 * seed
        )
        for seed in (1, 2, 9)
    ]
    measured = measure(records, {"emoji": PER_SCALE})
    expected = expect(CELL, Recipe(), PER_SCALE, measured)
    assert expected is not None
    assert expected.source == Source.RECORDS
    # Four epochs of two seconds, of which the table gives validation 0.5 / 1.1.
    assert expected.seconds == pytest.approx(4 * 2 + 2 / 16 * 48 * 0.5 / 1.1)


def test_a_trial_is_expected_to_train_validate_and_test_as_measured(storage: Storage):
    record = put_record(storage, spec(CELL), valid_accuracy=0.5, epochs=4, epoch_seconds=9.0)
    epochs = [replace(epoch, train_seconds=3.0, valid_seconds=1.0) for epoch in record.epochs]
    expected = expect(
        CELL,
        Recipe(),
        PER_SCALE,
        measure([replace(record, epochs=tuple(epochs))], {"emoji": PER_SCALE}),
    )
    # Four epochs of 3 + 1 seconds over 16 scales, and a test of 48 scales at validation's speed.
    assert expected is not None
    assert expected.seconds == pytest.approx(4 * 4 + 3 * 1.0)


def test_a_cell_without_records_learns_from_the_same_model_on_other_scales(storage: Storage):
    record = put_record(storage, spec(CELL), valid_accuracy=0.5, epochs=4, epoch_seconds=16.0)
    measured = measure([record], {"emoji": PER_SCALE})
    other = replace(CELL, scenario=4)
    assert cell_of(record.point) == CELL
    assert seconds(other, measured) == pytest.approx(73 * 48 + 48 * 0.5 / 1.1)


def test_nothing_is_guessed_of_a_model_that_nobody_measured():
    assert expect(replace(CELL, model="yours"), Recipe(), PER_SCALE, NOTHING) is None


def test_costly_trials_come_first_and_equally_costly_ones_keep_their_order():
    cells = [CELL, replace(CELL, model="conv3d"), replace(CELL, model="my_own")]
    given = [spec(cell, seed) for seed in (1, 2) for cell in cells]
    ordered = costliest_first(given, {"emoji": PER_SCALE})
    assert [(one.point.model, one.point.seed) for one in ordered] == [
        (model, seed) for model in ("my_own", "conv3d", "standard") for seed in (1, 2)
    ]


def test_a_calibration_stands_before_the_table_and_behind_records(storage: Storage):
    here = machine({"standard": ModelSeconds(train=0.003, valid=0.001)})
    expected = expect(CELL, Recipe(), PER_SCALE, measure([], {}, here))
    assert expected is not None
    assert expected.source == Source.CALIBRATION
    assert expected.seconds == pytest.approx(PER_SCALE * (73 * 16 * 4 + 48 * 1) / 1000)
    record = ran_on(put_record(storage, spec(CELL), valid_accuracy=0.5, epochs=4))
    run = expect(CELL, Recipe(), PER_SCALE, measure([record], {"emoji": PER_SCALE}, here))
    assert run is not None
    assert run.source == Source.RECORDS


def test_the_table_is_corrected_by_how_long_other_models_took():
    twice = machine({"standard": ModelSeconds(train=0.0012, valid=0.001)})
    other = replace(CELL, model="kanazawa")
    corrected = expect(other, Recipe(), PER_SCALE, measure([], {}, twice))
    assert corrected is not None
    assert corrected.source == Source.TABLE
    assert corrected.seconds == pytest.approx(2 * seconds(other))


def test_records_of_another_dataset_say_how_long_an_image_takes(storage: Storage):
    record = put_record(storage, spec(CELL), valid_accuracy=0.5, epochs=4, epoch_seconds=1.0)
    measured = measure([record], {"emoji": PER_SCALE})
    elsewhere = replace(CELL, dataset="mnist")
    expected = expect(elsewhere, Recipe(), PER_SCALE, measured)
    assert expected is not None
    assert expected.source == Source.RECORDS
    each, _ = measured.of("standard", "emoji") or pytest.fail("no record was read")
    assert expected.seconds == pytest.approx(
        PER_SCALE * (47 * 16 * (each.train + each.valid) + 48 * each.valid)
    )


@pytest.mark.parametrize(
    "there",
    [
        {"backend": "torch"},
        {"backend": None, "processor": None},  # of a version that did not say
        {"processor": "Slow One"},
        {"threads": 2},
        {"device": "cuda"},
    ],
)
def test_records_of_another_kind_of_machine_are_scaled_by_models_known_of_both(storage, there):
    conv3d = replace(CELL, model="conv3d")
    slow = [
        ran_on(
            put_record(storage, spec(cell), valid_accuracy=0.5, epochs=4, epoch_seconds=seconds),
            **there,
        )
        for cell, seconds in ((CELL, 10.0), (conv3d, 50.0))
    ]
    here = machine({"standard": ModelSeconds(train=2 / 576 * 6 / 11, valid=2 / 576 * 5 / 11)})
    measured = measure(slow, {"emoji": PER_SCALE}, here)
    calibrated, scaled = (measured.of(model, "emoji") for model in ("standard", "conv3d"))
    assert calibrated == (here.models["standard"], Source.CALIBRATION)
    assert scaled is not None
    assert scaled[1] == Source.OTHER_RECORDS
    assert (scaled[0].train + scaled[0].valid) * 576 == pytest.approx(10)  # a fifth of 50


def test_records_of_this_kind_of_machine_stand_before_a_calibration_and_others(storage):
    ours, theirs = (
        put_record(storage, spec(CELL, seed), valid_accuracy=0.5, epochs=4, epoch_seconds=seconds)
        for seed, seconds in ((1, 1.0), (2, 9.0))
    )
    records = [ran_on(theirs, backend="torch"), ran_on(ours)]
    here = machine({"standard": ModelSeconds(train=1, valid=1)})
    found = measure(records, {"emoji": PER_SCALE}, here).of("standard", "emoji")
    assert found is not None
    assert found[1] == Source.RECORDS
    assert (found[0].train + found[0].valid) * 576 == pytest.approx(1)


def test_a_record_that_does_not_name_its_processor_is_like_any_of_its_form(storage):
    record = put_record(storage, spec(CELL), valid_accuracy=0.5, epochs=4)
    records = [ran_on(record, processor=None)]
    found = measure(records, {"emoji": PER_SCALE}, machine()).of("standard", "emoji")
    assert found is not None
    assert found[1] == Source.RECORDS


def test_of_a_machine_that_is_not_known_the_table_says_how_fast_it_is(storage):
    record = put_record(storage, spec(CELL), valid_accuracy=0.5, epochs=4, epoch_seconds=99.0)
    measured = measure([ran_on(record, backend="torch")], {"emoji": PER_SCALE}, machine())
    expected = expect(CELL, Recipe(), PER_SCALE, measured)
    assert expected is not None
    assert expected.source == Source.OTHER_RECORDS
    assert expected.seconds == pytest.approx(PER_SCALE * (4 * 16 * 1.1 + 48 * 0.5) / 1000)


def test_where_nothing_was_measured_here_trials_are_expected_to_run_where_they_ran(storage):
    record = put_record(storage, spec(CELL), valid_accuracy=0.5, epochs=4, epoch_seconds=3.0)
    elsewhere = [ran_on(record, processor="Slow One")]
    found = measure(elsewhere, {"emoji": PER_SCALE}, machine()).of("standard", "emoji")
    assert found is not None
    assert found[1] == Source.RECORDS_ELSEWHERE


@pytest.mark.parametrize(
    ("processor", "source"),
    [
        ("NVIDIA L4", Source.RECORDS),
        ("NVIDIA XX", Source.OTHER_RECORDS),
        (None, Source.OTHER_RECORDS),
    ],
)
def test_of_a_gpu_that_is_named_no_others_records_count(storage, processor, source):
    record = put_record(storage, spec(CELL), valid_accuracy=0.5, epochs=4)
    on_gpu = ran_on(record, device="cuda:0", processor=processor)
    here = Here(kind=Kind.of_gpu("NVIDIA L4"), exactly=True)
    found = measure([on_gpu], {"emoji": PER_SCALE}, here).of("standard", "emoji")
    assert found is not None
    assert found[1] == source


def test_times_on_a_gpu_are_learned_from_trials_on_gpus(storage):
    record = put_record(storage, spec(CELL), valid_accuracy=0.5, epochs=4)
    sizes = {"emoji": PER_SCALE}
    on_gpu, on_cpu = (
        measure([ran_on(record, device=device)], sizes, Here.of_calibration(None)).of(
            "standard", "emoji"
        )
        for device in ("cuda:0", "cpu")
    )
    assert on_gpu is not None
    assert on_cpu is not None
    assert (on_gpu[1], on_cpu[1]) == (Source.RECORDS, Source.OTHER_RECORDS)


def test_a_gpu_of_which_nothing_is_known_has_a_table_of_its_own():
    expected = expect(CELL, Recipe(), PER_SCALE, measure([], {}, Here.of_calibration(None)))
    assert expected is not None
    assert expected.source == Source.GPU_TABLE
    train, valid = GPU_PRIOR_MS["standard"]
    images = 73 * 16 * (train + valid) + 48 * valid
    assert expected.seconds == pytest.approx(PER_SCALE * images / 1000)


def test_records_and_calibrations_of_another_gpu_are_scaled_to_this_one(storage):
    calibrated = Calibration(
        processor="Fast GPU",
        threads=1,
        backend="torch",
        torch_version="2.13.0",
        models={"standard": ModelSeconds(train=1e-5, valid=1e-5)},
        measured_at="2026-11-26T00:00:00Z",
        device="cuda",
    )
    here = Here.of_calibration(calibrated)
    conv3d = replace(CELL, model="conv3d")
    records = [
        put_record(storage, spec(cell), valid_accuracy=0.5, epochs=4, epoch_seconds=seconds)
        for cell, seconds in ((CELL, 1.0), (conv3d, 7.0))
    ]

    def found(gpu: str) -> tuple[float, Source]:
        there = [ran_on(record, device="cuda:0", processor=gpu) for record in records]
        each = measure(there, {"emoji": PER_SCALE}, here).of("conv3d", "emoji")
        assert each is not None
        return (each[0].train + each[0].valid) * 576, each[1]

    assert found("Fast GPU") == (pytest.approx(7.0), Source.RECORDS)
    assert found("Slow GPU") == (pytest.approx(7 * 576 * 2e-5), Source.OTHER_RECORDS)
