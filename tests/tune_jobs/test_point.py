from dataclasses import replace

import pytest

from tune_jobs.point import GridPoint, Recipe, TrialSpec, short_labels

POINT = GridPoint(
    model="standard",
    dataset="emoji",
    scenario=2,
    kernel_size=7,
    interpolation=None,
    lr=0.001,
    seed=1,
)
SPEC = TrialSpec(point=POINT, recipe=Recipe(), model_version=1, dataset_fingerprint="0123")


def test_the_point_id_of_a_spec_never_changes():
    assert SPEC.point_id == "0271ba88aaa0"


@pytest.mark.parametrize(
    "changed",
    [
        replace(SPEC, point=replace(POINT, seed=2)),
        replace(SPEC, point=replace(POINT, lr=0.002)),
        replace(SPEC, point=replace(POINT, interpolation="area")),
        replace(SPEC, recipe=Recipe(max_epochs=199)),
        replace(SPEC, recipe=Recipe(on_divergence="stop")),
        replace(SPEC, model_version=2),
        replace(SPEC, model_version="1"),
        replace(SPEC, dataset_fingerprint="0124"),
        replace(SPEC, protocol_version=SPEC.protocol_version + 1),
    ],
)
def test_whatever_decides_the_outcome_changes_the_point_id(changed: TrialSpec):
    assert changed.point_id != SPEC.point_id


def test_a_short_label_is_the_model_and_what_differs_between_points():
    points = [replace(POINT, seed=2), replace(POINT, scenario=3), replace(POINT, model="xu")]
    assert [*short_labels(points).values()] == [
        *("standard s2 seed=2", "standard s3 seed=1", "xu s2 seed=1")
    ]
    assert short_labels([POINT]) == {POINT.label: "standard"}


def test_an_interpolation_that_only_some_models_use_makes_no_difference():
    pooled = replace(POINT, model="pixel_pool", interpolation="area")
    assert short_labels([POINT, pooled])[pooled.label] == "pixel_pool"
