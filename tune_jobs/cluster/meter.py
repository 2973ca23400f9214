"""What the machines of a run cost, idle or not, and its end when a budget is spent."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import ray

from tune_jobs import clock
from tune_jobs.cluster.connection import RAY_REFUSES
from tune_jobs.errors import StorageError, TuneJobsError
from tune_jobs.records.rental import Rental, cost_of
from tune_jobs.storage import Storage
from tune_jobs.storage.rentals import read_rentals, write_rentals

LABEL = "dollars-an-hour"  # of a machine that says what it costs, as cluster.yaml has them
KIND_LABEL = "ray.io/node-group"
LOOK_SECONDS = 5.0
WRITE_SECONDS = 60.0
START_SECONDS = 240.0  # that a machine costs before it joins: it boots and installs
TOGETHER = "all machines"


class Meter:
    """Counts what machines cost, in a thread of its own; what it counts is kept in the storage.

    With a ``price``, an hour of all machines together costs that; without, each machine says in
    its label ``dollars-an-hour`` what it costs. ``on_spent`` is called once, when all drivers of
    the study together have spent ``budget``.
    """

    def __init__(
        self,
        storage: Storage,
        study: str,
        driver: str,
        *,
        price: float | None,
        budget: float | None,
        on_spent: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage, self._study, self._driver = storage, study, driver
        self._price, self._budget, self._on_spent = price, budget, on_spent
        self._others = read_rentals(storage, study)
        self._mine: dict[str, Rental] = {}
        self._began = clock.now()
        self._written = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self.is_spent = False

    @property
    def cost(self) -> float:
        """Money that the study has cost so far, in this run and before it."""
        return cost_of([*self._others.values(), *dict(self._mine).values()])

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        with suppress(*RAY_REFUSES):
            self.look()
        self._write()

    def look(self) -> None:
        """Note the machines that are on now, and whether the budget is spent."""
        now = clock.now()
        for machine, kind, price in self._machines():
            known = self._mine.get(machine) or self._others.get(machine)
            if known is None:
                joined = bool(self._mine) and machine != TOGETHER
                since = max(self._began, now - LOOK_SECONDS) - START_SECONDS if joined else now
                known = Rental(machine=machine, kind=kind, price=price, since=since, until=now)
            self._mine[machine] = replace(known, until=max(now, known.until))
        if self._budget is not None and self.cost >= self._budget and not self.is_spent:
            self.is_spent = True
            self._on_spent()

    def _machines(self) -> list[tuple[str, str, float]]:
        """Each machine that is on: its id, its kind, what an hour of it costs."""
        if self._price is not None:
            return [(f"{TOGETHER} of {self._driver}", TOGETHER, self._price)]
        prices = price_labels()
        dearest = max((price for _, _, price in prices if price is not None), default=0.0)
        return [
            (machine, kind, dearest if price is None else price) for machine, kind, price in prices
        ]

    def _count(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with suppress(*RAY_REFUSES):  # for a moment, or for good: then the run ends by itself
                self.look()
            if clock.now() - self._written >= WRITE_SECONDS or self.is_spent:
                self._write()

    def _write(self) -> None:
        self._written = clock.now()
        try:
            write_rentals(self._storage, self._study, self._driver, dict(self._mine))
        except StorageError:  # for a moment: the next time it is all written again
            if self._over.is_set():
                raise


def price_labels() -> list[tuple[str, str, float | None]]:
    """Each machine of the cluster that is on: id, kind, and its price; None where it has none."""
    found: list[tuple[str, str, float | None]] = []
    for node in ray.nodes():
        labels: dict[str, Any] = node.get("Labels") or {}
        if node["Alive"]:
            kind = labels.get(KIND_LABEL) or "machine"
            found.append((node["NodeID"], kind, _price(labels.get(LABEL))))
    return found


def require_prices(price: float | None, *, local: bool) -> None:
    """Raise TuneJobsError where it is not known what machines cost."""
    if price is None and (local or all(one is None for _, _, one in price_labels())):
        raise TuneJobsError(
            "--budget needs to know what machines cost; none says so. Give --price, what an hour "
            f"of all of them costs, or label them as cluster.yaml does ({LABEL})."
        )


def _price(text: str | None) -> float | None:
    try:
        price = float(text or "")
    except ValueError:
        return None
    return price if 0 <= price < float("inf") else None
