"""A PyTorch module run once while every operation is written down, with its place in the source and its names."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from ..refusal import UnsupportedError
from .aten import ATEN, LIKE, LIMITS, OVERWRITES

__all__ = ["Operation", "Place", "Ref", "Trace", "Variable", "leaves", "record", "replaced"]

_PYTHON = str(Path(os.__file__).resolve().parent)
_HERE = str(Path(__file__).parent)
_DECIDES = frozenset({"_local_scalar_dense", "is_nonzero", "item", "equal", "nonzero", "masked_select", "_unique2"})
"""What turns values into numbers of Python, or makes shapes of them."""

_MACHINERY = frozenset({"device", "generator", "layout", "memory_format", "non_blocking", "pin_memory"})
"""Arguments that change no number."""

_VIEWS = {"select.int", "slice.Tensor"}


@dataclass(frozen=True, slots=True)
class Ref:
    """The value that an operation gives, as an operand of a later one."""

    index: int


@dataclass(frozen=True)
class Place:
    """Where in the user's model an operation was called: the path of the submodule, the file and the line.

    `way` has the calls that lead there, outermost first, and how far each had come in its code.
    """

    module: str = ""
    file: str = ""
    line: int = 0
    way: tuple[tuple[int, int], ...] = ()

    def is_again(self, before: Place) -> bool:
        """Whether code had to be gone through once more, in a loop, to come here from there."""
        for (call, here), (other, there) in zip(self.way, before.way, strict=False):
            if call != other:
                return True  # the same place called again
            if here != there:
                return here < there
        return False

    def __str__(self) -> str:
        source = f"{self.file}:{self.line}" if self.file else ""
        return ", ".join(filter(None, [self.module and f"module {self.module}", source])) or "the module itself"


class Variable(NamedTuple):
    """A variable of the user's code: how many functions deep, of which submodule, in which call."""

    depth: int
    name: str
    module: str
    call: int


@dataclass
class Operation:
    """One operation of the trace, or a value that it starts from.

    Attributes
    ----------
    kind : str
        The name in ATen, such as ``add.Tensor``; ``"input"``, ``"parameter"`` or ``"constant"`` for a leaf;
        ``"getitem"`` for one of several results; ``"put"`` for a write.
    args, kwargs
        What it is given, with :class:`Ref` for values. Of a leaf its number, name or array.
    shape : tuple of int
    place : Place
    view : bool
        Whether it gives the elements of its first operand.
    look : int
        How often the variables had been looked at by then.
    """

    kind: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    shape: tuple[int, ...]
    place: Place
    view: bool = False
    look: int = 0


