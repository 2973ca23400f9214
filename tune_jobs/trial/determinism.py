"""The state in which every trial begins, whatever its process did before.

From equal states follow equal numbers: on a CPU for equal threads and form of the layers, on a GPU
for one kind of GPU and version of PyTorch.
"""

import os
import random
import warnings
from typing import Any

import numpy as np
import torch

from tune_jobs.trial.memory import keep_freed_memory

CUBLAS_WORKSPACES = ":4096:8"  # one of two values that make cuBLAS deterministic, says PyTorch
# PyTorch warns of operators that have no order in general. As the models here use these, they have:
# a median's value, pooling in tiles that do not overlap, a grid's gradient without the image's.
ORDERED = "|".join(
    (
        "median CUDA with indices output",
        "adaptive_max_pool2d_backward_cuda",
        "grid_sampler_2d_backward_cuda",
    )
)


def begin_alike(seed: int, *, threads: int, device: str) -> None:
    """Put this process into the state that every trial on ``device`` begins in.

    A user's model may use operators that a GPU does in no fixed order; PyTorch warns of each.
    """
    keep_freed_memory()
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (the generator that a user's own model may draw from)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.use_deterministic_algorithms(device != "cpu", warn_only=True)
    deterministic: Any = torch.utils.deterministic  # pyright knows nothing of what is in it
    deterministic.fill_uninitialized_memory = False  # which the layers never read
    if device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACES)
        warnings.filterwarnings("ignore", f"({ORDERED}) does not have a", category=UserWarning)
    torch.cuda.empty_cache()  # of the trial before; others share the GPU
