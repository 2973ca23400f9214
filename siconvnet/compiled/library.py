"""Which form computes the layers, and the library of compiled loops if it is that one.

The loops are built once for each instruction set; the widest that the processor can run serves.
Where they were not built, the PyTorch form does.
"""

import ctypes
import functools
import math
import os
import sysconfig
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from siconvnet.modes.transformed import needs_plain_form

VARIABLE = "SICONVNET_BACKEND"
TORCH = "torch"
INSTRUCTION_SETS = ("avx512", "avx2", "portable")  # widest first
OPENMP_FUNCTIONS = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
PROCESS = os.getpid()  # that has the threads of PyTorch; a forked one has none of them
CHANNEL_BLOCK = 16  # the loops take numbers of channels filled up to multiples of this


class Library:
    """The loops built for one instruction set."""

    def __init__(self, instruction_set: str) -> None:
        self.name = f"compiled-{instruction_set}"
        self._functions = ctypes.CDLL(str(library_path(instruction_set)))
        self._function("use_openmp")(*openmp_functions(), PROCESS)

    def call(self, function: str, *args: Any) -> None:
        """Run a loop on tensors (their memory; None: no such), structures and integers."""
        held = [_in_memory(arg) if isinstance(arg, Tensor) else arg for arg in args]
        if self._function(function)(*map(_as_argument, held)):
            raise MemoryError("The layer needs more memory for its search than there is.")

    def _function(self, name: str) -> Any:
        try:
            return getattr(self._functions, name)
        except AttributeError:
            raise RuntimeError(
                f"The compiled loops must be of the same version as the code; {self.name} has no "
                f"{name}. Install again (pip install -e .), or set {VARIABLE}={TORCH}."
            ) from None


def _in_memory(tensor: Tensor) -> Tensor:
    """The tensor, its numbers lying in memory as they are: a sign and zeros may be kept aside."""
    return tensor.clone() if tensor._is_zerotensor() else tensor.resolve_neg()


def _as_argument(value: Any) -> Any:
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p(None if value is None else value.data_ptr())
    return ctypes.byref(value) if isinstance(value, ctypes.Structure) else value


def openmp_functions() -> tuple[Any, ...]:
    """Of the OpenMP runtime that PyTorch was linked with, what the loops need; else None for each.

    GCC's interface, which the runtimes of GCC, LLVM and Intel export on Linux.
    """
    for where in (None, torch._C.__file__):  # as PyTorch is linked: what was preloaded comes first
        try:
            library = ctypes.CDLL(where)
            return tuple(
                ctypes.cast(getattr(library, name), ctypes.c_void_p) for name in OPENMP_FUNCTIONS
            )
        except (OSError, AttributeError):
            continue
    return (None,) * len(OPENMP_FUNCTIONS)


def library_path(instruction_set: str) -> Path:
    """Where ``pip install`` puts the loops."""
    return Path(__file__).parent / f"_{instruction_set}{sysconfig.get_config_var('EXT_SUFFIX')}"


def backend() -> str:
    """What computes the layers on this machine's CPU, as records write it.

    ``compiled-avx512``, ``compiled-avx2`` or ``compiled-portable`` if compiled loops serve, else
    ``torch``. The variable SICONVNET_BACKEND pins one of these, or ``compiled`` for the widest of
    the first three; ValueError where it asks for what is not there.
    """
    library = chosen_library()
    return TORCH if library is None else library.name


def chosen_library() -> Library | None:
    """The library of compiled loops, or None where the PyTorch form serves."""
    return _chosen(os.environ.get(VARIABLE, ""))


@functools.cache
def _chosen(wanted: str) -> Library | None:
    names = {f"compiled-{instruction_set}": instruction_set for instruction_set in INSTRUCTION_SETS}
    if wanted not in ("", TORCH, "compiled", *names):
        raise ValueError(
            f"{VARIABLE} must be one of {', '.join((TORCH, 'compiled', *names))}; got {wanted!r}."
        )
    if wanted == TORCH:
        return None
    usable = usable_instruction_sets()
    if wanted in ("", "compiled"):
        if usable:
            return Library(usable[0])
        if not wanted:
            return None
    elif names[wanted] in usable:
        return Library(names[wanted])
    there = ", ".join((TORCH, *(f"compiled-{name}" for name in usable)))
    raise ValueError(
        f"{VARIABLE} must be a form that was built and that this processor can run: {there}; "
        f"got {wanted!r}. A C++ compiler and pip install build the compiled forms."
    )


def usable_instruction_sets() -> tuple[str, ...]:
    """Those that the loops were built for and the processor has, widest first."""
    try:
        portable = ctypes.CDLL(str(library_path("portable")))
    except OSError:
        return ()
    runs = {
        "avx512": portable.supports_avx512(),
        "avx2": portable.supports_avx2(),
        "portable": True,
    }
    return tuple(name for name in INSTRUCTION_SETS if runs[name] and library_path(name).exists())


def covers(*tensors: Tensor | None) -> bool:
    """Whether compiled loops serve these tensors: plain ones, in float32, on the CPU, finite.

    Their numbers have to lie in memory, with no sign or zeros that PyTorch keeps beside it. Under a
    mode that watches PyTorch's operations, such as one of fake tensors or of a compiler, the
    PyTorch form is used, and for values that are not finite: the loops' search for the largest
    answer would pass NaN over.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    return (
        all(
            type(tensor) in (Tensor, torch.nn.Parameter)
            and tensor.dtype == torch.float32
            and tensor.device.type == "cpu"
            and tensor.layout == torch.strided
            and tensor.numel() > 0
            and not (tensor.is_neg() or tensor._is_zerotensor())
            for tensor in given
        )
        and not torch.compiler.is_compiling()
        and not needs_plain_form(given[0])
        and not torch._C._len_torch_dispatch_stack()
        and chosen_library() is not None
        and all(math.isfinite(tensor.detach().sum()) for tensor in given)
    )


def threads() -> int:
    """How many threads a loop may use: as many as PyTorch."""
    return torch.get_num_threads()
