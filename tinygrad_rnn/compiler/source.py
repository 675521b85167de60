"""The text of a loop: a plan written as a Python function that Numba compiles.

Sizes, strides and offsets come in as arguments, so that one text serves every batch and hidden size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .expressions import EXPRESSIONS
from .places import Place, Row
from .program import Instruction, Literal, Operand
from .stages import Load, Nest, Plan, Product, Store, layout_of

__all__ = ["Source", "write"]

_ROWS = {Row.NOW: "k", Row.NEXT: "(k + one)", Row.EVEN: "(k & one)", Row.ODD: "((k + one) & one)"}
"""The row of timestep k, in buffers that have more than one."""

_FLUSH = 0x8040
"""See :mod:`tinygrad_rnn.compiler.denormals`."""

_FILL = {"sum": "0", "max": "-np.inf", "min": "np.inf"}
_UPDATE = {"sum": "add", "max": "maximum", "min": "minimum"}


class Source:
    """A function's text and what to call it with.

    Attributes
    ----------
    text : str
        ``loop(start, stop, cut, shift, blas, d, b0, ...)``: the timesteps from `start` to before `stop`; every `cut`
        steps, counted from `shift` steps before, the carried cotangents are dropped (0: never); `blas` holds the
        addresses of the product routines, `d` holds `sizes`; then come the buffers, flat.
    sizes : list of int
    buffers : list of str
        The names of the buffers, in order.
    """

    def __init__(self) -> None:
        self.text = ""
        self.sizes: list[int] = []
        self.buffers: list[str] = []

    def size(self, value: int) -> str:
        """An integer that is not part of the text."""
        self.sizes.append(int(value))
        return f"n{len(self.sizes) - 1}"

    def buffer(self, name: str) -> str:
        """The argument that stands for a buffer."""
        if name not in self.buffers:
            self.buffers.append(name)
        return f"b{self.buffers.index(name)}"

    def start(self, place: Place) -> str:
        """Where in its buffer a value of timestep k begins."""
        terms = [] if place.row is Row.ONLY else [f"{_ROWS[place.row]} * {self.size(place.size)}"]
        if place.offset:
            terms.append(self.size(place.offset))
        return " + ".join(terms) or "zero"


def write(plan: Plan, backwards: bool, carried: tuple[Place, ...] = ()) -> Source:
    """The source of a plan's loop over time.

    Parameters
    ----------
    plan : Plan
    backwards : bool
        From the last step to the first.
    carried : tuple of Place
        What is dropped where truncated backpropagation cuts.
    """
    source = Source()
    body: list[str] = []
    for stage in plan.stages:
        body += _product(source, plan, stage) if isinstance(stage, Product) else _nest(source, plan, stage)
    if carried:
        body += ["if cut > zero:", "    if k + shift > zero and (k + shift) % cut == zero:"]
        for place in carried:
            body += [f"        {line}" for line in _fill_loop(source, place, place.size, "0")]
    arguments = ", ".join(
        ["start", "stop", "cut", "shift", "blas", "d", *(f"b{k}" for k in range(len(source.buffers)))]
    )
    lines = [f"def loop({arguments}):"]
    lines += [f"    n{k} = d[{k}]" for k in range(len(source.sizes))]
    lines += [
        "    zero, one = uint64(0), uint64(1)",
        "    flags = read_flags()",
        f"    write_flags(flags | uint32({_FLUSH}))",
    ]
    lines += ["    for done in range(stop - start):"]
    lines += [f"        k = {'stop - one - done' if backwards else 'start + done'}"]
    lines += [f"        {line}" for line in body]
    lines.append("    write_flags(flags)")
    source.text = "\n".join(lines) + "\n"
    return source


def _product(source: Source, plan: Plan, product: Product) -> list[str]:
    *stacked, rows, inner = product.left.shape
    loops = [f"{'    ' * axis}for i{axis} in range({source.size(n)}):" for axis, n in enumerate(stacked)]
    sizes = ", ".join(source.size(n) for n in (rows, product.right.shape[-1], inner))
    left, right = _matrix(source, product.left), _matrix(source, product.right)
    out = ", ".join(_matrix(source, product.out).split(", ")[:3])
    return [*loops, f"{'    ' * len(loops)}gemm_{_name(product.kind)}(blas, {sizes}, {left}, {right}, {out})"]


def _matrix(source: Source, place: Place) -> str:
    """A matrix as a product takes it: array, offset, length of a row, and whether it is stored transposed."""
    row, flipped = layout_of(place)  # type: ignore[misc]
    steps = [f"i{axis} * {source.size(stride)}" for axis, stride in enumerate(place.strides[:-2]) if stride]
    start = " + ".join([source.start(place), *steps])
    return f"{source.buffer(place.buffer)}, {start}, {source.size(row)}, {int(flipped)}"


# --------------------------------------------------------------------------------------------- nests


def _nest(source: Source, plan: Plan, nest: Nest) -> list[str]:
    """Loops, outermost first; every load stands in the outermost loop it can stand in."""
    shape, loads, stores = _collapse(nest)
    depth = len(shape)
    lines: list[str] = []
    starts: dict[tuple[Any, ...], str] = {}
    for place in _places(loads, stores):
        key = (place.buffer, place.row, place.offset)
        if key not in starts:
            starts[key] = source.start(place)
            if starts[key] != "zero":
                lines.append(f"o{len(starts)} = {starts[key]}")
                starts[key] = f"o{len(starts)}"
    at: dict[int, list[str]] = {level: [] for level in range(depth + 1)}
    behind: dict[int, list[str]] = {level: [] for level in range(depth + 1)}
    for load in loads:
        at[_depth(load.place)].append(f"v{load.value} = {_element(source, starts, load.place)}")
    for step in nest.steps:
        if step.op.name in EXPRESSIONS:
            at[depth].append(f"v{step.target} = {_expression(plan, step)}")
    for number, store in enumerate(stores):
        _write_store(source, plan, store, starts, number, depth, at, behind)
    lines += at[0]
    for axis, n in enumerate(shape):
        lines.append(f"{'    ' * axis}for i{axis} in range({source.size(n)}):")
        lines += [f"{'    ' * (axis + 1)}{line}" for line in at[axis + 1]]
    for axis in reversed(range(depth + 1)):
        lines += [f"{'    ' * axis}{line}" for line in behind[axis]]
    filled = [store for store in stores if store.how in _FILL and _depth(store.place) == depth]
    return [*(line for store in filled for line in _fill(source, store)), *lines]


def _places(loads: list[Load], stores: list[Store]) -> list[Place]:
    return [load.place for load in loads] + [store.place for store in stores]


def _write_store(
    source: Source, plan: Plan, store: Store, starts: Any, number: int, depth: int, at: Any, behind: Any
) -> None:
    """The lines that write one value: at once, or, for a reduction over inner axes, from an accumulator."""
    target = _element(source, starts, store.place)
    kind = plan.program.types[store.value].dtype
    if store.how not in _FILL:
        at[depth].append(f"{target} {'+=' if store.how == 'add' else '='} v{store.value}")
        return
    level = _depth(store.place)
    name = target if level == depth else f"r{number}"
    if level < depth:
        at[level].append(f"{name} = {_name(kind)}({_FILL[store.how]})")
        behind[level].append(f"{target} = {name}")
    update = EXPRESSIONS[_UPDATE[store.how]].format(f"v{store.value}", name)
    if store.how == "sum" and level < depth:
        update = f"accumulate_{_name(kind)}({name}, v{store.value})"
    at[depth].append(f"{name} = {update}")


def _fill(source: Source, store: Store) -> list[str]:
    """The target of a reduction over outer axes, made ready."""
    kept = [n for n, stride in zip(store.place.shape, store.place.strides, strict=True) if stride]
    return _fill_loop(source, store.place, math.prod(kept), _FILL[store.how])


def _fill_loop(source: Source, place: Place, count: int, number: str) -> list[str]:
    where = f"{source.buffer(place.buffer)}[o0 + i0]"
    return [f"o0 = {source.start(place)}", f"for i0 in range({source.size(count)}):", f"    {where} = {number}"]


def _depth(place: Place) -> int:
    """How many loops a place needs around it."""
    return max([k + 1 for k, stride in enumerate(place.strides) if stride], default=0)


def _element(source: Source, starts: Any, place: Place) -> str:
    start = starts[place.buffer, place.row, place.offset]
    terms = [] if start == "zero" else [start]
    for axis, stride in enumerate(place.strides):
        if stride == 1 and axis == len(place.strides) - 1:
            terms.append(f"i{axis}")
        elif stride:
            terms.append(f"i{axis} * {source.size(stride)}")
    return f"{source.buffer(place.buffer)}[{' + '.join(terms) or 'zero'}]"


def _collapse(nest: Nest) -> tuple[tuple[int, ...], list[Load], list[Store]]:
    """The nest with as few axes as possible: none of length 1, and those joined that every place runs through."""
    places = _places(nest.loads, nest.stores)
    groups: list[list[int]] = []
    for axis, n in enumerate(nest.shape):
        if n == 1:
            continue
        if groups and all(p.strides[groups[-1][-1]] == p.strides[axis] * n for p in places):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    shape = tuple(math.prod(nest.shape[a] for a in group) for group in groups)

    def fold(place: Place) -> Place:
        return place._replace(shape=shape, strides=tuple(place.strides[group[-1]] for group in groups))

    loads = [load._replace(place=fold(load.place)) for load in nest.loads]
    return shape, loads, [store._replace(place=fold(store.place)) for store in nest.stores]


# --------------------------------------------------------------------------------------- expressions


def _expression(plan: Plan, step: Instruction) -> str:
    """The right-hand side of one operation, its operands converted as NumPy would."""
    types = plan.program.types
    result = types[step.target].dtype
    kinds = [types[o].dtype if isinstance(o, int) else o.value for o in step.operands]
    if step.op.name == "where":
        condition, *choices = step.operands
        operands = [_operand(condition, types, np.dtype(bool)), *(_operand(o, types, result) for o in choices)]
    else:
        common = result if result.kind == "f" else np.result_type(*kinds)
        operands = [_operand(o, types, common) for o in step.operands]
    text = EXPRESSIONS[step.op.name].format(*operands, t=_name(result))
    return text if result.kind in "bf" else f"{_name(result)}({text})"  # whole numbers would be of 64 bits


def _operand(operand: Operand, types: Any, kind: np.dtype[Any]) -> str:
    if isinstance(operand, Literal):
        number = float(operand.value) if kind.kind == "f" else operand.value
        special = {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}
        return f"{_name(kind)}({special.get(repr(number), repr(number))})"
    return f"v{operand}" if types[operand].dtype == kind else f"{_name(kind)}(v{operand})"


def _name(kind: np.dtype[Any]) -> str:
    return "bool" if kind.kind == "b" else kind.name
