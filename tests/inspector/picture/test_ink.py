"""The scale of gradient norms: what it spans, and what it does not stretch for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.picture.compose import picture
from inspector.picture.ink import Ink
from tests.inspector.picture.test_drawing import run_of

NORMS = st.lists(st.floats(1e-3, 1e3), min_size=10, max_size=40)


def ink(norms: list[float]) -> Ink:
    edges = [(k, 0) for k in range(len(norms))]
    return Ink(dict(zip(edges, norms, strict=True)), edges)


@given(norms=NORMS, noise=st.floats(1e-18, 1e-12))
def test_rounding_noise_does_not_stretch_the_scale(norms: list[float], noise: float) -> None:
    found = ink([noise, *norms])
    assert (found.low, found.high, found.below) == (min(norms), max(norms), True)
    assert found.stroke((0, 0)).grade == 0 and "×10⁻" in found.stroke((0, 0)).tooltip


@given(norms=NORMS, decades=st.floats(1, 9))
def test_what_decays_is_on_the_scale(norms: list[float], decades: float) -> None:
    """However large the gap: where more than a few are weak, they are no noise."""
    weak = [norm * 10**-decades for norm in norms[: len(norms) // 2]]
    found = ink([*norms, *weak])
    lowest = min(*norms, *weak)
    assert found.low == max(lowest, found.high * 1e-10) and found.below == (lowest < found.low)


def test_the_legend_says_where_something_is_weaker_than_its_scale() -> None:
    run = tg.unroll(tg.cells.get("slstm")(3, 4, seed=0), np.random.default_rng(0).normal(size=(3, 1, 3)))
    ticks = {s.id: s.label for s in picture(run, trace=inspector.trace(run, run.outputs[-1].sum())).shapes}
    assert ticks["legend.tick0"].startswith("≤ 0.0")
    lstm = run_of("lstm")
    ticks = {s.id: s.label for s in picture(lstm, trace=inspector.trace(lstm, lstm.outputs[-1].sum())).shapes}
    assert float(ticks["legend.tick0"]) > 0


@pytest.mark.parametrize("norms", [[], [1.0], [0.0, np.inf, np.nan]])
def test_few_norms_have_a_scale_too(norms: list[float]) -> None:
    assert (ink(norms).low, ink(norms).high, ink(norms).below) == (1.0, 1.0, False)
