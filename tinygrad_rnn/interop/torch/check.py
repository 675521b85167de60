"""What was taken over from PyTorch, compared with PyTorch: values and gradients, each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autodiff.backward import grad
from ...autodiff.tensor import Tensor
from .source import WHO, Source, numbers
from .trace import leaves, replaced
from .traced_cell import TracedCell

__all__ = ["agree", "check_step"]


def check_step(
    source: Source, cell: TracedCell, x: Any, states: Sequence[Any], results: Sequence[int], order: Sequence[int]
) -> None:
    """Compare a cell with the step it was made from, on the example.

    Parameters
    ----------
    source : Source
    cell : TracedCell
    x, states
        As the module takes them.
    results : list of int
        Which leaf of what the module returns each state of the cell is.
    order : list of int
        Which state of the module each of the cell's is, after one for the output if there are more.

    Raises
    ------
    RuntimeError
        If a value or a gradient is not the same.
    """
    torch = source.torch
    fed = replaced([x, *states], lambda tensor: tensor.detach().clone().requires_grad_(True))
    inputs = list(leaves(fed))
    with torch.enable_grad():
        found = list(leaves(source.function(*fed)))
    theirs = [found[k] for k in results]
    inputs = [inputs[0], *(inputs[1 + k] for k in order)]
    arrays = [numbers(tensor) for tensor in inputs]
    ours_x = Tensor(arrays[0].reshape(len(arrays[0]), -1), True)
    ours_states = [Tensor(array, True) for array in arrays[1:]]
    spare = [Tensor(np.zeros(theirs[0].shape, cell.dtype))] * (len(results) - len(order))
    ours = cell.step(ours_x, [*spare, *ours_states])
    parameters = {name: p for name, p in source.parameters().items() if p.requires_grad}
    own = dict(cell.named_parameters())
    wanted = [*inputs, *parameters.values()]
    agree(
        source,
        list(zip(cell.state_names, ours, theirs, strict=True)),
        ["x", *cell.state_names[len(spare) :], *parameters],
        [ours_x, *ours_states, *(own[name] for name in parameters)],
        wanted,
    )


def agree(source: Source, values: Any, names: Sequence[str], ours: Sequence[Tensor], theirs: Sequence[Any]) -> None:
    """Compare values, and the gradients of their sum with random weights.

    Parameters
    ----------
    source : Source
    values : list of (str, ours, theirs)
    names : list of str
        Of what is differentiated by.
    ours, theirs : list of Tensors
        What that is.
    """
    torch = source.torch
    random = np.random.default_rng(0)
    our_loss: Any = 0.0
    their_loss: Any = 0.0
    for name, mine, other in values:
        _compare(source, f"the value of {name}", np.asarray(getattr(mine, "data", mine)), numbers(other))
        weight = random.uniform(0.5, 1.5, tuple(other.shape))
        our_loss = our_loss + (mine * weight.astype(numbers(other).dtype)).sum()
        their_loss = their_loss + (other * torch.as_tensor(weight, dtype=other.dtype, device=other.device)).sum()
    if not their_loss.requires_grad:
        reference = [None] * len(theirs)
    else:
        reference = torch.autograd.grad(their_loss, list(theirs), allow_unused=True)
    gradients = grad(our_loss, list(ours))
    for name, mine, other in zip(names, gradients, reference, strict=True):
        expected = np.zeros(mine.shape, mine.dtype) if other is None else numbers(other).reshape(mine.shape)
        _compare(source, f"the gradient of {name}", mine.data, expected)


def _compare(source: Source, what: str, ours: Any, theirs: Any) -> None:
    # half of the digits: PyTorch has constants of single precision in derivatives of float64, as in hardsigmoid
    tolerance = np.finfo(theirs.dtype).eps ** 0.5 if theirs.dtype.kind == "f" else 0.0
    same = ours.shape == theirs.shape
    if same and theirs.size:
        scale = 1.0 + np.abs(np.nan_to_num(theirs.astype(np.float64))).max()
        same = np.allclose(ours, theirs, rtol=0.0, atol=tolerance * scale, equal_nan=True)
    if not same:
        off = np.abs(ours - theirs).max() if ours.shape == theirs.shape else f"shape {ours.shape} for {theirs.shape}"
        raise RuntimeError(
            f"{WHO}: {what} of {source.name} comes out otherwise than in PyTorch (off by {off}); the module may keep"
            " something from call to call, or this is a fault of ours: please report it"
        )
