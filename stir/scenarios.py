"""The four evaluation scenarios: which object scales are trained on and which are tested."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SCALES = range(17, 65)  # object sides in pixels, every scale of the benchmark


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way of splitting the object scales between training and testing.

    Scales are object sides in pixels, ascending. Validation uses the training scales.
    Source: Altstidl et al. (2023), arXiv:2211.10288, section 4.2.
    """

    id: int
    name: str
    train_scales: tuple[int, ...]
    test_scales: tuple[int, ...]


def _scenario(id: int, name: str, train: range, *test: range) -> Scenario:
    return Scenario(id, name, tuple(train), tuple(scale for part in test for scale in part))


SCENARIOS: Mapping[int, Scenario] = MappingProxyType(
    {
        1: _scenario(1, "Small2Large", range(17, 33), range(33, 65)),
        2: _scenario(2, "Mid2Rest", range(33, 49), range(17, 33), range(49, 65)),
        3: _scenario(3, "Large2Small", range(49, 65), range(17, 49)),
        4: _scenario(4, "All2All", SCALES, SCALES),
    }
)
