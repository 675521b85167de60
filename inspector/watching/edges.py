"""What one call of a module sends back to the Tensors that it reads, apart from what reaches them from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Span", "came_through", "listen"]

Span = tuple[int, int]
"""The first and the last sequence number of the autograd nodes that a call made."""


def listen(
    torch: Any,
    outputs: Mapping[str, Any],
    reads: Mapping[str, Any],
    tell: Callable[[str, Any], None],
    tell_inside: Callable[[str, Any], None],
) -> Span:
    """Hear of every contribution that a call sends to the Tensors it read, whatever else they are used for.

    The autograd nodes between the outputs and what the call read are those of the call alone, so that what leaves
    them is its own share of a gradient: of a weight that other calls use too, of an input with a bypass around the
    call. Nothing changes in the graph.

    Parameters
    ----------
    torch : module
    outputs, reads : mapping of str to torch.Tensor
        By name; what has no gradient is passed over. Of a Tensor that the call read in two roles nothing is told.
    tell, tell_inside : callable (name, contribution)
        Called in the backward pass, once for each use of a Tensor that was read, and once for each use of an output
        inside the call itself, as an LSTM uses its cell state.

    Returns
    -------
    Span
    """
    ends: dict[Any, str | None] = {}
    for name, tensor in reads.items():
        if tensor.requires_grad:
            edge = _edge(torch, tensor)
            ends[edge] = None if edge in ends else name
    own = {_edge(torch, tensor): name for name, tensor in outputs.items() if tensor.requires_grad}
    todo = [tensor.grad_fn for tensor in outputs.values() if tensor.grad_fn is not None]
    seen = set(todo)
    numbers = []
    while todo:
        node = todo.pop()
        numbers.append(node._sequence_nr())
        for slot, (below, number) in enumerate(node.next_functions):
            if below is None:
                continue
            edge = _cast(below, ends) or (below, number)
            if edge in ends:
                if (role := ends[edge]) is not None:
                    node.register_hook(_teller(tell, role, slot))
                continue
            if edge in own:
                node.register_hook(_teller(tell_inside, own[edge], slot))
            if below not in seen:
                seen.add(below)
                todo.append(below)
    return min(numbers, default=0), max(numbers, default=-1)


def came_through(tensor: Any, span: Span) -> bool:
    """Whether a Tensor was computed from what the call with these nodes gave out."""
    todo = [tensor.grad_fn]
    seen = set(todo)
    while todo:
        node = todo.pop()
        if node is None or not node.next_functions or node._sequence_nr() < span[0]:
            continue  # a leaf, or older than the call
        if node._sequence_nr() <= span[1]:
            return True
        below = [node for node, _ in node.next_functions if node not in seen]
        seen.update(below)
        todo += below
    return False


def _edge(torch: Any, tensor: Any) -> tuple[Any, int]:
    edge = torch.autograd.graph.get_gradient_edge(tensor)
    return edge.node, edge.output_nr


def _cast(node: Any, ends: Mapping[Any, str | None]) -> Any:
    """The edge to what a node casts, if that was read: autocast makes one copy of a weight for all calls."""
    if not node.name().startswith("ToCopy"):
        return None
    return below if (below := node.next_functions[0]) in ends else None


def _teller(tell: Callable[[str, Any], None], name: str, slot: int) -> Callable[[Any, Any], None]:
    def hook(contributions: Any, _: Any) -> None:
        if contributions[slot] is not None:
            tell(name, contributions[slot])

    return hook
