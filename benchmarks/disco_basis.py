"""Equivariance error of our DISCO basis beside another one, on white noise.

    python -m benchmarks.disco_basis published.npz

The argument is a .npz with an array (49, 4, 15, 15) under a key that contains "basis"; without it
only ours is measured. A figure is the mean over functions and images of

    ||resize(f * psi_j, r) - resize(f, r) * psi_i|| / ||resize(f * psi_j, r)||,   r = s_i / s_j

by scale pair i < j. "expected" is the closed form (roots of expected squared norms).
"""

import argparse
import statistics
import sys
import time
from itertools import combinations
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

from siconvnet.bases import steerable_basis
from siconvnet.bases.disco import (
    IMAGE_SIDE,
    KERNEL_SIZE,
    MARGIN,
    SCALES,
    SIDE,
    compute_disco_basis,
    relative_errors,
)

PAIRS = list(combinations(range(len(SCALES)), 2))


def correlate(images: Tensor, kernels: Tensor) -> Tensor:
    """(N, 1, H, W) and (F, 15, 15) -> (N, F, H, W), with circular borders."""
    return F.conv2d(F.pad(images, [SIDE // 2] * 4, mode="circular"), kernels[:, None])


def resize(images: Tensor, factor: float) -> Tensor:
    return F.interpolate(images, scale_factor=factor, mode="bicubic", align_corners=False)


def measured_errors(basis: Tensor, images: Tensor) -> Tensor:
    """(49, 4, 15, 15) and (N, 1, H, W) -> (6, N, 49)."""
    inside = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    answers = [correlate(images, basis[:, scale]) for scale in range(len(SCALES))]
    errors: list[Tensor] = []
    for i, j in PAIRS:
        factor = SCALES[i] / SCALES[j]
        first = resize(answers[j], factor)[inside]
        second = correlate(resize(images, factor), basis[:, i])[inside]
        errors.append((first - second).norm(dim=(-2, -1)) / first.norm(dim=(-2, -1)))
    return torch.stack(errors)


def load_basis(path: Path) -> Tensor:
    shape = (KERNEL_SIZE**2, len(SCALES), SIDE, SIDE)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in arrays.files if "basis" in key}
    except (ValueError, TypeError, EOFError, BadZipFile):
        raise ValueError(f"The other basis must be a .npz; {path} is not one.") from None
    for array in found.values():
        if array.shape == shape:
            return torch.from_numpy(array)
    raise ValueError(
        f"{path} must have an array of shape {shape} under a key that contains 'basis'; "
        f"it has {({key: array.shape for key, array in found.items()}) or 'none'}."
    )


def cold_seconds(repeats: int = 5) -> float:
    seconds: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        compute_disco_basis()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", nargs="?", type=Path, help="a .npz with the other basis")
    parser.add_argument("--images", type=int, default=256, help="noise images (default: 256)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    arguments = parser.parse_args()
    try:
        bases = {"ours": steerable_basis("disco")}
        if arguments.other:
            bases["other"] = load_basis(arguments.other)
    except (ValueError, OSError) as error:
        print(f"disco_basis: {error}", file=sys.stderr)
        return 2

    noise = torch.Generator().manual_seed(arguments.seed)
    images = torch.randn(arguments.images, 1, IMAGE_SIDE, IMAGE_SIDE, generator=noise)
    print(f"Computing ours from nothing takes {cold_seconds():.3f} s (median of 5).")
    columns: dict[str, list[float]] = {}
    for name, basis in bases.items():
        batches = track(images.split(8), description=f"measuring {name}")
        errors = torch.cat([measured_errors(basis, batch) for batch in batches], dim=1)
        columns[name] = errors.mean((1, 2)).tolist()
        columns[f"{name}, expected"] = relative_errors(basis).mean(1).tolist()

    print(f"{'scale pair':14}" + "".join(f"{name:>18}" for name in columns))
    for row, (i, j) in enumerate(PAIRS):
        figures = "".join(f"{column[row]:18.4f}" for column in columns.values())
        print(f"{f'{SCALES[i]:g} and {SCALES[j]:g}':14}{figures}")
    means = "".join(f"{statistics.fmean(column):18.4f}" for column in columns.values())
    print(f"{'mean':14}{means}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
