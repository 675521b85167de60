"""Both ways to run a loop."""

from __future__ import annotations

from typing import Any

import pytest

from .checks import BACKENDS


@pytest.fixture(params=BACKENDS)
def backend(request: Any) -> str:
    """Both ways to run a loop."""
    if request.param == "numba":
        for module in ("numba", "scipy", "threadpoolctl", "platformdirs"):
            pytest.importorskip(module, reason="compiled loops need pip install tinygrad-rnn[compile]")
    return str(request.param)
