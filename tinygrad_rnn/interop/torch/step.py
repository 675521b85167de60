"""tg.from_torch: a module of PyTorch that computes one step, as a Cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...plurals import counted
from ..names import named_after, state_name
from ..packages import import_package
from ..refusal import UnsupportedError
from .check import check_step
from .graph import Computation, Size
from .loops import loop_of
from .source import WHO, Source, numbers, source_of, traced
from .trace import Ref, Trace, leaves
from .traced_cell import TracedCell

__all__ = ["from_torch", "step_cell"]

_DEFAULT = ("h", "c")


def from_torch(module: Any, x: Any, *states: Any) -> Any:
    """A step or a loop over time written in PyTorch, as a Cell of primitives.

    The module is run on the example while every operation is written down. Gates are called after the variables they
    are assigned to. Each time the result is compared with the module itself, values and gradients.

    Parameters
    ----------
    module : torch.nn.Module or function
        A step: takes ``(x, *states)`` and returns exactly its states, or ``(output, states)``. Or a module that loops
        over time by itself: takes the sequence alone.
    x : Tensor (batch, features), or a sequence (T, batch, features) or (batch, T, features) without `states`
        An example; another batch and another T work as well. Values of other sizes than the batch stay as they are.
    *states : Tensors (batch, ...), or tuples of them
        An example of the states, as the module takes them.

    Returns
    -------
    TracedCell or LoopCell
        A Cell whose parameters have the module's names, and whose states those of the arguments. The first state is
        the output; an output that is no state is one of its own, before the others. States begin at zero unless
        :func:`tinygrad_rnn.unroll` is given others. That of a loop begins as the loop does, and its ``run(sequence)``
        gives the Run and what the module returns.

    Raises
    ------
    UnsupportedError
        At the first operation that has no counterpart here, before it runs; or if a loop repeats no step.
    ValueError
        If the shapes do not fit, or it cannot be told which results are the states.
    TypeError
        If something else is given.
    RuntimeError
        If the cell does not compute what the module does.
    ImportError
        If PyTorch is not installed.

    Examples
    --------
    >>> import tinygrad_rnn as tg
    >>> import torch
    >>> class Leaky(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.lin = torch.nn.Linear(2 + 3, 3)
    ...
    ...     def forward(self, x, h):
    ...         n = torch.tanh(self.lin(torch.cat([x, h], dim=1)))
    ...         return 0.9 * h + 0.1 * n
    >>> cell = tg.from_torch(Leaky(), torch.zeros(1, 2), torch.zeros(1, 3))
    >>> cell, cell.state_names, [name for name, _ in cell.named_parameters()]
    (Leaky(2, 3), ('h',), ['lin.weight', 'lin.bias'])
    """
    torch = import_package("torch", WHO)
    source = source_of(torch, module)
    for tensor in leaves([x, *states]):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{WHO}: x and the states must be Tensors of PyTorch, got {type(tensor).__name__}")
    if states:
        return step_cell(source, x, states)
    try:
        return loop_of(source, x)
    except ValueError as error:
        if x.ndim != 2 or not x.is_floating_point():
            raise
        hint = "if the module computes one step, give an example of its states, too: from_torch(module, x, h)"
        raise type(error)(f"{error}; {hint}") from error


def step_cell(source: Source, x: Any, states: Sequence[Any]) -> TracedCell:
    """A source that computes one step, as a cell."""
    flat = list(leaves(states))
    _check_shapes(x, flat)
    trace, _ = traced(source, [x, *states], {}, "the step")
    names = _state_names(trace, len(flat))
    output, new, order = _told_apart(trace, states, names)
    names = [names[k] for k in order]
    if output is not None:
        names, new = [_output_name(trace, output, names), *names], [output, *new]
    shapes = [_shape(trace, ref, name) for ref, name in zip(new, names, strict=True)]
    _reorder(trace, order, output is not None)
    computation = Computation(trace, new, {"x", *names}, {ref.index for ref in new})
    parameters = {name: (numbers(p), p.requires_grad) for name, p in source.parameters().items()}
    kind = named_after(source.name, TracedCell)
    cell = kind(computation, parameters, names, tuple(x.shape[1:]), shapes, numbers(flat[0]).dtype)
    check_step(source, cell, x, states, [_where(trace.output, ref) for ref in new], order)
    return cell


def _check_shapes(x: Any, states: Sequence[Any]) -> None:
    for role, tensor in (("x", x), *((f"state {k}", state) for k, state in enumerate(states))):
        if not tensor.is_floating_point() or str(tensor.dtype) == "torch.bfloat16":
            hint = "; call module.float()" if tensor.is_floating_point() else ""
            raise UnsupportedError(f"{WHO}: {role} must be float16, float32 or float64, got {tensor.dtype}{hint}")
        if tensor.ndim < 2 or tensor.shape[0] != x.shape[0]:
            hint = "; add a batch axis with x[None]" if tensor.ndim < 2 else ""
            raise ValueError(
                f"{WHO}: {role} must be (batch, ...) with a batch of {x.shape[0] if x.ndim else 1}, got"
                f" {tuple(tensor.shape)}{hint}"
            )


# ------------------------------------------------------------------------------------------ names


def _state_names(trace: Trace, count: int) -> list[str]:
    """The names of the arguments in which the states come, without the mark that they are old."""
    names: list[str] = []
    for k in range(count):
        variable = trace.names.get(k + 1)
        name = state_name(variable.name) if variable else ""
        spare = [other for other in (*_DEFAULT, f"s{k + 1}") if other not in names]
        fallback = _DEFAULT[k] if k < len(_DEFAULT) and _DEFAULT[k] in spare else f"s{k + 1}"
        names.append(name if name.isidentifier() and name not in (*names, "x") else fallback)
    return names


def _output_name(trace: Trace, output: Ref, names: Sequence[str]) -> str:
    variable = trace.names.get(output.index)
    wanted = [variable.name] if variable else []
    return next(name for name in (*wanted, "y", "output", "y_out") if name not in (*names, "x"))


# ------------------------------------------------------------------------------- output and states


def _told_apart(trace: Trace, states: Sequence[Any], names: list[str]) -> tuple[Ref | None, list[Ref], list[int]]:
    """The output, if it is no state, and the new states, with their numbers, the one that is the output first."""
    result = trace.output
    readings = [(None, result), *_readings(result)]
    fitting = [(output, list(leaves(new))) for output, new in readings if _fits(trace, new, states)]
    if not fitting:
        raise ValueError(
            f"{WHO}: a step must return its {counted(len(names), 'state')} {', '.join(names)}, or an output and the"
            f" states; it returned {_described(trace, result)}"
        )
    output, new = fitting[0]
    if output is None:
        return None, new, list(range(len(new)))
    if not isinstance(output, Ref):
        raise ValueError(f"{WHO}: the output must be one Tensor, got {_described(trace, output)}")
    if output in new:
        first = new.index(output)
        order = [first, *(k for k in range(len(new)) if k != first)]
        return None, [new[k] for k in order], order
    return output, new, list(range(len(new)))


def _readings(result: Any) -> list[tuple[Any, Any]]:
    """In which ways a result can be an output and states: (output, states), (output, *states), (states, output)."""
    if not isinstance(result, (tuple, list)) or len(result) < 2:
        return []
    readings = [(result[0], result[1] if len(result) == 2 else list(result[1:]))]
    return [*readings, (result[-1], result[0] if len(result) == 2 else list(result[:-1]))]


def _fits(trace: Trace, new: Any, states: Sequence[Any]) -> bool:
    """Whether these are as many values as there are states, of their shapes."""
    found, expected = list(leaves(new)), range(1, 1 + len(list(leaves(states))))
    return len(found) == len(expected) and all(
        isinstance(ref, Ref) and trace.operations[ref.index].shape == trace.operations[k].shape
        for ref, k in zip(found, expected, strict=True)
    )


def _described(trace: Trace, result: Any) -> str:
    if isinstance(result, Ref):
        return f"a Tensor {_readable(trace.operations[result.index].shape)}"
    if isinstance(result, (tuple, list)):
        return f"({', '.join(_described(trace, part) for part in result)})"
    return "nothing" if result is None else type(result).__name__


def _readable(shape: Sequence[Any]) -> str:
    sizes = ["batch" if size == Size(1, 0) else str(size) for size in shape]
    return f"({', '.join(sizes)})"


def _shape(trace: Trace, ref: Ref, name: str) -> tuple[int, ...]:
    shape: tuple[Any, ...] = trace.operations[ref.index].shape
    if len(shape) < 2 or shape[0] != Size(1, 0) or any(isinstance(size, Size) for size in shape[1:]):
        raise ValueError(f"{WHO}: {name} must be (batch, ...), with the batch in front, got {_readable(shape)}")
    return tuple(int(size) for size in shape[1:])


def _reorder(trace: Trace, order: Sequence[int], spare: bool) -> None:
    """Number the inputs as the cell gives them: x, its states in their order, behind one of the output if there is."""
    for operation in trace.operations:
        if operation.kind == "input" and operation.args[0] > 0:
            operation.args = (1 + order.index(operation.args[0] - 1) + spare,)


def _where(result: Any, ref: Ref) -> int:
    """Which leaf of the result a value is."""
    return list(leaves(result)).index(ref)
