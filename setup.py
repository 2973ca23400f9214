"""Builds the compiled loops, once for each instruction set; all else is in pyproject.toml.

The loops are optional: without a C++ compiler the installation succeeds, and PyTorch computes.
"""

import platform
from pathlib import Path

from setuptools import Extension, setup

SOURCES = Path("siconvnet/compiled/src")
AVX2 = ["-mavx2", "-mfma"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"]
INSTRUCTION_SETS = {"portable": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    INSTRUCTION_SETS |= {"avx2": AVX2, "avx512": [*AVX512, "-mprefer-vector-width=512"]}


def loops(instruction_set: str, flags: list[str]) -> Extension:
    """A library without Python's interface, which is loaded by ``siconvnet.compiled.library``."""
    return Extension(
        f"siconvnet.compiled._{instruction_set}",
        sources=sorted(map(str, SOURCES.glob("*.cpp"))),
        depends=sorted(map(str, SOURCES.glob("*.h"))),
        extra_compile_args=[
            *("-std=c++17", "-O3", "-g0", "-fvisibility=hidden", "-pthread"),
            *("-ffp-contract=fast", "-fno-math-errno"),
            *flags,
        ],
        extra_link_args=["-pthread"],
        language="c++",
        optional=True,
    )


setup(ext_modules=[loops(name, flags) for name, flags in INSTRUCTION_SETS.items()])
