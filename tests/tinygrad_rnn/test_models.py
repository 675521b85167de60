"""Models: shapes, names, teacher forcing against free running, and the papers' numbers of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

RNG = np.random.default_rng(0)


def test_a_readout_at_every_step() -> None:
    model = tg.models.SequenceModel(tg.cells.LSTMCell(2, 4, seed=0), 3, seed=1, output="sigmoid")
    x = RNG.normal(size=(5, 2, 2))
    outputs, run = model(x, lengths=[5, 3])
    weights = model.state_dict()
    expected = 1 / (1 + np.exp(-(run.stacked.data @ weights["readout.weight"].T + weights["readout.bias"])))
    np.testing.assert_allclose(outputs.data, expected, rtol=1e-12)
    assert [name for name, _ in model.named_parameters()][:2] == ["cell.weight_ih", "cell.weight_hh"]
    outputs.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_readout_may_see_the_inputs() -> None:
    model = tg.models.SequenceModel(tg.cells.RNNCell(2, 4, seed=0), 3, seed=1, see_inputs=True)
    x = RNG.normal(size=(5, 2, 2))
    outputs, run = model(x)
    both = np.concatenate([run.stacked.data, x], axis=2)
    np.testing.assert_allclose(outputs.data, model.readout(both).data, rtol=1e-12)


@pytest.mark.parametrize("name", tg.cells.names())
def test_every_cell_stacked_and_in_two_directions(name: str) -> None:
    make = tg.cells.get(name)
    width = make(2, 4).hidden_size
    for cell in (
        tg.Stacked(make(2, 4, seed=0), make(width, 4, seed=1)),
        tg.Bidirectional(make(2, 4, seed=0), make(2, 4, seed=1)),
        tg.Stacked(tg.Bidirectional(make(2, 4, seed=0), make(2, 4, seed=1)), make(2 * width, 4, seed=2)),
    ):
        model = tg.models.SequenceModel(cell, 3, seed=1)
        x = tg.tensor(RNG.normal(size=(4, 2, 2)), requires_grad=True)
        outputs, run = model(x, lengths=[4, 3])
        (outputs * RNG.normal(size=outputs.shape)).sum().backward()
        assert outputs.shape == (4, 2, 3) and run.stacked.shape == (4, 2, cell.hidden_size)
        assert x.grad is not None and np.isfinite(x.grad).all() and (x.grad[:3] != 0).any()


def as_symbols(symbols: Any, size: int) -> Any:
    return np.eye(size)[np.asarray(symbols)]


def test_what_is_generated_is_what_teacher_forcing_finds_likely() -> None:
    rng = np.random.default_rng(0)
    context = rng.normal(size=(2, 3))
    first = as_symbols([0, 3], 5)
    for cell in (
        tg.cells.LSTMCell(5, 6, seed=0),
        tg.Stacked(tg.cells.GRUCell(5, 6, seed=0), tg.cells.SLSTMCell(6, 4, seed=1)),
    ):
        model = tg.models.Generator(cell, 3, seed=0)
        model.readout.weight.data = 50 * rng.normal(size=model.readout.weight.shape)
        model.start.weight.data = 5 * model.start.weight.data
        said = model.generate(context, first, 6)
        fed = np.concatenate([first[None], as_symbols(said[:-1], 5)])
        np.testing.assert_array_equal(np.argmax(model(context, fed).outputs.data, axis=2), said)
        assert len(np.unique(said)) > 1


def test_encoder_and_decoder() -> None:
    model = tg.models.EncoderDecoder(tg.cells.GRUCell(4, 6, seed=0), tg.cells.GRUCell(5, 6, seed=1), seed=0)
    model.readout.weight.data = 5 * RNG.normal(size=model.readout.weight.shape)
    x, first = RNG.normal(size=(7, 2, 4)), as_symbols([0, 3], 5)
    said = model.generate(x, first, 4, lengths=[7, 3])
    fed = np.concatenate([first[None], as_symbols(said[:-1], 5)])
    prediction = model(x, fed, lengths=[7, 3])
    np.testing.assert_array_equal(np.argmax(prediction.outputs.data, axis=2), said)
    prediction.outputs.sum().backward()
    assert all(p.grad is not None for p in model.encoder.parameters())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: tg.models.SequenceModel(3, 1),
            TypeError,
            "SequenceModel: needs a Cell, Stacked or Bidirectional, got int",
        ),
        (
            lambda: tg.models.SequenceModel(tg.cells.RNNCell(1, 1), 1, output="sine"),
            ValueError,
            "one of identity, sigmoid, tanh, softmax, got 'sine'",
        ),
        (
            lambda: tg.models.Generator(tg.Bidirectional(tg.cells.RNNCell(1, 1), tg.cells.RNNCell(1, 1)), 2),
            TypeError,
            "cannot be read backwards",
        ),
        (
            lambda: tg.models.EncoderDecoder(tg.cells.RNNCell(1, 2), tg.cells.LSTMCell(1, 2)),
            ValueError,
            r"states of shapes \[\(1, 2\)\] cannot become states of \[\(1, 2\), \(1, 2\)\]",
        ),
    ],
)
def test_bad_models_are_explained(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# ------------------------------------------------------------------------------- the weight census

BLOCKS = tg.cells.LSTM1997Cell
CENSUS = [
    (
        "2a, one unit, p = 4",
        lambda: tg.models.SequenceModel(tg.cells.RNNCell(5, 1, bias=False), 5, bias=False, see_inputs=True),
        36,
    ),
    (
        "2a, one unit, p = 10",
        lambda: tg.models.SequenceModel(tg.cells.RNNCell(11, 1, bias=False), 11, bias=False, see_inputs=True),
        144,
    ),
    (
        "2a, one unit, p = 100",
        lambda: tg.models.SequenceModel(tg.cells.RNNCell(101, 1, bias=False), 101, bias=False, see_inputs=True),
        10404,
    ),
    (
        "2a, LSTM",
        lambda: tg.models.SequenceModel(
            BLOCKS(
                101, 1, bias=False, output_gate=False, recurrent=False, cell_input="sigmoid", cell_output="identity"
            ),
            101,
            bias=False,
            see_inputs=True,
        ),
        10504,
    ),
    ("1, four blocks of one", lambda: tg.models.SequenceModel(BLOCKS(7, 4, bias="gates"), 7, bias=False), 264),
    (
        "1, three blocks of two",
        lambda: tg.models.SequenceModel(BLOCKS(7, 6, block_size=2, bias="gates"), 7, bias=False),
        276,
    ),
    *[
        (f"2c, p = {p}", lambda p=p: tg.models.SequenceModel(BLOCKS(p + 4, 2, bias=False), 2, bias=False), weights)
        for p, weights in ((50, 364), (100, 664), (200, 1264), (500, 3064), (1000, 6064))
    ],
    ("3, two sequences", lambda: tg.models.SequenceModel(BLOCKS(1, 3), 1, bias=False), 102),
    ("4, adding", lambda: tg.models.SequenceModel(BLOCKS(2, 4, block_size=2), 1), 93),
    ("6a, temporal order", lambda: tg.models.SequenceModel(BLOCKS(8, 4, block_size=2), 4), 156),
    ("6b, temporal order", lambda: tg.models.SequenceModel(BLOCKS(8, 6, block_size=2), 8), 308),
    (
        "Gers 2000",
        lambda: tg.models.SequenceModel(tg.cells.LSTM2000Cell(7, 8, block_size=2, bias="gates"), 7, see_inputs=True),
        424,
    ),
    ("Gers 2002", lambda: tg.models.SequenceModel(tg.cells.PeepholeLSTMCell(1, 1), 1), 17),
]


@pytest.mark.parametrize(("make", "weights"), [case[1:] for case in CENSUS], ids=[case[0] for case in CENSUS])
def test_published_numbers_of_weights(make: Any, weights: int) -> None:
    """Hochreiter & Schmidhuber 1997, tables 1 to 10; Gers et al. 2000 and 2002."""
    assert sum(parameter.size for parameter in make().parameters()) == weights


def test_the_chunkers_number_of_weights() -> None:
    """Table 2: 10,506 = the one-unit network of 2a, and a chunker of one unit above it."""
    below = tg.models.SequenceModel(tg.cells.RNNCell(101, 1, bias=False), 101, bias=False, see_inputs=True)
    above = tg.cells.RNNCell(101, 1, bias=False)
    assert sum(parameter.size for parameter in [*below.parameters(), *above.parameters()]) == 10506
