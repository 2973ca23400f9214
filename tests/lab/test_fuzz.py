import os

from lab.fuzz.fuzz import Summary, fuzz
from lab.fuzz.targets import TARGETS

INPUTS = 1_000


def test_whatever_comes_is_used_or_refused_in_a_sentence():
    total = Summary()
    for one in fuzz(range(INPUTS), jobs=os.cpu_count() or 1):
        total.add(one)
    assert not total.found, total.found[0]
    assert total.inputs.keys() == TARGETS.keys()
    assert total.inputs.total() == INPUTS
