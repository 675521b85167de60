"""Calls of a single step, joined to the loop that they are in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .call import Call
from .edges import came_through

__all__ = ["find_previous", "loops"]


def find_previous(torch: Any, call: Call, states: Mapping[str, Any], tips: Iterable[Call]) -> None:
    """Find the step that a call goes on from, and which of its states are the very ones that it gave.

    Parameters
    ----------
    torch : module
    call : Call
        To be told.
    states : mapping of str to torch.Tensor
        Those that it read, as they were given; empty if none was.
    tips : iterable of Call
        The latest steps of the loops of this part.
    """
    for tip in tips:
        same_size = tip.given["x"].shape == call.given["x"].shape
        if states and same_size and _goes_on(torch, tip, call, states):
            call.previous = tip
            call.joined = tuple(_is_joined(torch, tip, call, name, tensor) for name, tensor in states.items())
            return


def _is_joined(torch: Any, tip: Call, call: Call, name: str, tensor: Any) -> bool:
    """Whether a state is the very one that the step before gave, unchanged, and what comes back by it can be told."""
    same = tip.handed[name]() is tensor
    same = same and bool(tip.versions[name] == tensor._version)
    same = same and bool(torch.equal(tip.gave[name], tensor))  # a change of .data is counted by no version
    return same and (name in call.asks or not tensor.requires_grad)


def _goes_on(torch: Any, tip: Call, call: Call, states: Mapping[str, Any]) -> bool:
    if any(tip.handed[name]() is tensor for name, tensor in states.items()):
        return True
    if any(tensor.requires_grad and came_through(tensor, tip.span) for tensor in states.values()):
        return True
    detached = call.forward and call.forward == tip.forward
    return bool(detached and all(torch.equal(tip.gave[name], tensor) for name, tensor in states.items()))


def loops(calls: Iterable[Call]) -> list[list[Call]]:
    """The steps of every loop that these calls are of, from its first."""
    calls = list(calls)
    inner = {call.previous for call in calls}
    found = []
    for last in calls:
        if last in inner:
            continue
        steps = [last]
        while steps[-1].previous is not None:
            steps.append(steps[-1].previous)
        found.append(steps[::-1])
    return found
