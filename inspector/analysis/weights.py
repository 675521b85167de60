"""Which timesteps train a shared weight: each one's contribution to dL/dW, and what truncation would lose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import NullFormatter

from tinygrad_rnn import Tensor
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.curve_styles import styles
from ..picture.paper import Width
from ..picture.theme import GREY, SIGNED
from ..plots.curves import base_line, mark_norms, plain_axes, whole_steps
from ..plots.figures import axes_of, panels_and_plot, picture
from ..plots.legends import head, legend, title
from ..plots.lettering import visible
from ..plots.maps import colour_bar
from ..plots.style import HAIR, PANEL, scaled
from ..results import Analysis, Label, Labelled
from ..text import percent
from ..tracing.replay import recorded
from ..tracing.sparkline import sparkline
from ..tracing.trace import GradientTrace, norm_of, trace
from .truncation import kept

Floats = npt.NDArray[np.float64]
Labels = Mapping[str, Sequence[Label]]

__all__ = ["ALL", "Weights", "steps_for", "weights"]

ALL = "all parameters"
"""The label of all parameters taken together as one vector."""

_SHOWN, _GOAL = 4, 0.95
_WINDOWS = styles(("sliding", "fixed"))


@dataclass(frozen=True, eq=False)
class Weights(Analysis):
    """How each timestep contributes to the gradient of every parameter, made by :func:`weights`.

    With g_t the contribution of timestep t and G = Σ g_t. The last label of each axis ``parameter`` is
    ``"all parameters"``, the vector of them all. What is divided by a gradient of 0 is NaN.

    Attributes
    ----------
    cell, initialisation : str
    steps : int
        T.
    norms : Labelled (parameter, t)
        ‖g_t‖.
    cosines : Labelled (parameter, t)
        <g_t, G> / ‖g_t‖‖G‖: 1 where a step pulls the way they all go together, -1 where it pulls against it.
    shares : Labelled (parameter, t)
        <g_t, G> / <G, G>, which sum to 1.
    total : Labelled (parameter,)
        ‖G‖; a use of the parameter outside the steps of the run is not part of it.
    cancellation : Labelled (parameter,)
        ‖Σ g_t‖ / Σ ‖g_t‖: 1 if all contributions point the same way, 0 if they cancel. A small G with an index near 1
        has vanished; a small G with a small index has cancelled.
    effective_steps : Labelled (parameter,)
        (Σ ‖g_t‖)² / Σ ‖g_t‖², the participation ratio: 1 if a single step trains the weight, T if all do alike.
    steps_for_90 : Labelled (parameter,)
        How many steps, largest first, it takes for 90 % of Σ ‖g_t‖; 0 if that is 0 or not finite.
    kept_norms : Labelled (parameter, windows, k)
        ‖G_k‖ / ‖G‖, where G_k is what truncated BPTT with a window of k steps leaves; `windows` are ``"sliding"`` or
        ``"fixed"``, see :func:`inspector.analysis.truncation.kept`.
    kept_cosines : Labelled (parameter, windows, k)
        The cosine of the angle between G_k and G.
    """

    cell: str
    initialisation: str
    steps: int
    norms: Labelled
    cosines: Labelled
    shares: Labelled
    total: Labelled
    cancellation: Labelled
    effective_steps: Labelled
    steps_for_90: Labelled
    kept_norms: Labelled
    kept_cosines: Labelled

    def window(self, cosine: float = _GOAL, windows: str = "sliding", parameter: str = ALL) -> int | None:
        """The shortest window from which on the truncated gradient keeps to the full one, none if there is none.

        Parameters
        ----------
        cosine : float
            How well: the least cosine that this window and all longer ones have.
        windows : {"sliding", "fixed"}
        parameter : str
        """
        row = self.kept_cosines.sel(parameter=parameter, windows=windows).values
        short = np.flatnonzero(~(row >= min(cosine, 1.0 - 1e-12)))
        first = int(short[-1]) + 2 if short.size else 1
        return first if first <= self.steps else None

    @picture
    def plot(self, ax: Axes | None = None, parameters: Sequence[str] | None = None, *, width: Width = None) -> Axes:
        """Plot the norm of each step's contribution, coloured by its cosine with the total, and the bias of truncation.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw the contributions to the first of `parameters` alone; a figure with all of it when omitted.
        parameters : sequence of str, optional
            Which; when omitted those of largest gradient, four at most, alike ones once.
        width : float or str, optional
            Of a new figure; as for :func:`~inspector.plot_decay`.

        Returns
        -------
        Axes
            The first.

        Raises
        ------
        KeyError
            If there is no such parameter.
        """
        chosen = list(parameters) if parameters is not None else self._largest()
        if ax is not None:
            self._plot_steps(ax, chosen[0])
            return ax
        panels, plot = panels_and_plot(len(chosen), 8.0, 1.0 + 1.6 * len(chosen) + 2.6, 1.6)
        for axes, name in zip(panels, chosen, strict=True):
            self._plot_steps(axes, name)
            axes.tick_params(labelbottom=name == chosen[-1])
        zeros = ";  ▾ exactly 0" if any((self.norms["parameter", name] == 0).any() for name in chosen) else ""
        made_of = f"{self.cell}, initialisation: {self.initialisation}{zeros}{self._left_out(chosen)}"
        head(plot.figure, "Which timesteps train the weights", made_of)
        panels[-1].set_xlabel("timestep t of the contribution g_t")
        meaning = "cos(g_t, G)\n−1 against, 1 with the total"
        colour_bar(panels, ScalarMappable(Normalize(-1, 1), SIGNED), meaning, aspect=30)
        self.plot_truncation(plot)
        return panels[0]

    @picture
    def plot_truncation(self, ax: Axes | None = None, parameter: str = ALL, *, width: Width = None) -> Axes:
        """Plot norm and cosine of the truncated gradient against the length of its window.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        parameter : str
        width : float or str, optional
            Of a new figure; as for :func:`~inspector.plot_decay`.
        """
        axes, lines, k = axes_of(ax, 8.0, 3.4), [], np.arange(1, self.steps + 1)
        for windows, look in _WINDOWS.items():
            cosines, norms = (
                table.sel(parameter=parameter, windows=windows).values for table in (self.kept_cosines, self.kept_norms)
            )
            found = self.window(windows=windows, parameter=parameter)
            reached = f"cos ≥ {_GOAL} from k = {found}" if found is not None else f"cos stays below {_GOAL}"
            text = reached if found is not None or np.isfinite(cosines).any() else "nothing to compare"
            named = f"{counted(windows, 'window')}"
            for values, label, style in (
                (cosines, f"cos(G_k, G), {named}: {text}", look.among(0, 2)),
                (norms, f"‖G_k‖/‖G‖, {named}", look.among(1, 2)),
            ):
                lines += axes.plot(k, values, label=label, **style.line(len(k)))
        base_line(axes, 1.0)
        plain_axes(axes)
        whole_steps(axes)
        axes.set_xlim(0.5, self.steps + 0.5)
        axes.set(xlabel="window k of truncated BPTT, in steps", ylabel="G_k against the full gradient G")
        title(axes, f"What truncation leaves: {parameter}")
        legend(axes, lines)
        return axes

    def _largest(self) -> list[str]:
        """The parameters of largest gradient in the order of the cell, alike ones once; all together if there is
        none.
        """
        sizes = dict(zip(self.total.axes["parameter"][:-1], self.total.values, strict=False))
        rows = {self.norms["parameter", name].tobytes(): str(name) for name in reversed(sizes) if sizes[name] != 0}
        found = sorted(rows.values(), key=lambda name: (-np.nan_to_num(sizes[name], nan=np.inf), name))[:_SHOWN]
        return [str(name) for name in sizes if name in found] or [ALL]

    def _alike(self, name: str) -> list[str]:
        """The parameters to which every step contributes exactly as much, itself among them."""
        return [
            str(other)
            for other in self.norms.axes["parameter"]
            if np.array_equal(self.norms["parameter", other], self.norms["parameter", name])
        ]

    def _left_out(self, chosen: Sequence[str]) -> str:
        shown = {other for name in chosen for other in self._alike(name)}
        left = [str(name) for name in self.norms.axes["parameter"] if name not in {*shown, ALL}]
        return f";  not shown, gradients no larger: {', '.join(left)}" if left and ALL not in chosen else ""

    def _plot_steps(self, axes: Axes, name: str) -> None:
        norms, cosines = self.norms["parameter", name], self.cosines["parameter", name]
        t, seen = np.arange(self.steps), np.isfinite(norms) & (norms > 0)
        low = _floor(norms[seen])
        colours = ScalarMappable(Normalize(-1, 1), SIGNED).to_rgba(np.where(np.isfinite(cosines), cosines, 0.0)[seen])
        look: Any = {"color": colours, "edgecolor": GREY, "linewidth": HAIR if self.steps <= 120 else 0}
        axes.bar(t[seen], norms[seen] - low, bottom=low, width=0.86, **look)
        high = max(float(norms[seen].max()) * 1.5 if seen.any() else 1.0, low * 10)
        axes.set_yscale("log")
        axes.set_ylim(low, min(high, np.finfo(np.float64).max))
        mark_norms(axes, norms)
        axes.set_xlim(-0.5 - 0.01 * self.steps, self.steps - 0.5 + 0.01 * self.steps)
        axes.yaxis.set_minor_formatter(NullFormatter())
        plain_axes(axes)
        axes.set_ylabel("‖g_t‖₂")
        names = " and ".join([name, *(other for other in self._alike(name) if other not in (name, ALL))])
        axes.set_title(visible(f"{names}:  {self._says(name)}"), fontsize=scaled(PANEL))

    def _says(self, name: str) -> str:
        """What there is to say of a parameter."""
        index, steps, total = (
            float(table["parameter", name]) for table in (self.cancellation, self.effective_steps, self.total)
        )
        if not np.isfinite(index):
            return "no gradient" if total == 0 else "not finite"
        return f"‖Σg‖/Σ‖g‖ = {index:.2g},  trained by {steps:.3g} of {counted(self.steps, 'step')}"

    def _text(self) -> str:
        lines = [
            f"{self.cell}: which of {counted(self.steps, 'timestep trains', plural='timesteps train')} the weights",
            "",
        ]
        width = max(len(name) for name in map(str, self.norms.axes["parameter"]))
        for k, name in enumerate(self.norms.axes["parameter"]):
            total, index = self.total.values[k], self.cancellation.values[k]
            head = f"{name:{width}}  {sparkline(self.norms.values[k], 40)}"
            if not (self.norms.values[k].any() and np.isfinite(total)):
                lines.append(f"{head}  {'not finite' if not np.isfinite(total) else 'no gradient'}")
                continue
            lines.append(
                f"{head}  ‖G‖ {total:.3g}, {percent(1 - index)} of the norms cancel,"
                f" {counted(self.effective_steps.values[k], 'step trains', '.3g', 'steps train')} it (90 %:"
                f" {self.steps_for_90.values[k]:.0f})"
            )
        lines += ["", f"truncated BPTT: window from which on the cosine with the full gradient is at least {_GOAL}"]
        for windows in _WINDOWS:
            found = self.window(windows=windows)
            lines.append(f"  {counted(windows, 'window')}: {found if found is not None else 'none'}")
        return "\n".join(lines)


@np.errstate(all="ignore")
def weights(run: Run, loss: Tensor) -> Weights:
    """What each timestep contributes to the gradient of every parameter, and what truncated BPTT would lose.

    A weight that vanishes and a weight whose contributions cancel look the same in dL/dW; here they do not.

    Parameters
    ----------
    run : Run
        What :func:`tinygrad_rnn.unroll` returned; a compiled one is replayed step by step.
    loss : Tensor
        A single number computed from the run.

    Returns
    -------
    Weights

    Raises
    ------
    TypeError
        If `run` is no Run, or `loss` no Tensor.
    ValueError
        If `loss` is not a single number, or does not depend on the run, or the run is that of an ensemble.

    Notes
    -----
    What the loss takes from each step is sent back apart from the rest. Of a loss that reads few steps time and memory
    grow with T times the size of the weights; of one that reads all, steps are matrices that all of it goes through at
    once, and what grows with T² is the product of these numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> cell = tg.cells.RNNCell(1, 4, seed=0)
    >>> run = tg.unroll(cell, np.random.default_rng(0).normal(size=(30, 1, 1)))
    >>> found = inspector.weights(run, (run.outputs[-1] ** 2).sum())
    >>> round(float(found.shares["parameter", "weight_hh"].sum()), 12)
    1.0
    >>> bool(found.effective_steps["parameter", "weight_hh"] < 10)
    True
    """
    run, loss = recorded(run, loss)
    found = trace(run, loss)
    norms, dots, squares = _against_total(found)
    names: Labels = {"parameter": (*found.parameters, ALL)}
    along: Labels = {**names, "t": range(found.steps)}
    lengths = np.sqrt(squares)
    sums = norms.sum(axis=1)
    cosines = dots / (norms * lengths[:, None])
    shares = dots / squares[:, None]
    cancellation, effective = lengths / sums, sums**2 / np.square(norms).sum(axis=1)
    windows: Labels = {**names, "windows": tuple(_WINDOWS), "k": range(1, found.steps + 1)}
    ratios, angles = _truncated(run, loss, found.parameters)
    return Weights(
        found.label,
        found.initialisation,
        found.steps,
        Labelled(norms, along, "‖g_t‖"),
        Labelled(np.where(norms > 0, cosines, math.nan), along, "cosine of g_t with G"),
        Labelled(shares, along, "<g_t, G> / <G, G>"),
        Labelled(lengths, names, "‖G‖"),
        Labelled(cancellation, names, "‖Σ g_t‖ / Σ ‖g_t‖"),
        Labelled(effective, names, "(Σ ‖g_t‖)² / Σ ‖g_t‖²"),
        Labelled([steps_for(row, 0.9) for row in norms], names, "steps for 90 % of Σ ‖g_t‖"),
        Labelled(ratios, windows, "‖G_k‖ / ‖G‖"),
        Labelled(angles, windows, "cosine of G_k with G"),
        not_finite=found.not_finite,
    )


def _against_total(found: GradientTrace) -> tuple[Floats, Floats, Floats]:
    """‖g_t‖ and <g_t, G> for each parameter and step, and <G, G>; in the last row for all parameters."""
    norms, dots = (np.zeros((len(found.parameters) + 1, found.steps)) for _ in range(2))
    squares = np.zeros(len(norms))
    for row, name in enumerate(found.parameters):
        total = sum(share.astype(np.float64) for share in found.parameter_shares(name))
        squares[row] = np.vdot(total, total)
        for t, share in enumerate(found.parameter_shares(name)):
            norms[row, t] = norm_of(share)
            dots[row, t] = np.vdot(share.astype(np.float64), total)
    norms[-1] = np.hypot.reduce(norms[:-1])
    dots[-1], squares[-1] = dots[:-1].sum(axis=0), squares[:-1].sum()
    return norms, dots, squares


def _truncated(run: Run, loss: Tensor, names: Sequence[str]) -> tuple[Floats, Floats]:
    """Norm ratio and cosine of what each window leaves, (parameter, kind of window, k)."""
    shape = (len(names) + 1, len(_WINDOWS), len(run))
    squares, dots = np.zeros(shape), np.zeros(shape)
    left = kept(run, loss)
    for row, name in enumerate(names):
        total = left[name].sliding[-1].reshape(-1)
        for kind, table in enumerate(left[name]):
            flat = table.reshape(len(run), -1)
            squares[row, kind], dots[row, kind] = np.square(flat).sum(axis=1), flat @ total
    squares[-1], dots[-1] = squares[:-1].sum(axis=0), dots[:-1].sum(axis=0)
    full = squares[:, :1, -1:]
    return np.sqrt(squares / full), dots / np.sqrt(squares * full)


def steps_for(norms: Floats, part: float) -> int:
    """How many of the largest it takes for a part of their sum."""
    running = np.cumsum(np.sort(norms)[::-1])
    return int(np.searchsorted(running, part * running[-1] * (1 - 1e-12))) + 1 if 0 < running[-1] < np.inf else 0


def _floor(norms: Any) -> float:
    """Where bars on a logarithmic scale begin: the decade below the smallest, twelve below the largest at most."""
    smallest = max(float(norms.min()) / 1.2, float(norms.max()) * 1e-12) if norms.size else 1.0
    return float(10.0 ** max(math.floor(math.log10(smallest)), -300))
