"""equations: what one timestep of a cell computes, and the derivative along its highways, as LaTeX and as plain
text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_rnn import Bidirectional, Cell, Graph, Stacked, Tensor, unroll
from tinygrad_rnn.recurrent.unroll import Run

from ..notebook import brief
from ..results import Result
from ..steps.items import Step, highways, safe
from ..steps.operations import operation_step
from ..steps.source import Source, sources_of
from ..tracing.replay import step_by_step
from .expression import Expression, evaluate, subtrees
from .highway import Derivative, along, factors, ways
from .notation import LATEX, UNICODE
from .statements import Statement, Statements, read

Array = npt.NDArray[Any]

__all__ = ["Equation", "Equations", "Factor", "Highway", "equations"]


class _Written:
    """What stands for itself in plain text, and in one short line where it stands in something else."""

    unicode: str

    def __str__(self) -> str:
        return self.unicode

    def __repr__(self) -> str:
        return brief(type(self), self.unicode)


@dataclass(frozen=True, eq=False, repr=False)
class Equation(_Written):
    """One value of a timestep, and what it is computed from.

    Attributes
    ----------
    name : str
        The gate or state as the cell calls it, or the letter that an unnamed value got.
    sides : (str, str)
        Left and right of the equals sign, as LaTeX.
    unicode : str
        The equation as plain text.
    keys : tuple of str
        The ids of the value in the drawing, without its timestep: ``("f",)``. Empty for what is not drawn by itself.
    node : int
        Its node in :attr:`Equations.graph`; -1 for a letter that only the derivative needs.
    value, computed : ndarray
        As the run recorded it; and the right side, computed from the recorded values of the names in it.
    """

    name: str
    sides: tuple[str, str]
    unicode: str
    keys: tuple[str, ...]
    node: int
    value: Array = field(repr=False)
    computed: Array = field(repr=False)

    @property
    def latex(self) -> str:
        """The equation as LaTeX for math mode."""
        return " = ".join(self.sides)


@dataclass(frozen=True, eq=False, repr=False)
class Factor(_Written):
    """One factor of the derivative along a highway, with the value of the graph that it is.

    Attributes
    ----------
    latex, unicode : str
    keys : tuple of str
        The ids in the drawing of the values in it, without their timestep; ``("f",)`` for a gate f.
    nodes : tuple of int
        Their nodes in :attr:`Equations.graph`.
    value : ndarray
    """

    latex: str
    unicode: str
    keys: tuple[str, ...]
    nodes: tuple[int, ...]
    value: Array = field(repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class Highway(_Written):
    """The derivative of a state by itself one step before, along its highway alone.

    Ways that leave the highway, through the gates for instance, are left out; the notation says so.

    Attributes
    ----------
    name : str
        The state as the cell calls it.
    sides : (str, str)
        Left and right of the equals sign, as LaTeX.
    unicode : str
        The equation as plain text.
    ways : tuple of tuple of Factor
        The diagonal of the Jacobian is the sum over these of the products of their factors.
    diagonal : ndarray
        Its value, (batch, units).
    where : tuple of Equation
        What the letters in it stand for that no other equation defines.
    """

    name: str
    sides: tuple[str, str]
    unicode: str
    ways: tuple[tuple[Factor, ...], ...]
    diagonal: Array = field(repr=False)
    where: tuple[Equation, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The ids in the drawing of everything that it is made of."""
        return tuple(dict.fromkeys(key for way in self.ways for factor in way for key in factor.keys))

    @property
    def latex(self) -> str:
        """The equation as LaTeX for math mode."""
        return " = ".join(self.sides)


@dataclass(frozen=True, eq=False)
class Layer:
    """The equations of a single cell: `name` is empty unless there are several, `timestep` is the one they were
    read at.
    """

    name: str
    timestep: int
    equations: tuple[Equation, ...]
    highways: tuple[Highway, ...]

    @property
    def lines(self) -> tuple[Equation | Highway, ...]:
        """All equations, the derivatives last."""
        lines: list[Equation | Highway] = [*self.equations]
        for way in self.highways:
            lines += [*way.where, way]
        return tuple(lines)


