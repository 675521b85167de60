"""A model in the making: its nodes, each in the outermost graph in which it can stand, names, constants and ports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..packages import import_package
from ..recipe import OfBatch

Array = npt.NDArray[Any]

__all__ = ["Graph", "Model", "Operand", "Value"]

IR, OPSET = 8, 18
"""Versions of the format and of its operators that runtimes of 2023 and later read."""


class Value(NamedTuple):
    """A value of a graph.

    Attributes
    ----------
    name : str
    dtype : dtype
    graph : Graph
        Where it is made.
    """

    name: str
    dtype: np.dtype[Any]
    graph: Graph


Operand = Value | Array | None
"""What a node reads: a value, numbers that become a constant beside the node, or nothing."""


class Model:
    """A model in the making.

    Attributes
    ----------
    outer : Graph
    names : set of str
        Of all values and nodes.
    ports : set of str
        Names that are kept for what goes in and comes out.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        self.onnx = import_package("onnx", who)
        self.names: set[str] = {""}
        self.ports: set[str] = set()
        self.outer = Graph(self, None)
        self._sizes: dict[Any, Value] = {}

    def kind(self, dtype: Any) -> int:
        """ONNX's number of an element type."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def port(self, name: str, dtype: Any, shape: Sequence[int | str | None]) -> Any:
        """What goes into a graph or comes out of it."""
        return self.onnx.helper.make_tensor_value_info(name, self.kind(dtype), list(shape))

    def tensor(self, array: Array, name: str) -> Any:
        """Numbers of a file."""
        return self.onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(np.shape(array)), name)

    def initialiser(self, name: str, array: Array, is_port: bool = False) -> Value:
        """Numbers that the model learned, or with which an input may be left out."""
        found = self.outer.value(self.outer.fresh(name, is_port), array.dtype)
        self.outer.initialisers.append(self.tensor(array, found.name))
        return found

    def size(self, number: int | OfBatch) -> Operand:
        """A number as whole numbers (1,); what depends on the batch is computed outside of all bodies."""
        if not isinstance(number, OfBatch):
            return np.array([number], np.int64)
        if number not in self._sizes:
            node = self.outer.node
            if number == OfBatch(1, 0):
                x = self.outer.value("x", np.int64)
                value = node("Shape", x, name="batch_size", start=1, end=2)
            elif number.inverse:
                value = node("Div", np.array([number.factor], np.int64), self.size(OfBatch(1, 0)))
            else:
                value = node("Mul", self.size(OfBatch(1, 0)), np.array([number.factor], np.int64))
                value = node("Add", value, np.array([number.offset], np.int64)) if number.offset else value
            self._sizes[number] = value
        return self._sizes[number]

    def sizes(self, numbers: Sequence[int | OfBatch]) -> Operand:
        """Several numbers, such as a shape, as whole numbers (n,)."""
        if not any(isinstance(number, OfBatch) for number in numbers):
            return np.array(numbers, np.int64)
        key = tuple(numbers)
        if key not in self._sizes:
            parts = [self.size(number) for number in numbers]
            self._sizes[key] = self.outer.node("Concat", *parts, axis=0, name="shape")
        return self._sizes[key]


class Graph:
    """A graph in the making: that of the model, or the body of a loop inside.

    Attributes
    ----------
    model : Model
    parent : Graph or None
    inputs, nodes, initialisers : list of protobuf messages
    prefix : str
        In front of the names that are made up here.
    part : str
        What the nodes that come next are for; in front of their names.
    """

    def __init__(self, model: Model, parent: Graph | None) -> None:
        self.model, self.parent = model, parent
        self.inputs: list[Any] = []
        self.nodes: list[Any] = []
        self.initialisers: list[Any] = []
        self.prefix = self.part = ""
        self.names: set[str] = set()
        self._labels: set[str] = set()
        self._constants: dict[Any, Value] = {}

    def fresh(self, name: str, is_port: bool = False) -> str:
        """`name`, or with a number if it is taken: here, around this graph or, for the outermost, anywhere."""
        taken = [self.names, self.model.outer.names] if self.parent else [self.model.names]
        taken += [] if is_port else [self.model.ports]
        found, number = name, 1
        while not found or any(found in names for names in taken):
            number += 1
            found = f"{name}_{number}"
        self.names.add(found)
        self.model.names.add(found)
        return found

    def label(self, name: str) -> str:
        """A name for a node, or with a number if another node has it."""
        found, number = name, 1
        while found in self._labels:
            number += 1
            found = f"{name}_{number}"
        self._labels.add(found)
        return found

    def value(self, name: str, dtype: Any) -> Value:
        """A value that is there by that name."""
        return Value(name, np.dtype(dtype), self)

    def node(self, kind: str, *operands: Operand, dtype: Any = None, name: str = "", **attributes: Any) -> Value:
        """A node with one result.

        Parameters
        ----------
        kind : str
            The operator.
        *operands : Value, array or None
        dtype : dtype, optional
            Of the result; that of the first operand when omitted.
        name : str
            Of the node and its result, in full; what it is for and the operator when omitted.
        """
        first = next(operand for operand in operands if operand is not None)
        return self.results(kind, operands, [first.dtype if dtype is None else dtype], [name], **attributes)[0]

    def results(
        self, kind: str, operands: Sequence[Operand], dtypes: Sequence[Any], names: Sequence[str], **attributes: Any
    ) -> list[Value]:
        """A node with several results, in this graph if it reads what is made here, else in the one around it.

        Names are as in :meth:`node`; ``label`` is that of the node.
        """
        if self.parent and not any(isinstance(o, Value) and o.graph is self for o in operands):
            self.parent.part = self.part
            return self.parent.results(kind, operands, dtypes, names, **attributes)
        part = f"{self.part}/" if self.part else ""
        names = [self.fresh(name or f"{self.prefix}{part}{kind}", name in self.model.ports) for name in names]
        inputs = [self._read(operand) for operand in operands]
        label = self.label(attributes.pop("label", "") or names[0])
        self.nodes.append(self.model.onnx.helper.make_node(kind, inputs, names, name=label, **attributes))
        return [self.value(name, dtype) for name, dtype in zip(names, dtypes, strict=True)]

    def rename(self, value: Value, name: str, label: str) -> Value:
        """Another name for a value that nothing has read yet, and for its node, which was added last."""
        graph = value.graph
        graph.names.discard(value.name)
        self.model.names.discard(value.name)
        fresh = graph.fresh(graph.prefix + name)
        graph._labels.discard(graph.nodes[-1].name)
        graph.nodes[-1].output[0], graph.nodes[-1].name = fresh, graph.label(graph.prefix + label)
        return graph.value(fresh, value.dtype)

    def named(self, operand: Operand, name: str, label: str = "") -> Value:
        """The same by another name, in this graph."""
        assert operand is not None
        fresh = self.fresh(self.prefix + name)
        label = self.label(self.prefix + label if label else fresh)
        node = self.model.onnx.helper.make_node("Identity", [self._read(operand)], [fresh], name=label)
        self.nodes.append(node)
        return self.value(fresh, operand.dtype)

    def _read(self, operand: Operand) -> str:
        if operand is None:
            return ""
        if isinstance(operand, Value):
            return operand.name
        key = (operand.dtype.str, operand.shape, operand.tobytes())
        if key not in self._constants:
            name = self.fresh(f"{self.prefix}constant")
            tensor = self.model.tensor(operand, name)
            self.nodes.append(
                self.model.onnx.helper.make_node("Constant", [], [name], name=self.label(name), value=tensor)
            )
            self._constants[key] = self.value(name, operand.dtype)
        return self._constants[key].name

    def proto(self, name: str, outputs: Sequence[Any]) -> Any:
        """The graph as a protobuf message."""
        make = self.model.onnx.helper.make_graph
        return make(self.nodes, name, self.inputs, list(outputs), self.initialisers)
