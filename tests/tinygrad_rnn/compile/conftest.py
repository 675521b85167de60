"""Compiled loops of the tests go to a directory of the session's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: Any) -> Iterator[Path]:
    before = os.environ.get("TINYGRAD_RNN_CACHE")
    folder = tmp_path_factory.mktemp("compiled")
    os.environ["TINYGRAD_RNN_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["TINYGRAD_RNN_CACHE"]
    else:
        os.environ["TINYGRAD_RNN_CACHE"] = before


@pytest.fixture(params=["numpy", "numba"])
def backend(request: Any) -> str:
    """Both ways to run a loop."""
    if request.param == "numba":
        for module in ("numba", "scipy", "threadpoolctl", "platformdirs"):
            pytest.importorskip(module, reason="compiled loops need pip install tinygrad-rnn[compile]")
    return str(request.param)
