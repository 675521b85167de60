"""A compiled cell is the cell: the same values, gradients and traces, in every way a cell can be run."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.marks import slow_unless
from tests.random_cells import BATCH, SIZE, cells
from tests.strategies import FEW
from tests.tinygrad_rnn.compiler.cells import BASIC, CELLS, OPTIONS, OTHERS, Attentive, B, H, N, T, X
from tests.tinygrad_rnn.compiler.checks import BACKENDS, close, loss_of, same
from tinygrad_rnn.compiler import uncompiled

QUICK = [*((kind, "numpy") for kind in CELLS), (tg.cells.get("lstm"), "numba"), (Attentive, "numba")]
"""Machine code takes long to make; the others' is made by ``make test-all``."""


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    ("kind", "backend"), slow_unless(QUICK, itertools.product(CELLS, BACKENDS)), indirect=["backend"]
)
@pytest.mark.filterwarnings("ignore::tinygrad_rnn.CompileWarning")
def test_compiled_equals_eager(kind: Any, options: dict[str, Any], backend: str) -> None:
    cell = kind(N, H, seed=0)
    same(cell, X, tg.compile(cell, backend=backend), **options)


@pytest.mark.parametrize("name", OTHERS)
def test_every_registered_cell_compiled_equals_eager(name: str, backend: str) -> None:
    """In the plainest way and in all ways at once; machine code, which takes long to make, in the latter alone."""
    cell = tg.cells.get(name)(N, H, seed=0)
    for options in (OPTIONS[0], OPTIONS[-1]) if backend == "numpy" else OPTIONS[-1:]:
        same(cell, X, tg.compile(cell, backend=backend), **options)


@pytest.mark.parametrize("shape", [(1, 2, 3, 1), (2, 1, 1, 3)], ids=str)
@pytest.mark.parametrize("name", OTHERS)
def test_every_registered_cell_compiled_equals_eager_for_lengths_of_one(name: str, shape: tuple[int, ...]) -> None:
    test_compiled_equals_eager_for_lengths_of_one(name, shape, "numpy")


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 2, 3, 1), (2, 1, 1, 3), (5, 1, 2, 2)], ids=str)
@pytest.mark.parametrize("name", BASIC)
def test_compiled_equals_eager_for_lengths_of_one(name: str, shape: tuple[int, ...], backend: str) -> None:
    steps, batch, features, hidden = shape
    cell = tg.cells.get(name)(features, hidden, seed=1)
    same(cell, np.random.default_rng(2).normal(size=(steps, batch, features)), tg.compile(cell, backend=backend))


@settings(parent=FEW, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=cells(), seed=st.integers(0, 99), steps=st.integers(1, 4), option=st.sampled_from(range(len(OPTIONS))))
@pytest.mark.filterwarnings("ignore::tinygrad_rnn.CompileWarning")
def test_random_cells_compiled_equal_eager(drawn: tg.Cell, seed: int, steps: int, option: int) -> None:
    options = dict(OPTIONS[option])
    if "lengths" in options:
        options["lengths"] = [steps, max(1, steps - 1)]
    x = np.random.default_rng(seed).normal(size=(steps, BATCH, SIZE)) / 2
    compiled = tg.compile(drawn, backend="numpy")
    if tg.unroll(compiled, x, **options).tape is not None:
        same(drawn, x, compiled, **options)


@pytest.mark.slow
@settings(parent=FEW, max_examples=3, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=cells(), seed=st.integers(0, 99))
@pytest.mark.filterwarnings("ignore::tinygrad_rnn.CompileWarning")
def test_random_cells_give_the_same_in_numba_and_numpy(drawn: tg.Cell, seed: int) -> None:
    pytest.importorskip("numba")
    x = np.random.default_rng(seed).normal(size=(3, BATCH, SIZE)) / 2
    with np.errstate(all="ignore"):
        runs = [tg.unroll(tg.compile(drawn, backend=backend), x) for backend in ("numpy", "numba")]
        found = [tg.grad(loss_of(run, 0), drawn.parameters()) for run in runs]
    close(runs[0].stacked.data, runs[1].stacked.data)
    for left, right in zip(*found, strict=True):
        close(left.data, right.data)


