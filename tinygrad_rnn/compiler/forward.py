"""The forward loop: from inputs, states and parameters to the tape."""

from __future__ import annotations

from typing import Any

import numpy as np

from .feeding import AllSteps, computed_once, contiguous_flat, input_places
from .given import Given
from .loops import Loop
from .program import Array, Key, Program, label
from .schedule import schedule
from .stages import Output
from .tape import Layout, place_on_tape

__all__ = ["ForwardLoop"]

_LAYOUTS = 32
"""How many lengths of runs are remembered at a time."""


class ForwardLoop:
    """A step scheduled, fused and ready to run over any number of timesteps.

    Parameters
    ----------
    step : Program
    adjoint : Program
        Says which values of the step it reads.
    backend, who : str
        For the :class:`Loop`.

    Attributes
    ----------
    taped : dict of Key to value
        What goes onto the tape: states and named values, and under ``("kept", value)`` what else the adjoint reads.
    """

    def __init__(self, step: Program, adjoint: Program, backend: str, who: str) -> None:
        self.step = step
        self.state_names = [name for role, name in step.inputs if role == "state"]
        self.taped: dict[Key, int] = {("state", name): step.outputs["state", name] for name in self.state_names}
        self.taped |= {key: value for key, value in step.outputs.items() if key[0] != "state"}
        kept = {v for (role, _), v in adjoint.inputs.items() if role == "forward"} - set(step.inputs.values())
        self.taped |= {("kept", v): v for v in sorted(kept - set(self.taped.values()))}
        self.schedule = schedule(step.with_body(step.body, self.taped))
        loop = self.schedule.loop
        self._places, kinds, self._fed = input_places(self.schedule, self.place)
        outputs = [Output(v, place_on_tape(key, step.types[v].shape)) for key, v in loop.outputs.items()]
        kinds |= {output.place.buffer: step.types[output.value].dtype for output in outputs}
        self.loop = Loop(loop, self._places, outputs, kinds, backwards=False, backend=backend, who=who)
        self._constants = {label(("constant", v)): contiguous_flat(array) for v, array in loop.constants.items()}
        self._kept = [(key, loop.types[v]) for key, v in loop.outputs.items() if key[0] == "keep"]
        self._once = computed_once(self.schedule)
        self._ahead, self._after = AllSteps(self.schedule.ahead), AllSteps(self.schedule.after)
        self._dtype = step.types[next(iter(self.taped.values()))].dtype
        self._layouts: dict[int, Layout] = {}

    def place(self, value: int) -> Any:
        """No value of the step comes from a forward pass but its own."""
        raise KeyError(value)

    def layout(self, steps: int) -> Layout:
        """The layout of a run's tape."""
        found = self._layouts.get(steps)
        if found is None:
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            found = self._layouts[steps] = Layout(self.step, self.taped, steps)
        return found

    def run(self, given: Given, tape: Array | None = None) -> Array:
        """Run over all timesteps, and give the tape: the one that is there to be written, or a new one."""
        steps = given.steps
        layout = self.layout(steps)
        if tape is None:
            tape = np.empty(layout.length, self._dtype)
        for where, state in zip(layout.starts, given.states, strict=True):
            tape[where] = state.reshape(-1)
        feeds = given.feeds()
        feeds |= self._once.evaluate(feeds)
        feeds |= self._ahead.evaluate(feeds)
        buffers = {**layout.buffers(tape), **self._constants}
        for name, key in self._fed.items():
            buffers[name] = contiguous_flat(feeds[key])
        for key, (shape, dtype) in self._kept:
            feeds[key] = np.empty((steps, *shape), dtype)
            buffers[label(key)] = feeds[key].reshape(-1)
        self.loop.run(buffers, 0, steps)
        for key, result in self._after.evaluate(feeds).items():  # named values that nothing in the loop waits for
            layout.tracks[key].on(tape)[...] = result
        return tape
