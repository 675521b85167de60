"""Cells as functions of JAX: values, states and all gradients are ours, under jit, vmap and sharding."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import tinygrad_rnn as tg
from tests.marks import slow_unless
from tests.random_cells import cells
from tinygrad_rnn.recurrent.states import leaves_of, rebuild

from ..taken_out import OPTIONS, Draws, Edges, H, Looks, N, Nested, network


@pytest.fixture(scope="module")
def jax() -> Iterator[Any]:
    found = pytest.importorskip("jax", reason="JAX is not installed: pip install jax")
    before = found.config.jax_enable_x64
    found.config.update("jax_enable_x64", True)
    yield found
    found.config.update("jax_enable_x64", before)


def check(jax: Any, cell: Any, batch: int = 2, steps: int = 4, start: bool = False) -> None:
    """Outputs, final states and all gradients of the function are those of the cell."""
    apply, params = tg.to_jax(cell)
    rng = np.random.default_rng(batch + steps)
    x = rng.normal(size=(steps, batch, cell.input_size))
    like = cell.initial_state(batch)
    with tg.no_grad():
        given = [np.asarray(leaf) + rng.normal(size=leaf.shape) for leaf in leaves_of((like,))] if start else []
    ours_x, ours_start = tg.tensor(x, requires_grad=True), [tg.tensor(value, requires_grad=True) for value in given]
    with np.errstate(all="ignore"):
        run = tg.unroll(cell, ours_x, rebuild((like,), iter(ours_start))[0] if start else None)
        ours = [run.stacked, *leaves_of((run.final_state,))]
        weights = [rng.normal(size=value.shape) for value in ours]
        loss = sum(tg.sum(v * w) for v, w in zip(ours, weights, strict=True))
        named = dict(cell.named_parameters())
        learned = [name for name, parameter in named.items() if parameter.requires_grad]
        gradients = tg.grad(loss, [ours_x, *ours_start, *(named[name] for name in learned)])

    def total(params: Any, x: Any, given: Any) -> Any:
        outputs, state = apply(params, x, rebuild((like,), iter(given))[0] if start else None)
        theirs = [outputs, *leaves_of((state,))]
        return sum((v * w).sum() for v, w in zip(theirs, weights, strict=True)), theirs

    (_, theirs), (of_params, of_x, of_start) = jax.jit(jax.value_and_grad(total, (0, 1, 2), has_aux=True))(
        params, x, given
    )
    assert list(params) == list(named)
    assert all(not np.any(of_params[name]) for name in named if name not in learned)
    found = [of_x, *of_start, *(of_params[name] for name in learned)]
    for own, their in zip([*ours, *gradients], [*theirs, *found], strict=True):
        scale = max(1.0, float(np.abs(np.nan_to_num(own.data)).max(initial=0.0)))
        np.testing.assert_allclose(np.asarray(their) / scale, own.data / scale, rtol=0.0, atol=1e-10)


@pytest.mark.parametrize("name", slow_unless(("lstm", "clockwork", "lru"), tg.cells.names()))
def test_every_cell(jax: Any, name: str) -> None:
    check(jax, tg.cells.get(name)(N, H, seed=0), start=name not in ("clockwork", "slstm"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_options(jax: Any, name: str, options: dict[str, Any]) -> None:
    check(jax, tg.cells.get(name)(N, H, seed=0, **options), batch=1, steps=2)


def test_stacks_directions_and_cells_of_ones_own(jax: Any) -> None:
    check(jax, network(), start=True)
    check(jax, Nested(), batch=3)


@pytest.mark.slow
def test_compiled_cells_kinks_types_and_odd_sizes(jax: Any) -> None:
    check(jax, tg.Stacked(tg.compile(tg.cells.GRUCell(N, H, seed=0), backend="numpy")), batch=1)
    check(jax, Nested(), start=True)
    check(jax, Edges(), batch=1)
    check(jax, Edges(), batch=3)


@pytest.mark.slow
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cell=cells())
def test_random_cells(jax: Any, cell: tg.Cell) -> None:
    with np.errstate(all="ignore"):
        if not np.isfinite(tg.unroll(cell, np.ones((3, 2, N))).stacked.data).all():
            return
    try:
        check(jax, cell, steps=2)
    except tg.UnsupportedError as error:  # numbers that overflow at once are compared, too, and no two agree on them
        assert "gives other numbers" in str(error)


def test_one_function_maps_over_sequences_and_over_weights(jax: Any) -> None:
    apply, params = tg.to_jax(tg.cells.GRUCell(N, H, seed=0))
    x = np.random.default_rng(0).normal(size=(5, 4, 2, N))
    many, _ = jax.vmap(apply, (None, 1))(params, x)
    for k in range(4):
        np.testing.assert_allclose(many[k], apply(params, x[:, k])[0], atol=1e-12)
    twice = {name: jax.numpy.stack([value, 2 * value]) for name, value in params.items()}
    both, _ = jax.vmap(apply, (0, None))(twice, x[:, 0])
    np.testing.assert_allclose(
        both[1], apply({name: 2 * value for name, value in params.items()}, x[:, 0])[0], atol=1e-12
    )


def test_it_runs_in_the_precision_of_its_parameters(jax: Any) -> None:
    cell = tg.cells.LSTMCell(N, H, seed=0)
    apply, params = tg.to_jax(cell)
    for kind in ("float32", "bfloat16"):
        narrow = {name: value.astype(kind) for name, value in params.items()}
        outputs, state = apply(narrow, jax.numpy.ones((3, 2, N), kind))
        assert {str(value.dtype) for value in (outputs, *state)} == {kind}


def test_weights_go_back(jax: Any) -> None:
    cell, other = network(), network()
    _, params = tg.to_jax(cell)
    other.load_state_dict({name: 1.5 * value for name, value in params.items()})
    for name, value in other.state_dict().items():
        np.testing.assert_allclose(value, 1.5 * cell.state_dict()[name])


def test_what_cannot_go_is_refused_by_name(jax: Any) -> None:
    with pytest.raises(tg.UnsupportedError, match="to_jax: Looks"):
        tg.to_jax(Looks(N, H))
    with pytest.raises(tg.UnsupportedError, match="random numbers"):
        tg.to_jax(Draws(N, H))
    with pytest.raises(tg.UnsupportedError, match="one of its members"):
        tg.to_jax(tg.compile([tg.cells.RNNCell(N, H), tg.cells.RNNCell(N, H)], backend="numpy"))
    with pytest.raises(TypeError, match="must be a Cell"):
        tg.to_jax(3)  # type: ignore[arg-type]
    apply, params = tg.to_jax(tg.cells.GRUCell(N, H))
    with pytest.raises(ValueError, match=r"x must be \(T, batch, 3\), got \(2, 3\)"):
        apply(params, np.zeros((2, 3)))


@pytest.mark.slow
def test_a_batch_over_eight_devices_gives_the_same_gradients() -> None:
    pytest.importorskip("jax", reason="JAX is not installed: pip install jax")
    script = Path(__file__).parents[4] / "examples" / "shard_jax.py"
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    assert "8 devices" in done.stdout and "largest difference" in done.stdout
