"""How training takes memory from the system."""

import ctypes
import subprocess
import sys

import pytest

PAGE_FAULTS = """
import resource
import torch
from binsight.model.memory import keep_freed_memory
{}
def batches(number):
    for _ in range(number):
        torch.ones(10_000_000)
batches(20)  # glibc's aligned blocks move up the heap for the first few
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
batches(10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_memory_freed_after_a_batch_serves_the_next() -> None:
    """Ten times 40 MB, freed each time: by default the system hands out each of them anew, page by page."""

    def faults(before: str) -> int:
        script = PAGE_FAULTS.format(before)
        return int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)

    assert faults("keep_freed_memory()") < 0.1 * faults("")
