"""Valid examples spoilt: as bytes, as values, as arrays; and names that act on what shows them."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = (
    "",
    " ",
    "..",
    "../../x",
    "a/b",
    "-rf",
    "\x1b[31mred\x1b[0m",
    "bell\x07",
    "null\0",
    "line\nbreak",
    "[bold]x[/bold]",
    "[/]",
    "<script>alert(1)</script>",
    "a&b",
    "a|b",
    "`x` *y* _z_",
    "\\textbf{x} $1 % # ~ ^",
    "=1+1",
    '"quoted"',
    "it's",
    "\u202egnp.exe",
    "\u8c61\u724c",
    "\U0001f600",
    "e\u0301",
    "x" * 300,
    "\ufeffbom",
    "${HOME}",
    "None",
    "nan",
    "s3://bucket/x",
)
NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, 10**400, 1e308, 5e-324, float("nan"), float("inf"), -0.0)
_SCALARS: tuple[Any, ...] = (*NAMES, *NUMBERS, None, True, False, [], {}, [[]], {"": None})


def spoilt(data: bytes, rng: random.Random) -> bytes:
    """A copy with bytes changed, cut off, taken out, put in or repeated, mostly near an end."""
    copy = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        near = min(len(copy), 400) if rng.random() < 0.6 else len(copy)
        at = rng.randrange(near) if near else 0
        at = len(copy) - 1 - at if copy and rng.random() < 0.5 else at
        junk = rng.randbytes(rng.randint(1, 9))
        match rng.randrange(6):
            case 0:
                copy[at : at + len(junk)] = junk
            case 1:
                del copy[at:]
            case 2:
                del copy[at : at + len(junk)]
            case 3:
                copy[at:at] = junk
            case 4:
                copy[at : at + 1] = bytes([rng.choice(b"\0\1-9\x7f\xff:{}[]\"',\n\t")])
            case 5:
                copy[at:at] = copy[at : at + rng.randint(1, 2000)] * rng.randint(1, 50)
    return bytes(copy)


def scalar(rng: random.Random) -> Any:
    """A value that is rarely the right one."""
    return rng.choice(_SCALARS)


def twisted(value: Any, rng: random.Random) -> Any:
    """A copy of nested lists and mappings in which some value, key or length is another."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        copy = dict(value)
        key = rng.choice(list(copy))
        return _changed(copy, key, rng)
    if isinstance(value, list) and value and rng.random() < 0.85:
        copy = list(value)
        at = rng.randrange(len(copy))
        match rng.randrange(5):
            case 0:
                del copy[at]
            case 1:
                copy.insert(at, scalar(rng))
            case 2:
                copy = copy * rng.randint(2, 40)
            case _:
                copy[at] = twisted(copy[at], rng)
        return copy
    return scalar(rng)


def _changed(copy: dict[Any, Any], key: Any, rng: random.Random) -> dict[Any, Any]:
    match rng.randrange(6):
        case 0:
            del copy[key]
        case 1:
            copy[rng.choice(NAMES)] = copy[key]
        case 2:
            copy[str(key) + rng.choice(("s", " ", "_"))] = copy.pop(key)
        case _:
            copy[key] = twisted(copy[key], rng)
    return copy


_OTHER_ARRAYS: tuple[Callable[[NDArray, random.Random], NDArray], ...] = (
    lambda array, rng: array.astype(rng.choice(["f4", "f8", "i1", "u8", "U3", "c16", "?"])),
    lambda array, rng: array.reshape(-1),
    lambda array, rng: array[..., None],
    lambda array, rng: array[:0],
    lambda array, rng: array[:1],
    lambda array, rng: array[::-1],
    lambda array, rng: np.concatenate([array, array]) if array.ndim else array,
    lambda array, rng: np.asfortranarray(array),
    lambda array, rng: np.array(rng.choice(NAMES)),
    lambda array, rng: np.array(rng.choice(NUMBERS[:6]), dtype=object).astype("U9"),
    lambda array, rng: np.full(array.shape, np.nan),
    lambda array, rng: np.zeros(array.shape, array.dtype),
)


def other_array(array: NDArray, rng: random.Random) -> NDArray:
    """An array of another shape, type or content, or the same one where that cannot be."""
    with np.errstate(all="ignore"):
        try:
            return rng.choice(_OTHER_ARRAYS)(array, rng)
        except (ValueError, TypeError, IndexError, OverflowError):
            return array
