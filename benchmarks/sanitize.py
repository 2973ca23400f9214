"""Runs the compiled loops once over odd sizes under the address and undefined-behaviour sanitizers.

    python -m benchmarks.sanitize

Builds the sources of this checkout for each instruction set that the processor has, and trains a
step of small layers of every kind with them; ends with what a sanitizer finds, exit status 1. Needs
GCC or Clang with their sanitizers.
"""

import os
import platform
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from siconvnet import (
    Conv2d,
    Conv3d,
    KanazawaConv2d,
    PooledSiConv2d,
    ScalePool,
    SESConv2d,
    SiConv2d,
    XuConv2d,
)
from siconvnet.compiled import library
from siconvnet.networks import LastStage, TwoStageNetwork

SOURCES = Path(library.__file__).parent / "src"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
FLAGS = {
    "portable": (),
    "avx2": ("-mavx2", "-mfma"),
    "avx512": ("-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mavx2", "-mfma"),
}


def build(instruction_set: str, target: Path) -> None:
    """Compile the loops with sanitizers."""
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    sources = sorted(map(str, SOURCES.glob("*.cpp")))
    command = [*compiler, "-std=c++17", "-shared", "-fPIC", "-pthread", *SANITIZERS]
    command += [*FLAGS[instruction_set], *sources, "-o", str(target)]
    subprocess.run(command, check=True)


def networks() -> list[tuple[TwoStageNetwork, torch.Tensor]]:
    """Small networks of every kind with odd numbers of channels, sizes and images."""
    cases: list[tuple[nn.Module, LastStage, tuple[int, ...]]] = []
    for mode in ("pixel", "slice", "energy"):
        for padding, interpolation in ((False, "nearest"), (True, "bicubic")):
            options = {"kernel_size": 3, "interpolation": interpolation, "padding": padding}
            stages = [
                PooledSiConv2d(SiConv2d(c, o, num_scales=4, **options), ScalePool(mode))
                for c, o in ((3, 5), (5, 17))
            ]
            cases.append((stages[0], stages[1], (3, 3, 17, 14)))
    basis = torch.rand(4, 2, 5, 5)
    basis[:, 0, [0, 4]] = basis[:, 0, :, [0, 4]] = 0
    cases += [
        (Conv2d(2, 3, 3), Conv2d(3, 5, 3), (3, 2, 11, 8)),
        (Conv2d(1, 3, 5, padding=2), Conv2d(3, 5, 5, padding=2), (1, 1, 5, 9)),
        (Conv2d(1, 3, 4, padding=2), Conv2d(3, 5, 4, padding=2), (2, 1, 7, 9)),
        (SiConv2d(2, 3, num_scales=5, kernel_size=3), Conv3d(3, 5, 4), (2, 2, 13, 12)),
        (KanazawaConv2d(2, 3, 3), KanazawaConv2d(3, 17, 5), (3, 2, 14, 11)),
        (XuConv2d(1, 3, 7), XuConv2d(3, 17, 7), (2, 1, 12, 15)),
        (
            SESConv2d(1, 3, basis=basis, lifting=True),
            SESConv2d(3, 5, basis=basis, lifting=False),
            (5, 1, 13, 11),
        ),
        (SiConv2d(2, 3, num_scales=7, kernel_size=3), Conv3d(3, 5, 3), (3, 2, 15, 18)),
    ]
    return [
        (TwoStageNetwork(first, last, features=last_channels(last), num_classes=3), torch.rand(x))
        for first, last, x in cases
    ]


def last_channels(stage: LastStage) -> int:
    """How many channels a stage answers with."""
    conv: Any = stage.conv if isinstance(stage, PooledSiConv2d) else stage
    return conv.weight.shape[0]


def exercise() -> None:
    """A training step of each network on one thread and three, and what scales it chooses."""
    torch.manual_seed(0)
    for network, x in networks():
        for threads in (1, 3):
            torch.set_num_threads(threads)
            labels = torch.arange(len(x)) % 3
            F.cross_entropy(network(x), labels).backward()
            F.cross_entropy(network(x * (x > 0.5)), labels).backward()
            if isinstance(network.stage1, PooledSiConv2d):
                with torch.no_grad():
                    network.stage1(x, return_indices=True)


def main() -> int:
    """Build and run each form in a process of its own."""
    if len(sys.argv) == 3:
        library.library_path = lambda _: Path(sys.argv[2])
        for runtime in (library.openmp_functions, lambda: (None,) * 3):  # or threads of their own
            library.openmp_functions = runtime
            library._chosen.cache_clear()
            exercise()
        print(f"{sys.argv[1]}: nothing found")
        return 0
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    runtime = [
        subprocess.check_output([*compiler, f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    usable = library.usable_instruction_sets() if x86 else ("portable",)
    failed = 0
    for instruction_set in usable or ("portable",):
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "loops.so"
            build(instruction_set, target)
            form = f"compiled-{instruction_set}"
            environment = os.environ | {
                "LD_PRELOAD": " ".join(runtime),
                "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
                library.VARIABLE: form,
            }
            command = [sys.executable, "-m", "benchmarks.sanitize", form, str(target)]
            failed += subprocess.run(command, env=environment).returncode != 0
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
