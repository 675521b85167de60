"""Which of many cases run at every change, and which only with ``make test-all``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["slow_unless"]


def slow_unless(quick: Iterable[Any], cases: Iterable[Any]) -> list[Any]:
    """The parameters of a test; those that are not among `quick` are marked slow."""
    quick = list(quick)
    return [
        case if case in quick else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for case in cases
    ]
