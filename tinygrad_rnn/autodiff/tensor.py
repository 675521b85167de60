"""Tensor: a value together with the operation and the inputs that made it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .anomaly import anomaly_error, is_finite
from .arrays import COMPLEX, plain, real_array
from .cotangent import own
from .heap import keep_freed_memory
from .operators import Operators
from .origin import Origin, caller
from .primitive import NONE, PRIMITIVES, Primitive, Value, gather
from .pullback import pull_back
from .scope import Scope, context
from .sweep import seed
from .turned import turned

Array = npt.NDArray[Any]

__all__ = ["Tensor", "named", "tensor"]

keep_freed_memory()
_next_id = itertools.count().__next__
_new, _ndarray = object.__new__, np.ndarray

_adding_up = threading.Lock()
"""Held while a gradient is added to a leaf's: two threads may go back into one leaf."""


_UNRECORDED = Origin("no_grad", "")
_float64, _float32 = np.dtype(np.float64), np.dtype(np.float32)


class Tensor(Operators):
    """An array, and how it came about.

    Made by :func:`tensor`, or by any operation on Tensors. Its value never changes behind a recorded
    operation's back: `data` is read-only, arrays are copied in, and assigning a leaf's `data` (as
    optimisers do) leaves graphs that were recorded before as they were.

    Attributes
    ----------
    op : Primitive or None
        The operation that made it; ``None`` for a leaf.
    inputs : sequence
        The operands of `op`: Tensors, and constants as they are.
    values : sequence
        The arrays of the operands at the time.
    attributes : dict
        Axes, shapes and other settings of `op`.
    scope : Scope or None
        Layer, timestep and direction in which it was recorded.
    name : str or None
        What the inspector calls it.
    id : int
        Position in the order of creation, which is a topological order.
    requires_grad : bool
        Whether :meth:`backward` leaves a gradient here (leaf), or passes through here (otherwise).
    grad : ndarray or None
        The gradient that :meth:`backward` has accumulated on this leaf.
    origin : Origin
        Where its history was cut; there on values from :meth:`detach`, ``stop_gradient`` and ``no_grad`` alone.
    """

    __slots__ = (
        "__weakref__",
        "_data",
        "attributes",
        "grad",
        "id",
        "inputs",
        "name",
        "op",
        "origin",
        "requires_grad",
        "scope",
        "values",
    )

    op: Primitive | None
    inputs: Sequence[Any]
    values: Sequence[Any]
    attributes: dict[str, Any]
    scope: Scope | None
    name: str | None
    id: int
    requires_grad: bool
    grad: Array | None
    origin: Origin

    def __init__(self, data: Array, requires_grad: bool = False, name: str | None = None) -> None:
        self._data = data
        self.requires_grad = requires_grad
        self.name = name
        self.op = None
        self.inputs = self.values = ()
        self.attributes = NONE
        self.grad = None
        self.scope = context.get().scope
        self.id = _next_id()

    # ------------------------------------------------------------------------------------- value

    @property
    def data(self) -> Array:
        """The value, as a read-only view; a leaf's may be assigned, which replaces it by a copy."""
        view = self._data.view()
        view.setflags(write=False)
        return view

    @data.setter
    def data(self, value: Any) -> None:
        if self.op is not None:
            raise ValueError(f"data: only a leaf can be assigned, this is the output of {self.op.name}")
        array = real_array("data", plain(value), self.dtype)
        if array.shape != self.shape:
            raise ValueError(f"data: shape {array.shape} cannot replace shape {self.shape}")
        self._data = array

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    @property
    def T(self) -> Tensor:
        """The value with its axes reversed; that of a weight lies in memory as it is read."""
        out = self._apply(PRIMITIVES["transpose"], (self,), NONE)
        data = self._data
        if self.requires_grad and self.op is None and data.ndim == 2 and data.base is None:
            out._data = turned(data)
        return out

    @property
    def timestep(self) -> int | None:
        """The timestep it was recorded in, if any."""
        return self.scope.timestep if self.scope else None

    @property
    def path(self) -> str:
        """Scope and name, such as ``layer0/t=3/f``; the operation stands in for a missing name."""
        own = self.name or (self.op.name if self.op else "leaf")
        return f"{self.scope}/{own}" if self.scope else own

    def item(self) -> Any:
        """The value as a Python number.

        Raises
        ------
        ValueError
            If there is more than one element.
        """
        if self.size != 1:
            raise ValueError(f"item: needs exactly one element, got shape {self.shape}")
        return self._data.item()

    def detach(self) -> Tensor:
        """The value as a leaf without a history, which lets the history be freed."""
        leaf = Tensor(self._data, name=self.name)
        leaf.origin = Origin("detach", caller(), self.id)
        return leaf

    def backward(self, gradient: Any = None) -> None:
        """Add the gradient of this value to ``.grad`` of every leaf that requires it.

        Parameters
        ----------
        gradient : array_like, optional
            The cotangent of this value, of its shape; 1 when omitted, which needs a single element.

        Raises
        ------
        ValueError
            If nothing requires a gradient, or `gradient` is missing or has the wrong shape.
        """
        cotangent = np.asarray(plain(seed(self, gradient)))
        if not self.requires_grad:
            raise ValueError("backward: nothing in this value's graph requires a gradient")
        for leaf, total in pull_back(self, cotangent):
            total = own(total)
            with _adding_up:
                leaf.grad = total if leaf.grad is None else np.asarray(leaf.grad + total)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a Tensor without dimensions")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return self._data.__index__()

    def __contains__(self, value: object) -> bool:
        return bool((self._data == value).any())

    def __format__(self, spec: str) -> str:
        """``f"{loss:.3f}"``: a single number by its format; without one as :func:`repr`."""
        return format(self.item(), spec) if spec else repr(self)

    def __repr__(self) -> str:
        body = np.array2string(self._data, precision=4, separator=", ", threshold=20, prefix="tensor(")
        name = f", name={self.name!r}" if self.name else ""
        origin = f", op={self.op.name}" if self.op else ", requires_grad=True" if self.requires_grad else ""
        dtype = "" if self.dtype == np.float64 else f", dtype={self.dtype}"
        return f"tensor({body}{dtype}{origin}{name})"

    def __reduce__(self) -> Any:
        """A copy is a leaf of its own, with an id of its own; what was computed cannot be copied."""
        if self.op is not None:
            raise TypeError(f"copy: only a leaf can be copied; detach() this output of {self.op.name} first")
        slots: dict[str, Any] = {"grad": None if self.grad is None else self.grad.copy()}
        if hasattr(self, "origin"):
            slots["origin"] = self.origin
        return Tensor, (self._data.copy(), self.requires_grad, self.name), (None, slots)

    # ---------------------------------------------------------------------------- NumPy's protocols

    def __dlpack__(self, **options: Any) -> Any:
        """The value for another library, such as ``torch.as_tensor``; a copy, and refused as an array would be."""
        return np.array(self).__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._data.__dlpack_device__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The value; refused while a gradient could be lost that way without a word.

        Raises
        ------
        TypeError
            If a gradient is required, outside of :class:`~tinygrad_rnn.no_grad`.
        """
        if self.requires_grad and context.get().recording:
            raise TypeError(
                "an array cannot carry the gradient of a Tensor: combine Tensors with tg.stack or tg.concatenate, or "
                "take the plain numbers with .data"
            )
        if copy or (dtype is not None and np.dtype(dtype) != self.dtype):
            return np.array(self._data, dtype=dtype)
        return self.data

    # ---------------------------------------------------------------------------------- recording

    @staticmethod
    def _apply(op: Primitive, operands: Sequence[Any], attributes: dict[str, Any]) -> Tensor:
        scope, recording, anomaly, _ = context.get()
        values: tuple[Any, ...]
        try:  # the two common cases written out: this is what a recorded operation costs
            if len(operands) == 1:
                (a,) = operands
                values, requires_grad = (a._data,), a.requires_grad
            elif len(operands) == 2:
                a, b = operands
                values, requires_grad = (a._data, b._data), a.requires_grad or b.requires_grad
            else:
                values = tuple([operand._data for operand in operands])
                requires_grad = any([operand.requires_grad for operand in operands])  # noqa: C419 - for speed
        except AttributeError:  # constants among them
            operands = [o if type(o) in _OPERANDS else _own(op, o, recording) for o in operands]
            for operand in operands:
                if type(operand) is not Tensor and isinstance(operand, Operators):
                    return operand._apply(op, operands, attributes)  # type: ignore[no-any-return]
            values = tuple([o._data if type(o) is Tensor else o for o in operands])
            requires_grad = any([type(o) is Tensor and o.requires_grad for o in operands])  # noqa: C419 - for speed
        try:
            data = op.forward(*values, **attributes) if attributes else op.forward(*values)
        except (ValueError, TypeError, IndexError) as error:
            raise op.explain(error, values, attributes, str(scope) if scope else "") from None
        if type(data) is not _ndarray:
            data = np.asarray(data)
        dtype = data.dtype
        if dtype is not _float64 and dtype is not _float32 and dtype.kind != "f":
            requires_grad = False
            if dtype.kind == "c" and not any(type(o) is Tensor and np.iscomplexobj(o._data) for o in operands):
                raise TypeError(f"{op.name}: {COMPLEX}")
        out = _new(Tensor)
        out._data = data
        out.name = out.grad = None
        out.scope = scope
        out.id = _next_id()
        if recording:
            out.op = op
            out.inputs = operands
            out.values = values
            out.attributes = attributes
            if op.differentiable:
                out.requires_grad = requires_grad
            else:
                out.requires_grad = False
                if op.name == "stop_gradient":
                    out.origin = Origin("stop_gradient", caller())
        else:
            out.op = None
            out.inputs = out.values = ()
            out.attributes = NONE
            out.requires_grad = False
            out.origin = _UNRECORDED
        if anomaly and not is_finite(out._data):
            out.op = op
            raise anomaly_error(out, out._data, "forward")
        return out

    def inside(self, op: Primitive, attributes: dict[str, Any], scope: Scope, name: str | None) -> Tensor:
        """A value that lies inside this one, as `op` finds it, in a scope of its own; on record if this is."""
        out = _new(Tensor)
        data = self._data
        out._data = op.forward(data, **attributes)
        out.name, out.grad, out.scope, out.id = name, None, scope, _next_id()
        out.op, out.inputs, out.values, out.attributes, out.requires_grad = None, (), (), NONE, False
        if self.op is None:
            out.origin = _UNRECORDED
        else:
            out.op, out.inputs, out.values, out.attributes = op, (self,), (data,), attributes
            out.requires_grad = self.requires_grad
        return out


_OPERANDS = frozenset({Tensor, float, int, bool})
"""What an operation takes as it is."""


def _own(op: Primitive, operand: Any, copy: bool) -> Any:
    """An operand with the caller's array copied, so that a later in-place write cannot reach a gradient."""
    operand = gather(operand)
    if isinstance(operand, (float, complex, Operators)):
        return operand
    array = op.array_of(operand)
    return np.array(array) if copy else array


