"""Time, processes, threads and the store, as the project's modules have them in a simulation."""

import json
import os
import platform
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

from lab.simulation.world import World
from tune_jobs.storage import claim, storage
from tune_jobs.storage.s3 import S3Address
from tune_jobs.storage.silence import SilenceWatch


class Stage:
    """Where the project's code finds the world it runs in, one after the other."""

    world: World
    files: Any


class _Delegate:
    """A module, but for the functions that are given."""

    def __init__(self, module: Any, **own: Any) -> None:
        self.__dict__.update(own)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class _Datetime(datetime):
    """A datetime that is now when the moving process's clock says so."""

    stage: Stage

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.fromtimestamp(cls.stage.world.wall_time, tz or UTC)


class _Pool:
    """A pool of threads, of which there are none: what is given is done at once."""

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future

    def map(self, function: Callable[..., Any], *arguments: Iterable[Any]) -> Iterator[Any]:
        return map(function, *arguments)


def _asdict(value: Any, *, dict_factory: Callable[[Any], Any] = dict) -> Any:
    """What ``dataclasses.asdict`` gives, but for copies of what cannot change; sooner."""
    if is_dataclass(value):
        names = _names(type(value))
        return dict_factory(
            [(name, _asdict(getattr(value, name), dict_factory=dict_factory)) for name in names]
        )
    if isinstance(value, tuple | list):
        return type(value)([_asdict(entry, dict_factory=dict_factory) for entry in value])
    if isinstance(value, dict):
        return {name: _asdict(entry, dict_factory=dict_factory) for name, entry in value.items()}
    return value


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _dumps(content: Any, *, indent: int | None = None, **options: Any) -> str:
    """What ``json.dumps`` gives, but for the spaces that make it readable and take most time."""
    return json.dumps(content, **options)


@contextmanager
def simulated(stage: Stage) -> Iterator[None]:
    """Let all of ``tune_jobs`` that is loaded see the stage's world instead of this machine."""
    effects = _effects(stage)
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("tune_jobs"):
                for attribute, (real, ours) in effects.items():
                    if getattr(module, attribute, None) is real:
                        stack.enter_context(mock.patch.object(module, attribute, ours))
        for owner, attribute, ours in _seams(stage):
            stack.enter_context(mock.patch.object(owner, attribute, ours))
        yield


def _effects(stage: Stage) -> Mapping[str, tuple[Any, Any]]:
    """What a module may have imported by this name, and what it gets."""
    clock = _Delegate(
        time,
        time=lambda: stage.world.wall_time,
        monotonic=lambda: stage.world.now,
        perf_counter=lambda: stage.world.now,
        sleep=lambda seconds: stage.world.sleep(seconds),
    )
    system = _Delegate(os, getpid=lambda: stage.world.here.pid)
    node = _Delegate(platform, node=lambda: stage.world.here.machine.name)
    tokens = _Delegate(
        secrets, token_hex=lambda size: stage.world.rng.getrandbits(8 * size).to_bytes(size).hex()
    )
    _Datetime.stage = stage
    return {
        "time": (time, clock),
        "os": (os, system),
        "platform": (platform, node),
        "secrets": (secrets, tokens),
        "datetime": (datetime, _Datetime),
        "ThreadPoolExecutor": (ThreadPoolExecutor, _Pool),
        "asdict": (asdict, _asdict),
        "json": (json, _Delegate(json, dumps=_dumps)),
    }


def _seams(stage: Stage) -> Iterable[tuple[Any, str, Any]]:
    def started(pid: int) -> str:
        process = stage.world.here.container.find(pid)
        return process.started if process and stage.world.is_alive(process) else ""

    waits = SimpleNamespace(uniform=lambda low, high: stage.world.rng.uniform(low, high))
    return [
        (torch, "manual_seed", torch.default_generator.manual_seed),  # no GPU is seeded
        (S3Address, "connect", lambda address: stage.files),
        (storage, "_waits", waits),
        (SilenceWatch, "request", lambda watch: nullcontext()),  # it only warns, from a thread
        (claim, "_boot_id", lambda: stage.world.here.machine.boot_id),
        (claim, "_pid_namespace", lambda: stage.world.here.container.namespace),
        (claim, "_process_started", started),
    ]
