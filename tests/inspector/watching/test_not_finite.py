"""One NaN or infinity anywhere, a gradient of zero, a single step: a watched part answers, and says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import inspector
from tests.marks import slow_unless


def nan_weight(module: Any, x: Any) -> Any:
    module.weight_hh_l0.data[0, 0] = float("nan")
    return module(x)[0].sum()


def infinite_input(module: Any, x: Any) -> Any:
    x[3, 0, 1] = float("inf")
    return module(x)[0].sum()


def exploding(module: Any, x: Any) -> Any:
    return module(x)[0].sum() * 1e38 * 10


def zero_gradient(module: Any, x: Any) -> Any:
    return (module(x)[0] * 0.0).sum()


def one_step(module: Any, x: Any) -> Any:
    return module(x[:1])[0].sum()


@pytest.mark.parametrize("kind", slow_unless(["LSTM"], ["LSTM", "GRU", "RNN"]))
@pytest.mark.parametrize(
    ("case", "says"),
    [
        (nan_weight, "not finite"),
        (infinite_input, "not finite"),
        (exploding, "not finite"),
        (zero_gradient, "no gradient reached it"),
        (one_step, "called step by step"),
    ],
)
def test_a_watched_part_answers(
    torch: Any, case: Callable[[Any, Any], Any], says: str, kind: str, tmp_path: Any
) -> None:
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(3, 4)
    watching = inspector.watch(module)
    case(module, torch.randn(6, 2, 3)).backward()
    seen = watching[""]
    assert says in str(watching)
    assert str(seen) and str(seen.diagnose())
    assert (seen.agreement == np.inf) == (case is not one_step)
    json.dumps(seen.to_dict(), allow_nan=False)
    assert seen.save(tmp_path / "a.svg").stat().st_size
    assert seen.report(tmp_path / "a.html").stat().st_size
