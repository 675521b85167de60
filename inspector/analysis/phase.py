"""Phase diagram: where in the plane of two settings gradients vanish, where they explode, and the edge between."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import AbstractPathEffect, withStroke
from tqdm import tqdm

import tinygrad_rnn as tg
from tinygrad_rnn import Cell
from tinygrad_rnn.plurals import counted

from ..picture.paper import Width
from ..picture.theme import ALARM, INK, PAPER, RATES
from ..plots.figures import axes_of, picture
from ..plots.legends import legend, title
from ..plots.lettering import visible
from ..plots.maps import colour_bar
from ..plots.style import HEAVY, SMALL, THIN, scaled
from ..results import Analysis, Labelled
from ..tracing.finite import first_not_finite

Array = npt.NDArray[np.float64]

__all__ = ["Phases", "phase_diagram"]

_HIDDEN, _SMALLEST = 32, 1e-280


@dataclass(frozen=True, eq=False)
class Phases(Analysis):
    """Made by :func:`phase_diagram`.

    Attributes
    ----------
    cell, x, y : str
        The cell, and what the two settings are.
    rate : Labelled (y, x)
        Growth of the gradient in nats for one step back: ``ln(‖∂L/∂s_0‖ / ‖∂L/∂s_t‖)/t``, in long runs the largest
        Lyapunov exponent. Below 0 it vanishes, with a half-life of ``ln 2 / -rate`` steps; above, it explodes. Minus
        infinity where it is 0 at once, infinity where it overflows at once, NaN where the run itself is not finite.
    """

    cell: str
    x: str
    y: str
    rate: Labelled

    @picture
    def plot(self, ax: Axes | None = None, *, width: Width = None) -> Axes:
        """Draw the map, the edge of chaos where the rate is 0, and lines of equal half-life."""
        axes = axes_of(ax, 7.6, 5.6)
        ys, xs = (np.array(labels, dtype=np.float64) for labels in self.rate.axes.values())
        rate = np.where(np.isfinite(self.rate.values), self.rate.values, np.nan)
        known = np.abs(rate[np.isfinite(rate)])
        bound = max(float(np.quantile(known, 0.9)) if known.size else 1.0, 1e-12)
        axes.patch.set(hatch="xxx", facecolor=PAPER, edgecolor=ALARM)  # seen where a rate is NaN
        look: Any = {"cmap": RATES, "vmin": -bound, "vmax": bound, "shading": "nearest", "rasterized": True}
        image = axes.pcolormesh(xs, ys, rate, **look)
        lines = _contours(axes, xs, ys, rate) if min(rate.shape) > 1 else []
        meaning = "ln ‖∂L/∂s‖ gained in one step back, in nats\n← vanishes        explodes →"
        colour_bar(axes, image, meaning, extend="both")
        axes.set(xlabel=visible(self.x), ylabel=visible(self.y))
        axes.spines[:].set_visible(False)
        title(axes, f"{self.cell}: where gradients vanish, and where they explode")
        legend(axes, lines)
        return axes

    def _text(self) -> str:
        rate = self.rate.values
        chaotic = float((rate > 0).mean())
        known = rate[~np.isnan(rate)]
        low, high = (known.min(), known.max()) if known.size else (math.nan, math.nan)
        ill = f", not finite in {np.isnan(rate).mean():.0%}" if np.isnan(rate).any() else ""
        return (
            f"gradient in {self.cell} over {self.x} and {self.y}: from {low:.3g} to {high:.3g} nats a step back, "
            f"explodes in {chaotic:.0%} of {counted(rate.size, 'setting')}{ill}"
        )


@np.errstate(all="ignore")
def phase_diagram(
    make_cell: str | Callable[[float, float], Cell],
    xs: npt.ArrayLike | None = None,
    ys: npt.ArrayLike | None = None,
    *,
    names: tuple[str, str] = ("x", "y"),
    inputs: npt.ArrayLike | None = None,
    progress: bool = True,
) -> Phases:
    """Measure how fast gradients decay or grow over a grid of two settings.

    Alike cells of a row are compiled to one ensemble, which with Numba (``pip install tinygrad-rnn[compile]``) takes a
    second or two for 400 cells.

    Parameters
    ----------
    make_cell : {"rnn", "lstm"} or callable
        From two numbers to a Cell, which should draw its other weights with one seed. ``"rnn"`` is a tanh network with
        recurrent weights N(0, x²/n) and inputs times y; ``"lstm"`` an LSTM with recurrent weights N(0, x²/n) and forget
        bias y; 32 units.
    xs, ys : array_like, optional
        The settings, rising; of the two cells given by name a grid of 20 x 20 around the edge when omitted.
    names : pair of str
        What a callable's two numbers are.
    inputs : array (T, batch, input_size), optional
        What drives the cells; 100 steps of N(0, 1), two sequences, when omitted. Rates are means over the sequences.
    progress : bool
        Show a progress bar where there is a terminal.

    Returns
    -------
    Phases

    Raises
    ------
    KeyError
        If there is no such name.
    TypeError
        If settings are missing, or `make_cell` gives no Cell.
    ValueError
        If settings do not rise.

    Examples
    --------
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> def scaled(x, y):
    ...     cell = tg.cells.RNNCell(1, 4, init="orthogonal", nonlinearity="identity", seed=0)
    ...     cell.weight_hh.data = x * cell.weight_hh.data
    ...     return cell
    >>> found = inspector.phase_diagram(scaled, [0.5, 2.0], [0.0], names=("scale", "nothing"))
    >>> found.rate.values.round(6)
    array([[-0.693147,  0.693147]])
    """
    label = getattr(make_cell, "__name__", "cell")
    if isinstance(make_cell, str):
        if make_cell not in _NAMED:
            raise KeyError(
                f"phase_diagram: no cell called {make_cell!r}; there are {', '.join(_NAMED)}, or give a function"
            )
        build, names, default = _NAMED[make_cell]
        xs, ys = default[0] if xs is None else xs, default[1] if ys is None else ys
        make_cell = build
    if xs is None or ys is None:
        raise TypeError("phase_diagram: a function needs xs and ys, the settings to try")
    across, up = _rising("xs", xs), _rising("ys", ys)
    if names[0] == names[1]:
        raise ValueError(f"phase_diagram: the two settings need different names, got {names}")
    rate, ill = np.empty((len(up), len(across))), None
    for row, y in enumerate(tqdm(up, unit="row", disable=None if progress else True)):
        cells = [make_cell(float(x), float(y)) for x in across]
        for cell in cells:
            if not isinstance(cell, Cell):
                raise TypeError(f"phase_diagram: make_cell must give a Cell, got {type(cell).__name__}")
        label = repr(cells[0])
        drive = _noise(cells[0]) if inputs is None else np.asarray(inputs)
        rate[row] = np.concatenate([_rates(group, drive) for group in _alike(cells)])
        if ill is None and np.isnan(rate[row]).any():
            ill = first_not_finite(tg.unroll(cells[int(np.flatnonzero(np.isnan(rate[row]))[0])], drive))
    table = Labelled(rate, {names[1]: up.tolist(), names[0]: across.tolist()}, "nats a step back")
    return Phases(label, *names, table, not_finite=ill)


def _rising(name: str, settings: npt.ArrayLike) -> Array:
    found = np.asarray(settings, dtype=np.float64)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all() or (np.diff(found) <= 0).any():
        raise ValueError(f"phase_diagram: {name} must be rising numbers, got {settings!r}")
    return found


def _noise(cell: Cell) -> Array:
    return np.random.default_rng(0).normal(size=(100, 2, cell.input_size))


def _alike(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """All cells together if they can be an ensemble, otherwise each by itself."""
    kinds = {
        (type(c), repr(c), c.dtype, c.state_names, tuple((n, p.shape) for n, p in c.named_parameters())) for c in cells
    }
    yield from [list(cells)] if len(kinds) == 1 else ([cell] for cell in cells)


def _rates(cells: list[Cell], inputs: npt.NDArray[Any]) -> Array:
    """For each cell the growth of a random gradient of the last state on its way back to the first, in nats a step."""
    run = tg.unroll(tg.compile(cells), inputs)
    rng = np.random.default_rng(1)
    loss = sum((leaf * rng.normal(size=leaf.shape)).sum() for leaf in run.final_state)
    states = [run.initial_state, *run.states]
    found = tg.grad(loss, [leaf for state in states for leaf in state])
    shape = (len(states), len(run.final_state), len(cells), inputs.shape[1], -1)
    width = max(leaf.data[0, 0].size for leaf in run.final_state)
    parts = np.zeros((*shape[:4], width))
    for k, gradient in enumerate(found):
        rows = gradient.data.reshape(*shape[2:4], -1)
        parts[divmod(k, shape[1])][..., : rows.shape[-1]] = rows
    sizes = np.sqrt((parts**2).sum(axis=(1, 4)))
    return np.array([np.mean([_slope(curve) for curve in sizes[:, k].T]) for k in range(len(cells))])


def _slope(sizes: Array) -> float:
    """The rate between the first norm that is neither lost nor overflown and one a tenth before the end.

    The end is left out because there the random gradient has not yet turned into the direction that grows most.
    """
    usable = np.flatnonzero(np.isfinite(sizes) & (sizes > math.sqrt(_SMALLEST)) & (sizes < 1 / math.sqrt(_SMALLEST)))
    if len(usable) < 2:
        return -math.inf if np.isfinite(sizes).all() else math.inf if np.isinf(sizes).any() else math.nan
    last = usable[-1 - len(usable) // 10]
    return float(math.log(sizes[usable[0]] / sizes[last]) / (last - usable[0]))


def _contours(axes: Axes, xs: Array, ys: Array, rate: Array) -> list[Line2D]:
    """Lines of equal half-life and the edge of chaos; what the legend explains of them."""
    if not np.isfinite(rate).any():
        return []
    lines = {-math.log(2) / steps: f"half-life {steps}" for steps in (1, 3, 10)}
    inside = [level for level in lines if np.nanmin(rate) < level < np.nanmax(rate)]
    if inside:
        halo: list[AbstractPathEffect] = [withStroke(linewidth=HEAVY, foreground=PAPER)]
        thin = axes.contour(xs, ys, rate, levels=inside, colors=INK, linewidths=THIN, linestyles="solid")
        thin.set_path_effects(halo)
        for text in axes.clabel(thin, fmt=lines, fontsize=scaled(SMALL)):
            text.set_path_effects(halo)
    if np.nanmin(rate) < 0 < np.nanmax(rate):
        axes.contour(xs, ys, rate, levels=[0.0], colors=INK, linewidths=HEAVY)
        return axes.plot([], [], color=INK, linewidth=HEAVY, label="edge of chaos")
    return []


def _rnn(x: float, y: float) -> Cell:
    cell = tg.cells.RNNCell(1, _HIDDEN, bias=False)
    rng = np.random.default_rng(0)
    cell.load_state_dict(
        {
            "weight_hh": rng.normal(0.0, x / math.sqrt(_HIDDEN), (_HIDDEN, _HIDDEN)),
            "weight_ih": y * rng.normal(size=(_HIDDEN, 1)),
        }
    )
    return cell


def _lstm(x: float, y: float) -> Cell:
    cell = tg.cells.LSTMCell(1, _HIDDEN)
    rng = np.random.default_rng(0)
    bias = np.repeat([0.0, y, 0.0, 0.0], _HIDDEN)
    cell.load_state_dict(
        {
            "weight_hh": rng.normal(0.0, 1.0 / math.sqrt(_HIDDEN), (4 * _HIDDEN, _HIDDEN)) * x,
            "weight_ih": rng.normal(size=(4 * _HIDDEN, 1)),
            "bias_ih": bias,
            "bias_hh": np.zeros(4 * _HIDDEN),
        }
    )
    return cell


_NAMED: dict[str, tuple[Callable[[float, float], Cell], tuple[str, str], tuple[Array, Array]]] = {
    "rnn": (_rnn, ("recurrent weight scale", "input scale"), (np.linspace(0.2, 4.0, 20), np.linspace(0.1, 2.0, 20))),
    "lstm": (
        _lstm,
        ("recurrent weight scale", "forget bias"),
        (np.linspace(0.25, 10.0, 20), np.linspace(-2.0, 7.5, 20)),
    ),
}
