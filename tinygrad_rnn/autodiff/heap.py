"""What a run has freed, kept at hand for the next one."""

from __future__ import annotations

import numpy as np

__all__ = ["keep_freed_memory"]

_LARGEST = 31 << 20
"""Bytes; from 32 MiB on glibc learns nothing."""


def keep_freed_memory() -> None:
    """Let glibc keep up to 62 MiB of freed memory instead of giving it back to the system after every run.

    Otherwise the next run faults in every page anew, which took more than half the time of a compiled run of matrix
    states. How much it keeps glibc learns from the largest block that was freed, twice that; so it is shown one, of
    which no page is touched. Other allocators take no notice.
    """
    np.empty(_LARGEST, np.uint8)
