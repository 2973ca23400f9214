from dataclasses import replace

import pytest

from tune_jobs.point import GridPoint, Recipe, TrialSpec

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
