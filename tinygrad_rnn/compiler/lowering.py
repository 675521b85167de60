"""The text of a loop as instructions of LLVM, in one walk.

Numba would go from the text to bytecode, to variables that are assigned once, to types by inference and so to LLVM: two
thirds of the time that a first gradient took. Loops need little of that. They are written in a few kinds of statements,
and a name keeps the type that it got first. Only the way is shorter: what an operation does, Numba says.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["body_of"]

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.USub: operator.neg,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.And: operator.and_,
    ast.Or: operator.or_,
}
"""Both sides of `and`, `or` and a choice are computed, as vectors want it: none of them may fail."""


def body_of(text: str, known: Mapping[str, Any]) -> Any:
    """What the one function of a text does, for Numba to call with the same arguments.

    Parameters
    ----------
    text : str
    known : mapping of str to object
        What names mean: types, functions that Numba knows, and functions of ours, which are written out at each call.
    """
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    names = [argument.arg for argument in function.args.args]

    def body(typing: Any, *kinds: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
            values = dict(zip(names, map(_Value, arguments, kinds), strict=True))
            _Walk(typing, context, builder, known, values).run(function)
            return context.get_dummy_value()

        return types.void(*kinds), generate

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in ("typing", *names)]
    body.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return intrinsic(body)


@dataclass(frozen=True)
class _Value:
    """A value in LLVM, and its type as Numba calls it."""

    value: Any
    kind: Any


class _Walk:
    """Through the statements of one function.

    Parameters
    ----------
    typing, context, builder
        Numba's: which types operations take and give, what they do, and where that is written.
    known : mapping of str to object
    values : dict of str to _Value
        The arguments; as the walk goes on, what every name stands for.
    """

    def __init__(
        self, typing: Any, context: Any, builder: Any, known: Mapping[str, Any], values: dict[str, _Value]
    ) -> None:
        self.typing, self.context, self.builder = typing, context, builder
        self.known = known
        self.values = values
        self.slots: set[str] = set()
        self.operations: dict[Any, Any] = {}

    def run(self, function: ast.FunctionDef) -> Any:
        """Write a function down, and give what it returns."""
        nodes = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
        stored = [part for node in nodes for part in ast.walk(node.targets[0]) if isinstance(part, ast.Name)]
        times = Counter(part.id for part in stored if isinstance(part.ctx, ast.Store))
        self.slots = {name for name, count in times.items() if count > 1}
        return self.write(function.body)

    # ------------------------------------------------------------------------------------- statements

    def write(self, body: Sequence[ast.stmt]) -> Any:
        for statement in body:
            if isinstance(statement, ast.Return):
                return self.read(statement.value)
            getattr(self, f"write_{type(statement).__name__}")(statement)
        return None

    def write_Expr(self, statement: ast.Expr) -> None:
        self.read(statement.value)

    def write_Assign(self, statement: ast.Assign) -> None:
        self.store(statement.targets[0], self.read(statement.value))

    def write_AugAssign(self, statement: ast.AugAssign) -> None:
        operands = self.read(statement.target), self.read(statement.value)
        self.store(statement.target, self.call(_OPERATORS[type(statement.op)], *operands))

    def write_If(self, statement: ast.If) -> None:
        with self.builder.if_then(self.cast(self.read(statement.test), types.boolean)):
            self.write(statement.body)

    def write_For(self, statement: Any) -> None:
        (count,) = statement.iter.args
        with self.loop(self.read(count)) as index:
            self.values[statement.target.id] = index
            self.write(statement.body)

    @contextmanager
    def loop(self, count: _Value) -> Iterator[_Value]:
        """From 0 to before `count`; whether to go on is asked at the end, where LLVM wants it."""
        builder, stop = self.builder, count.value
        before = builder.block
        body, after = builder.append_basic_block("body"), builder.append_basic_block("after")
        builder.cbranch(builder.icmp_unsigned("!=", stop, stop.type(0)), body, after)
        builder.position_at_end(body)
        index = builder.phi(stop.type)
        index.add_incoming(stop.type(0), before)
        yield _Value(index, count.kind)
        following = builder.add(index, stop.type(1), flags=("nuw",))
        index.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_unsigned("!=", following, stop), body, after)
        builder.position_at_end(after)

    def store(self, target: Any, value: Any) -> None:
        if isinstance(target, ast.Tuple):
            for part, number in zip(target.elts, value, strict=True):
                self.store(part, number)
        elif isinstance(target, ast.Subscript):
            pointer = self.element(target)
            self.context.pack_value(self.builder, pointer.kind, self.cast(value, pointer.kind), pointer.value)
        elif target.id in self.slots:
            if target.id not in self.values:
                self.values[target.id] = _Value(cgutils.alloca_once(self.builder, value.value.type), value.kind)
            slot = self.values[target.id]
            self.builder.store(self.cast(value, slot.kind), slot.value)
        else:
            self.values[target.id] = value

    def element(self, node: ast.Subscript) -> _Value:
        """The address of an element of an array, with the element's type."""
        array, index = self.read(node.value), self.read(node.slice)
        start = self.context.make_array(array.kind)(self.context, self.builder, array.value).data
        return _Value(self.builder.gep(start, [index.value], inbounds=True), array.kind.dtype)

    # ------------------------------------------------------------------------------------ expressions

    def read(self, node: Any) -> Any:
        """A value; or a function, a module or a tuple of numbers, which stand for themselves."""
        return getattr(self, f"read_{type(node).__name__}")(node)

    def read_Constant(self, node: ast.Constant) -> Any:
        return self.constant(node.value)

    def read_Name(self, node: ast.Name) -> Any:
        if node.id in self.values:
            found = self.values[node.id]
            return _Value(self.builder.load(found.value), found.kind) if node.id in self.slots else found
        return self.constant(self.known[node.id] if node.id in self.known else getattr(builtins, node.id))

    def read_Attribute(self, node: ast.Attribute) -> Any:
        return self.constant(getattr(self.read(node.value), node.attr))

    def constant(self, value: Any) -> Any:
        if not isinstance(value, (bool, int, float, np.generic)):
            return value
        kind = types.unliteral(self.typing.resolve_value_type(value))
        return _Value(self.context.get_constant(kind, value), kind)

    def read_Tuple(self, node: ast.Tuple) -> Any:
        return [self.read(part) for part in node.elts]

    def read_Subscript(self, node: Any) -> Any:
        if isinstance(numbers := self.read(node.value), tuple):
            return self.constant(numbers[node.slice.value])
        pointer = self.element(node)
        return _Value(self.context.unpack_value(self.builder, pointer.kind, pointer.value), pointer.kind)

    def read_UnaryOp(self, node: ast.UnaryOp) -> Any:
        return self.call(_OPERATORS[type(node.op)], self.read(node.operand))

    def read_BinOp(self, node: ast.BinOp) -> Any:
        return self.call(_OPERATORS[type(node.op)], self.read(node.left), self.read(node.right))

    def read_Compare(self, node: ast.Compare) -> Any:
        return self.call(_OPERATORS[type(node.ops[0])], self.read(node.left), self.read(node.comparators[0]))

    def read_BoolOp(self, node: ast.BoolOp) -> Any:
        return self.call(_OPERATORS[type(node.op)], *map(self.read, node.values))

    def read_IfExp(self, node: ast.IfExp) -> Any:
        test, yes, no = self.read(node.test), self.read(node.body), self.read(node.orelse)
        kind = self.typing.unify_types(yes.kind, no.kind)
        choice = self.builder.select(self.cast(test, types.boolean), self.cast(yes, kind), self.cast(no, kind))
        return _Value(choice, kind)

    def read_Call(self, node: ast.Call) -> Any:
        return self.call(self.read(node.func), *map(self.read, node.args))

    def call(self, function: Any, *operands: Any) -> Any:
        """What a function gives for operands of these types."""
        if isinstance(function, FunctionType) and function.__module__.startswith(f"{__package__}."):
            (tree,) = ast.parse(inspect.getsource(function)).body
            assert isinstance(tree, ast.FunctionDef)
            values = dict(zip((argument.arg for argument in tree.args.args), operands, strict=True))
            return _Walk(self.typing, self.context, self.builder, function.__globals__, values).run(tree)
        kinds = tuple(operand.kind for operand in operands)
        if (function, kinds) not in self.operations:
            operation = self.typing.resolve_value_type(function)
            signature = self.typing.resolve_function_type(operation, kinds, {})
            self.operations[function, kinds] = signature, self.context.get_function(operation, signature)
        signature, write = self.operations[function, kinds]
        arguments = [self.cast(operand, kind) for operand, kind in zip(operands, signature.args, strict=True)]
        return _Value(write(self.builder, arguments), signature.return_type)

    def cast(self, value: _Value, kind: Any) -> Any:
        return self.context.cast(self.builder, value.value, value.kind, kind)
