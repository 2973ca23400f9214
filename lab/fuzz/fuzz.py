"""Many inputs in many processes, and what came of them."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lab.fuzz.batch import MOST_SECONDS

TOGETHER = 500  # inputs for one process
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Input:
    """What became of one input; ``found`` says what should not have, if anything."""

    number: int
    target: str
    seconds: float
    bytes: int  # by which the process grew
    found: str


@dataclass(slots=True)
class Summary:
    """What came of many inputs."""

    inputs: Counter[str] = field(default_factory=Counter)  # by target
    found: list[Input] = field(default_factory=list)
    slowest: Input | None = None
    largest: Input | None = None

    def add(self, one: Input) -> None:
        self.inputs[one.target] += 1
        if one.found:
            self.found.append(one)
        if self.slowest is None or one.seconds > self.slowest.seconds:
            self.slowest = one
        if self.largest is None or one.bytes > self.largest.bytes:
            self.largest = one


def fuzz(numbers: range, *, jobs: int) -> Iterator[Input]:
    """Try the inputs of these numbers; an input that takes its process along is found as such."""
    parts = [numbers[start : start + TOGETHER] for start in range(0, len(numbers), TOGETHER)]
    with ThreadPoolExecutor(jobs) as pool:
        for inputs in pool.map(_part, parts):
            yield from inputs


def _part(numbers: range) -> list[Input]:
    inputs: list[Input] = []
    while len(inputs) < len(numbers):
        left = numbers[len(inputs) :]
        inputs += _process(left)
        if len(inputs) < len(numbers) and not (inputs and inputs[-1].found.startswith("died")):
            number = numbers[len(inputs)]
            inputs.append(Input(number, "?", 0.0, 0, "died with its process"))
    return inputs


def _process(numbers: range) -> list[Input]:
    command = [sys.executable, "-m", "lab.fuzz.batch", *map(str, numbers)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    try:
        output = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=60 + len(numbers) * MOST_SECONDS,
        ).stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
    return [Input(**json.loads(line)) for line in output.splitlines() if line.endswith(b"}")]
