"""The forward loop: from inputs, states and parameters to the tape."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from .feeding import AllSteps, computed_once, contiguous_flat, input_places
from .given import given_to
from .loops import Loop
from .program import Array, Key, Program, label
from .schedule import schedule
from .stages import Output
from .straight import Straight, rows_of
from .tape import Layout, place_on_tape, tracks_on_tape

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

    @cached_property
    def run(self) -> Callable[..., Array]:
        """A run over all timesteps, written out: from what is :class:`Given`, and a tape to write on, if there is one,
        to the tape.
        """
        text = Straight("given, tape=None")
        text.line("operands, mask, cut, before = given")
        text.line("steps = len(operands[0])")
        text.line(f"layout = {text.bind(self._layouts)}.get(steps) or {text.bind(self.layout)}(steps)")
        text.line("slices = layout.slices")
        text.line(f"if tape is None: tape = empty(layout.length, {text.bind(self._dtype)})")
        for k in range(len(self.state_names)):
            text.line(f"tape[layout.starts[{k}]] = operands[{1 + k}].ravel()")
        known = given_to(self.step)
        known |= text.program(self._once, known)
        known |= self._ahead.write(text, known)
        buffers = tracks_on_tape(self.taped)
        buffers |= {name: text.bind(array) for name, array in self._constants.items()}
        buffers |= {name: f"{text.bind(contiguous_flat)}({known[key]})" for name, key in self._fed.items()}
        for key, (shape, dtype) in self._kept:
            known[key] = text.let(f"empty({rows_of(shape)}, {text.bind(dtype)})")
            buffers[label(key)] = f"{known[key]}.ravel()"
        self.loop.write(text, buffers, "steps")
        for key, rows in self._after.write(text, known).items():  # named values that nothing in the loop waits for
            shape = self.step.types[self.taped[key]].shape
            text.line(f"{buffers[label(key)]}.reshape({rows_of(shape)})[...] = {rows}")
        text.line("return tape")
        return text.function()