@pytest.mark.parametrize(
    "cell",
    [
        tg.Stacked(tg.cells.LSTMCell(N, H, seed=0), tg.cells.GRUCell(H, 5, seed=1)),
        tg.Bidirectional(tg.cells.LSTMCell(N, H, seed=0), tg.cells.RNNCell(N, 3, seed=1)),
        tg.Stacked(
            tg.Bidirectional(tg.cells.GRUCell(N, H, seed=0), tg.cells.GRUCell(N, 3, seed=1)),
            tg.cells.LSTMCell(7, 2, seed=2),
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("options", [{}, {"lengths": [6, 2, 4]}], ids=str)
def test_stacks_and_directions_compiled_equal_eager(cell: Any, options: dict[str, Any], backend: str) -> None:
    same(cell, X, tg.compile(cell, backend=backend), **options)


def test_layers_may_be_compiled_one_by_one(backend: str) -> None:
    lower, upper = tg.cells.LSTMCell(N, H, seed=0), tg.cells.GRUCell(H, 5, seed=1)
    runs = [
        tg.unroll(cell, X)
        for cell in (
            tg.Stacked(lower, upper),
            tg.Stacked(tg.compile(lower, backend=backend), upper),
            tg.Stacked(lower, tg.compile(upper, backend=backend)),
        )
    ]
    found = [tg.grad(loss_of(run, 3), [*lower.parameters(), *upper.parameters()]) for run in runs]
    for other in found[1:]:
        for left, right in zip(found[0], other, strict=True):
            close(left.data, right.data)


def test_inputs_may_be_computed_and_states_carried_on(backend: str) -> None:
    cell = tg.cells.LSTMCell(N, H, seed=0)
    compiled = tg.compile(cell, backend=backend)
    found = []
    for one in (cell, compiled):
        table, h = (
            tg.tensor(np.ones((5, N)) * 0.3, requires_grad=True),
            tg.tensor(np.full((B, H), 0.2), requires_grad=True),
        )
        embedded = tg.take(table, np.arange(T * B).reshape(T, B) % 5, axis=0)
        first = tg.unroll(one, embedded, (h, np.zeros((B, H))))
        second = tg.unroll(one, [x * 2.0 for x in first.inputs], first.final_state)
        loss = (second.stacked**2).sum() + first.outputs[0].sum()
        found.append(tg.grad(loss, [table, h, *cell.parameters(), first.states[1].c, second.inputs[2]]))
    for left, right in zip(*found, strict=True):
        close(left.data, right.data)


@pytest.mark.parametrize("options", [{}, {"truncate": 2}, {"lengths": [1, 3, 2], "reverse": True}], ids=str)
def test_inputs_given_one_by_one_get_zeros_where_no_path_leads_if_one_leads_to_another(options: dict[str, Any]) -> None:
    cell = tg.cells.RNNCell(N, H, seed=0)
    found = []
    for one in (cell, tg.compile(cell, backend="numpy")):
        rows = [tg.tensor(x, requires_grad=True) for x in X[:4]]
        tg.unroll(one, rows, **options).outputs[2].sum().backward()
        found.append([row.grad for row in rows])
    assert any(left is None for left in found[0]) and any(left is not None for left in found[0])
    for left, right in zip(*found, strict=True):
        close(np.zeros_like(X[0]) if left is None else left, right)


def test_gradients_of_gradients_and_jacobians_go_through(backend: str) -> None:
    cell = tg.cells.GRUCell(N, H, seed=0)
    found = []
    for one in (cell, tg.compile(cell, backend=backend)):
        x = tg.tensor(X[:3], requires_grad=True)
        run = tg.unroll(one, x, truncate=2, lengths=[3, 1, 2])
        first = tg.grad(loss_of(run, 5), [x, *cell.parameters(), run.states[0].h], create_graph=True)
        second = tg.grad(sum((g * g).sum() for g in first), [x, *cell.parameters()])
        found.append([*(g.data for g in (*first, *second)), tg.jacobian(run.outputs[-1], x)])
    for left, right in zip(*found, strict=True):
        close(left, right)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["lstm", "chunker", "narx"])
def test_recorded_gradients_of_padded_states_are_those_that_are_not_recorded(name: str, reverse: bool) -> None:
    cell = tg.cells.get(name)(N, H, seed=0)
    found = []
    for one in (cell, tg.compile(cell, backend="numpy"), tg.compile(cell, backend="numpy", checkpoint=2)):
        run = tg.unroll(one, X, lengths=[3, 6, 4], truncate=4, reverse=reverse)
        keys = sorted(key for key in run.names if key[0] in cell.state_names)
        for recorded in (False, True):
            found.append(tg.grad(loss_of(run, 5), [run.names[key] for key in keys], create_graph=recorded))
    for other in found[1:]:
        for key, left, right in zip(keys, found[0], other, strict=True):
            close(left.data, right.data, str(key))


def test_backward_fills_the_leaves(backend: str) -> None:
    cell = tg.cells.RNNCell(N, H, seed=0)
    tg.unroll(cell, X).stacked.sum().backward()
    expected = [p.grad for p in cell.parameters()]
    for p in cell.parameters():
        p.grad = None
    tg.unroll(tg.compile(cell, backend=backend), X).stacked.sum().backward()
    for left, p in zip(expected, cell.parameters(), strict=True):
        close(left, p.grad)


def test_the_run_is_one_node_and_runs_again_on_other_inputs(backend: str) -> None:
    cell = tg.cells.LSTMCell(N, H, seed=0)
    run = tg.unroll(tg.compile(cell, backend=backend), X)
    graph = tg.Graph(run.outputs[-1].sum())
    assert [node.op for node in graph.nodes if not node.is_leaf] == ["unrolled LSTMCell", "value", "sum"]
    other = X[::-1].copy()
    (x,) = [node for node in graph.nodes if node.name == "x"]
    close(tg.unroll(cell, other).outputs[-1].data.sum(), graph.run({x: other}).data)


def test_training_sees_new_parameters(backend: str) -> None:
    """What was worked out once must not hold on to the numbers."""
    losses = []
    for compiled in (False, True):
        cell = tg.cells.GRUCell(N, H, seed=0)
        one = tg.compile(cell, backend=backend) if compiled else cell
        optimiser = tg.optim.Adam(one.parameters(), lr=0.05)
        for _ in range(4):
            loss = (tg.unroll(one, X).stacked ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        losses.append(loss.item())
    close(*losses)


def test_float32_stays_float32(backend: str) -> None:
    cell = tg.cells.LSTMCell(N, H, seed=0, dtype=np.float32)
    found = []
    for one in (cell, tg.compile(cell, backend=backend)):
        run = tg.unroll(one, X)
        found.append([run.stacked, *tg.grad((run.stacked**2).sum(), cell.parameters())])
    for left, right in zip(*found, strict=True):
        assert right.dtype == np.float32
        np.testing.assert_allclose(right.data, left.data, rtol=2e-5, atol=2e-6)


def test_runs_are_deterministic_and_independent_of_threads(backend: str) -> None:
    cell = tg.cells.LSTMCell(N, H, seed=0)
    compiled = tg.compile(cell, backend=backend)

    def work() -> list[Any]:
        run = tg.unroll(compiled, X)
        return [run.stacked.data, *(g.data for g in tg.grad((run.stacked**2).sum(), cell.parameters()))]

    expected, results = work(), []
    threads = [threading.Thread(target=lambda: results.extend([work() for _ in range(20)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 80
    for found in results:
        for left, right in zip(expected, found, strict=True):
            np.testing.assert_array_equal(left, right)


def test_no_grad_and_anomalies(backend: str) -> None:
    cell = tg.cells.LSTMCell(N, H, seed=0)
    compiled = tg.compile(cell, backend=backend)
    with tg.no_grad():
        run = tg.unroll(compiled, X)
        outputs = run.outputs[-1]
    assert outputs.op is None and not outputs.requires_grad
    bad = X.copy()
    bad[2, 0, 0] = np.nan
    with tg.detect_anomaly(), pytest.raises(tg.AnomalyError, match="timestep 2"):
        tg.unroll(compiled, bad)


def test_what_compile_takes() -> None:
    cell = tg.cells.LSTMCell(N, H, seed=0)
    compiled = tg.compile(cell, backend="numpy")
    assert uncompiled(tg.compile(compiled, backend="numpy")) is cell and repr(compiled) == repr(cell)
    assert compiled.state_dict().keys() == cell.state_dict().keys()
    assert [p is q for p, q in zip(compiled.parameters(), cell.parameters(), strict=True)] == [True] * 4
    compiled.load_state_dict(cell.state_dict())
    assert cell.initialisation == compiled.initialisation == "loaded weights"
    with pytest.raises(TypeError, match="needs a Cell"):
        tg.compile(3)
    with pytest.raises(ValueError, match="backend must be one of numba, numpy"):
        tg.compile(cell, backend="fortran")
    for bad in (0, "half", 2.5, True):
        with pytest.raises(ValueError, match="checkpoint must be"):
            tg.compile(cell, checkpoint=bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="inputs must be"):
        tg.unroll(compiled, X[0])
    with pytest.raises(ValueError, match="state h must have shape"):
        tg.unroll(compiled, X, (np.zeros((B, H + 1)), np.zeros((B, H))))


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "clockwork"])
def test_padded_batches_in_single_precision(name: str, backend: str) -> None:
    cell = tg.cells.get(name)(N, H, dtype=np.float32, seed=0)
    found = []
    for one in (cell, tg.compile(cell, backend=backend)):
        run = tg.unroll(one, X, lengths=[6, 2, 4])
        assert run.stacked.dtype == np.float32
        found.append([run.stacked.data, *(g.data for g in tg.grad((run.stacked**2).sum(), cell.parameters()))])
    for left, right in zip(*found, strict=True):
        assert left.dtype == right.dtype == np.float32
        np.testing.assert_allclose(left, right, rtol=2e-5, atol=2e-6)


def test_what_no_path_leads_to_has_no_gradient() -> None:
    """A parameter with zeros is one that momentum goes on to move; one with None is not."""

    class Two(tg.Cell):
        state_names = ("h", "c")

        def __init__(self) -> None:
            super().__init__(N, H, seed=0)
            self.w, self.u = self.parameter("w", (N, H)), self.parameter("u", (N, H))

        def step(self, x: Any, state: Any) -> Any:
            return tg.tanh(x @ self.w + state.h), tg.tanh(x @ self.u + state.c + state.h)

    cell = Two()
    for one in (cell, tg.compile(cell, backend="numpy")):
        for output, none in (("h", [False, True, False, True]), ("c", [False, False, False, False])):
            starts = [tg.tensor(np.zeros((B, H)), requires_grad=True) for _ in range(2)]
            leaves = [cell.w, cell.u, *starts]
            cell.w.grad = cell.u.grad = None
            getattr(tg.unroll(one, X, tuple(starts)).final_state, output).sum().backward()
            assert [leaf.grad is None for leaf in leaves] == none, (one.is_compiled, output)


def test_named_numbers() -> None:
    class Averaged(tg.Cell):
        def step(self, x: Any, state: Any) -> Any:
            a = tg.named(a=tg.sum(state.h))
            return (tg.tanh(a * state.h + x + 0.1),)

    cell = Averaged(3, 3)
    same(cell, X[:, :, [0, 1, 0]], tg.compile(cell, backend="numpy"))


def test_batches_of_none(backend: str) -> None:
    lstm = tg.cells.LSTMCell(N, H, seed=0)
    run = tg.unroll(tg.compile(lstm, backend=backend), np.zeros((3, 0, N)))
    assert run.stacked.shape == (3, 0, H)
    assert not tg.grad(run.stacked.sum(), lstm.weight_ih)[0].data.any()
