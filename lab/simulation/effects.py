"""Time, processes, threads and the store, as the project's modules have them in a simulation."""

import json
import logging
import os
import platform
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, fields, is_dataclass
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

from lab.simulation import arithmetic
from lab.simulation.arithmetic import REMEMBERED
from lab.simulation.world import World
from tune_jobs.records.keys import parse_key
from tune_jobs.records.schema import from_bare_json
from tune_jobs.records.study import StudyRecord
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import claim, storage
from tune_jobs.storage.s3 import S3Address
from tune_jobs.storage.silence import SilenceWatch
from tune_jobs.trial import checkpoint, session

_PLAIN = frozenset({str, int, float, bool, type(None)})
_to_bytes, _from_bytes = checkpoint.tensors_to_bytes, checkpoint.tensors_from_bytes


class Stage:
    """Where the project's code finds the world it runs in, one after the other.

    With ``archives``, checkpoints and weights are what ``torch.save`` makes of them.
    """

    world: World
    files: Any
    archives = False


class _Delegate:
    """A module, but for the functions that are given."""

    def __init__(self, module: Any, **own: Any) -> None:
        self.__dict__.update(own)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


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

    names, kind = _names(type(value)), type(value)
    if names:
        pairs = [(name, getattr(value, name)) for name in names]
        return dict_factory(
            [
                (name, one if type(one) in _PLAIN else _asdict(one, dict_factory=dict_factory))
                for name, one in pairs
            ]
        )
    if kind is tuple or kind is list:
        return kind([_asdict(entry, dict_factory=dict_factory) for entry in value])
    if kind is dict:
        return {name: _asdict(entry, dict_factory=dict_factory) for name, entry in value.items()}
    return value


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


def _dumps(content: Any, *, indent: int | None = None, **options: Any) -> str:
    """What ``json.dumps`` gives, but for the spaces that make it readable and take most time."""
    return _encoder(**options).encode(content)


@cache
def _encoder(**options: Any) -> json.JSONEncoder:
    return json.JSONEncoder(**options)


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
    return {
        "time": (time, clock),
        "os": (os, system),
        "platform": (platform, node),
        "secrets": (secrets, tokens),
        "ThreadPoolExecutor": (ThreadPoolExecutor, _Pool),
        "asdict": (asdict, _asdict),
        "json": (json, _Delegate(json, dumps=_dumps)),
        "from_bare_json": (from_bare_json, lru_cache(REMEMBERED)(from_bare_json)),
        "parse_key": (parse_key, lru_cache(REMEMBERED)(parse_key)),
    }


def _seams(stage: Stage) -> Iterable[tuple[Any, str, Any]]:
    def started(pid: int) -> str:
        process = stage.world.here.container.find(pid)
        return process.started if process and stage.world.is_alive(process) else ""

    def to_bytes(content: Any) -> bytes:
        return (_to_bytes if stage.archives else arithmetic.tensors_to_bytes)(content)

    def from_bytes(data: bytes) -> Any:
        return (_from_bytes if stage.archives else arithmetic.tensors_from_bytes)(data)

    silence = nullcontext()
    waits = SimpleNamespace(uniform=lambda low, high: stage.world.rng.uniform(low, high))
    return [
        (torch, "manual_seed", torch.default_generator.manual_seed),  # no GPU is seeded
        (S3Address, "connect", lambda address: stage.files),
        (storage, "_waits", waits),
        (SilenceWatch, "request", lambda watch: silence),  # it only warns, from a thread
        (logging.getLogger("tune_jobs"), "disabled", True),  # notes say what happens
        (claim, "_boot_id", lambda: stage.world.here.machine.boot_id),
        (claim, "_pid_namespace", lambda: stage.world.here.container.namespace),
        (claim, "_process_started", started),
        (session, "tensors_to_bytes", to_bytes),
        (checkpoint, "tensors_to_bytes", to_bytes),
        (checkpoint, "tensors_from_bytes", from_bytes),
        (TrialRecord, "from_json", lru_cache(REMEMBERED)(TrialRecord.from_json)),
        (StudyRecord, "from_json", lru_cache(REMEMBERED)(StudyRecord.from_json)),
    ]
