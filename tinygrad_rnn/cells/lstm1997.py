"""Long short-term memory in memory blocks: as first published, and with the first forget gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arguments import is_integer, one_of
from ..autodiff.functions import concatenate
from ..autodiff.primitive import Value
from ..autodiff.primitives import reshape, sigmoid, stop_gradient, tanh
from ..autodiff.tensor import named
from ..plurals import counted
from .gated import GatedCell

__all__ = ["SQUASH", "LSTM1997Cell", "LSTM2000Cell"]


def _g(z: Value) -> Value:
    return 4.0 * sigmoid(z) - 2.0


def _h(z: Value) -> Value:
    return 2.0 * sigmoid(z) - 1.0


def _identity(z: Value) -> Value:
    return z


SQUASH: dict[str, Callable[[Value], Value]] = {
    "g": _g,
    "h": _h,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "identity": _identity,
}
"""Squashing functions of a memory cell; g, in (-2, 2), and h, in (-1, 1), are the paper's equations 3 and 4."""


class _BlockCell(GatedCell):
    """Memory cells in blocks, the cells of a block behind one gate of each kind."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        block_size: int = 1,
        bias: bool | str = True,
        cell_input: str = "g",
        cell_output: str = "h",
        truncated: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        who = type(self).__name__
        if not is_integer(block_size) or hidden_size % block_size:
            raise ValueError(f"{who}: block_size must divide {counted(hidden_size, 'memory cell')}, got {block_size!r}")
        if bias not in (True, False, "gates"):
            raise ValueError(f"{who}: bias must be True, False or 'gates', got {bias!r}")
        for role, squash in (("cell_input", cell_input), ("cell_output", cell_output)):
            one_of(who, role, squash, SQUASH)
        self.block_size, self.blocks = int(block_size), hidden_size // int(block_size)
        self.gate_bias, self.cell_bias = bool(bias), bias is True
        self.g, self.h = SQUASH[cell_input], SQUASH[cell_output]
        self.truncated = truncated

    def _gate(self, gate: Value, cells: Value) -> Value:
        """Each block's gate (batch, blocks) times its cells (batch, hidden_size)."""
        if self.block_size == 1:
            return gate * cells
        blocks = (-1, self.blocks, self.block_size)
        product = reshape(gate, (-1, self.blocks, 1)) * reshape(cells, blocks)
        return reshape(product, (-1, self.hidden_size))


