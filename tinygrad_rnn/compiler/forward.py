"""The forward loop: from inputs, states and parameters to the tape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .feeding import contiguous_flat, for_all_steps, input_places
from .given import Given
from .loops import Loop
from .program import Array, Key, Program, label
from .schedule import schedule
from .stages import Output
from .tape import Layout, place_on_tape

__all__ = ["ForwardLoop"]


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
        self._places, kinds = input_places(loop, self.place)
        outputs = [Output(v, place_on_tape(key, step.types[v].shape)) for key, v in loop.outputs.items()]
        kinds |= {output.place.buffer: step.types[output.value].dtype for output in outputs}
        self.loop = Loop(loop, self._places, outputs, kinds, backwards=False, backend=backend, who=who)
        self._fed = {key: self._places[v].buffer for key, v in loop.inputs.items() if key[0] != "state"}
        self._constants = {label(("constant", v)): contiguous_flat(array) for v, array in loop.constants.items()}
        self._kept = [(key, loop.types[v]) for key, v in loop.outputs.items() if key[0] == "keep"]
        self._layouts: dict[int, Layout] = {}

    def place(self, value: int) -> Any:
        """No value of the step comes from a forward pass but its own."""
        raise KeyError(value)

    def layout(self, steps: int) -> Layout:
        """The layout of a run's tape."""
        if steps not in self._layouts:
            self._layouts[steps] = Layout(self.step, self.taped, steps)
        return self._layouts[steps]

    def run(self, given: Given, tape: Array | None = None) -> Array:
        """Run over all timesteps, and give the tape: the one that is there to be written, or a new one."""
        layout = self.layout(given.steps)
        if tape is None:
            tape = np.empty(layout.length, self._dtype())
        for name, state in zip(self.state_names, given.states, strict=True):
            layout.tracks["state", name].on(tape)[0] = state
        feeds = given.feeds()
        feeds |= self.schedule.once.evaluate(feeds)
        feeds |= for_all_steps(self.schedule.ahead, feeds)
        buffers = layout.buffers(tape) | self._constants
        buffers |= {name: contiguous_flat(feeds[key]) for key, name in self._fed.items()}
        for key, (shape, dtype) in self._kept:
            feeds[key] = np.empty((given.steps, *shape), dtype)
            buffers[label(key)] = feeds[key].reshape(-1)
        self.loop.run(buffers, 0, given.steps)
        self._after(feeds, layout, tape)
        return tape

    def _after(self, feeds: Mapping[Key, Any], layout: Layout, tape: Array) -> None:
        """Named values that nothing in the loop waits for."""
        if self.schedule.after.body:
            for key, result in for_all_steps(self.schedule.after, feeds).items():
                layout.tracks[key].on(tape)[...] = result

    def _dtype(self) -> Any:
        return self.step.types[next(iter(self.taped.values()))].dtype
