"""When a driver looks at its storage: not while all of its trials run."""

from types import SimpleNamespace
from typing import Any

import pytest

from tune_jobs.driver import runner
from tune_jobs.driver.runner import NOTHING, Run, Supply


class Experiment:
    """One trial, which the driver looks after so many times until it is over."""

    is_starting = False
    tried = frozenset({"a"})
    watch = SimpleNamespace(broken=[], crowded=set())

    def __init__(self, looks: int) -> None:
        self._left = looks

    @property
    def is_over(self) -> bool:
        self._left -= 1
        return self._left < 0

    def check(self) -> None:
        pass


class Source:
    """Of one trial; or of one that another driver runs as well."""

    def __init__(self, others: bool) -> None:
        self.looks: list[set[str]] = []
        self._others = others

    def has_more(self, tried: set[str]) -> bool:
        return self._others or not tried

    def supply(self, tried: set[str]) -> Supply:
        self.looks.append(set(tried))
        trials: Any = "one trial"
        return NOTHING if tried else Supply((trials,), awaited=False)

    def alone(self, point_ids: set[str]) -> tuple[()]:
        return ()


@pytest.mark.parametrize(
    ("others", "looks"), [(False, [set(), {"a"}]), (True, [set(), *[{"a"}] * 21])]
)
def test_a_driver_looks_again_once_it_may_find_something(
    others: bool, looks: list[set[str]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runner, "ELSEWHERE_SECONDS", 0.0)
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(Run, "_start", lambda run, batch: Experiment(20))
    setting: Any = SimpleNamespace(stop=SimpleNamespace(asked=False, announce=lambda: None))
    source: Any = Source(others)
    Run(setting).until_done(source)
    assert source.looks == looks
