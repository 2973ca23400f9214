import pytest

from stir import SCENARIOS


@pytest.mark.parametrize(
    ("id", "name", "seen", "unseen"),
    [
        (1, "Small2Large", range(17, 33), [*range(33, 65)]),
        (2, "Mid2Rest", range(33, 49), [*range(17, 33), *range(49, 65)]),
        (3, "Large2Small", range(49, 65), [*range(17, 49)]),
        (4, "All2All", range(17, 65), [*range(17, 65)]),
    ],
)
def test_scenarios_split_the_scales_as_published(id, name, seen, unseen):
    scenario = SCENARIOS[id]
    assert scenario.id == id
    assert scenario.name == name
    assert list(scenario.train_scales) == list(seen)
    assert list(scenario.test_scales) == unseen


def test_no_scale_is_both_trained_on_and_tested_except_where_all_are():
    for scenario in SCENARIOS.values():
        shared = set(scenario.train_scales) & set(scenario.test_scales)
        assert len(shared) == (48 if scenario.id == 4 else 0)
