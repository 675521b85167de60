"""What a primitive is: a forward function and its VJP rules, declared together and callable on any value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..arguments import one_of
from ..plurals import counted

Value: TypeAlias = Any
"""An ndarray, a Python number, a Tensor, or any other type that brings its own ``_apply``."""

Rule: TypeAlias = Callable[..., Value]

__all__ = ["NONE", "PRIMITIVES", "Primitive", "Rule", "Value", "elementwise", "primitive", "variadic"]

_ndarray, _NUMBERS, _NUMERIC = np.ndarray, frozenset({float, int, bool}), frozenset("biufc")

PRIMITIVES: dict[str, Primitive] = {}
"""Every declared primitive by name; tests are parametrised over it."""


class _Nothing(dict[str, Any]):
    """An empty dict that stays empty: every operation without attributes holds it."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("the attributes of an operation cannot be changed")

    __setitem__ = __ior__ = setdefault = update = _refuse


NONE = _Nothing()
"""The attributes of an operation that has none."""

TAKEN = frozenset({"apply", "constant", "input", "mean", "number", "parameter", "symbol"})
"""What graphs and equations call what is no primitive."""

KINDS = ("nonlinear", "sum", "product", "choice", "comparison", "view", "reduction", "other")
"""What a primitive can be, see :class:`Primitive`."""


