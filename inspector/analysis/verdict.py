"""Somebody's gradient against ours: which parts of it are wrong, from where on, and by which mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from tinygrad_rnn import Tensor
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.inner import HELD
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.curve_styles import styles
from ..picture.paper import Width
from ..picture.theme import ALARM, GREY
from ..plots.curves import BACKWARDS, curve, limit, mark_rows, plain_axes, whole_steps
from ..plots.figures import axes_of, picture
from ..plots.legends import legend, title
from ..plots.lettering import visible
from ..plots.style import DASHED, THIN
from ..results import Analysis, Labelled
from ..tracing.names import is_reversed, recorded
from ..tracing.sparkline import sparkline
from ..tracing.trace import GradientTrace, trace
from ..tracing.values import recorded_values
from .altered import Wanted
from .causes import find_causes
from .slips import Item, listed, ratio

Array = npt.NDArray[Any]

__all__ = ["Verdict", "check_gradient"]

_TOLERANCES = {"e": 2e-2, "f": 1e-4}
"""How far apart numbers of a kind may be and still be the same, relative to the largest of their array, or timestep;
others half of their digits, 1e-9.
"""
_SAID = 5


@dataclass(frozen=True, eq=False)
class Verdict(Analysis):
    """Whether a gradient is right, and if not, what is wrong with it.

    Attributes
    ----------
    ok : bool
        Whether all that was given agrees with ours, to rounding.
    cause : str
        The mistake that reproduces the numbers; empty if they are right, or none of those tried does.
    causes : tuple of str
        Every mistake that reproduces them: more than one where the run at hand cannot tell them apart.
    parameters : tuple of str
        The parameters whose gradient is wrong.
    values : tuple of str
        The values along time whose gradient is wrong.
    timesteps : tuple of int
        Those at which it is.
    errors : Labelled (name,)
        The largest difference, relative to the largest number of both, at the worst timestep of a value along time.
    along : Labelled (name, t)
        The same at every timestep, for values along time.
    tolerance : float
        What counts as rounding: by the coarser of the kinds of numbers of the run and of what was given.
    """

    ok: bool
    cause: str
    causes: tuple[str, ...]
    parameters: tuple[str, ...]
    values: tuple[str, ...]
    timesteps: tuple[int, ...]
    errors: Labelled
    along: Labelled
    tolerance: float
    cell: str
    steps: int
    _lines: tuple[str, ...] = field(default=(), repr=False)

    @picture
    def plot(self, ax: Axes | None = None, *, width: Width = None) -> Axes:
        """Plot the error at every timestep, or of every parameter where nothing along time was given."""
        along = self.along.values.size > 0
        axes = axes_of(ax, 8.0, 3.6 if along else 1.2 + 0.32 * len(self.errors.values))
        title(axes, self._title(), self.cause)
        if along:
            self._plot_along(axes)
        else:
            self._plot_bars(axes)
        return axes

    def _plot_along(self, axes: Axes) -> None:
        names, found = list(map(str, self.along.axes["name"])), styles(map(str, self.along.axes["name"]))
        lines = [curve(axes, np.arange(self.steps), self.along["name", n], found[n], n) for n in names]
        axes.set_xlim(-0.5, self.steps - 0.5)
        shown = np.append(self.along.values[self.along.values > 0], self.tolerance)
        axes.set_yscale("log")
        axes.set_ylim(max(shown.min(), 1e-20) / 3, 6.0)
        axes.set(
            xlabel=BACKWARDS, ylabel="relative error" + (f" of ∂L/∂{visible(names[0])}ₜ" if len(names) == 1 else "")
        )
        limit(axes, self.tolerance, "rounding")
        mark_rows(
            axes,
            [(self.along["name", n] == 0, found[n].colour) for n in names],
            [(~np.isfinite(self.along["name", n]), found[n].colour) for n in names],
        )
        whole_steps(axes)
        plain_axes(axes)
        legend(axes, lines if len(lines) > 1 else [])

    def _plot_bars(self, axes: Axes) -> None:
        names = list(map(str, self.errors.axes["name"]))
        errors = np.nan_to_num(self.errors.values, nan=2.0, posinf=2.0)
        low = min(1e-17, self.tolerance / 10)
        places = np.arange(len(names))
        wrong = ~(self.errors.values <= self.tolerance)
        colours = np.where(wrong, ALARM, GREY)
        axes.barh(places, np.maximum(errors, low) - low, left=low, color=list(colours), height=0.6)
        axes.set_xscale("log")
        axes.set_xlim(low, 4.0)
        axes.set_yticks(places, [visible(name) for name in names])
        axes.invert_yaxis()
        axes.axvline(self.tolerance, color=GREY, linewidth=THIN, linestyle=DASHED)
        axes.set_xlabel("relative error;  dashed: rounding")
        plain_axes(axes)

    def _title(self) -> str:
        wrong = ", ".join((*self.parameters, *self.values))
        return f"{self.cell}: {f'the gradient by {wrong} is wrong' if not self.ok else 'the gradient is right'}"

    def _text(self) -> str:
        return "\n".join(self._lines)


@np.errstate(all="ignore")
def check_gradient(run: Run, loss: Tensor, theirs: Mapping[str, Any]) -> Verdict:
    """Compare somebody's gradient, of backpropagation through time written by hand perhaps, with ours.

    Where they differ, the classic mistakes are made in the sweep over our own graph, one after the other: Jacobians in
    the wrong order, a path left out or taken with the wrong sign, truncation, wrong derivatives of tanh and sigmoid,
    values of another timestep, transposed weights, sums over the wrong axis, losses that are not sent back, means for
    sums. The one that gives exactly these numbers is named.

    Parameters
    ----------
    run : Run
        What :func:`tinygrad_rnn.unroll` returned; a compiled one is replayed step by step.
    loss : Tensor
        A single number computed from the run.
    theirs : mapping of str to array
        The gradient of the loss by parameters, under the names that ``run.cell.named_parameters()`` gives them; or by
        values along time, (T, batch, features), under the names that :func:`inspector.trace` gives them: the states
        ``h`` and ``c``, a gate ``f``, its preactivation ``z_f``, the input ``x``. The gradient by a state is the whole
        one: what the loss sends to it, and what comes back from later steps. More of it finds more.

    Returns
    -------
    Verdict
        Numbers are the same if they agree to rounding: that of float32, if the run or what was given has it. States at
        padded positions are not compared.

    Raises
    ------
    TypeError
        If `theirs` is no mapping to numbers, `run` no Run, or `loss` no Tensor.
    ValueError
        If a name or a shape is not one of this run, or `loss` is not a single number, or does not depend on the run.

    Notes
    -----
    A gradient that is right costs one sweep, one that is wrong as much as some hundred: they are swept together.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> x = np.random.default_rng(0).normal(size=(5, 2, 3))
    >>> cell = tg.cells.RNNCell(3, 4, seed=0)
    >>> run = tg.unroll(cell, x)
    >>> loss = run.outputs[-1].sum()
    >>> W, h = cell.weight_hh.data, [np.zeros((2, 4)), *(output.data for output in run.outputs)]
    >>> delta, gradient = np.ones((2, 4)), np.zeros((4, 4))
    >>> for t in reversed(range(5)):
    ...     z = delta * (1 - h[t + 1])  # forgot the square
    ...     gradient += z.T @ h[t]
    ...     delta = z @ W
    >>> inspector.check_gradient(run, loss, {"weight_hh": gradient}).cause
    'the derivative of tanh is taken as 1 − tanh'
    """
    run, loss = recorded(run, loss, "check_gradient")
    found = trace(run, loss)
    items, wanted = _Given(run, loss, theirs, found).items()
    errors = {item.name: item.errors(item.ours) for item in items}
    wrong = [item for item in items if not (errors[item.name] <= item.tolerance).all()]
    causes = _causes(run, loss, items, wanted, found) if wrong else []
    along = [item for item in items if not item.is_parameter]
    steps = sorted({t for item in along for t in map(int, np.flatnonzero(~(errors[item.name] <= item.tolerance)))})
    return Verdict(
        not wrong,
        causes[0] if causes else "",
        tuple(causes),
        tuple(item.name for item in wrong if item.is_parameter),
        tuple(item.name for item in wrong if not item.is_parameter),
        tuple(steps),
        Labelled([errors[one.name].max(initial=0.0) for one in items], {"name": [one.name for one in items]}, _WHAT),
        Labelled(
            np.reshape([errors[one.name] for one in along], (len(along), len(run))),
            {"name": [one.name for one in along], "t": range(len(run))},
            _WHAT,
        ),
        max(item.tolerance for item in items),
        repr(run.cell),
        len(run),
        tuple(_words(run, items, wrong, causes, errors)),
        not_finite=found.not_finite,
    )


_WHAT = "largest difference, relative"


class _Given:
    """What was given, checked against the run."""

    def __init__(self, run: Run, loss: Tensor, theirs: Mapping[str, Any], found: GradientTrace) -> None:
        if not isinstance(theirs, Mapping):
            raise TypeError(
                "check_gradient: theirs must be a mapping from names to arrays, such as {'weight_hh': array}, got"
                f" {type(theirs).__name__}"
            )
        if not theirs:
            raise ValueError("check_gradient: theirs is empty; give the gradient by at least one parameter or value")
        self.run, self.loss, self.theirs, self.found = run, loss, theirs, found
        self.parameters = dict(run.cell.named_parameters())
        self.values: dict[str, list[Tensor | None]] = {}
        for (name, t), value in recorded_values(run).items():
            self.values.setdefault(name, [None] * len(run))[t] = value

    def items(self) -> tuple[list[Item], Wanted]:
        """All of it, and the Tensors whose gradients it is."""
        items, wanted = [], dict[str, Sequence[Tensor | None]]()
        for name, given in self.theirs.items():
            array = self._numbers(name, given)
            series: Sequence[Tensor | None]
            if name in self.parameters and (name not in self.values or array.shape == self.parameters[name].shape):
                series = [self.parameters[name]]
                self._check(name, array, self.parameters[name].shape, "")
                ours, rows, counts = self.found.parameter_gradient(name)[None], array[None], None
            else:
                series = self.values[name]
                shape = (len(series), *next(value.shape for value in series if value is not None))
                self._check(name, array, shape, ", one row a timestep")
                ours, counts = self._along(name, series, shape)
                rows = np.where(counts, array, 0.0)
            kinds = [array.dtype.char, self.run.outputs[0].dtype.char]
            coarse = [kind for kind in "ef" if kind in kinds]
            tolerance = _TOLERANCES[coarse[0]] if coarse else 1e-9
            floor = float(np.finfo(coarse[0] if coarse else "d").tiny)
            is_parameter = counts is None
            items.append(
                Item(name, rows.astype(np.float64), ours.astype(np.float64), is_parameter, tolerance, floor, counts)
            )
            wanted[name] = series
        return items, wanted

    def _numbers(self, name: str, given: Any) -> Array:
        if name not in self.parameters and name not in self.values:
            known = [*self.parameters, *self.values]
            near = get_close_matches(str(name), known, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ValueError(f"check_gradient: nothing is called {name!r}; {hint}There are {', '.join(known)}")
        array = np.asarray(given.data if isinstance(given, Tensor) else given)
        if array.dtype.kind not in "iuf":
            raise TypeError(
                f"check_gradient: {name} must be an array of real numbers, got {array.dtype} ({given!r:.40})"
            )
        return array

    def _check(self, name: str, array: Array, shape: tuple[int, ...], what: str) -> None:
        if array.shape != shape:
            turned = "; it is transposed" if array.shape == shape[::-1] else ""
            raise ValueError(f"check_gradient: {name} must have shape {shape}{what}, got {array.shape}{turned}")

    def _along(self, name: str, series: Sequence[Tensor | None], shape: tuple[int, ...]) -> tuple[Array, Array]:
        ours, counts = np.zeros(shape), np.ones(shape, bool)
        for t, value in enumerate(series):
            if value is None:
                counts[t] = False
                continue
            ours[t] = self.found.gradient(name, t)
            if value.op is HELD:
                running = np.asarray(value.inputs[0])
                counts[t] = running.reshape(len(running), *(1,) * (value.ndim - 1))
        return np.where(counts, ours, 0.0), counts


def _causes(
    run: Run, loss: Tensor, items: Sequence[Item], wanted: Mapping[str, Sequence[Tensor | None]], found: GradientTrace
) -> list[str]:
    """In words; what is not finite is the cause by itself."""
    broken = [item for item in items if not np.isfinite(item.theirs).all()]
    if broken:
        return [f"not finite: {' and '.join(_broken(run, item) for item in broken)}"]
    if not all(np.isfinite(item.ours).all() for item in items):
        return []
    causes = list(dict.fromkeys(find_causes(run, loss, items, wanted, found)))
    single = _TOLERANCES["f"] / 4
    if not causes and all((item.errors(item.ours) <= single).all() for item in items):
        return ["computed in float32, or rounded to it; give it as float32 to have it compared as such"]
    return causes


def _broken(run: Run, item: Item) -> str:
    bad = ~np.isfinite(item.theirs)
    kind = "NaN" if np.isnan(item.theirs).any() else "infinity"
    if item.is_parameter:
        return f"{kind} in {item.name} ({counted(int(bad.sum()), 'number')} of {item.theirs.size})"
    at = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
    return f"{kind} in {item.name} from t = {at[0] if is_reversed(run, item.name) else at[-1]} back"


def _words(
    run: Run, items: Sequence[Item], wrong: Sequence[Item], causes: Sequence[str], errors: Mapping[str, Array]
) -> list[str]:
    head = f"{run.cell!r}, {counted(len(run), 'step')}: "
    worst = max((float(error.max(initial=0.0)) for error in errors.values()), default=0.0)
    rough = max(item.tolerance for item in items) > 1e-9
    if not wrong:
        kind = ", as float32 rounds" if rough else ""
        return [f"{head}the gradient by {listed([item.name for item in items])} is right, to {worst:.1e}{kind}"]
    lines = [f"{head}the gradient by {listed([item.name for item in wrong])} is wrong"]
    if len(causes) == 1:
        lines.append(f"  cause: {causes[0]}")
    elif causes:
        lines.append("  cause, one of these, between which this run does not decide:")
        lines += [f"    - {cause}" for cause in causes[:_SAID]]
        lines += [f"    - and {len(causes) - _SAID} more"] if len(causes) > _SAID else []
    elif all(np.isfinite(item.ours).all() for item in items):
        lines.append("  none of the mistakes that were tried gives these numbers")
    else:
        lines.append("  ours is not finite, so that there is nothing to compare with and no mistake was tried")
    width = max(len(item.name) for item in items)
    return [*lines, *(f"  {item.name:{width}}  {_compared(run, item, errors[item.name])}" for item in items)]


def _compared(run: Run, item: Item, errors: Array) -> str:
    bad = ~(errors <= item.tolerance)
    worst = float(errors.max(initial=0.0))
    if not bad.any():
        return f"agrees, to {worst:.1e}"
    factor = ratio(item, item.ours) if np.count_nonzero(item.ours) > 1 else None
    always = f", always {factor:.6g} of ours" if factor is not None else ""
    if item.is_parameter:
        return f"differs by {worst:.2g} of its largest number{always}"
    order = range(len(errors)) if is_reversed(run, item.name) else range(len(errors))[::-1]
    wrong = [t for t in order if bad[t]]
    first, last = wrong[0], wrong[-1]
    head = (
        f"agrees at t = {order[0]}{f' … {first - order.step}' if first - order.step != order[0] else ''}, "
        if first != order[0]
        else ""
    )
    if first == last:
        return f"{head}differs at t = {first} alone, by {errors[first]:.2g}{always}"
    way = (
        "growing" if errors[last] > 2 * errors[first] else "shrinking" if errors[last] < errors[first] / 2 else "about"
    )
    return (
        f"{head}differs from t = {first} back to t = {last}: {sparkline(errors)} by {errors[first]:.2g} at first,"
        f" {way} {'to ' if way != 'about' else 'as much, '}{errors[last]:.2g}{always}"
    )
