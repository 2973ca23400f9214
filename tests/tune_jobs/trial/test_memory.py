"""Memory that a process frees and asks for again, in processes of their own."""

import platform
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource, sys, threading
from tune_jobs.trial.memory import keep_freed_memory

BLOCK_BYTES, BLOCKS, ROUNDS = 3 << 20, 40, 5

def count():
    for number in range(1 + ROUNDS):
        if number == 1:  # the first round makes the heap
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        blocks = [bytearray(BLOCK_BYTES) for _ in range(BLOCKS)]
        del blocks
    print((resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before) // ROUNDS)

if "kept" in sys.argv:
    keep_freed_memory()
if "thread" in sys.argv:
    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
else:
    count()
"""


def faults_of_a_round(*how: str) -> int:
    """Page faults of allocating and freeing 120 MB once more."""
    command = [sys.executable, "-c", COUNT_FAULTS, *how]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc alone")
@pytest.mark.parametrize("where", ["main", "thread"])
def test_memory_that_was_freed_is_there_without_new_page_faults(where):
    assert 10 * faults_of_a_round(where, "kept") < faults_of_a_round(where)
