"""What the numbers were measured on, and how quiet it was meanwhile."""

from __future__ import annotations

import datetime
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

THREADS = 2
LIBRARIES = {"NumPy": "numpy", "Numba": "numba", "PyTorch": "torch", "JAX": "jax", "HIPS autograd": "autograd"}


def machine() -> dict[str, str]:
    """Where and when; neither the machine's own name nor a path."""
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": platform.platform(),
        "threads": str(THREADS),
        "Python": platform.python_version(),
        **{name: _version(package) for name, package in LIBRARIES.items()},
        "NumPy's BLAS": f"{blas['name']} {blas['version']}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    clock = f" at {float(facts['cpu MHz']) / 1e3:.1f} GHz" if "cpu MHz" in facts else ""
    cache = f", {int(facts['cache size'].split()[0]) / 1024:.0f} MiB of cache" if "cache size" in facts else ""
    return facts.get("model name", platform.machine()) + clock + cache


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def pulse() -> float:
    """Milliseconds that a fixed piece of work takes, Python and products of matrices: the median of 20 tries.

    Taken between the parts of the benchmark, it says whether anybody else was at work on the machine.
    """
    import numpy as np

    matrix = np.full((160, 160), 0.5, np.float32)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        total = 0
        for n in range(40_000):
            total += n
        for _ in range(20):
            matrix @ matrix
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times))
