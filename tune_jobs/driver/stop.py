"""Stopping a whole run: asked for by its driver, noticed by its trials wherever they run."""

import asyncio
import threading
import time
from contextlib import suppress
from functools import cache
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorUnavailableError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

LISTENERS = 100_000  # processes that may wait for a stop at once
AGAIN_SECONDS = 1.0


class _Board:
    """An actor on the driver's node; every process that trains has one open call to it."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()

    async def ask(self) -> None:
        self._asked.set()

    async def wait(self) -> None:
        await self._asked.wait()


class Stop:
    """The driver's side. ``ask`` may be called by a signal handler or another thread."""

    def __init__(self) -> None:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.board: Any = (
            ray.remote(_Board)
            .options(num_cpus=0, max_concurrency=LISTENERS, scheduling_strategy=here)
            .remote()
        )
        self.asked = False
        self._announced = False

    def ask(self) -> None:
        self.asked = True

    def announce(self) -> None:
        """Let the trials know, once a stop was asked for; the driver calls this now and then."""
        if self.asked and not self._announced:
            self._announced = True
            self.board.ask.remote()


class StopListener:
    """A trial's side: true once a stop was asked for."""

    def __init__(self, board: ActorHandle) -> None:
        self._notified = threading.Event()
        threading.Thread(target=self._listen, args=(board,), daemon=True).start()

    def __call__(self) -> bool:
        return self._notified.is_set()

    def _listen(self, board: ActorHandle) -> None:
        with suppress(RayError):  # the driver is gone, and soon this process is
            while not self._notified.is_set():
                try:
                    ray.get(board.wait.remote())
                    self._notified.set()
                except ActorUnavailableError:  # for a moment: a fault of the network
                    time.sleep(AGAIN_SECONDS)


@cache
def stop_listener(board: ActorHandle) -> StopListener:
    """The one listener of this process."""
    return StopListener(board)
