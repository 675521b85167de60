"""What is found is itself, and does not change."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, is_dataclass
from typing import Any

import numpy as np
import pytest

import inspector.analysis
import inspector.tracing
from inspector.results import Result


def dataclasses_of(package: Any) -> Iterator[type]:
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for kind in vars(importlib.import_module(module.name)).values():
            if is_dataclass(kind) and isinstance(kind, type) and kind.__module__ == module.name:
                yield kind


KINDS = [*dataclasses_of(inspector.analysis), *dataclasses_of(inspector.tracing)]


def test_a_finding_is_the_same_as_itself_alone() -> None:
    """Arrays have no truth value and no hash, so what holds some is compared as an object, and can be a key."""
    holding = [kind for kind in KINDS if issubclass(kind, Result) or "Array" in kind.__annotations__.values()]
    assert len(holding) > 15
    for kind in holding:
        assert kind.__eq__ is object.__eq__ and kind.__hash__ is object.__hash__, kind


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_finding_does_not_change(kind: type) -> None:
    name = next(iter(kind.__annotations__))
    with pytest.raises(FrozenInstanceError):
        setattr(kind.__new__(kind), name, np.nan)
