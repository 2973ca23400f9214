"""The memory that a training process has freed, which it keeps for its next step.

A step frees all that it has allocated. glibc's allocator hands much of that back to the system, and
the next step faults each page in again: a fifth of a step of ``spatial_transform``, a ninth of one
of ``slice_pool`` (docs/benchmarks-layers.md). Kept, it is no more than the process had at its peak.
"""

import ctypes
import platform

# Of glibc's malloc.h. Blocks above the largest threshold that it takes still go back.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
KEPT_BYTES = 1 << 30  # free at the end of the heap
THREAD_HEAP_BYTES = 64 << 20  # glibc's heaps of further threads, in which Ray runs trials
LARGEST_HEAP_BLOCK_BYTES = 32 << 20


def keep_freed_memory() -> None:
    """Let this process keep what it frees, from now on; does nothing where glibc is not used.

    Results do not depend on it. It holds for the whole process and cannot be taken back.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    allocator = ctypes.CDLL(None)
    allocator.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    allocator.mallopt(M_TOP_PAD, THREAD_HEAP_BYTES)
    allocator.mallopt(M_MMAP_THRESHOLD, LARGEST_HEAP_BLOCK_BYTES)