@dataclass(frozen=True, eq=False)
class Equations(Result):
    """What one timestep computes; ``str`` and notebooks show LaTeX, :attr:`unicode` is plain text.

    Attributes
    ----------
    layers : tuple of Layer
        From the bottom up; one for a single cell.
    graph : Graph
        The graph that they were read from.
    """

    layers: tuple[Layer, ...]
    graph: Graph = field(repr=False)

    @property
    def equations(self) -> tuple[Equation, ...]:
        """The equations of all layers, in order of computation."""
        return tuple(equation for layer in self.layers for equation in layer.equations)

    @property
    def highways(self) -> tuple[Highway, ...]:
        """The derivatives along the highways of all layers."""
        return tuple(way for layer in self.layers for way in layer.highways)

    @property
    def latex(self) -> str:
        """An ``align*`` environment, for LaTeX with the package amsmath."""
        rows = []
        for layer in self.layers:
            if layer.name:
                rows.append(f"&{LATEX.text(layer.name)}")
            rows += [" &= ".join(line.sides) for line in layer.lines]
        body = " \\\\\n".join(f"  {row}" for row in rows)
        return f"\\begin{{align*}}\n{body}\n\\end{{align*}}"

    @property
    def unicode(self) -> str:
        """One line an equation, in plain text."""
        lines = []
        for layer in self.layers:
            lines += [f"{UNICODE.text(layer.name)}:"] if layer.name else []
            lines += [line.unicode for line in layer.lines]
        return "\n".join(lines)

    def _text(self) -> str:
        return self.latex

    def __repr__(self) -> str:
        return brief(type(self), self.unicode)

    def records(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """One line an equation: its layer, the name of what it defines, and how it is written."""
        rows = ((layer.name, one.name, one.latex, one.unicode) for layer in self.layers for one in layer.lines)
        return ("layer", "name", "latex", "unicode"), rows

    def facts(self) -> dict[str, Any]:
        """The equations as a list of objects, ``"equations"``."""
        columns, rows = self.records()
        return {"equations": [dict(zip(columns, row, strict=True)) for row in rows]}

    _repr_html_ = None  # type: ignore[assignment]  # LaTeX is what notebooks set

    def _repr_latex_(self) -> str:
        return self.latex


def equations(run_or_cell: Run | Cell | Stacked | Bidirectional, t: int | None = None) -> Equations:
    r"""The equations of one timestep, read off its graph, and the derivative of each state along its highway.

    Parameters
    ----------
    run_or_cell : Run, Cell, Stacked or Bidirectional
        What :func:`tinygrad_rnn.unroll` returned; or a cell, which is then unrolled over two steps.
    t : int, optional
        The timestep; the second that is read when omitted, as the first may start from something special.

    Returns
    -------
    Equations
        One equation for each gate, state and other named value, in order of computation; values that are
        used several times without having a name get a letter. Vectors are columns, as in papers. A weight
        that holds the rows of several gates is written with the gate above: the rows of ``weight_ih`` for
        gate f as W with (f) above and ih below. A highway is a path from state to state of sums,
        products and choices, element by element, without a nonlinear function, and is drawn as a rail.

    Raises
    ------
    TypeError
        If it is neither a run nor a cell.
    ValueError
        If there is no timestep `t`.

    Examples
    --------
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> found = inspector.equations(tg.cells.CoupledLSTMCell(2, 3, seed=0))
    >>> print(found.unicode)
    fₜ = σ(W_f xₜ + b_f + R_f hₜ₋₁)
    oₜ = σ(Wₒ xₜ + bₒ + Rₒ hₜ₋₁)
    gₜ = tanh(W_g xₜ + b_g + R_g hₜ₋₁)
    cₜ = fₜ ⊙ cₜ₋₁ + (1 − fₜ) ⊙ gₜ
    hₜ = oₜ ⊙ tanh(cₜ)
    ∂cₜ/∂cₜ₋₁ along the highway = diag(fₜ)
    >>> print(found.highways[0].latex)
    \left.\frac{\partial c_t}{\partial c_{t-1}}\right|_{\text{highway}} = \operatorname{diag}(f_t)
    """
    run = _run(run_or_cell)
    if t is not None and not -len(run) <= t < len(run):
        raise ValueError(f"equations: timestep {t} is not among 0..{len(run) - 1}")
    steps = {k: _typical(part) if t is None else t % len(run) for k, part in enumerate(run.cells)}
    graph = Graph(
        [value for k, part in enumerate(run.cells) for value in _values(part, steps[k])], run.cell.parameters()
    )
    sources = [source for (source,) in sources_of([run], graph)]
    layers = tuple(_layer(source, steps[k], len(sources) > 1) for k, source in enumerate(sources))
    return Equations(layers, graph)


def _run(given: Any) -> Run:
    if isinstance(given, (Cell, Stacked, Bidirectional)):
        rng = np.random.default_rng(0)
        given = unroll(given, rng.normal(size=(2, 2, given.input_size)))
    if not isinstance(given, Run):
        raise TypeError(f"equations: needs a cell or what unroll returned, got {type(given).__name__}")
    return step_by_step(given) if any(part.tape is not None for part in given.cells) else given


def _typical(run: Run) -> int:
    """The second timestep that is read, which has a first before it."""
    second = min(1, len(run) - 1)
    return len(run) - 1 - second if run.reverse else second


def _values(run: Run, t: int) -> list[Tensor]:
    return [*(value for (_, step), value in run.names.items() if step == t), *run.states[t], run.outputs[t]]


def _layer(source: Source, t: int, several: bool) -> Layer:
    statements, step = read(source, t), operation_step(source, t)
    reader = _Shown(statements, source.graph, _keys(step, source.graph))
    own = tuple(reader.equation(statement) for statement in statements.all)
    found = [along(statements, state) for state in highways(step)]
    rails = tuple(reader.highway(derivative) for derivative in found if derivative is not None)
    return Layer(source.layer if several else "", t, own, rails)


def _keys(step: Step, graph: Graph) -> dict[int, str]:
    """Where each node of a timestep is drawn: a named value beside its operation, a parameter below."""
    keys = {node.index: f"parameter.{safe(node.name or node.op)}" for node in graph.nodes if node.op == "parameter"}
    keys |= {item.nodes[0].index: step.ids[item.key] for item in step.items if item.nodes}
    return keys | {item.value.index: step.ids[item.key] for item in step.items if item.value is not None}


@dataclass(frozen=True, eq=False)
class _Shown:
    """Writes statements down, with their values and their places in the drawing."""

    statements: Statements
    graph: Graph
    keys: Mapping[int, str]

    def equation(self, statement: Statement) -> Equation:
        left, right = statement.symbol, statement.expression
        value = self.statements.values[left]
        return Equation(
            left.name,
            (LATEX.symbol(left), LATEX(right)),
            f"{UNICODE.symbol(left)} = {UNICODE(right)}",
            self._drawn([statement.node]),
            statement.node,
            value,
            self._computed(right, value.shape),
        )

    def highway(self, derivative: Derivative) -> Highway:
        of, by, inside = derivative.of, derivative.by, derivative.diagonal
        return Highway(
            of.name,
            (LATEX.derivative(of, by), LATEX.diagonal(inside)),
            f"{UNICODE.derivative(of, by)} = {UNICODE.diagonal(inside)}",
            tuple(tuple(self._factors(sign, way)) for sign, way in ways(inside)),
            self._computed(inside, self.statements.values[of].shape),
            tuple(self.equation(statement) for statement in derivative.where),
        )

    def _drawn(self, nodes: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.keys[node] for node in nodes if node in self.keys)

    def _computed(self, expression: Expression, shape: tuple[int, ...]) -> Array:
        return np.broadcast_to(evaluate(expression, self.statements.values), shape)

    def _factors(self, sign: int, way: Expression) -> Iterator[Factor]:
        if sign < 0:
            yield Factor("-1", "−1", (), (), np.asarray(-1.0))
        for factor in factors(way):
            nodes = tuple(dict.fromkeys(_nodes(factor)))
            yield Factor(
                LATEX(factor), UNICODE(factor), self._drawn(nodes), nodes, evaluate(factor, self.statements.values)
            )


def _nodes(expression: Expression) -> Iterator[int]:
    """The topmost values of the graph in an expression."""
    inside: set[Expression] = set()
    for e in subtrees(expression):
        if e in inside or e.node >= 0:
            inside.update(e.operands)
            if e not in inside:
                yield e.node
