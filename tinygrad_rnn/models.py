"""Whole networks around a cell: a readout at every step, a vector told as a sequence, a sequence turned into
another.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .arguments import one_of
from .autodiff import primitives as p
from .autodiff.functions import concatenate, linear, softmax
from .autodiff.primitive import Value
from .autodiff.scope import no_grad, scope
from .autodiff.tensor import Tensor
from .recurrent.cell import Cell, Parametrised
from .recurrent.init import Init, uniform
from .recurrent.lazy import stacked
from .recurrent.stacks import Bidirectional, Stacked
from .recurrent.states import leaves_of, rebuild
from .recurrent.unroll import Run, unroll

Array = npt.NDArray[Any]
Layer = Cell | Stacked | Bidirectional

__all__ = ["EncoderDecoder", "Generator", "Linear", "Prediction", "SequenceModel"]

OUTPUTS: dict[str, Callable[[Value], Value]] = {
    "identity": lambda z: z,
    "sigmoid": p.sigmoid,
    "tanh": p.tanh,
    "softmax": softmax,
}


class Prediction(NamedTuple):
    """What a model says of a batch.

    Attributes
    ----------
    outputs : Tensor (T, batch, output_size)
    run : Run
        The unrolled cell behind them, to draw and to trace.
    """

    outputs: Tensor
    run: Run


class Linear(Parametrised):
    """The affine map ``x @ weight.T + bias`` on the last axis.

    Parameters
    ----------
    input_size, output_size : int
    bias : bool
    dtype : dtype
    seed : int or Generator, optional
    init : function (shape, rng) -> array, optional
        Uniform in ±1/sqrt(input_size) when omitted, as ``torch.nn.Linear`` begins.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        bias: bool = True,
        dtype: Any = np.float64,
        seed: int | np.random.Generator | None = None,
        init: Init | None = None,
    ) -> None:
        rng = np.random.default_rng(seed)
        fill = uniform(1.0 / np.sqrt(input_size)) if init is None else init
        self.input_size, self.output_size = input_size, output_size
        self.weight = Tensor(np.array(fill((output_size, input_size), rng), dtype=dtype), True, "weight")
        self.bias = Tensor(np.array(fill((output_size,), rng), dtype=dtype), True, "bias") if bias else None

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        yield "weight", self.weight
        if self.bias is not None:
            yield "bias", self.bias

    def __call__(self, x: Value) -> Value:
        """``x @ weight.T + bias`` for x of shape (..., input_size)."""
        return linear(x, self.weight, self.bias)


class _Model(Parametrised):
    """Parts by name; their parameters are called ``part.parameter``."""

    parts: dict[str, Parametrised]

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        for part, inside in self.parts.items():
            for name, parameter in inside.named_parameters():
                yield f"{part}.{name}", parameter

    def _after_load(self) -> None:
        for part in self.parts.values():
            part._after_load()


class SequenceModel(_Model):
    """A cell with a readout at every timestep: sequence to sequence step by step, or to its last output.

    Parameters
    ----------
    cell : Cell, Stacked or Bidirectional
        A compiled one too.
    output_size : int
    output : {"identity", "sigmoid", "tanh", "softmax"}
        Nonlinearity of the outputs; the losses of :mod:`tinygrad_rnn.losses` take ``"identity"``.
    bias : bool
        Of the readout.
    see_inputs : bool
        Whether the readout sees the input of its timestep beside the hidden state.
    seed, init
        Of the readout, see :class:`Linear`.

    Raises
    ------
    TypeError
        If `cell` is no cell.
    ValueError
        If `output` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> model = tg.models.SequenceModel(tg.cells.LSTMCell(2, 8, seed=0), 1, seed=0)
    >>> model(np.zeros((5, 3, 2))).outputs.shape
    (5, 3, 1)
    """

    def __init__(
        self,
        cell: Layer,
        output_size: int,
        *,
        output: str = "identity",
        bias: bool = True,
        see_inputs: bool = False,
        seed: int | np.random.Generator | None = None,
        init: Init | None = None,
    ) -> None:
        _check(type(self).__name__, cell, output)
        self.cell, self.output, self.see_inputs = cell, output, see_inputs
        width = cell.hidden_size + (cell.input_size if see_inputs else 0)
        self.readout = Linear(width, output_size, bias=bias, dtype=cell.dtype, seed=seed, init=init)
        self.parts = {"cell": cell, "readout": self.readout}

    def __call__(
        self, inputs: Any, lengths: Any = None, *, state: Any = None, truncate: int | None = None
    ) -> Prediction:
        """Run over inputs (T, batch, input_size); lengths, state and truncate as for :func:`unroll`."""
        run = unroll(self.cell, inputs, state, lengths=lengths, truncate=truncate)
        hidden = run.stacked
        if self.see_inputs:
            hidden = concatenate([hidden, stacked(run.inputs)], axis=2)
        with scope("readout"):
            return Prediction(OUTPUTS[self.output](self.readout(hidden)), run)

    def __repr__(self) -> str:
        return f"SequenceModel({self.cell!r}, {self.readout.output_size})"


