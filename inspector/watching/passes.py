"""The calls of one pass through a model: those still alive before its backward, and those that it reached."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from .call import Call

__all__ = ["Passes"]


class Passes:
    """What is kept of the calls of every part: never more than the latest pass.

    A call lives as long as the autograd graph that it is part of, so that several forward passes before one backward
    are all there, and one whose outputs are dropped is gone. Of the latest forward pass all calls are kept, since a
    call that no gradient can reach has nothing else that holds it.

    Parameters
    ----------
    finished : callable (parts)
        Called at the end of a backward pass with the names of the parts that it reached.
    """

    def __init__(self, finished: Callable[[list[str]], None]) -> None:
        self.backwards = 0
        self.latest: dict[str, list[Call]] = {}
        self.order: dict[str, int] = {}
        self._finished = finished
        self._task = -1
        self._numbers = itertools.count()
        self._running: weakref.WeakValueDictionary[int, _Running] = weakref.WeakValueDictionary()
        self._alive: dict[str, weakref.WeakValueDictionary[int, Call]] = {}
        self._kept: dict[str, list[Call]] = {}
        self._tips: dict[str, list[weakref.ref[Call]]] = {}
        self._forward = 0
        self._inside = False

    def enter(self) -> None:
        """A forward pass of the model begins."""
        self._inside = True
        self._forward += 1
        self._kept.clear()

    def leave(self) -> None:
        """A forward pass of the model has ended, by an error too."""
        self._inside = False

    def add(self, part: str, call: Call) -> None:
        """A part was called."""
        call.number = next(self._numbers)
        self.order.setdefault(part, len(self.order))
        self._alive.setdefault(part, weakref.WeakValueDictionary())[call.number] = call
        if not self._inside:
            self._kept.pop(part, None)
        self._kept.setdefault(part, []).append(call)

    @property
    def forward(self) -> int:
        """The number of the forward pass of the model that is under way; 0 outside of any."""
        return self._forward if self._inside else 0

    def tips(self, part: str) -> list[Call]:
        """The calls of a part that no later one goes on from yet, the newest first."""
        return [call for ref in reversed(self._tips.get(part, ())) if (call := ref()) is not None]

    def follow(self, part: str, call: Call) -> None:
        """A step of a loop is over."""
        tips = [tip for tip in self.tips(part) if tip is not call.previous]
        self._tips[part] = [weakref.ref(tip) for tip in [*reversed(tips), call]]

    def open(self, part: str) -> list[Call]:
        """The calls of a part since the last backward, in order."""
        return [*self._alive[part].values()] if part in self._alive else []

    def is_new(self, torch: Any) -> bool:
        """Whether this is the first word of a backward pass."""
        task: int = torch._C._current_graph_task_id()
        is_new = task != self._task
        self._task = task
        return is_new

    def begin(self, torch: Any, part: str, call: Call) -> int:
        """A gradient has come to a call: note it, and be there when this backward pass ends.

        A pass inside another one (a checkpoint that is reentrant) is part of that.
        """
        thread = threading.get_ident()
        running = self._running.get(thread)
        if running is None:
            self._running[thread] = running = _Running(torch._C._current_graph_task_id())
            torch.autograd.Variable._execution_engine.queue_callback(partial(self._end, running))
        running.reached.setdefault(part, set()).add(call)
        return running.task

    def _end(self, running: _Running) -> None:
        self._running.pop(threading.get_ident(), None)
        for part in dict.fromkeys([*self._alive, *running.reached]):
            calls = self.open(part)
            if part in running.reached:
                reached = sorted(running.reached[part], key=lambda call: call.number)
                self.latest[part] = calls if running.reached[part].issubset(calls) else reached
            elif calls and not any(call.cotangents for call in self.latest.get(part, ())):
                self.latest[part] = calls
        self.backwards += 1
        self._alive, self._tips = {}, {}
        self._kept.clear()
        self._finished(list(running.reached))


class _Running:
    """A backward pass under way; with its callback it goes, also when it fails.

    Attributes
    ----------
    task : int
        PyTorch's number of it.
    reached : dict of str to set of Call
        The calls of each part that a gradient has come to.
    """

    def __init__(self, task: int) -> None:
        self.task = task
        self.reached: dict[str, set[Call]] = {}