class LSTM1997Cell(_BlockCell):
    """LSTM as first published: no forget gate, and gates that feed back into gates and cells.

    ::

        u_t = [h_{t-1}, i_{t-1}, o_{t-1}]                    cells and gates, all of them fed back
        i_t = sigmoid(W_i x_t + R_i u_t + b_i)               input gate, one a block
        o_t = sigmoid(W_o x_t + R_o u_t + b_o)               output gate, one a block
        s_t = s_{t-1} + i_t * g(W_c x_t + R_c u_t + b_c)     internal state: the constant error carousel
        h_t = o_t * h(s_t)                                   cell output
        g(z) = 4 sigmoid(z) - 2,   h(z) = 2 sigmoid(z) - 1

    Hochreiter & Schmidhuber 1997, section 4 and appendix A.1. The self-connection of s has the fixed
    weight 1. Popular retellings leave out that gates are recurrent inputs too; without that the paper's
    numbers of weights do not come out.

    Parameters
    ----------
    input_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    hidden_size : int
        Memory cells in all blocks together.
    block_size : int
        Memory cells of a block, which share its gates; divides hidden_size.
    bias : bool or "gates"
        For all hidden units, none, or gates only, as the paper's experiments choose.
    cell_input, cell_output : {"g", "h", "sigmoid", "tanh", "identity"}
        The squashing functions g and h.
    truncated : bool
        The paper's truncated gradient: errors that reach net inputs of cells and gates change the weights
        there and go no further back, so that ds_t/ds_{t-1} is 1 exactly (equation 35). In the graph
        that is a cut between u_t and the net inputs.
    output_gate, recurrent : bool
        Without them, the one-cell net of the paper's long lag problem 2a.

    Raises
    ------
    ValueError
        If an option is not one of these.
    """

    state_names = ("h", "s", "i", "o")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool | str = True,
        output_gate: bool = True,
        recurrent: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias, **options)
        self.output_gate, self.recurrent = output_gate, recurrent
        if not output_gate:
            self.name_states("h", "s", "i")
        gates = {"i": "input", "o": "output"} if output_gate else {"i": "input"}
        sources = hidden_size + len(gates) * self.blocks if recurrent else 0
        for name, role in gates.items():
            self.declare(name, role, bias=self.gate_bias, rows=self.blocks, sources=sources)
        self.declare("c", "candidate", bias=self.cell_bias, sources=sources)

    def initial_state(self, batch: int) -> Any:
        """Zeros: h and s of shape (batch, hidden_size), gates of shape (batch, blocks)."""
        sizes = (self.hidden_size, self.hidden_size, self.blocks, self.blocks)
        return self.State(
            *[np.zeros((batch, size), self.dtype) for size, _ in zip(sizes, self.state_names, strict=False)]
        )

    def step(self, x: Value, state: Any) -> Any:
        h, s, *gates = state
        u = concatenate([h, *gates], axis=1) if self.recurrent else None
        if self.truncated and u is not None:
            u = stop_gradient(u)
        i = named(i=sigmoid(self.net("i", x, u)))
        g = named(g=self.g(self.net("c", x, u)))
        s = named(s=s + self._gate(i, g))
        if not self.output_gate:
            return named(h=self.h(s)), s, i
        o = named(o=sigmoid(self.net("o", x, u)))
        h = named(h=self._gate(o, self.h(s)))
        return h, s, i, o


class LSTM2000Cell(_BlockCell):
    """LSTM with the first forget gate: the memory of 1997 that can let go.

    ::

        i_t, f_t, o_t = sigmoid(W_. x_t + R_. h_{t-1} + b_.)         gates, one of each a block
        s_t = f_t * s_{t-1} + i_t * g(W_c x_t + R_c h_{t-1} + b_c)
        h_t = o_t * h(s_t)
        g(z) = 4 sigmoid(z) - 2,   h(z) = 2 sigmoid(z) - 1

    Gers, Schmidhuber & Cummins 2000. Gates see the cells' outputs, no longer each other; their biases
    begin positive for forget gates and negative for the others.

    Parameters
    ----------
    input_size, hidden_size, block_size, bias, cell_input, cell_output : see :class:`LSTM1997Cell`
    dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    truncated : bool
        As in 1997: the error flows back along s only, where the forget gate scales it.
    forget_bias : float, optional
        The first value of all forget gates' biases; the paper takes 0.5, 1, 1.5 and 2. With a bias of b a memory
        has halved after ln 2 / ln(1 + exp(-b)) steps.

    Raises
    ------
    ValueError
        If there is a `forget_bias` and no bias.
    """

    state_names = ("h", "s")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool | str = True,
        forget_bias: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias, **options)
        for name, role in (("i", "input"), ("f", "forget"), ("o", "output")):
            self.declare(name, role, bias=self.gate_bias, rows=self.blocks)
        self.declare("c", "candidate", bias=self.cell_bias)
        if forget_bias is not None:
            if not self.gate_bias:
                raise ValueError(f"LSTM2000Cell: forget_bias={forget_bias} needs biases; leave out bias=False")
            self.b_f: Any
            self.b_f.data = np.full(self.blocks, forget_bias, self.dtype)

    def step(self, x: Value, state: Any) -> Any:
        h, s = state
        u = stop_gradient(h) if self.truncated else h
        i, f = named(i=sigmoid(self.net("i", x, u)), f=sigmoid(self.net("f", x, u)))
        g = named(g=self.g(self.net("c", x, u)))
        s = named(s=self._gate(f, s) + self._gate(i, g))
        o = named(o=sigmoid(self.net("o", x, u)))
        h = named(h=self._gate(o, self.h(s)))
        return h, s
