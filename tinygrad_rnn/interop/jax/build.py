"""Graphs out of what JAX traced: calls taken apart, constants folded by JAX, primitives looked up or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend.core as core
import numpy as np

from ...autodiff.tensor import named
from ..refusal import UnsupportedError
from ..weights import printable
from . import ops  # noqa: F401 - which fills the table
from .control import build_cond, build_while
from .custom import build_custom
from .graph import Frame, Graph, Known, Operand, Operation, plain
from .operators import OPERATORS, Operator, Results
from .place import place_of
from .scan import build_scan

__all__ = ["WHO", "Builder"]

WHO = "from_jax"
CALLS = frozenset({"checkpoint", "closed_call", "core_call", "jit", "pjit", "remat", "remat2", "xla_call"})
"""What only calls another function."""
EXACT = frozenset({"add", "broadcast_in_dim", "concatenate", "convert_element_type", "eq", "ge", "gt", "le", "lt"})
EXACT |= {"max", "min", "mul", "ne", "neg", "reshape", "select_n", "slice", "squeeze", "sub", "transpose"}
"""What NumPy computes as JAX does."""
SPECIAL = {
    "cond": build_cond,
    "custom_jvp_call": build_custom,
    "custom_vjp_call": build_custom,
    "custom_vjp_call_jaxpr": build_custom,
    "scan": build_scan,
    "while": build_while,
}


class Builder:
    """Collects the operations of one graph.

    Attributes
    ----------
    operations : list of Operation
    kinds : dict of int to ShapedArray
        Shape and dtype of every value.
    at_batch : callable
        From the name of a loop and a batch to its plan for that batch, or None.
    is_inner : bool
        Whether it is a function inside another.
    loops : dict of int to Plan
        By their first results.
    titles : dict of int to str
        The names of parameters and inputs.
    taken : set of str
        Names of loops so far.
    """

    def __init__(self, around: Builder | None = None) -> None:
        self.operations: list[Operation] = []
        self.kinds: dict[int, Any] = {}
        self.at_batch: Callable[[str, int], Any] = lambda name, batch: None
        self.is_inner = around is not None
        self.loops: dict[int, Any] = {}
        self.titles: dict[int, str] = {}
        self.taken: set[str] = set() if around is None else around.taken

    def new(self, kind: Any) -> int:
        """The number of another value."""
        number = len(self.kinds)
        self.kinds[number] = kind
        return number

    def kind(self, operand: Operand) -> Any:
        """Shape and dtype."""
        return operand.array if isinstance(operand, Known) else self.kinds[operand]

    def graph(self, inputs: Sequence[int], outputs: Sequence[Operand]) -> Graph:
        """The graph from some values to others."""
        return Graph(tuple(inputs), tuple(outputs), self.operations)

    def unique(self, name: str) -> str:
        """A name that no run has yet."""
        number, found = 1, name
        while found in self.taken:
            number += 1
            found = f"{name}.{number}"
        self.taken.add(found)
        return found

    def source(self, operand: Operand) -> str:
        """The parameter or input that a value is, but for its shape; empty if it is computed."""
        while isinstance(operand, int) and operand not in self.titles:
            made = next((operation for operation in self.operations if operand in operation.outputs), None)
            reads = [] if made is None else list(made.reads)
            if len(reads) != 1:
                return ""
            operand = reads[0]
        return self.titles[operand] if isinstance(operand, int) else ""

    # -------------------------------------------------------------------------------------- walking

    def inline(self, jaxpr: Any, operands: Sequence[Operand]) -> list[Operand]:
        """A function of JAX where it is called."""
        consts: Sequence[Any] = ()
        if hasattr(jaxpr, "consts"):
            jaxpr, consts = jaxpr.jaxpr, jaxpr.consts
        values: dict[Any, Operand] = dict(zip(jaxpr.constvars, map(Known, consts), strict=True))
        values |= zip(jaxpr.invars, operands, strict=True)
        return self.walk(jaxpr, values)

    def walk(self, jaxpr: Any, values: dict[Any, Operand]) -> list[Operand]:
        """The equations of a function, given the values of its variables."""

        def read(atom: Any) -> Operand:
            return Known(np.asarray(atom.val, atom.aval.dtype)) if isinstance(atom, core.Literal) else values[atom]

        for equation in _needed(jaxpr):
            found = self.equation(equation, [read(atom) for atom in equation.invars])
            values |= zip(equation.outvars, found, strict=True)
        return [read(atom) for atom in jaxpr.outvars]

    def equation(self, equation: Any, operands: Sequence[Operand]) -> list[Operand]:
        """One equation with these operands.

        Raises
        ------
        UnsupportedError
            Naming the primitive and the line.
        """
        name, params = equation.primitive.name, equation.params
        if name in CALLS:
            return self.inline(params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"], operands)
        if name not in SPECIAL and equation.effects:
            raise UnsupportedError(
                f"{WHO}: {printable(name)} has an effect besides its result{place_of(equation)}; leave it out"
            )
        known = [operand.array for operand in operands if isinstance(operand, Known)]
        if len(known) == len(operands):
            return [Known(value) for value in _folded(equation, known)]
        if name in SPECIAL:
            return SPECIAL[name](self, equation, operands)
        return self.translate(equation, operands)

    def translate(self, equation: Any, operands: Sequence[Operand]) -> list[Operand]:
        """One equation as an operation of ours."""
        name, params = equation.primitive.name, equation.params
        if name == "name":
            return self.emit(equation, operands, _naming(str(params["name"])))
        if name == "copy" or name == "copy_p":
            return list(operands)
        self.check_kinds(equation)
        operator = OPERATORS.get(name)
        if operator is None:
            kinds = [self.kind(operand) for operand in operands], [v.aval for v in equation.outvars]
            if not all(any(is_floating(kind) for kind in side) for side in kinds):
                return self.emit(equation, operands, _by_jax(equation))
            raise UnsupportedError(f"{WHO}: {printable(name)} has no counterpart here{place_of(equation)}")
        why = operator.refuses(**params) if operator.refuses else ""
        if why:
            raise UnsupportedError(f"{WHO}: {printable(name)} {why}{place_of(equation)}")
        return self.emit(equation, operands, _by_operator(operator, params))

    def check_kinds(self, equation: Any) -> None:
        """That only numbers of single and double precision have to be computed."""
        for variable in equation.outvars:
            kind = variable.aval.dtype
            if is_floating(variable.aval) and kind not in (np.float32, np.float64):
                raise UnsupportedError(
                    f"{WHO}: {printable(equation.primitive.name)} gives {kind}{place_of(equation)}, which has no"
                    " counterpart here; use float32 or float64"
                )

    def emit(self, equation: Any, operands: Sequence[Operand], call: Any) -> list[Operand]:
        """Another operation, whose results have the kinds of the equation's."""
        outputs = [self.new(variable.aval) for variable in equation.outvars]
        kind = equation.primitive.name
        made = Operation(kind, call, tuple(operands), tuple(outputs), equation)
        self.operations.append(made)
        return list(outputs)


