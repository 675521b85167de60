"""Both ways to run a loop."""

from __future__ import annotations

from typing import Any

import pytest

from tests.marks import slow_unless
from tests.tinygrad_rnn.compiler.checks import BACKENDS


@pytest.fixture(params=slow_unless(["numpy"], BACKENDS))
def backend(request: Any) -> str:
    """Both ways to run a loop; to make machine code takes seconds, so that few tests do it at every change."""
    if request.param == "numba":
        for module in ("numba", "scipy", "threadpoolctl", "platformdirs"):
            pytest.importorskip(module, reason="compiled loops need pip install tinygrad-rnn[compile]")
    return str(request.param)
