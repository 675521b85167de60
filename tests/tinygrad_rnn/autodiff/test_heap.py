"""Memory that is freed is at hand for the next run, without a fault for every page."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource
import numpy as np
import tinygrad_rnn as tg

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    run = [np.ones(200_000) for _ in range(12)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

tg.tensor(1.0)
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep what they please")
def test_the_next_run_finds_the_memory_of_the_last() -> None:
    found = subprocess.run([sys.executable, "-c", _FAULTS], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert int(found) < 100, "of 4,700 pages"
