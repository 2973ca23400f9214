"""The drill in short; ``benchmarks/drill.py`` is the long one."""

from collections import Counter
from pathlib import Path

import pytest

from lab.drill import drill

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("s3_keys")]

FAULTS = ("worker", "server", "driver")


def test_no_result_is_lost_doubled_or_changed_by_deaths_and_outages(tmp_path: Path):
    result = drill(
        tmp_path, faults=FAULTS, seeds=3, epochs=24, batch_seconds=1, longest_pause_seconds=4
    )
    assert result.faults == Counter(FAULTS)
    assert result.requests_failed > 0
    assert result.resumed > 0
    assert (result.trials, result.lost, result.doubled, result.different) == (3, 0, 0, 0)
