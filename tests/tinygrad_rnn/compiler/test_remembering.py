"""What a compiled cell remembers from one call to the next changes no number of any."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.random_cells import wide_cells
from tests.tinygrad_rnn.compiler.checks import close
from tests.tinygrad_rnn.compiler.programs import H, N, traced
from tinygrad_rnn.compiler.reach import Reach

pytestmark = pytest.mark.filterwarnings("ignore::tinygrad_rnn.CompileWarning")

CHANGES = ("assign", "in place", "refused", "nothing", "other dtype")


def gradients(run: Any, cell: Any, x: Any, which: str) -> list[Any]:
    """Of a loss by parameters, inputs and a state in the middle."""
    loss = {"last": run.outputs[-1].sum, "all": (run.stacked * run.stacked).sum, "one": run.outputs[0].sum}[which]()
    wanted = [*cell.parameters(), x, run.states[len(run) // 2][0]]
    return [run.stacked.data, *[found.data for found in tg.grad(loss, wanted)]]


@settings(deadline=None)
@given(cell=wide_cells(), data=st.data())
def test_calls_that_follow_each_other_are_each_as_if_alone(cell: Any, data: Any) -> None:
    compiled = tg.compile(cell, backend="numpy")
    rng = np.random.default_rng(0)
    earlier: list[tuple[Any, Any, str, Any]] = []
    for _ in range(5):
        change = data.draw(st.sampled_from(CHANGES))
        for parameter in cell.parameters() if change in ("assign", "in place") else ():
            scaled = parameter.data * 0.9
            if change == "assign":
                parameter.data = scaled
            else:
                earlier.clear()  # their graphs hold the very array
                parameter._data[...] = scaled
        if change == "refused":
            with pytest.raises(ValueError, match="unroll"):
                tg.unroll(compiled, np.ones((2, 1, cell.input_size + 1)))
        steps, batch = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 2))
        kind = np.float32 if change == "other dtype" else np.float64
        x = tg.tensor(rng.normal(size=(steps, batch, cell.input_size)).astype(kind), requires_grad=True)
        options: dict[str, Any] = {"truncate": data.draw(st.sampled_from([None, 2]))}
        if data.draw(st.booleans()):
            options["lengths"] = [data.draw(st.integers(1, steps)) for _ in range(batch)]
        which = data.draw(st.sampled_from(["last", "all", "one"]))
        with np.errstate(all="ignore"):
            expected = gradients(tg.unroll(cell, x, **options), cell, x, which)
            run = tg.unroll(compiled, x, **options)
            earlier.append((run, x, which, expected))
            for before, its_x, its_loss, its_expected in earlier:
                for ours, theirs in zip(gradients(before, cell, its_x, its_loss), its_expected, strict=True):
                    close(ours, theirs)


def test_threads_share_what_is_remembered_and_nothing_else() -> None:
    cell = tg.cells.LSTMCell(N, H, seed=0)
    compiled = tg.compile(cell, backend="numpy")
    inputs = [np.random.default_rng(k).normal(size=(3 + k % 4, 2, N)) for k in range(8)]

    def there_and_back(one: Any, x: Any) -> list[Any]:
        run = tg.unroll(one, x)
        return [g.data for g in tg.grad(run.outputs[-1].sum(), [*cell.parameters(), run.states[0].h])]

    found: dict[int, list[list[Any]]] = {k: [] for k in range(8)}

    def work(k: int) -> None:
        for _ in range(20):
            found[k].append(there_and_back(compiled, inputs[k]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, x in enumerate(inputs):
        expected = there_and_back(cell, x)
        assert len(found[k]) == 20
        for one in found[k]:
            for ours, theirs in zip(one, expected, strict=True):
                close(ours, theirs)


def test_more_lengths_than_are_remembered() -> None:
    cell = tg.cells.RNNCell(N, H, seed=0)
    compiled = tg.compile(cell, backend="numpy")
    for steps in [*range(1, 40), 1, 2]:
        x = np.ones((steps, 1, N))
        run = tg.unroll(compiled, x)
        close(tg.grad(run.outputs[-1].sum(), cell.parameters())[0].data,
              tg.grad(tg.unroll(cell, x).outputs[-1].sum(), cell.parameters())[0].data)  # fmt: skip
    found = compiled.recurrence(x, [np.zeros((1, H))])
    assert found is not None and len(found.forward_loop._layouts) <= 32 and len(found.reach._runs) <= 32


reads = st.lists(st.tuples(st.sampled_from([("state", "h"), ("state", "c")]), st.integers(0, 3), st.integers(1, 2)))


@given(st.lists(reads.map(tuple), min_size=1, max_size=6))
def test_reach_remembers_each_kind_of_run_as_what_it_is(kinds: Any) -> None:
    step = traced(tg.cells.LSTMCell(N, H, seed=0))
    one = Reach(step)
    for read in [*kinds, *kinds]:
        for steps, cut in ((5, 0), (5, 1), (5, 2), (6, 2), (6, 0)):
            assert one(read, steps, cut, None) == Reach(step)(read, steps, cut, None)
