"""strongest_path: the one chain of local derivatives that carries most from a loss to a unit, and how many carry it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from tinygrad_rnn import Tensor
from tinygrad_rnn.autodiff.ancestry import parts
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from ..picture.curve_styles import styles
from ..picture.paper import Width
from ..picture.theme import INK
from ..plots.curves import along_time, curve
from ..plots.figures import axes_of, picture
from ..plots.legends import legend, title
from ..plots.style import HAIR, THIN
from ..results import Analysis, Labelled
from ..steps.labels import symbol
from ..tracing.finite import NotFinite
from ..tracing.names import first_reached, gates_of, names_by_id, recorded, states_of, value_at
from ..tracing.trace import trace
from .semiring import AllPaths

__all__ = ["Place", "StrongestPath", "strongest_path"]


class Place(NamedTuple):
    """One scalar on a path.

    Attributes
    ----------
    tensor : Tensor
    element : tuple of int
        Its index in the Tensor.
    derivative : float
        The local derivative of the place before it on the path by this one; 1 for the first.
    edge : pair or None
        The edge to the place before it: (its Tensor's id, operand); ``None`` for the first.
    text : str
        What it is, such as ``f_3[0, 2]`` or ``tanh of h_7[0, 5]``.
    """

    tensor: Tensor
    element: tuple[int, ...]
    derivative: float
    edge: tuple[int, int] | None
    text: str


@dataclass(frozen=True, eq=False)
class StrongestPath(Analysis):
    """The strongest path from an end, usually the loss, back to one unit. Made by :func:`strongest_path`.

    Attributes
    ----------
    label, start, end : str
        The cell; the unit, such as ``c_0[0, 3]``; the loss, or a value such as ``h_9``.
    strength : float
        Natural logarithm of the absolute product of all local derivatives on the path.
    sign : float
        Of the product: 1 or -1.
    share : float
        The absolute product over the sum of those of all paths.
    paths : float
        Decimal logarithm of the number of paths without a zero on them.
    effective : float
        Decimal logarithm of how many of them carry the gradient: of ``exp H``, with the entropy H of the absolute
        products as a distribution.
    coherence : float
        The absolute sum of all products, which is the gradient, over the sum of their absolute values: 1 where no
        two paths cancel.
    derivatives : Labelled (place,)
        The local derivatives along the path, from the end to the start.
    places : tuple of Place
        The scalars on the path, from the end to the start.
    edges : frozenset of (Tensor id, operand)
        The edges of the graph that the path takes. Iterating over the path gives them, so that
        ``inspector.draw(found.run, highlight=found)`` draws it.
    run : Run
        The run that the path lies in, of a compiled run its replay.
    """

    label: str
    start: str
    end: str
    strength: float
    sign: float
    share: float
    paths: float
    effective: float
    coherence: float
    derivatives: Labelled
    places: tuple[Place, ...] = field(repr=False)
    edges: frozenset[tuple[int, int]] = field(repr=False)
    run: Run = field(repr=False)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(sorted(self.edges))

    def named(self) -> list[Place]:
        """The places that are elements of states and gates, from the end to the start."""
        named = {value.id for value in self.run.names.values()}
        return [place for place in self.places if place.tensor.id in named]

    @picture
    def plot(self, ax: Axes | None = None, *, width: Width = None) -> Axes:
        """Draw what is left of the gradient at each state and gate on the path, over time."""
        axes = axes_of(ax, 8.0, 4.4)
        left = np.exp(np.cumsum([math.log(abs(place.derivative)) for place in self.places]))
        t = [math.nan if place.tensor.timestep is None else place.tensor.timestep for place in self.places]
        axes.plot(t, left, color=INK, linewidth=THIN, zorder=1)
        names = names_by_id(self.run)
        at: dict[str, list[int]] = {}
        for k, place in enumerate(self.places):
            at.setdefault(names.get(place.tensor.id, ("", 0))[0], []).append(k)
        marks: Any = {
            "linestyle": "none",
            "markersize": 6.0,
            "markeredgecolor": INK,
            "markeredgewidth": HAIR,
            "markevery": 1,
            "zorder": 2,
        }
        lines = [
            curve(axes, [t[k] for k in at[name]], left[at[name]], look, f"{name} × {len(at[name])}", **marks)
            for name, look in styles((*states_of(self.run), *gates_of(self.run))).items()
            if name in at
        ]
        along_time(axes, "unit")
        axes.set_ylabel("|product of local derivatives so far|")
        title(
            axes,
            f"{self.label}: the strongest of {counted(_many(self.paths), 'path')} from {self.end} to {self.start}",
            f"{self.share:.3g} of Σ|paths|; {counted(_many(self.effective), 'path carries', plural='paths carry')} the"
            " gradient (exp H)",
        )
        legend(axes, lines)
        return axes

    def _text(self) -> str:
        names = names_by_id(self.run)
        taken = itertools.groupby(names[place.tensor.id][0] for place in self.named())
        route = " ← ".join(
            name if count == 1 else f"{name} ×{count}"
            for name, count in ((name, len(list(group))) for name, group in taken)
        )
        return (
            f"{self.label}: strongest path {self.end} ← {self.start}: product {self.sign:+.0f} ·"
            f" e^{self.strength:.3f}\n  {self.share:.3g} of the whole of {counted(_many(self.paths), 'path')};"
            f" {counted(_many(self.effective), 'carries', plural='carry')} the gradient; |Σ|/Σ|·| ="
            f" {self.coherence:.3g}\n  {route}"
        )


@np.errstate(all="ignore")
def strongest_path(
    run: Run,
    loss: Tensor,
    start: tuple[str, int] | None = None,
    end: tuple[str, int] | None = None,
    unit: Sequence[int] | None = None,
) -> StrongestPath:
    """Find the path from a loss back to one unit whose product of local derivatives is largest.

    A path goes from scalar to scalar through the recorded operations; each of its edges has a local derivative, an
    entry of the operation's own Jacobian, and the gradient is the sum over all paths of the products along them. One
    sweep in the (max, ×) semiring finds the largest absolute product, exactly; and in the same pass, in logarithms so
    that nothing underflows, the sum of the absolute products, the entropy of their distribution, the number of paths,
    and how much cancels. Du et al. 2023, "Generalizing Backpropagation for Gradient-Based Interpretability".

    Parameters
    ----------
    run : Run
    loss : Tensor
        A single number computed from the run.
    start : pair (name, timestep), optional
        Where paths begin; when omitted at the first step, in the state that the cell keeps to itself, such as c.
    end : pair (name, timestep), optional
        Where paths end instead of the loss: any element of that value.
    unit : tuple of int, optional
        The element of the start, such as (sequence, unit); the one with the strongest path when omitted.

    Returns
    -------
    StrongestPath

    Raises
    ------
    TypeError
        If `run` is no Run, `loss` no Tensor, or `start` or `end` no pair.
    ValueError
        If `loss` is not a single number or does not depend on any value of the run, if no path leads from the end to
        the start or `unit`, if all that do have a derivative that is 0 or not finite, or an operation is too large.
    KeyError
        If there is no value of a name.
    IndexError
        If the start has no such element.

    Examples
    --------
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.RNNCell(1, 1, seed=0), np.ones((4, 1, 1)))
    >>> found = inspector.strongest_path(run, run.outputs[-1].sum(), start=("h", 0))
    >>> round(10**found.effective), round(10**found.paths), round(found.share)  # a single unit has a single path
    (1, 1, 1)
    """
    run, loss = recorded(run, loss, "strongest_path")
    key = start if start is not None else first_reached(run, loss)
    source = value_at(run, key, "strongest_path")
    target = loss if end is None else value_at(run, end, "strongest_path")
    paths = AllPaths(source, target)
    not_finite = trace(run, loss).not_finite
    element = _element(paths, source, unit, not_finite)
    names = {key: f"{name}_{t}" for key, (name, t) in names_by_id(run).items()}
    told = _told(target, names)
    places = tuple(Place(*step, told(*step[:2])) for step in paths.path(source, element))
    sums = paths.found[source.id]
    best, total, mean = (float(values[element]) for values in (sums.best, sums.total, sums.mean))
    numbered = {"place": [f"{k}: {place.text}" for k, place in enumerate(places)]}
    return StrongestPath(
        label=repr(run.cell),
        start=places[-1].text,
        end="loss" if end is None else names[target.id],
        strength=best,
        sign=math.prod(math.copysign(1.0, place.derivative) for place in places),
        share=math.exp(best - total),
        paths=float(sums.number[element]) / math.log(10),
        effective=max(0.0, total - mean) / math.log(10),
        coherence=abs(float(sums.sign[element])),
        derivatives=Labelled([place.derivative for place in places], numbered, "local derivative"),
        places=places,
        edges=frozenset(_edges(places, run)),
        run=run,
        not_finite=not_finite,
    )


def _element(paths: AllPaths, source: Tensor, unit: Sequence[int] | None, not_finite: NotFinite | None) -> int:
    best = paths.found[source.id].best if source.id in paths.found else np.full(source.size, -np.inf)
    if unit is None:
        element = int(np.argmax(best))
    else:
        try:
            element = int(
                np.ravel_multi_index(
                    tuple(int(k) + n * (k < 0) for k, n in zip(unit, source.shape, strict=True)), source.shape
                )
            )
        except (ValueError, TypeError):
            raise IndexError(f"strongest_path: {source.path} of shape {source.shape} has no element {unit!r}") from None
    if not np.isfinite(best[element]):
        where = f"{source.path}{'' if unit is None else list(unit)}"
        if not_finite is not None:
            raise ValueError(f"strongest_path: no path to {where} is finite: {not_finite}")
        raise ValueError(f"strongest_path: no gradient reaches {where}: every path is cut, or zero somewhere")
    return element


def _told(target: Tensor, names: dict[int, str]) -> Any:
    """What a scalar is called."""
    owners = parts([target])

    def told(tensor: Tensor, index: tuple[int, ...]) -> str:
        own = names.get(tensor.id)
        if own is None:
            op = symbol(tensor.op.name) if tensor.op is not None else "leaf"
            t = "" if tensor.timestep is None else f"_{tensor.timestep}"
            own = f"{op} of {owners[tensor.id]}{t}" if owners.get(tensor.id) else f"{op}{t}"
        return f"{own}[{', '.join(map(str, index))}]" if index else own

    return told


def _edges(places: Sequence[Place], run: Run) -> Iterator[tuple[int, int]]:
    """The edges that a path takes, and as operand -1 the values that it goes through on its way."""
    outputs = {value.id for value in run.outputs}
    for after, before in itertools.pairwise(places):
        if before.edge is not None:
            yield before.edge
        if before.tensor.id not in outputs or after.tensor.timestep is None:  # an output's circle leads out of its step
            yield before.tensor.id, -1


def _many(logarithm: float) -> str:
    """A number given by its decimal logarithm."""
    return f"{10**logarithm:.0f}" if logarithm < 6 else f"10^{logarithm:.1f}"