def _needed(jaxpr: Any) -> list[Any]:
    """The equations that a result depends on, and those with effects."""
    wanted = {atom for atom in jaxpr.outvars if not isinstance(atom, core.Literal)}
    found = []
    for equation in reversed(jaxpr.eqns):
        if equation.effects or not wanted.isdisjoint(equation.outvars):
            found.append(equation)
            wanted.update(atom for atom in equation.invars if not isinstance(atom, core.Literal))
    return found[::-1]


def _folded(equation: Any, values: Sequence[Any]) -> list[Any]:
    """What an equation gives for known values: by NumPy where it is the same to the bit, which spares compiling it."""
    name = equation.primitive.name
    if name not in EXACT or any(not isinstance(value, np.ndarray) for value in values):
        return evaluate(equation, values)
    with np.errstate(all="ignore"):
        result = _by_operator(OPERATORS[name], equation.params)(values, Frame())[0]
    return [np.asarray(result, equation.outvars[0].aval.dtype)]


def is_floating(kind: Any) -> bool:
    """Whether values of a kind have a derivative."""
    return bool(jax.numpy.issubdtype(kind.dtype, jax.numpy.inexact))


def evaluate(equation: Any, values: Sequence[Any]) -> list[Any]:
    """What JAX makes of an equation for these values, which may be tracers of its own."""
    read = [atom for atom in equation.invars if not isinstance(atom, core.Literal)]
    given = [v for v, atom in zip(values, equation.invars, strict=True) if not isinstance(atom, core.Literal)]
    results = list(equation.outvars)
    told = {}
    if hasattr(core, "DebugInfo"):  # where JAX asks for it
        told["debug_info"] = core.DebugInfo(WHO, equation.primitive.name, ("",) * len(read), ("",) * len(results))
    jaxpr = core.Jaxpr((), read, results, [equation], equation.effects, **told)
    return list(jax.core.eval_jaxpr(jaxpr, [], *given))


def _by_operator(operator: Operator, params: dict[str, Any]) -> Any:
    settings = {key: value for key, value in params.items() if key in operator.keywords}
    function = operator.function

    def call(operands: Sequence[Any], frame: Frame) -> Sequence[Any]:
        result = function(*operands, **settings)
        return result if type(result) is Results else (result,)

    return call


def _naming(name: str) -> Any:
    """What ``checkpoint_name`` is here: the name of a value."""

    def call(operands: Sequence[Any], frame: Frame) -> Sequence[Any]:
        return (named(**{name: operands[0]}),)

    return call


def _by_jax(equation: Any) -> Any:
    """What has no derivative anyway."""

    def call(operands: Sequence[Any], frame: Frame) -> Sequence[Any]:
        kinds = [atom.aval for atom in equation.invars]
        plain = [
            x if not isinstance(kind.dtype, np.dtype) else plain(x).astype(kind.dtype)
            for x, kind in zip(operands, kinds, strict=True)
        ]
        with np.errstate(all="ignore"):
            return [value if _is_key(value) else np.asarray(value) for value in evaluate(equation, plain)]

    return call


def _is_key(value: Any) -> bool:
    return not isinstance(value.dtype, np.dtype)