class Generator(_Model):
    """A vector told as a sequence, as in captioning: it becomes the first state, and each output the next input.

    Parameters
    ----------
    cell : Cell or Stacked
        Its input size is the number of output features.
    context_size : int
        Features of the vector.
    seed : int, optional

    Raises
    ------
    TypeError
        If `cell` is no cell, or reads in both directions.
    """

    def __init__(self, cell: Cell | Stacked, context_size: int, *, seed: int | None = None) -> None:
        _check("Generator", cell, "identity")
        if isinstance(cell, Bidirectional):
            raise TypeError("Generator: what is not written yet cannot be read backwards; give a Cell or Stacked")
        rng = np.random.default_rng(seed)
        self.cell, self.output_size = cell, cell.input_size
        self.start = Linear(context_size, _width(cell.initial_state(1)), dtype=cell.dtype, seed=rng)
        self.readout = Linear(cell.hidden_size, cell.input_size, dtype=cell.dtype, seed=rng)
        self.parts = {"start": self.start, "cell": cell, "readout": self.readout}

    def __call__(self, context: Value, inputs: Any, lengths: Any = None) -> Prediction:
        """With teacher forcing: what follows each of the inputs (T, batch, output_size), given context (batch,
        features).

        Williams & Zipser 1989: the right symbols are fed in, whatever the network said.
        """
        with scope("start"):
            state = _fill(self.cell.initial_state(len(context)), self.start(context))
        run = unroll(self.cell, inputs, state, lengths=lengths)
        with scope("readout"):
            return Prediction(self.readout(run.stacked), run)

    def generate(self, context: Value, first: Array, steps: int) -> Array:
        """Free running: each step reads the one-hot symbol that the step before found most likely.

        Parameters
        ----------
        context : (batch, features)
        first : (batch, output_size)
            The input of the first step.
        steps : int

        Returns
        -------
        (steps, batch) of int
            The symbols.
        """
        with no_grad():
            state = _fill(self.cell.initial_state(len(context)), self.start(context))
            return _decode(self.cell, self.readout, state, first, steps)


class EncoderDecoder(_Model):
    """One sequence turned into another of another length: the encoder's last state is the decoder's first.

    Cho et al. 2014; Sutskever, Vinyals & Le 2014.

    Parameters
    ----------
    encoder, decoder : Cell or Stacked
        With states of the same shapes; the decoder's input size is the number of output features.
    seed : int, optional

    Raises
    ------
    ValueError
        If the states do not fit.
    """

    def __init__(self, encoder: Cell | Stacked, decoder: Cell | Stacked, *, seed: int | None = None) -> None:
        for cell in (encoder, decoder):
            _check("EncoderDecoder", cell, "identity")
        shapes = [[np.shape(leaf) for leaf in leaves_of(cell.initial_state(1))] for cell in (encoder, decoder)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"EncoderDecoder: states of shapes {shapes[0]} cannot become states of {shapes[1]}")
        self.encoder, self.decoder = encoder, decoder
        self.readout = Linear(decoder.hidden_size, decoder.input_size, dtype=decoder.dtype, seed=seed)
        self.parts = {"encoder": encoder, "decoder": decoder, "readout": self.readout}

    def encode(self, inputs: Any, lengths: Any = None) -> Run:
        """The encoder's run over inputs (T, batch, input_size)."""
        with scope("encoder"):
            return unroll(self.encoder, inputs, lengths=lengths)

    def __call__(self, inputs: Any, targets: Any, lengths: Any = None) -> Prediction:
        """With teacher forcing: what follows each of the targets (T', batch, output_size); the run is the decoder's."""
        return self.decode(self.encode(inputs, lengths), targets)

    def decode(self, encoded: Run, targets: Any) -> Prediction:
        """The second half of a call: ``(encoded, prediction.run)`` can be drawn side by side."""
        with scope("decoder"):
            run = unroll(self.decoder, targets, encoded.final_state)
        with scope("readout"):
            return Prediction(self.readout(run.stacked), run)

    def generate(self, inputs: Any, first: Array, steps: int, lengths: Any = None) -> Array:
        """Free running, see :meth:`Generator.generate`."""
        with no_grad():
            return _decode(self.decoder, self.readout, self.encode(inputs, lengths).final_state, first, steps)


def _decode(cell: Any, readout: Linear, state: Any, first: Array, steps: int) -> Array:
    symbols = []
    x = np.asarray(first, dtype=cell.dtype)
    for _ in range(steps):
        run = unroll(cell, x[None], state)
        symbols.append(np.argmax(readout(run.outputs[-1]).data, axis=1))
        x, state = np.eye(cell.input_size, dtype=cell.dtype)[symbols[-1]], run.final_state
    return np.stack(symbols)


def _width(state: Any) -> int:
    return sum(_size(leaf) for leaf in leaves_of(state))


def _fill(like: Any, values: Value) -> Any:
    """A state shaped like `like` out of the columns of `values` (batch, all features)."""
    leaves = leaves_of(like)
    ends = list(itertools.accumulate(map(_size, leaves)))
    columns = zip([0, *ends], ends, strict=False)
    return rebuild(like, (values[:, a:b].reshape(leaf.shape) for leaf, (a, b) in zip(leaves, columns, strict=True)))


def _size(leaf: Any) -> int:
    """Features of a state (batch, ...)."""
    return int(np.prod(leaf.shape[1:], dtype=int))


def _check(who: str, cell: Any, output: str) -> None:
    if not isinstance(cell, (Cell, Stacked, Bidirectional)):
        raise TypeError(f"{who}: needs a Cell, Stacked or Bidirectional, got {type(cell).__name__}")
    one_of(who, "output", output, OUTPUTS)
