"""What a graph is made of: nodes, one for each value, and the edges between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .primitive import Primitive
from .scope import Scope
from .tensor import Tensor

Array = npt.NDArray[Any]

__all__ = ["Edge", "Node", "constant_node", "is_cut", "node_of"]

_LEAF = Primitive(lambda: None, ())


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One value of a graph, and the operation that computes it.

    Attributes
    ----------
    index : int
        Position in the graph; every operand has a smaller one.
    op : str
        The primitive's name; ``"parameter"``, ``"input"`` or ``"constant"`` for a leaf.
    inputs : tuple of int
        The indices of the operands, in order; one used twice stands twice.
    attributes : mapping
        Axes, shapes and other settings of the operation.
    shape, dtype
        Of the value.
    scope : Scope or None
        Layer, timestep and direction.
    name : str or None
        The name given with ``named``, ``tensor`` or by ``unroll``.
    value : ndarray
        The value when the graph was made, read-only.
    tensor : Tensor or None
        The Tensor it describes; ``None`` for a constant operand.
    """

    index: int
    op: str
    inputs: tuple[int, ...]
    attributes: Mapping[str, Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scope: Scope | None
    name: str | None
    value: Array = field(repr=False)
    tensor: Tensor | None = field(repr=False)

    @property
    def timestep(self) -> int | None:
        """The timestep it belongs to, if any."""
        return self.scope.timestep if self.scope else None

    @property
    def is_leaf(self) -> bool:
        """Whether it is a parameter, an input or a constant rather than the result of an operation."""
        return not self.inputs

    @property
    def primitive(self) -> Primitive:
        """The operation's own, with its traits, whether or not it is declared by name; of a leaf one that has none."""
        op = None if self.is_leaf or self.tensor is None else self.tensor.op
        return op or _LEAF

    @property
    def path(self) -> str:
        """Scope and name, such as ``layer0/t=3/f``."""
        own = self.name or self.op
        return f"{self.scope}/{own}" if self.scope else own


class Edge(NamedTuple):
    """`source` is operand number `operand` of `target`; `cut` where no gradient flows back."""

    source: int
    target: int
    operand: int
    cut: bool


def node_of(index: int, tensor: Tensor, operands: tuple[int, ...], is_end: bool = False) -> Node:
    """The node of a Tensor whose operands are the nodes of these numbers, or that is taken for a leaf."""
    kind = tensor.op.name if tensor.op and not is_end else "parameter" if tensor.requires_grad else "input"
    return Node(
        index,
        kind,
        operands,
        tensor.attributes,
        tensor.shape,
        tensor.dtype,
        tensor.scope,
        tensor.name,
        tensor.data,
        tensor,
    )


def constant_node(index: int, operand: Any, consumer: Tensor) -> Node:
    """The node of an operand that is no Tensor, in the scope and precision of what reads it."""
    value = np.asarray(operand)
    if not isinstance(operand, np.ndarray) and value.dtype.kind in "if":
        value = value.astype(consumer.dtype) if consumer.dtype.kind == "f" else value
    value = value.view()
    value.flags.writeable = False
    return Node(index, "constant", (), {}, value.shape, value.dtype, consumer.scope, None, value, None)


def is_cut(node: Tensor, operand: int) -> bool:
    """Whether no gradient flows back from a Tensor into that operand."""
    assert node.op is not None
    rule = node.op.rules[0] if node.op.variadic else node.op.rules[operand]
    return rule is None
