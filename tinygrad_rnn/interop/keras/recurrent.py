"""Recurrent layers: a cell over time, in one direction or both, under a mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...autodiff import functions
from ...autodiff import primitives as p
from ...recurrent.cell import Cell
from ...recurrent.stacks import Bidirectional
from ...recurrent.states import leaves_of, rebuild
from ...recurrent.unroll import Run, unroll
from .cells import KerasCell, StackedCells
from .config import Shape
from .layer import Arguments, Array, Frame, KerasLayer, Signal, register

__all__ = ["Recurrent"]

_CELLS = {"LSTM": "lstm_cell", "GRU": "gru_cell", "SimpleRNN": "simple_rnn_cell", "CuDNNLSTM": "", "CuDNNGRU": ""}
"""How Keras names the cell of a layer; those of cuDNN have none."""


def _inputs_of(layer: KerasLayer, inputs: list[Signal], call: Arguments, states: int) -> tuple[Any, list[Any], Any]:
    """The sequence with time in front, the initial states, and the mask (T, batch) if anything is masked."""
    x = inputs[0].value
    given = [signal.value for signal in (*inputs[1:], *call.signals("initial_state"))]
    if given and len(given) != states:
        layer.config.fail(f"is given {len(given)} initial states, has {states}")
    # Keras 3 hands on no mask to a layer that is called with several tensors
    ignored = bool(given) and layer.config.keras >= (3,) and call.named.get("mask") is None
    mask = None if ignored else inputs[0].mask
    if not layer.config.flag("time_major", False):
        x = p.transpose(x, (1, 0, 2))
        mask = None if mask is None else mask.T
    if mask is not None and mask.shape != x.shape[:2]:
        layer.config.fail(f"has a mask {mask.shape} for {x.shape[0]} timesteps of {x.shape[1]} sequences")
    return x, given, None if mask is None or mask.all() else mask


@register("RNN", *_CELLS)
class Recurrent(KerasLayer):
    """A cell over time."""

    takes = (1, 1_000)
    knows = frozenset({"initial_state"})
    recurrent = True

    def setup(self) -> None:
        self.kind = kind = self.config["class_name"]
        flag = self.config.flag
        self.gives_sequences, self.gives_states = flag("return_sequences", False), flag("return_state", False)
        self.reverse, self.unrolled = flag("go_backwards", False), flag("unroll", False)
        self.zeros = flag("zero_output_for_mask", False)
        self.cell: Any
        if kind == "RNN":
            given = self.config.get("cell")
            given = {"class_name": "StackedRNNCells", "config": {"cells": given}} if isinstance(given, list) else given
            self.cell = self.part("cell", given)
        else:
            options = {k: v for k, v in self.config.items() if k != "class_name"} | {"name": _CELLS[kind]}
            self.cell = self.part("cell", {"class_name": f"{kind}Cell", "config": options})
        if not isinstance(self.cell, (KerasCell, StackedCells)):
            self.config.refuse(f"runs a {self.cell.kind} over time; LSTM, GRU and SimpleRNN cells are supported")

    def build(self, shapes: list[Shape], named: Mapping[str, Any]) -> list[Shape]:
        shape = shapes[0]
        self.rank(shape, 3)
        if self.config.flag("time_major", False):
            shape = (shape[1], shape[0], shape[2])
        self.cell.shape_after((shape[0], shape[2]))
        width, sizes = self.cell.output_size, self.cell.sizes
        given = [*shapes[1:], *named.get("initial_state shapes", [])]
        if given and len(given) != len(sizes):
            self.config.fail(f"is given {len(given)} initial states, has {len(sizes)}")
        for state, size in zip(given, sizes, strict=False):
            if len(state) != 2 or state[1] not in (None, size):
                self.config.fail(f"is given an initial state {state}, must be (batch, {size})")
        self.note = f"{shape[2]} -> {width}{self.options}"
        return self.outputs_for(shape, width, sizes)

    def outputs_for(self, shape: Shape, width: int, sizes: list[int]) -> list[Shape]:
        """The shapes of output and states."""
        output: Shape = (shape[0], width)
        if self.gives_sequences:
            output = (shape[0], shape[1], width)
            output = (shape[1], shape[0], width) if self.config.flag("time_major", False) else output
        return [output, *((shape[0], size) for size in sizes)] if self.gives_states else [output]

    @property
    def options(self) -> str:
        """What is unusual, for the listing."""
        said = [", backwards" * self.reverse, ", every step" * self.gives_sequences]
        if self.config.flag("stateful", False):
            said.append(", stateful: begins at zeros in every call")
        return "".join(said)

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        x, given, mask = _inputs_of(self, inputs, call, len(self.cell.sizes))
        cell = self.cell.cell(frame)
        run = unroll(cell, x, _start(cell, given, x.shape[1]), mask=mask, reverse=self.reverse)
        frame.keep(self.path, run)
        output = self.output(run, mask, bool(given))
        states = [Signal(leaf) for leaf in leaves_of(run.final_state)] if self.gives_states else []
        return [Signal(output, inputs[0].mask if self.gives_sequences else None), *states]

    def output(self, run: Run, mask: Array | None, is_given: bool) -> Any:
        """What Keras gives of a run: every step in the order of processing, or the last one."""
        if mask is None or self.zeros:
            steps = list(run.outputs)
        else:
            steps = [leaves_of(_last(state))[0] for state in run.states]
            if self.unrolled and is_given:  # there nothing is given out before the first step that counts
                order = mask[::-1] if self.reverse else mask
                begun = np.logical_or.accumulate(order, 0)
                begun = begun[::-1] if self.reverse else begun
                steps = [
                    p.where(b[:, None], step, np.zeros((), step.dtype)) for b, step in zip(begun, steps, strict=True)
                ]
        steps = steps[::-1] if self.reverse else steps
        if not self.gives_sequences:
            return steps[-1]
        y = functions.stack(steps, 0)
        return y if self.config.flag("time_major", False) else p.transpose(y, (1, 0, 2))


def _start(cell: Any, given: list[Any], batch: int) -> Any:
    """The initial state out of what was given; None for the cell's own."""
    return rebuild(cell.initial_state(batch), iter(given)) if given else None


