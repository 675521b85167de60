"""What is traced: a module, a method of one, or a function; and examples of its inputs at any batch size."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..refusal import UnsupportedError
from .graph import unified
from .trace import Trace, leaves, record, replaced

__all__ = ["WHO", "Source", "numbers", "source_of", "traced"]

WHO = "from_torch"
BATCHES = (5, 7)
"""At which sizes it is run: large enough that nothing broadcasts by accident."""


@dataclass(frozen=True)
class Source:
    """A function of PyTorch with the modules that it reads.

    Attributes
    ----------
    torch : module
    function : callable
    roots : mapping of str to torch.nn.Module or Tensor
        By the names under which their parameters go; ``""`` for the module itself.
    name : str
        Of the class or function.
    """

    torch: Any
    function: Callable[..., Any]
    roots: Mapping[str, Any]
    name: str

    def parameters(self) -> dict[str, Any]:
        """Every parameter by its name; one that is shared under its first."""
        found: dict[str, Any] = {}
        for root, holder in self.roots.items():
            if isinstance(holder, self.torch.nn.Module):
                dotted = f"{root}." if root else ""
                listed = {dotted + name: parameter for name, parameter in holder.named_parameters()}
            else:
                listed = {root: holder} if holder.requires_grad else {}
            known = {id(parameter) for parameter in found.values()}
            found |= {name: parameter for name, parameter in listed.items() if id(parameter) not in known}
        return found


def source_of(torch: Any, given: Any) -> Source:
    """What `given` is.

    Raises
    ------
    TypeError
        If it is nothing that can be called.
    """
    given = getattr(given, "_orig_mod", given)  # of torch.compile
    if not callable(given):
        raise TypeError(f"{WHO}: expected a torch.nn.Module or a function, got {type(given).__name__}")
    if isinstance(given, torch.nn.Module):
        return Source(torch, given, {"": given}, type(given).__name__)
    owner = getattr(given, "__self__", None)
    if isinstance(owner, torch.nn.Module):
        return Source(torch, given, {"": owner}, type(owner).__name__)
    around = _closure(given)
    roots = {name: value for name, value in around.items() if isinstance(value, (torch.nn.Module, torch.Tensor))}
    return Source(torch, given, roots, getattr(given, "__name__", type(given).__name__).replace("<lambda>", "step"))


def _closure(function: Any) -> dict[str, Any]:
    """What a function, and those that it calls, read from around them."""
    found: dict[str, Any] = {}
    stack, seen = [function], set()
    while stack:
        one = stack.pop()
        if inspect.isfunction(one) and id(one) not in seen:
            seen.add(id(one))
            closure = inspect.getclosurevars(one)
            inside = {**closure.globals, **closure.nonlocals}
            found = {**inside, **found}
            stack += inside.values()
    return found


def numbers(tensor: Any) -> Any:
    """A tensor as an array."""
    return np.array(tensor.detach().cpu().numpy())


def traced(source: Source, args: Sequence[Any], axes: Mapping[int, int], what: str) -> tuple[Trace, int]:
    """The trace of a source at any batch size.

    Parameters
    ----------
    source : Source
    args : sequence
        An example: nested structures of tensors.
    axes : mapping from int to int
        Which axis of which tensor is the batch, by its place among the leaves; 0 when not given.
    what : str
        What is traced, for errors.

    Returns
    -------
    Trace, int
        And the number of the inputs.
    """
    runs = []
    for seed, batch in enumerate(BATCHES):
        example = _example(source.torch, args, axes, batch, seed)
        inputs = list(leaves(example))
        try:
            runs.append(record(source.torch, WHO, source.roots, source.function, example, inputs))
        except UnsupportedError:
            raise
        except Exception as error:
            raise ValueError(
                f"{WHO}: {what} {source.name} fails with a batch of {batch}, made of rows of the example: "
                f"{type(error).__name__}: {error}"
            ) from error
    return unified(runs[0], runs[1], BATCHES, WHO), len(inputs)


def _example(torch: Any, args: Sequence[Any], axes: Mapping[int, int], batch: int, seed: int) -> Any:
    """The example with another number of rows, and other numbers in them."""
    random = np.random.default_rng(seed)
    places = iter(range(len(list(leaves(args)))))

    def changed(tensor: Any) -> Any:
        axis = axes.get(next(places), 0)
        rows = torch.arange(batch, device=tensor.device) % tensor.shape[axis]
        found = tensor.detach().index_select(axis, rows).clone()
        if found.is_floating_point():
            noise = random.uniform(0.9, 1.1, tuple(found.shape))
            found = found * torch.as_tensor(noise, dtype=found.dtype, device=found.device)
        return found

    return replaced(list(args), changed)
