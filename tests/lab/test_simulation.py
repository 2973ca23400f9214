import os
from collections import Counter

import pytest

from lab.simulation.faults import NO_FAULTS
from lab.simulation.history import History, theatre
from lab.simulation.tally import Tally, tallies, tally

HISTORIES = 10_000
# Seeds of histories that showed a fault of the service, since mended.
MENDED = (11859, 19810, 103992)


def test_no_history_loses_doubles_or_changes_a_result():
    total = Tally()
    for part in tallies(range(HISTORIES), jobs=os.cpu_count() or 1):
        total.add(part)
    assert total.histories == HISTORIES
    assert not total.failed, "\n\n".join(total.shown)


@pytest.mark.parametrize("seed", MENDED)
def test_what_was_mended_stays_so(seed: int):
    result = tally([seed], archives=seed < 100_000)
    assert not result.failed, result.shown


@pytest.mark.parametrize(
    ("defect", "histories", "found"),
    [
        ("claims ignored", 60, "has claimed"),
        ("digests alike", 120, "raised"),
        ("record first", 1, "is written before its weights"),
    ],
)
def test_a_planted_defect_is_found(defect: str, histories: int, found: str):
    result = tally(range(histories), defect=defect)
    assert result.failed
    assert found in result.shown[0]


def test_quick_bytes_change_nothing_but_themselves():
    """The same trials at the same moments, with archives and with what stands for them."""
    with theatre() as stage:
        real, quick = (stage.play(3, most=0, archives=archives) for archives in (True, False))
    assert [(at, who) for at, who, _ in real.notes] == [(at, who) for at, who, _ in quick.notes]
    assert not real.violations
    assert real.notes != quick.notes  # as the names of weights have digests


def test_a_seed_decides_everything():
    with theatre() as stage:
        first, other, again = (stage.play(seed) for seed in (5, 6, 5))
    assert first == again
    assert first.notes != other.notes


def test_a_history_is_shown_in_twenty_lines():
    notes = tuple((float(number), "driver 1", f"event {number}") for number in range(30))
    history = History(
        seed=3, faults=NO_FAULTS, struck=Counter(), notes=notes, violations=("a record is lost",)
    )
    lines = str(history).splitlines()
    assert lines[:2] == ["seed 3: a record is lost", "(11 earlier lines)"]
    assert lines[-1].split(maxsplit=2) == ["29.0", "s", "driver 1                         event 29"]
    assert len(lines) == 21
