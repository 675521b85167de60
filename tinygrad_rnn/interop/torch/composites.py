"""Functions of PyTorch that are written down as one operation, or as the equations of a cell, where its core library
would take them apart into views.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .trace import Ref, Variable

__all__ = ["COMPOSITES"]

_INNERMOST = 1 << 20


def _plainly(recorder: Any, function: Any, args: Any, kwargs: Any) -> Any:
    """The function without being looked at."""
    recorder.paused = True
    try:
        return function(*args, **kwargs)
    finally:
        recorder.paused = False


def _whole(recorder: Any, kind: str, operands: Any, function: Any, args: Any, kwargs: Any) -> Any:
    place = recorder.look_around()
    given = recorder.nested(operands, place)
    result = _plainly(recorder, function, args, kwargs)
    recorder.know(result, recorder.emit_cut(kind, given, {}, result.shape, place))
    return result


def _tensors(recorder: Any, *values: Any) -> bool:
    return all(isinstance(value, recorder.torch.Tensor) for value in values)


def _linear(recorder: Any, function: Any, args: Any, kwargs: Any) -> Any:
    names = ("input", "weight", "bias")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    return _whole(recorder, "linear.default", [given.get(name) for name in names], function, args, kwargs)


def _matmul(recorder: Any, function: Any, args: Any, kwargs: Any) -> Any:
    operands = [*args, *kwargs.values()]
    if len(operands) != 2 or not _tensors(recorder, *operands):
        return function(*args, **kwargs)
    if function.__name__ == "__rmatmul__":
        operands.reverse()
    return _whole(recorder, "matmul.default", operands, function, args, kwargs)


def _einsum(recorder: Any, function: Any, args: Any, kwargs: Any) -> Any:
    subscripts, *operands = args
    operands = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    if not isinstance(subscripts, str) or not _tensors(recorder, *operands):
        return function(*args, **kwargs)
    return _whole(recorder, "einsum.default", [subscripts, operands], function, args, kwargs)


def _data(recorder: Any, function: Any, args: Any, kwargs: Any) -> Any:
    """``tensor.data``: the value without its history."""
    result = function(*args, **kwargs)
    if _tensors(recorder, *args[:1]) and function == recorder.torch.Tensor.data.__get__:
        place = recorder.look_around()
        recorder.know(result, recorder.emit("detach.default", [recorder.ref(args[0], place)], {}, result.shape, place))
    return result


def _leave(recorder: Any, function: Any, args: Any, kwargs: Any) -> Any:
    """What makes an array or a list of a tensor, whose numbers are lost to the trace."""
    place = recorder.look_around()
    if _tensors(recorder, *args[:1]) and not recorder.is_fixed(args[0], place):
        why = "takes the numbers out of PyTorch, which differ from step to step"
        raise recorder.refuse(f"Tensor.{function.__name__}", why, place)
    return function(*args, **kwargs)


# ----------------------------------------------------------------------------------- PyTorch's cells


class _Equations:
    """Writes the operations of a cell that PyTorch has as one function."""

    def __init__(self, recorder: Any) -> None:
        self.recorder = recorder
        self.place = recorder.look_around()

    def __call__(self, kind: str, *operands: Any, like: Ref, name: str | None = None) -> Ref:
        given = self.recorder.nested(list(operands), self.place)
        index = self.recorder.emit(kind, given, {}, self.shape(like), self.place)
        if name:
            self.recorder.trace.name(index, Variable(_INNERMOST, name, self.place.module, -index), math.inf)
        return Ref(index)

    def shape(self, ref: Ref) -> tuple[int, ...]:
        """The shape of a value."""
        return tuple(self.recorder.trace.operations[ref.index].shape)

    def affine(self, x: Any, weight: Any, bias: Any, old: Ref) -> Ref:
        """``x @ weight.T + bias``, for a state of as many rows as `old`."""
        given = self.recorder.nested([x, weight, bias], self.place)
        shape = (*self.shape(old)[:-1], weight.shape[0])
        return Ref(self.recorder.emit("linear.default", given, {}, shape, self.place))

    def known(self, tensor: Any) -> Ref:
        """The reference to a tensor."""
        ref: Ref = self.recorder.ref(tensor, self.place)
        return ref

    def parts(self, whole: Ref, count: int, size: int, like: Ref) -> list[Ref]:
        """A value cut into so many parts of a size."""
        cut = self("split.Tensor", whole, size, 1, like=whole)
        return [self("getitem", cut, k, like=like) for k in range(count)]


def _cell_arguments(args: Any, kwargs: Any) -> list[Any]:
    names = ("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    return [given.get(name) for name in names]


def _lstm_cell(recorder: Any, function: Any, args: Any, kwargs: Any) -> Any:
    x, (h, c), w_ih, w_hh, b_ih, b_hh = _cell_arguments(args, kwargs)
    write = _Equations(recorder)
    old_h, old_c = write.known(h), write.known(c)
    from_input, from_state = write.affine(x, w_ih, b_ih, old_h), write.affine(old_h, w_hh, b_hh, old_h)
    z = write("add.Tensor", from_input, from_state, like=from_input)
    zi, zf, zg, zo = write.parts(z, 4, c.shape[-1], old_c)
    i = write("sigmoid.default", zi, like=old_c, name="i")
    f = write("sigmoid.default", zf, like=old_c, name="f")
    g = write("tanh.default", zg, like=old_c, name="g")
    o = write("sigmoid.default", zo, like=old_c, name="o")
    kept, added = write("mul.Tensor", f, old_c, like=old_c), write("mul.Tensor", i, g, like=old_c)
    new_c = write("add.Tensor", kept, added, like=old_c, name="c")
    new_h = write("mul.Tensor", o, write("tanh.default", new_c, like=old_c), like=old_c, name="h")
    results = _plainly(recorder, function, args, kwargs)
    for result, ref in zip(results, (new_h, new_c), strict=True):
        recorder.know(result, ref.index)
    return results


def _gru_cell(recorder: Any, function: Any, args: Any, kwargs: Any) -> Any:
    x, h, w_ih, w_hh, b_ih, b_hh = _cell_arguments(args, kwargs)
    write = _Equations(recorder)
    old = write.known(h)
    from_input, from_state = write.affine(x, w_ih, b_ih, old), write.affine(old, w_hh, b_hh, old)
    xr, xz, xn = write.parts(from_input, 3, h.shape[-1], old)
    hr, hz, hn = write.parts(from_state, 3, h.shape[-1], old)
    r = write("sigmoid.default", write("add.Tensor", xr, hr, like=old), like=old, name="r")
    z = write("sigmoid.default", write("add.Tensor", xz, hz, like=old), like=old, name="z")
    inner = write("add.Tensor", xn, write("mul.Tensor", r, hn, like=old), like=old)
    n = write("tanh.default", inner, like=old, name="n")
    rest = write("rsub.Scalar", z, 1.0, like=old)
    taken, kept = write("mul.Tensor", rest, n, like=old), write("mul.Tensor", z, old, like=old)
    new = write("add.Tensor", taken, kept, like=old, name="h")
    result = _plainly(recorder, function, args, kwargs)
    recorder.know(result, new.index)
    return result


def _rnn_cell(kind: str) -> Callable[..., Any]:
    def run(recorder: Any, function: Any, args: Any, kwargs: Any) -> Any:
        x, h, w_ih, w_hh, b_ih, b_hh = _cell_arguments(args, kwargs)
        write = _Equations(recorder)
        old = write.known(h)
        from_input, from_state = write.affine(x, w_ih, b_ih, old), write.affine(old, w_hh, b_hh, old)
        new = write(kind, write("add.Tensor", from_input, from_state, like=old), like=old, name="h")
        result = _plainly(recorder, function, args, kwargs)
        recorder.know(result, new.index)
        return result

    return run


COMPOSITES: dict[str, Callable[..., Any]] = {
    "__array__": _leave,
    "__get__": _data,
    "__matmul__": _matmul,
    "__rmatmul__": _matmul,
    "einsum": _einsum,
    "gru_cell": _gru_cell,
    "linear": _linear,
    "lstm_cell": _lstm_cell,
    "matmul": _matmul,
    "numpy": _leave,
    "rnn_relu_cell": _rnn_cell("relu.default"),
    "rnn_tanh_cell": _rnn_cell("tanh.default"),
    "tolist": _leave,
}
"""From the name of a function to what writes it down and runs it."""
