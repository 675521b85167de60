"""What everything in one timestep is called in its equations."""

from __future__ import annotations

import itertools
import string
from typing import Any

from tinygrad_rnn import Node, Tensor

from ..steps.source import Source
from .expression import Expression, Symbol, number
from .names import spelt

__all__ = ["Symbols"]

_SPARE = "abdeuvwqsyzpmgrjncklfio" + string.ascii_uppercase
"""Letters for values without a name, those first that are least likely to be read as something else."""


class Symbols:
    """The symbols of states, inputs, named values, parameters and constants.

    Attributes
    ----------
    nodes : list of Node
        What the timestep computes, and names that it gives to what enters.
    computed : set of int
        Those that it computes, by index.
    by_node : dict of int to Symbol
        By index of the node.
    numbers : dict of int to Expression
        Constants that are written as a number.
    is_data : dict of int to bool
        Whether there is one value for each sequence.
    aliases : list of (Symbol, int)
        Further names of values that have one.
    before, after : dict of str to Symbol
        The states that enter, and those that leave.
    taken : set of str
        The letters in use.
    """

    def __init__(self, source: Source, t: int) -> None:
        self.source, self.graph, self.run, self.t = source, source.graph, source.run, t
        self.nodes = [node for node in source.nodes[t] if not node.is_leaf]
        self.batch = self.run.outputs[t].shape[0]
        self.by_node: dict[int, Symbol] = {}
        self.numbers: dict[int, Expression] = {}
        self.is_data: dict[int, bool] = {}
        self.aliases: list[tuple[Symbol, int]] = []
        self.before: dict[str, Symbol] = {}
        self.after: dict[str, Symbol] = {}
        self.taken: set[str] = set()
        self.spelt: set[tuple[Any, int | None, int]] = set()
        self.constants: dict[tuple[Any, ...], Symbol] = {}
        self.ports = self._name_ports()
        self._name_values()
        self.computed = {node.index for node in self.nodes} - self.ports
        self._name_leaves()

    def fresh(self, time: int | None) -> Symbol:
        """A letter that nothing else is called."""
        numbered = (f"a{k}" for k in itertools.count(1))
        name = next(n for n in itertools.chain(_SPARE, numbered) if n not in self.taken)
        self.taken.add(name)
        return Symbol(name, time)

    def _claim(self, name: str, time: int | None) -> Symbol:
        """A symbol that is written like no other."""
        key = spelt(name, time is not None) or name
        primes = next(k for k in itertools.count() if (key, time, k) not in self.spelt)
        self.spelt.add((key, time, primes))
        self.taken.add(key[0] if isinstance(key, tuple) else key)
        return Symbol(name, time, primes)

    def _name_ports(self) -> set[int]:
        before = self.source.states_before(self.t)
        self.before = {name: self._claim(name, 1 if self.run.reverse else -1) for name in before}
        for name, value in before.items():
            self._port(value, self.before[name])
        self._port(self.run.inputs[self.t], self._claim("x", 0))
        return set(self.by_node)

    def _port(self, value: Tensor, symbol: Symbol) -> None:
        if value in self.graph:
            index = self.graph.find(value).index
            self.by_node[index] = symbol
            self.is_data[index] = True

    def _name_values(self) -> None:
        """Every name of the run at this timestep; a value with several names is defined once and then named again."""
        named = [(name, value) for (name, s), value in self.run.names.items() if s == self.t]
        named = [(name, value) for name, value in named if name != "x" or value.id != self.run.inputs[self.t].id]
        states = self.run.states[self.t]._asdict()
        in_step = {node.index for node in self.nodes}
        self.after = {name: self._claim(name, 0) for name in states}
        for name, value in named:
            index = self.graph.find(value).index
            symbol = self.after[name] if name in states else self._claim(name, 0)
            if index in self.by_node or index not in in_step:
                self.aliases.append((symbol, index))
            else:
                self.by_node[index] = symbol
        for node in self.nodes:
            if node.index not in self.by_node and node.name is not None:
                self.by_node[node.index] = self._claim(node.name, 0)
        output = self.graph.find(self.run.outputs[self.t]).index
        if output not in self.by_node and output in in_step:
            self.by_node[output] = self._claim("out", 0)

    def _name_leaves(self) -> None:
        """Parameters, constants, and what comes from other timesteps or from outside."""
        read = {k for node in self.nodes if node.index in self.computed for k in node.inputs} | {
            index for _, index in self.aliases
        }
        for index in sorted(read - self.computed - set(self.by_node)):
            node = self.graph.nodes[index]
            if node.op == "constant":
                self.is_data[index] = False
                self._name_constant(node)
                continue
            time = None if node.timestep is None or node.op == "parameter" else node.timestep - self.t
            self.by_node[index] = self._claim(node.name or node.op, time)
            self.is_data[index] = node.op != "parameter" and len(node.shape) > 1 and node.shape[0] == self.batch

    def _name_constant(self, node: Node) -> None:
        """A literal if all elements are the same, otherwise a symbol; the same values have the same one."""
        mask = node.value.dtype.kind == "b"
        if node.value.size and not mask and (node.value == node.value.flat[0]).all():
            self.numbers[node.index] = number(node.value.flat[0])
            return
        key = (node.shape, node.value.dtype.str, node.value.tobytes())
        if key not in self.constants:
            self.constants[key] = self._claim("mask", 0) if mask else self._claim(f"k_{len(self.constants) + 1}", None)
        self.by_node[node.index] = self.constants[key]
