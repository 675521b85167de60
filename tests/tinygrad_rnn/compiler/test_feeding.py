"""What goes into loops: a program for all timesteps at once, and what need not be computed beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.compiler.cells import CELLS
from tests.tinygrad_rnn.compiler.checks import close
from tests.tinygrad_rnn.compiler.programs import B, H, N, feeds, traced, written
from tinygrad_rnn.compiler.adjoint import derive_adjoint
from tinygrad_rnn.compiler.feeding import AllSteps, computed_once, input_places
from tinygrad_rnn.compiler.passes import BACKWARD, FORWARD, optimise
from tinygrad_rnn.compiler.program import Program
from tinygrad_rnn.compiler.schedule import schedule
from tinygrad_rnn.compiler.straight import Straight

T = 3


def written_out(write: Callable[..., dict[Any, str]], given: dict[Any, Any]) -> dict[Any, Any]:
    """What a text of a program, or of one for all timesteps, gives."""
    text = Straight("given")
    found = write(text, {key: text.let(f"given[{k}]") for k, key in enumerate(given)})
    text.line(f"return [{', '.join(found.values())}]")
    return dict(zip(found, text.function()(list(given.values())), strict=True))


def for_all_steps(program: Program) -> AllSteps:
    """That gives what the program gives step by step."""
    steps = [feeds(program, seed) for seed in range(T)]
    fixed = {key: value for key, value in steps[0].items() if key[0] in ("once", "operand")}
    moving = {key: np.stack([step[key] for step in steps]) for key in program.inputs if key not in fixed}
    every = AllSteps(program)
    with np.errstate(all="ignore"):
        found = written_out(every.write, fixed | moving)
        alone = [program.evaluate({**step, **fixed}) for step in steps]
    for key, rows in found.items():
        close(rows, np.stack([one[key] for one in alone]), str(key))
    return every


@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_a_program_written_out_gives_bit_for_bit_what_its_operations_give(kind: Any) -> None:
    step = optimise(traced(kind(N, H, seed=0)), FORWARD)
    for program in (step, optimise(derive_adjoint(step), BACKWARD)):
        given = feeds(program)
        with np.errstate(all="ignore"):
            expected = program.evaluate(given)
            found = written_out(lambda text, known, program=program: text.program(program, known), given)
        assert list(found) == list(expected)
        for key, value in found.items():
            np.testing.assert_array_equal(value, expected[key], str(key))


@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_all_steps_at_once_are_the_steps_one_by_one(kind: Any) -> None:
    step = optimise(traced(kind(N, H, seed=0)), FORWARD)
    for part in (step, optimise(derive_adjoint(step), BACKWARD)):
        for which in (schedule(part).ahead, schedule(part).after):
            if any(key[0] not in ("once", "operand") for key in which.inputs):
                for_all_steps(which)


@pytest.mark.parametrize(
    ("make", "shapes", "lifted"),
    [
        (lambda x, w: tg.tanh(x @ w) * 2.0 + 1.0, [(B, N), (N, H)], True),
        (lambda x, w: (x @ w.T) @ w, [(B, N), (H, N)], True),
        (lambda x, b: tg.where(x > 0, x, b) + tg.exp(b), [(B, N), (N,)], True),
        (lambda x, b: x + b, [(N,), (B, N)], False),
        (lambda x, y, w: (x + y) @ w, [(B, N), (N,), (N, H)], False),
        (lambda x, y, w: x @ y + w, [(B, N), (N, H), (B, H)], False),
        (lambda x, w: w @ x, [(N, H), (B, N)], False),
        (lambda x, w: x[:, :1] * w, [(B, N), (N,)], False),
        (lambda x, w: x @ w, [(B, 0), (0, H)], False),
        (lambda x, w: x @ w, [(0, N), (N, H)], False),
    ],
    ids=range(10),
)
def test_only_what_takes_whole_sequences_as_it_takes_a_step_is_run_on_them(
    make: Any, shapes: Any, lifted: bool
) -> None:
    assert (for_all_steps(written(make, *shapes, weights=1))._lifted is not None) == lifted


def test_the_biases_of_gates_are_read_where_they_lie() -> None:
    parts = schedule(optimise(traced(tg.cells.LSTMCell(N, H, seed=0)), FORWARD))
    assert {step.op.name for step in parts.once.body} == {"transpose", "getitem"}
    assert [step.op.name for step in computed_once(parts).body] == ["transpose", "transpose"]
    places, _, fed = input_places(parts, lambda value: None)  # type: ignore[arg-type, return-value]
    buffers = {name for name, key in fed.items() if key[0] == "operand"}
    biases = [places[value] for value in parts.loop.inputs.values() if places[value].buffer in buffers]
    assert sorted((place.offset, place.shape) for place in biases) == [(k * H, (H,)) for k in range(4) for _ in "xh"]
