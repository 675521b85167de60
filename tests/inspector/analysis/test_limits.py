"""The axes of pictures hold all that is drawn on them, and end where the data do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection

import inspector
import tinygrad_rnn as tg

RUN = tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), np.random.default_rng(0).normal(size=(12, 2, 3)))
LOSS = (RUN.stacked**2).sum()


def axes_of(name: str) -> Any:
    found = getattr(inspector, name)(RUN, *([] if name == "jacobians" else [LOSS]))
    return found, found.plot().figure.axes


def test_waterfall() -> None:
    found, (bars, over_time, *_) = axes_of("waterfall")
    ends = np.cumsum([0.0, *np.nan_to_num(found.mean.values)])
    low, high = bars.get_xlim()
    reach = np.ptp(ends)
    assert ends.min() - 0.1 * reach <= low < ends.min() and ends.max() < high <= ends.max() + 0.25 * reach
    assert bars.get_ylim()[0] > len(found.names) > 0 > bars.get_ylim()[1]
    assert over_time.get_xlim()[0] <= 0.5 and over_time.get_xlim()[1] >= 11.5


def test_weights() -> None:
    found, (first, *_) = axes_of("weights")
    norms = np.array([bar.get_height() + bar.get_y() for bar in first.patches])
    low, high = first.get_ylim()
    assert first.get_yscale() == "log" and low < norms.min() and norms.max() < high <= 2 * norms.max()
    assert first.get_xlim()[0] <= -0.5 and first.get_xlim()[1] >= 11.5 and found.steps == 12


def test_what_truncation_leaves_is_shown_for_every_window() -> None:
    found = inspector.weights(RUN, LOSS)
    axes = found.plot_truncation(parameter=str(found.norms.axes["parameter"][0]))
    assert 0 < axes.get_xlim()[0] <= 1 and 12 <= axes.get_xlim()[1] <= 13
    assert axes.get_ylim()[0] <= 0.0 or axes.get_ylim()[0] < min(
        line.get_ydata()[0] for line in axes.lines if len(line.get_ydata()) == 12
    )
    assert axes.get_ylim()[1] > max(np.max(line.get_ydata()) for line in axes.lines)


def test_weights_marks_steps_without_a_gradient() -> None:
    found = inspector.weights(RUN, (RUN.outputs[4] ** 2).sum())
    bars, *_ = found.plot().figure.axes
    (marks,) = bars.collections
    assert marks.get_offsets()[:, 0].tolist() == [5, 6, 7, 8, 9, 10, 11] and len(bars.patches) == 5


@pytest.mark.parametrize("name", ["band", "trace", "shares"])
def test_steps_without_a_gradient_are_marked(name: str) -> None:
    run = tg.unroll(tg.cells.RNNCell(3, 4, seed=0), np.random.default_rng(0).normal(size=(12, 2, 3)), truncate=5)
    axes = getattr(inspector, name)(run, (run.outputs[7] ** 2).sum()).plot().figure.axes
    marked = {
        round(x)
        for ax in axes
        for marks in ax.collections
        if isinstance(marks, PathCollection)
        for x in marks.get_offsets()[:, 0]
    }
    assert marked == {0, 1, 2, 3, 4, 8, 9, 10, 11}


@pytest.mark.parametrize("largest", [0, 5])
def test_weights_shows_the_largest_wherever_it_stands_in_the_cell(largest: int) -> None:
    class Six(tg.Cell):
        """Parameters whose gradients are 1, 2, 3, 4, 5, 6 times as large, but one, which is ten times."""

        def __init__(self) -> None:
            super().__init__(1, 1)
            self.all = [self.parameter(f"w{k}", (1,), init=np.ones(1)) for k in range(6)]

        def step(self, x: Any, state: Any) -> Any:
            return (sum((w * x * (10.0 if k == largest else k + 1.0) for k, w in enumerate(self.all)), 0.5 * state.h),)

    run = tg.unroll(Six(), np.ones((4, 1, 1)))
    axes = inspector.weights(run, run.stacked.sum()).plot().figure.axes
    shown = [one.get_title(loc="left").partition(":")[0] for one in axes[:4]]
    assert shown == {0: ["w0", "w3", "w4", "w5"], 5: ["w2", "w3", "w4", "w5"]}[largest]


def test_shares() -> None:
    found, (areas, *_) = axes_of("shares")
    low, high = areas.get_ylim()
    assert -1.5 <= low <= 0 and 1 <= high <= 2.5 and areas.get_xlim()[1] >= found.totals.shape[1] - 0.5


def test_gates() -> None:
    found, axes = axes_of("gates")
    strip, slopes = axes[0], axes[len(found.derivatives.axes["nonlinearity"])]
    assert strip.get_ylim() == pytest.approx((0.0, 1.0), abs=0.06) and slopes.get_xlim() == (-0.5, 11.5)
    low, high = slopes.get_ylim()
    smallest, largest = (
        np.nanmin(np.abs(found.derivatives.values)),
        max(1.0, np.nanmax(found.derivatives.values)),
    )  # tanh' <= 1 is marked
    assert (
        slopes.get_yscale() == "log"
        and low < smallest
        and largest < high <= 4 * largest
        and low >= min(smallest, largest / 20) / 4
    )


def test_jacobians() -> None:
    found, (values, products, ranks, *_) = axes_of("jacobians")
    assert values.get_yscale() == "log" and values.get_ylim()[1] > found.singular_values.values.max()
    assert products.get_ylim()[0] < found.product.values.min() / np.log(10) and products.get_ylim()[1] > 0
    assert ranks.get_ylim()[0] == 0 and found.size <= ranks.get_ylim()[1] <= 1.2 * found.size


def test_path_orders() -> None:
    found, (bars, over_time, *_) = axes_of("path_orders")
    last = int(
        np.flatnonzero(
            np.abs(np.nan_to_num(np.vstack([found.by_step.values, found.projections.values]))).max(axis=0) >= 1e-3
        ).max()
    )
    assert bars.get_xlim() == (-0.6, last + 0.6) and over_time.get_ylim() == (-0.5, last + 0.5)


def test_curves_along_time_are_whole() -> None:
    """No finite point of a curve lies outside; there is room left of the first timestep and right of the last."""
    reach = inspector.reach(RUN, LOSS)
    for draw in (
        inspector.trace(RUN, LOSS).plot,
        reach.plot_gradients,
        reach.plot_lags,
        inspector.band(RUN, LOSS).plot,
    ):
        axes = draw()
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        assert -1.5 <= left <= -0.5 and 11.5 <= right <= 12.5, draw
        curves = [np.asarray(line.get_xydata(), float) for line in axes.lines if len(line.get_xydata()) == 12]
        assert curves
        for x, y in np.concatenate(curves):
            assert np.isnan(y) or (left < x < right and low <= y <= high), draw