@dataclass
class Trace:
    """What a module computed.

    Attributes
    ----------
    operations : list of Operation
        Oldest first.
    output : nested structure
        What the module returned, with :class:`Ref` for tensors.
    names : dict of int to Variable
        Which variable is bound to a value: that of the outermost function.
    bound : dict of int to (dict of Variable to int)
        All variables that were bound to a value, and at which look the last time.
    """

    operations: list[Operation] = field(default_factory=list)
    output: Any = None
    names: dict[int, Variable] = field(default_factory=dict)
    bound: dict[int, dict[Variable, float]] = field(default_factory=dict)

    def name(self, index: int, variable: Variable, look: float) -> None:
        """A variable is bound to a value."""
        self.bound.setdefault(index, {})[variable] = look
        if index not in self.names or variable.depth < self.names[index].depth:
            self.names[index] = variable


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """A nested structure of lists, tuples and mappings with every leaf changed."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*[replaced(part, change) for part in value])
    if isinstance(value, (list, tuple)):
        return type(value)([replaced(part, change) for part in value])
    if isinstance(value, Mapping):
        return {key: replaced(part, change) for key, part in value.items()}
    return change(value)


def leaves(value: Any) -> Iterator[Any]:
    """The leaves of a nested structure, in order."""
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, Mapping):
        yield from leaves(list(value.values()))
    else:
        yield value


@dataclass
class _Known:
    """A tensor that was seen: the operation whose value it has, and, of a view, what it is a view of.

    A view of all there is has no operation of its own.
    """

    tensor: Any
    index: int
    base: _Known | None = None
    seen: int = -1
    whole: bool = False


class _Recorder:
    """Writes a trace while a module runs.

    Values are told apart by the tensor that holds them, which is therefore kept. A write in place makes the tensor
    stand for another operation from then on, and the tensor of which it is a view, too.
    """

    def __init__(self, torch: Any, roots: Mapping[str, Any], who: str) -> None:
        self.torch, self.who = torch, who
        self.library = str(Path(torch.__file__).parent)
        self.strangers = (self.library, _HERE, "<frozen")
        self.trace = Trace()
        self.known: dict[int, _Known] = {}
        self.fixed: set[int] = set()
        self.paused = False
        self.looks = 0
        self.bottom: FrameType | None = None
        self.calls: dict[int, tuple[int, set[int], FrameType]] = {}
        self.paths: dict[int, str] = {}
        self.parameters: dict[int, str] = {}
        self.buffers: dict[int, str] = {}
        for root, module in roots.items():
            self._list(root, module)

    def _list(self, root: str, module: Any) -> None:
        if not isinstance(module, self.torch.nn.Module):
            (self.parameters if module.requires_grad else self.buffers)[id(module)] = root
            return
        dotted = f"{root}." if root else ""
        for path, inner in module.named_modules(prefix=root):
            self.paths.setdefault(id(inner), path)
        for name, parameter in module.named_parameters():
            self.parameters.setdefault(id(parameter), dotted + name)
        for name, buffer in module.named_buffers():
            self.buffers.setdefault(id(buffer), dotted + name)

    # ------------------------------------------------------------------------------------- writing

    def emit(self, kind: str, args: Sequence[Any], kwargs: Mapping[str, Any], shape: Any, place: Place) -> int:
        """Write an operation down."""
        self.trace.operations.append(Operation(kind, tuple(args), dict(kwargs), tuple(shape), place, look=self.looks))
        index = len(self.trace.operations) - 1
        refs = [leaf for leaf in leaves([args, kwargs]) if isinstance(leaf, Ref)]
        if kind not in ("input", "parameter") and all(ref.index in self.fixed for ref in refs):
            self.fixed.add(index)
        return index

    def know(self, tensor: Any, index: int, base: _Known | None = None) -> None:
        """From now on `tensor` is the value of operation `index`."""
        seen = -1 if base is None else self.index_of(base)
        self.known[id(tensor)] = _Known(tensor, index, base, seen)

    def index_of(self, known: _Known) -> int:
        """The operation whose value a tensor has now; of a view of what was written into, made anew."""
        if known.base is not None:
            base = self.index_of(known.base)
            if known.whole:
                return base
            if base != known.seen:
                old = self.trace.operations[known.index]
                known.index = self.emit(old.kind, (Ref(base), *old.args[1:]), old.kwargs, old.shape, old.place)
                known.seen = base
        return known.index

    def ref(self, tensor: Any, place: Place) -> Ref:
        """A tensor as an operand."""
        known = self.known.get(id(tensor))
        if known is not None:
            return Ref(self.index_of(known))
        name = self.parameters.get(id(tensor))
        if name is not None:
            self.know(tensor, self.emit("parameter", (name,), {}, tensor.shape, place))
        elif tensor.requires_grad:
            raise UnsupportedError(
                f"{self.who}: a tensor of shape {tuple(tensor.shape)} that requires a gradient is read, which is no"
                f" parameter of the module (in {place}); register it with torch.nn.Parameter"
            )
        else:
            array = tensor.detach().cpu()
            array = array.float() if array.dtype == self.torch.bfloat16 else array
            self.know(tensor, self.emit("constant", (np.array(array.numpy()),), {}, tensor.shape, place))
        return Ref(self.known[id(tensor)].index)

    def emit_cut(self, kind: str, args: Sequence[Any], kwargs: Mapping[str, Any], shape: Any, place: Place) -> int:
        """Write an operation down; where the user has gradients turned off, with its value cut off."""
        index = self.emit(kind, args, kwargs, shape, place)
        if self.torch.is_grad_enabled():
            return index
        return self.emit("detach.default", (Ref(index),), {}, shape, place)

    def nested(self, values: Any, place: Place) -> Any:
        """Arguments, however nested, as they stand in the trace."""
        return replaced(values, lambda leaf: self.given(leaf, place))

    def given(self, value: Any, place: Place) -> Any:
        """An argument as it stands in the trace."""
        if isinstance(value, self.torch.Tensor):
            return self.ref(value, place)
        if isinstance(value, self.torch.dtype):
            return self.dtype(value, place)
        return value

    def dtype(self, value: Any, place: Place) -> Any:
        name = str(value).removeprefix("torch.")
        if name == "bfloat16" or name.startswith(("complex", "float8", "q")):
            raise UnsupportedError(f"{self.who}: {value} has no counterpart here (in {place}); use float32 or float64")
        return np.dtype(name)

    def refuse(self, what: str, why: str, place: Place) -> UnsupportedError:
        return UnsupportedError(f"{self.who}: {what} {why} (in {place})")

    # ---------------------------------------------------------------------------------- dispatching

    def dispatch(self, function: Any, args: Any, kwargs: Any) -> Any:
        """An operation of ATen that is about to run."""
        if self.paused:
            return function(*args, **kwargs)
        place = self.look_around()
        schema = function._schema
        base = schema.name.removeprefix("aten::")
        name = f"{base}.{function._overloadname}"
        writes = [k for k, argument in enumerate(schema.arguments) if argument.alias_info and argument.is_write]
        kind = name
        if writes and base.endswith("_"):
            base = base[:-1]
            kind = f"{base}.{function._overloadname}"
        self._check(function, base, kind, writes, args, place)
        operands = tuple(self.nested(args, place))
        options = self.nested({key: value for key, value in kwargs.items() if key not in _MACHINERY}, place)
        result = function(*args, **kwargs)
        if writes:
            self._write(self.known[id(args[0])], kind, operands, options, place)
            return result
        if kind in LIKE:
            value = operands[-1:] if LIKE[kind] == "full.default" else ()
            kind, operands = LIKE[kind], (list(result.shape), *value)
            options = {"dtype": self.dtype(result.dtype, place)}
        self._results(kind, operands, options, result, args, schema, place)
        return result

    def _check(self, function: Any, base: str, kind: str, writes: Sequence[int], args: Any, place: Place) -> None:
        name = function._schema.name.replace("::", ".")
        if base in _DECIDES:
            if all(self.is_fixed(leaf, place) for leaf in leaves(args) if isinstance(leaf, self.torch.Tensor)):
                return
            raise self.refuse(name, "makes the way depend on numbers, which differ from step to step", place)
        if self.torch.Tag.nondeterministic_seeded in function.tags:
            raise self.refuse(name, "draws random numbers, which would be frozen; call module.eval() first", place)
        if base in ("lstm", "gru", "rnn_tanh", "rnn_relu", "mkldnn_rnn_layer", "_cudnn_rnn", "_thnn_fused_lstm_cell"):
            raise self.refuse(
                name, "is a whole network over time: tg.load_torch takes it, and inspector.watch watches it", place
            )
        if kind not in ATEN.keys() | LIKE.keys() | (OVERWRITES if writes else set()) or (writes and writes != [0]):
            raise self.refuse(name, "has no counterpart here", place)
        why = LIMITS[kind](*args) if kind in LIMITS else ""
        if why:
            raise self.refuse(name, why, place)
        if writes:
            target = args[0]
            if id(target) in self.parameters or id(target) in self.buffers:
                what = self.parameters.get(id(target)) or self.buffers.get(id(target))
                raise self.refuse(name, f"writes into {what}, which a step must leave as it is", place)
            self.ref(target, place)
            root = self.known[id(target)]
            while root.base is not None:
                root = root.base
            if self.trace.operations[root.index].kind in ("input", "parameter", "constant"):
                raise self.refuse(name, "writes into a value that the step is given; write into a clone of it", place)

    def is_fixed(self, tensor: Any, place: Place) -> bool:
        """Whether a tensor depends on no input and no parameter."""
        return self.ref(tensor, place).index in self.fixed

    def _results(
        self, kind: str, operands: Any, options: Any, result: Any, args: Any, schema: Any, place: Place
    ) -> None:
        several = not isinstance(result, self.torch.Tensor)
        outputs = [out for out in result if out is not None] if several and result is not None else [result]
        if result is None or not all(isinstance(out, self.torch.Tensor) for out in outputs):
            return
        if kind == "slice.Tensor" and result.shape == args[0].shape:
            base = self.known[id(args[0])]
            self.known[id(result)] = _Known(result, self.index_of(base), base, whole=True)
            return
        cut = not self.torch.is_grad_enabled()
        write = self.emit if several else self.emit_cut
        index = write(kind, operands, options, () if several else result.shape, place)
        views = any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
        self.trace.operations[index].view = views
        source = self.known.get(id(args[0])) if views and args and isinstance(args[0], self.torch.Tensor) else None
        if kind == "detach.default" and index in self.fixed:
            source = None  # what zeros_like gives is such a view of what nobody has
        if not several:
            self.know(result, index, source if not cut else None)
            return
        group = _Known(result, index, source, -1 if source is None else self.index_of(source))
        for k, out in enumerate(outputs):
            part = self.emit_cut("getitem", (Ref(index), k), {}, out.shape, place)
            self.know(out, part, group if views and not cut else None)

    # --------------------------------------------------------------------------- writing in place

    def _write(self, target: _Known, kind: str, operands: Any, options: Any, place: Place) -> None:
        shape, dtype = target.tensor.shape, self.dtype(target.tensor.dtype, place)
        if kind in ("fill.Scalar", "zero.default"):
            kind, operands, options = "full.default", (list(shape), *(operands[1:] or (0,))), {"dtype": dtype}
        elif kind in OVERWRITES:  # copy_, or fill_ with a tensor: of what is written into nothing is read
            kind, operands, options = "_to_copy.default", (operands[1],), {"dtype": dtype}
            if self.trace.operations[operands[0].index].shape != shape:
                operands = (Ref(self.emit("expand.default", (operands[0], list(shape)), {}, shape, place)),)
        self._assign(target, self.emit(kind, operands, options, shape, place), place)

    def _assign(self, target: _Known, index: int, place: Place) -> None:
        """A tensor has got another value, and with it what it is a view of."""
        if target.base is not None and target.whole:
            self._assign(target.base, index, place)
        elif target.base is not None:
            base = target.base
            old = self.trace.operations[target.index]
            before = self.index_of(base)
            if old.kind not in _VIEWS:
                raise self.refuse(
                    "a write in place", f"goes through {old.kind.split('.')[0]}, a view that is no index", place
                )
            whole = self.trace.operations[before]
            changed = self.emit("put", (Ref(before), Ref(index), old.kind, *old.args[1:]), {}, whole.shape, place)
            self._assign(base, changed, place)
            target.seen = self.index_of(base)
            target.index = self.emit(old.kind, (Ref(target.seen), *old.args[1:]), old.kwargs, old.shape, old.place)
        else:
            target.index = index

    # ------------------------------------------------------------------------------ looking around

    def look_around(self) -> Place:
        """Where the user's code stands, and which of its variables hold which values."""
        self.looks += 1
        module, file, line = "", "", 0
        way = []
        frames = list(self._frames(sys._getframe(1)))[::-1]
        for depth, frame in enumerate(frames):
            module = self.paths.get(id(frame.f_locals.get("self")), module)
            name = frame.f_code.co_filename
            if self.is_users(name):
                file, line = name, frame.f_lineno
                self._names(frame, depth, module)
                way.append((self._call(frame)[0], frame.f_lasti))
        if not file and frames:
            file, line = frames[-1].f_code.co_filename, frames[-1].f_lineno
        return Place(module, file, line, tuple(way))

    def is_users(self, file: str) -> bool:
        """Whether a file holds the user's code, and not PyTorch's, Python's or ours."""
        return not file.startswith(self.strangers) and not (file.startswith(_PYTHON) and "-packages" not in file)

    def _frames(self, frame: FrameType | None) -> Iterator[FrameType]:
        """The frames of the module's code, innermost first."""
        while frame is not None and frame is not self.bottom:
            if not frame.f_code.co_filename.startswith(_HERE):
                yield frame
            frame = frame.f_back

    def _names(self, frame: FrameType, depth: int, module: str) -> None:
        call, given = self._call(frame)
        for name, index in self._variables(frame):
            if index not in given:
                self.trace.name(index, Variable(depth, name, module, call), self.looks)

    def _call(self, frame: FrameType) -> tuple[int, set[int]]:
        """The number of a call, and the values that an inner function was given: their names are the caller's."""
        if id(frame) not in self.calls:
            outermost = not self.calls
            given = set() if outermost else {index for _, index in self._variables(frame)}
            self.calls[id(frame)] = (len(self.calls), given, frame)
        return self.calls[id(frame)][:2]

    def _variables(self, frame: FrameType) -> Iterator[tuple[str, int]]:
        """The variables that hold values of the trace."""
        for name, value in list(frame.f_locals.items()):
            known = self.known.get(id(value)) if isinstance(value, self.torch.Tensor) else None
            if known is not None and name.isidentifier() and name != "_":
                yield name, self.index_of(known)

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        """At the end of a function its variables are looked at once more."""
        if event == "return" and not self.paused and self.is_users(frame.f_code.co_filename):
            outside = list(self._frames(frame))[::-1]
            paths = [self.paths.get(id(around.f_locals.get("self")), "") for around in outside]
            self._names(frame, len(outside) - 1, next(filter(None, reversed(paths)), ""))


