"""How many trials of a model fit on one GPU, by the memory that each takes; pure.

Not measured on a GPU. The table holds what PyTorch's allocator held at its peak during training on
the CPU, where the layers run the same code; what CUDA and its libraries take beside that is an
allowance. ``benchmarks/gpu_memory.py`` made the table, and compares it with a GPU where one is.
"""

from collections.abc import Mapping

BATCH_SIZE = 16  # images in a batch when the table was made
MB = 10**6

# Parameters, Adam's moments and the peak of a training step, in MB, for images of 64 x 64 pixels
# with one and three channels; the largest over the kernel sizes 3, 7, 11 and 15.
STEP_MB: Mapping[str, tuple[int, int]] = {
    "standard": (35, 35),
    "pixel_pool": (73, 74),
    "slice_pool": (72, 73),
    "energy_pool": (80, 83),
    "energy_pool_valid": (80, 83),
    "conv3d": (499, 499),
    "ensemble": (84, 85),
    "spatial_transform": (45, 46),
    "xu": (111, 112),
    "xu_corrected": (111, 112),
    "kanazawa": (68, 68),
    "hermite": (50, 50),
    "disco": (48, 48),
    "scale_select": (10, 12),
    "scale_select_k": (25, 26),
}

CONTEXT_BYTES = 800 * MB  # CUDA's context, kernels and workspaces of cuDNN, cuBLAS and cuFFT
SPARE = 1.3  # of the allocator, which keeps blocks that it cannot use again at once
USABLE = 0.95  # of a GPU's memory
MOST_TRIALS = 8  # processes take turns on a GPU, so that more of them gain little


def trial_bytes(
    model: str, *, channels: int, images_bytes: int, batch_size: int = BATCH_SIZE
) -> int | None:
    """The GPU memory that a trial of a model takes; None for a model that the table has not.

    ``images_bytes`` are those of all images that the trial keeps on the GPU.
    """
    if model not in STEP_MB:
        return None
    step = STEP_MB[model][channels > 1] * MB * max(1.0, batch_size / BATCH_SIZE)
    return round(CONTEXT_BYTES + SPARE * step + images_bytes)


def gpu_share(
    model: str,
    *,
    channels: int,
    images_bytes: int,
    gpu_bytes: int,
    batch_size: int = BATCH_SIZE,
) -> float:
    """The share of a GPU to ask for, 1/n for n trials at once, in Ray's steps of 0.0001.

    A model that is not in the table, or does not fit as it is thought to, gets a GPU of its own.

    >>> gpu_share("standard", channels=1, images_bytes=10**8, gpu_bytes=4 * 10**9)
    0.25
    >>> gpu_share("my own", channels=1, images_bytes=10**8, gpu_bytes=4 * 10**9)
    1.0
    """
    taken = trial_bytes(model, channels=channels, images_bytes=images_bytes, batch_size=batch_size)
    fitting = int(USABLE * gpu_bytes // taken) if taken else 1
    trials = min(MOST_TRIALS, max(1, fitting))
    return 10_000 // trials / 10_000
