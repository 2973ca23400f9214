"""How many trials of a model fit on one GPU, by the memory that each takes; pure.

Measured on an NVIDIA H200 by ``benchmarks/gpu_memory.py``, which holds this table against any GPU.
"""

from collections.abc import Mapping

BATCH_SIZE = 16  # images in a batch when the table was made
MB = 10**6

# The most that PyTorch's allocator takes for training and validation, CUDA graphs included, in MB,
# for images of 64 x 64 pixels with one and three channels; the largest over the kernel sizes 3, 7,
# 11 and 15.
STEP_MB: Mapping[str, tuple[int, int]] = {
    "standard": (147, 149),
    "pixel_pool": (1564, 1573),
    "slice_pool": (1686, 1715),
    "energy_pool": (1544, 1573),
    "energy_pool_valid": (1384, 1413),
    "conv3d": (1114, 1145),
    "ensemble": (88, 90),
    "spatial_transform": (82, 86),
    "xu": (405, 413),
    "xu_corrected": (401, 403),
    "kanazawa": (88, 84),
    "hermite": (178, 182),
    "disco": (176, 176),
    "scale_select": (36, 34),
    "scale_select_k": (48, 50),
}

CONTEXT_BYTES = 850 * MB  # CUDA's context and kernels; 796 MB on an H200, less on smaller GPUs
SPARE = 1.1  # for allocators of other versions and other kinds of GPU
USABLE = 0.95  # of a GPU's memory
# Replayed steps keep a GPU busy: an H200 does 6 to 9 % fewer of pixel_pool, disco and standard for
# 2, 4 or 8 processes in all than for one. What further ones gain is starts, tests and ends.
MOST_TRIALS = 4


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

    >>> gpu_share("standard", channels=1, images_bytes=10**8, gpu_bytes=5 * 10**9)
    0.25
    >>> gpu_share("my own", channels=1, images_bytes=10**8, gpu_bytes=4 * 10**9)
    1.0
    """
    taken = trial_bytes(model, channels=channels, images_bytes=images_bytes, batch_size=batch_size)
    fitting = int(USABLE * gpu_bytes // taken) if taken else 1
    trials = min(MOST_TRIALS, max(1, fitting))
    return 10_000 // trials / 10_000
