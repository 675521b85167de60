"""Whether sequences side by side read one another is told by trying, for the loops of every format alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.interop.columns import rows_apart

APART = {
    "elementwise": lambda x, h, s: [np.tanh(x + h)],
    "product": lambda x, h, s: [x @ np.eye(3) + 1.0, h],
    "own maximum": lambda x, h, s: [np.where(x == x.max(1, keepdims=True), x, h)],
    "overflows": lambda x, h, s: [np.exp(1e4 * x) + h],
}
TOGETHER = {
    "mean": lambda x, h, s: [h, x - x.mean(0)],
    "turned": lambda x, h, s: [h[::-1]],
    "best of all": lambda x, h, s: [h + np.argmax(np.round(x[:, 0]))],  # of which no gradient tells
    "handed on for all": lambda x, h, s: [h * s],
}


@pytest.mark.parametrize("name", [*APART, *TOGETHER])
def test_rows_that_read_one_another_are_found(name: str) -> None:
    step: Any = (APART | TOGETHER)[name]
    values = [*np.random.default_rng(0).normal(size=(2, 4, 3)), np.ones(())]
    with np.errstate(all="ignore"):
        assert rows_apart(lambda tried: step(*tried), values, ["rows", "rows", "shared"]) == (name in APART)
        assert rows_apart(lambda tried: step(*tried), values, ["fixed", "fixed", "fixed"])
