"""Symbols: values without numbers, whose operations write a program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..autodiff.ancestry import ancestors
from ..autodiff.operators import Operators
from ..autodiff.primitive import Primitive, gather
from ..autodiff.tensor import Tensor
from .errors import UntraceableError
from .program import Array, Instruction, Key, Literal, Operand, Program, Type

__all__ = ["Builder", "Symbol"]


class Symbol(Operators):
    """A value of a program that is being written: it has a shape and a dtype, and no numbers."""

    __slots__ = ("builder", "index")

    def __init__(self, builder: Builder, index: int) -> None:
        self.builder = builder
        self.index = index

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.builder.types[self.index].shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.builder.types[self.index].dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Any:
        return (self[k] for k in range(len(self)))

    @staticmethod
    def _apply(op: Primitive, operands: Sequence[Any], attributes: dict[str, Any]) -> Symbol:
        builder = next(o.builder for o in operands if type(o) is Symbol)
        return builder.apply(op, operands, attributes)

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        """Any question about the numbers."""
        made = next((step for step in self.builder.body if step.target == self.index), None)
        what = f"the result of {made.op.name}" if made else "an input or a state"
        raise UntraceableError(f"the step asks for the numbers of {what}, which differ from timestep to timestep")

    __bool__ = __float__ = __int__ = __index__ = __array__ = __contains__ = item = detach = backward = _refuse
    data = property(_refuse)


class Builder:
    """A program in the making.

    Shapes and dtypes are found by running each operation once on stand-ins of the true shape. Given a
    program, the builder starts with its inputs and constants, and knows the types of its values.

    Attributes
    ----------
    captured : dict of value to Tensor
        The Tensors from outside that the step reads: parameters, and whatever else it holds on to.
    renamed : dict of value to value
        While a program is rewritten: what has been replaced by what.
    """

    def __init__(self, program: Program | None = None) -> None:
        self.types: dict[int, Type] = dict(program.types) if program else {}
        self.inputs: dict[Key, int] = dict(program.inputs) if program else {}
        self.constants: dict[int, Array] = dict(program.constants) if program else {}
        self.body: list[Instruction] = []
        self.captured: dict[int, Tensor] = {}
        self.renamed: dict[int, int] = {}
        self._lifted: dict[int, int] = {}
        self._outside = Tensor(np.zeros(())).id
        self._next = max(self.types, default=-1) + 1

    def input(self, key: Key, kind: Type) -> Symbol:
        """A new input."""
        self.inputs[key] = self._value(kind)
        return Symbol(self, self.inputs[key])

    def now(self, value: int) -> Symbol:
        """A value of the program that is being rewritten, or what has taken its place."""
        return Symbol(self, self.renamed.get(value, value))

    def apply(self, op: Primitive, operands: Sequence[Any], attributes: dict[str, Any]) -> Symbol:
        """Write an instruction."""
        lifted = tuple(self.lift(operand) for operand in operands)
        with np.errstate(all="ignore"):
            result = np.asarray(op.evaluate([self._stand_in(operand) for operand in lifted], attributes))
        target = self._value(Type(result.shape, result.dtype))
        self.body.append(Instruction(target, op, lifted, attributes))
        return Symbol(self, target)

    def lift(self, operand: Any) -> Operand:
        """What an operand is in this program."""
        operand = gather(operand)
        if type(operand) is Symbol:
            return operand.index
        if isinstance(operand, (bool, int, float)):
            return Literal(operand)
        if isinstance(operand, Tensor):
            return self._lift_tensor(operand)
        array = np.asarray(operand)
        if array.dtype.kind not in "biuf":
            raise UntraceableError(f"an operand of type {type(operand).__name__} is not numeric")
        index = self._value(Type(array.shape, array.dtype))
        self.constants[index] = array.copy()
        return index

    def program(self, outputs: Mapping[Key, Any]) -> Program:
        """What has been written."""
        found = {key: self.lift(value) for key, value in outputs.items()}
        numbers = {key: value for key, value in found.items() if isinstance(value, int)}
        return Program(self.types, self.inputs, self.constants, tuple(self.body), numbers)

    def fresh(self, kind: Type) -> int:
        """A new value of a type, which nothing computes yet."""
        return self._value(kind)

    def _value(self, kind: Type) -> int:
        index = self._next
        self._next += 1
        self.types[index] = kind
        return index

    def _stand_in(self, operand: Operand) -> Any:
        """An array of the operand's type that takes no memory."""
        if isinstance(operand, Literal):
            return operand.value
        shape, dtype = self.types[operand]
        return np.broadcast_to(np.zeros((), dtype), tuple(abs(n) for n in shape))

    def _lift_tensor(self, tensor: Tensor) -> int:
        """A Tensor from outside as an operand; one computed inside the step by the instructions behind it."""
        for node in self._unknown(tensor):
            if node.id < self._outside or (node.op is None and node.requires_grad):
                index = self._value(Type(node.shape, node.dtype))
                self.inputs["operand", len(self.captured)] = index
                self.captured[index] = node
            elif node.op is None:
                index = self._value(Type(node.shape, node.dtype))
                self.constants[index] = np.array(node._data)
            else:
                index = self.apply(node.op, node.inputs, dict(node.attributes)).index
            self._lifted[node.id] = index
        return self._lifted[tensor.id]

    def _unknown(self, tensor: Tensor) -> Iterable[Tensor]:
        """What is still to be lifted, oldest first; nothing behind a Tensor from outside."""
        if tensor.id in self._lifted:
            return []
        if tensor.id < self._outside:
            return [tensor]
        inner = [node for node in ancestors([tensor]) if node.id not in self._lifted]
        needed = {o.id for n in inner if n.id > self._outside for o in n.inputs if isinstance(o, Tensor)}
        return [n for n in inner if n.id > self._outside or n.id in needed]