@contextmanager
def _modes(recorder: _Recorder) -> Iterator[None]:
    """While the block runs every operation goes through the recorder."""
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    from .composites import COMPOSITES

    class Dispatch(TorchDispatchMode):  # type: ignore[misc]
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            """No, or its first operation would import the whole compiler, for many seconds."""
            return False

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return recorder.dispatch(function, args, kwargs or {})

    class Function(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(function, "__name__", "")
            composite = COMPOSITES.get(name)
            if composite is not None and not recorder.paused:
                return composite(recorder, function, args, kwargs or {})
            return function(*args, **(kwargs or {}))

    before = sys.getprofile()
    with Dispatch(), Function(), recorder.torch.enable_grad():
        sys.setprofile(recorder.profile)
        try:
            yield
        finally:
            sys.setprofile(before)


def record(torch: Any, who: str, roots: Mapping[str, Any], function: Any, args: Sequence[Any], inputs: Any) -> Trace:
    """Run `function` once and write down what it computes.

    Parameters
    ----------
    torch : module
    who : str
        For errors.
    roots : mapping from str to torch.nn.Module
        Whose submodules and parameters have names.
    function : callable
    args : sequence
        What it is called with: nested structures of tensors.
    inputs : list of tensors
        Those among them that are inputs, in the order of their numbers.

    Raises
    ------
    UnsupportedError
        At the first operation that has no counterpart, before it runs.
    """
    recorder = _Recorder(torch, roots, who)
    recorder.bottom = sys._getframe()
    for number, tensor in enumerate(inputs):
        recorder.know(tensor, recorder.emit("input", (number,), {}, tensor.shape, Place()))
    with _modes(recorder):
        output = function(*args)
    place = Place()
    recorder.trace.output = replaced(output, lambda leaf: recorder.given(leaf, place))
    return recorder.trace