def _last(state: Any) -> Any:
    """Of a stack the state of the uppermost cell."""
    return state if hasattr(state, "_fields") else state[-1]


@register("Bidirectional")
class BothDirections(KerasLayer):
    """A layer that reads the sequence forwards, and one that reads it backwards."""

    takes = (1, 1_000)
    knows = frozenset({"initial_state"})
    recurrent = True

    def setup(self) -> None:
        self.merge = self.config.choice("merge_mode", ("concat", "sum", "mul", "ave", None), "concat")
        layer = self.config.get("layer")
        backward = self.config.get("backward_layer")
        if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict):
            self.config.fail("has no layer")
        name = str(layer["config"].get("name", "layer"))
        bare = name.removeprefix("forward_")
        first = {**layer, "config": {**layer["config"], "name": f"forward_{bare}"}}
        if backward is None:
            turned = not bool(layer["config"].get("go_backwards", False))
            backward = {**layer, "config": {**layer["config"], "name": f"backward_{bare}", "go_backwards": turned}}
        layers = [self.part("forward_layer", first), self.part("backward_layer", backward)]
        for part in layers:
            if not isinstance(part, Recurrent):
                self.config.refuse(f"reads a {part.kind} in both directions; recurrent layers are supported")
        self.directions = [part for part in layers if isinstance(part, Recurrent)]
        one, two = self.directions
        if one.reverse == two.reverse:
            self.config.fail("reads both layers in the same direction")
        if (one.gives_sequences, one.gives_states) != (two.gives_sequences, two.gives_states):
            self.config.fail("has layers that give out different things")
        for part in self.directions:
            part.zeros = part.gives_sequences

    def build(self, shapes: list[Shape], named: Mapping[str, Any]) -> list[Shape]:
        states = [*shapes[1:], *named.get("initial_state shapes", [])]
        half = len(states) // 2
        one, two = (
            part.build([shapes[0], *some], {})
            for part, some in zip(self.directions, (states[:half], states[half:]), strict=True)
        )
        widths = [one[0][-1], two[0][-1]]
        if self.merge not in ("concat", None) and widths[0] != widths[1]:
            self.config.fail(f"merges outputs of {widths[0]} and {widths[1]} features by {self.merge}")
        merged = self.merge or "apart"
        self.note = (
            f"{shapes[0][-1]} -> {widths[0]} + {widths[1]}, both directions, {merged}{self.directions[0].options}"
        )
        outputs = [one[0], two[0]] if self.merge is None else [one[0]]
        if self.merge == "concat":
            outputs = [(*one[0][:-1], (widths[0] or 0) + (widths[1] or 0))]
        return [*outputs, *one[1:], *two[1:]]

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        one, two = self.directions
        sizes = [len(part.cell.sizes) for part in self.directions]
        x, given, mask = _inputs_of(self, inputs, call, sum(sizes))
        states = [given[: len(given) // 2], given[len(given) // 2 :]]
        cells = [part.cell.cell(frame) for part in self.directions]
        starts = [_start(cell, some, x.shape[1]) for cell, some in zip(cells, states, strict=True)]
        if two.reverse and all(isinstance(cell, Cell) for cell in cells):
            both = Bidirectional(*cells)
            start = None if not given else tuple(starts)
            run = unroll(both, x, start, mask=mask)
            frame.keep(self.path, run)
            runs = list(run.children.values())
        else:
            run, runs = None, [
                unroll(cell, x, start, mask=mask, reverse=part.reverse)
                for cell, start, part in zip(cells, starts, self.directions, strict=True)
            ]  # fmt: skip
            for part, found in zip(self.directions, runs, strict=True):
                frame.keep(part.path, found)
        outputs = [part.output(found, mask, bool(given)) for part, found in zip(self.directions, runs, strict=True)]
        if one.gives_sequences:
            outputs[1] = p.flip(outputs[1], 1)
        if run is not None and one.gives_sequences and self.merge == "concat":
            merged = [p.transpose(run.stacked, (1, 0, 2))]
        else:
            merged = self._merged(*outputs)
        after = [Signal(leaf) for found in runs for leaf in leaves_of(found.final_state)] if one.gives_states else []
        return [*(Signal(y, inputs[0].mask if one.gives_sequences else None) for y in merged), *after]

    def _merged(self, one: Any, two: Any) -> list[Any]:
        if self.merge is None:
            return [one, two]
        if self.merge == "concat":
            return [functions.concatenate([one, two], -1)]
        if self.merge == "mul":
            return [p.multiply(one, two)]
        y = p.add(one, two)
        return [p.multiply(0.5, y) if self.merge == "ave" else y]


@register("TimeDistributed")
class TimeDistributed(KerasLayer):
    """A layer on every timestep by itself."""

    keeps_mask = True
    takes_integers = True

    def setup(self) -> None:
        self.layer = self.part("layer", self.config.get("layer"))

    @property
    def recurrent(self) -> bool:  # type: ignore[override]
        """Whether the layer inside is."""
        return self.layer.recurrent

    def build(self, shapes: list[Shape], named: Mapping[str, Any]) -> list[Shape]:
        shape = shapes[0]
        if len(shape) < 3:
            self.config.fail(f"has an input of {len(shape)} axes, needs 3 or more")
        inside = self.layer.built([(None, *shape[2:])], {})
        if len(inside) != 1:
            self.config.refuse("has a layer with several outputs")
        self.note = f"{self.layer.kind} {self.layer.note}".strip()
        return [(shape[0], shape[1], *inside[0][1:])]

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        x, mask = inputs[0]
        batch, steps = x.shape[:2]
        inner = None if mask is None or mask.ndim < 3 else mask.reshape(batch * steps, *mask.shape[2:])
        folded = p.reshape(x, (batch * steps, *x.shape[2:]))
        y = self.layer.called(frame, [Signal(folded, inner)], Arguments({}))[0].value
        return [Signal(p.reshape(y, (batch, steps, *y.shape[1:])), mask)]