# ---------------------------------------------------------------------------------------- making


def tensor(data: Any, requires_grad: bool = False, dtype: Any = None, name: str | None = None) -> Tensor:
    """A leaf of the graph, holding a copy of `data`.

    Parameters
    ----------
    data : array_like
        float32 and other floating dtypes are kept; everything else becomes float64.
    requires_grad : bool
        Whether :meth:`Tensor.backward` should leave a gradient here.
    dtype : dtype, optional
        Forces a dtype; an integer one makes indices, which take no gradient.
    name : str, optional
        What the inspector calls it.

    Raises
    ------
    TypeError
        If `data` is not numeric, complex, or holds Tensors whose gradient would be lost, or if a gradient is asked
        for a dtype that has none.
    """
    array = real_array("tensor", data, dtype)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"tensor: data of dtype {array.dtype} is not numeric")
    if dtype is None and array.dtype.kind != "f":
        array = array.astype(np.float64)
    if requires_grad and array.dtype.kind != "f":
        raise TypeError(f"tensor: dtype {array.dtype} has no gradient; use a floating dtype")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"tensor: name must be a string, got {type(name).__name__}")
    return Tensor(array, bool(requires_grad), name)


def named(**values: Value) -> Any:
    """Give values the names of the keywords, and return them in order; one value comes back alone.

    Arrays pass through unchanged, so that a cell may name its gates and still run on plain arrays.

    Examples
    --------
    ``i, f = named(i=sigmoid(zi), f=sigmoid(zf))``

    Raises
    ------
    TypeError
        If no value is given.
    """
    if not values:
        raise TypeError("named: give at least one value, such as named(f=sigmoid(z))")
    scope, _, _, names = context.get()
    t = scope.timestep if scope is not None and names is not None else None
    for name, value in values.items():
        if type(value) is Tensor and value.name is None:
            value.name = name
        if t is not None and isinstance(value, Operators):
            names[name, t] = value  # type: ignore[index]
    result = tuple(values.values())
    return result[0] if len(result) == 1 else result