class Primitive:
    """An operation with a derivative: the forward NumPy function and one VJP rule per operand.

    A rule is ``rule(cotangent, output, *operands, **attributes)`` and is written in the same
    polymorphic operations that users call. Fed arrays it is the fast first-order sweep; fed Tensors it
    records a graph of its own, which gives derivatives of every order. A rule of ``None`` marks an
    operand that has no derivative.

    Attributes
    ----------
    name : str
        By which compilers, drawings, equations and formats know it, so that two that differ have two: an operation of
        one's own that is called as one of this package, or as :data:`TAKEN` says, is ``custom_tanh``.
    forward : callable
        Takes arrays, gives an array.
    rules : tuple
        One rule per operand; for a variadic primitive a single rule that yields all cotangents in order.
    attributes : tuple of str
        The parameters after the operands: axes, shapes and the like.
    elementwise : bool
        Whether operands broadcast, so that the sweep sums a cotangent back to the operand's shape.
    analytic : bool
        Whether the forward extends to complex numbers, so that a complex step can check it.
    differentiable : bool
        Whether any operand has a derivative.
    constant_operands : bool
        Whether any operand has none.
    kind : str
        What it does, by which drawings, equations and analyses treat it: ``"nonlinear"``, as ``tanh`` and ``maximum``;
        ``"sum"``; ``"product"``; ``"choice"`` of one operand's elements; ``"comparison"``; ``"view"`` of the same
        elements; ``"reduction"``; or ``"other"``. An elementwise operation with a derivative is nonlinear unless
        declared otherwise.
    commutative : bool
        Whether two operands may change places.
    bounds : (float, float) or None
        What no result lies beyond; near a finite bound a nonlinearity is saturated.
    inner : bool
        Whether the result is a value inside one of its operands, a row of what that holds, with a cotangent of
        its own only as part of the operand's: a state of a run that is a single node, one input of a sequence.
    within : int
        Which operand that is.
    """

    inner = False
    within = 0

    def __init__(
        self,
        forward: Callable[..., Any],
        rules: tuple[Rule | None, ...],
        *,
        elementwise: bool = False,
        variadic: bool = False,
        analytic: bool = True,
        kind: str | None = None,
        commutative: bool = False,
        bounds: tuple[float, float] | None = None,
    ) -> None:
        functools.update_wrapper(self, forward)
        self.forward = forward
        self.name = forward.__name__ if self.is_library else _name_apart(forward.__name__)
        self.rules = rules
        self.elementwise = elementwise
        self.variadic = variadic
        self.analytic = analytic
        self.differentiable = any(rule is not None for rule in rules)
        self.constant_operands = None in rules
        self.kind = kind or ("other" if not elementwise else "nonlinear" if self.differentiable else "comparison")
        one_of(self.name, "kind", self.kind, KINDS)
        self.commutative = commutative
        self.bounds = bounds
        self.signature = inspect.signature(forward)
        parameters = self.signature.parameters
        self.arity = 0 if variadic else len(rules)
        self.attributes = tuple(parameters)[1 if variadic else self.arity :]
        if not variadic and len(parameters) < self.arity:
            raise TypeError(f"{self.name}: {counted(self.arity, 'rule')} for {counted(len(parameters), 'parameter')}")

    @property
    def activation(self) -> bool:
        """Whether it is a nonlinear function of a single value, as ``tanh`` is: what stands behind an affine map."""
        return self.kind == "nonlinear" and self.arity == 1

    @property
    def is_library(self) -> bool:
        """Whether it is one of those of this package."""
        return str(getattr(self.forward, "__module__", "")).startswith("tinygrad_rnn.autodiff.")

    def rule(self, index: int) -> Rule | None:
        """The VJP rule that covers operand `index`; ``None`` if that operand has no derivative."""
        return self.rules[0 if self.variadic else index]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == self.arity and not kwargs:
            apply = getattr(type(args[0]), "_apply", None) if args else None
            return self.on(args, NONE) if apply is None else apply(self, args, NONE)
        operands, attributes = self.split_arguments(args, kwargs)
        return self.on(operands, {key: _owned(value, self.name, key) for key, value in attributes.items()})

    def on(self, operands: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        """Apply to operands and attributes that are told apart already, and that nobody else will change."""
        for operand in operands:
            kind = type(operand)
            if kind is _ndarray and operand.dtype.kind in _NUMERIC:
                continue
            apply = getattr(kind, "_apply", None)
            if apply is not None:
                return apply(self, operands, attributes)
            if kind not in _NUMBERS:
                together = gather(operand)
                if together is not operand:
                    return together._apply(self, [gather(operand) for operand in operands], attributes)
                self.array_of(operand)
        return self.evaluate(operands, attributes)

    def array_of(self, operand: Any) -> Any:
        """An operand as an array of numbers; an error names the operation."""
        try:
            array = np.asarray(operand)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        if array.dtype.kind not in _NUMERIC:
            raise TypeError(f"{self.name}: operand of type {type(operand).__name__} is not numeric")
        return array

    def split_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Sort the arguments of a call into operands and attributes."""
        if self.variadic:
            return args, kwargs
        if len(args) < self.arity or len(args) > self.arity + len(self.attributes):
            try:
                given = self.signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise TypeError(f"{self.name}: {error}") from None
            args, kwargs = tuple(given.values())[: self.arity], dict(list(given.items())[self.arity :])
        extra = dict(zip(self.attributes, args[self.arity :], strict=False))
        return args[: self.arity], {**extra, **kwargs}

    def evaluate(self, operands: Sequence[Any], attributes: dict[str, Any]) -> Any:
        """Run the forward on arrays; an error names the operation and the shapes."""
        try:
            return self.forward(*operands, **attributes)
        except (ValueError, TypeError, IndexError) as error:
            raise self.explain(error, operands, attributes) from None

    def explain(
        self, error: Exception, operands: Sequence[Any], attributes: dict[str, Any], where: str = ""
    ) -> Exception:
        """The same kind of error, saying which operation failed, on which shapes, and where."""
        shapes = ", ".join(str(np.shape(operand)) for operand in operands)
        settings = "".join(f", {key}={_describe(value)}" for key, value in attributes.items())
        kind = type(error) if type(error) in (ValueError, TypeError, IndexError) else ValueError
        place = f" [in {where}]" if where else ""
        return kind(f"{self.name}(shapes {shapes}{settings}){place}: {error}")

    def __reduce__(self) -> str:
        """Wherever it is needed again there is the one that was declared."""
        return self.__qualname__  # type: ignore[attr-defined,no-any-return]

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


def _name_apart(name: str) -> str:
    """A name that is no name of the library's."""
    known = PRIMITIVES.get(name)
    return f"custom_{name}" if name in TAKEN or (known is not None and known.is_library) else name


def _describe(value: Any) -> str:
    """An attribute in an error message; of an array its shape."""
    return f"array of shape {value.shape}" if isinstance(value, np.ndarray) and value.size > 8 else repr(value)


def gather(value: Any) -> Any:
    """The stack of the Tensors that a list, a tuple or an array of objects holds; anything else as it is."""
    parts = value.tolist() if isinstance(value, np.ndarray) and value.dtype.hasobject else value
    if not isinstance(parts, (list, tuple)) or not _holds_values(parts):
        return value
    return PRIMITIVES["stack"].on(tuple(map(gather, parts)), {})


def _holds_values(part: Any) -> bool:
    return hasattr(type(part), "_apply") or (isinstance(part, (list, tuple)) and any(map(_holds_values, part)))


def _owned(value: Any, op: str, key: str) -> Any:
    """An axis, a shape or an index with the caller's arrays and lists copied."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (tuple, list)):
        parts = [_owned(part, op, key) for part in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    if hasattr(type(value), "_apply"):
        if value.dtype.kind == "f":
            raise TypeError(f"{op}: there is no derivative by {key}; take the plain numbers of the Tensor with .data")
        return np.array(value)[()]
    return value


def primitive(*rules: Rule | None, **traits: Any) -> Callable[[Callable[..., Any]], Primitive]:
    """Declare a primitive whose rules return cotangents of exactly the operands' shapes.

    Parameters
    ----------
    *rules : callable or None
        One for each differentiable operand.
    **traits
        ``analytic``, ``kind``, ``commutative`` and ``bounds`` of the :class:`Primitive`.
    """
    return lambda forward: _register(Primitive(forward, rules, **traits))


def elementwise(*rules: Rule | None, **traits: Any) -> Callable[[Callable[..., Any]], Primitive]:
    """Declare a primitive whose operands broadcast; its rules may leave the broadcasting in place.

    Parameters and traits are those of :func:`primitive`. A function of one value is an activation function to every
    drawing and analysis, as ``tanh`` is.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> @tg.elementwise(lambda g, y, x: g * (tg.abs(x) < 1.0), analytic=False, bounds=(-1.0, 1.0))
    ... def hardtanh(x):
    ...     return np.clip(x, -1.0, 1.0)
    >>> hardtanh.kind, hardtanh.activation
    ('nonlinear', True)
    """
    return lambda forward: _register(Primitive(forward, rules, elementwise=True, **traits))


def variadic(rule: Rule, **traits: Any) -> Callable[[Callable[..., Any]], Primitive]:
    """Declare a primitive of any number of operands; its rule yields their cotangents in order."""
    return lambda forward: _register(Primitive(forward, (rule,), variadic=True, **traits))


def _register(op: Primitive) -> Primitive:
    PRIMITIVES[op.name] = op
    return op
