"""Functions of JAX as functions of ours: values and gradients, loops as runs of cells, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax")
jnp = jax.numpy
N, T, F, H = 2, 4, 3, 4


@pytest.fixture(autouse=True, scope="module")
def double() -> Iterator[None]:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def array(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def agrees(model: Any, function: Callable[..., Any], params: Any, *inputs: Any, atol: float = 1e-10) -> Any:
    """The call, whose values and gradients are JAX's, for numbers other than the example's."""
    ours = [tg.tensor(x, requires_grad=True) if np.asarray(x).dtype.kind == "f" else x for x in inputs]
    call = model(*ours)
    weights = [np.random.default_rng(k).normal(size=value.shape) for k, value in enumerate(call.values())]
    floats = [k for k, value in enumerate(call.values()) if value.dtype.kind == "f"]
    loss: Any = sum(tg.sum(list(call.values())[k] * weights[k]) for k in floats)

    def total(params: Any, floating: Any) -> Any:
        given = iter(floating)
        args = [next(given) if isinstance(x, tg.Tensor) else x for x in ours]
        leaves = jax.tree_util.tree_leaves(function(params, *args))
        return sum((leaves[k] * weights[k]).sum() for k in floats), leaves

    floating = [x.data for x in ours if isinstance(x, tg.Tensor)]
    (_, theirs), gradients = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))(params, floating)
    for mine, other in zip(call.values(), theirs, strict=True):
        np.testing.assert_allclose(mine.data, other, atol=atol, rtol=0)
    wanted = [*model.parameters(), *(x for x in ours if isinstance(x, tg.Tensor))]
    for mine, other in zip(tg.grad(loss, wanted), jax.tree_util.tree_leaves(gradients), strict=True):
        np.testing.assert_allclose(mine.data, other, atol=atol, rtol=0)
    return call


def lstm(params: Any, x: Any) -> Any:
    """Written as people write it."""
    from jax.ad_checkpoint import checkpoint_name

    def step(carry: Any, xt: Any) -> Any:
        h, c = carry
        z = xt @ params["w"]["ih"] + h @ params["w"]["hh"] + params["b"]
        i, f, g, o = jnp.split(z, 4, axis=-1)
        f = checkpoint_name(jax.nn.sigmoid(f), "forget")
        c = f * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((x.shape[1], H))
    (_, c), ys = jax.lax.scan(step, (zeros, zeros), x)
    return {"y": jax.nn.softmax(jax.nn.relu(ys[-1])), "c": jax.nn.gelu(c)}


PARAMS = {"w": {"ih": array(F, 4 * H), "hh": array(H, 4 * H)}, "b": array(4 * H)}


@pytest.fixture(scope="module")
def model() -> Any:
    return tg.from_jax(lstm, PARAMS, array(T, N, F))


def test_an_lstm_is_a_run_of_a_cell_with_the_names_of_its_code(model: Any) -> None:
    assert [name for name, _ in model.named_parameters()] == ["b", "w.hh", "w.ih"]
    assert list(model.inputs) == ["x"]
    assert list(model.outputs) == ["c", "y"]
    assert model.format == "JAX"
    call = agrees(model, lstm, PARAMS, array(T, N, F, seed=1))
    run = call.runs["step"]
    assert run.cell.state_names == ("h", "c")
    assert ("forget", 2) in run.names
    assert {name for name, _ in run.cell.named_parameters()} == {"b", "w.hh", "w.ih"}


def test_loops_of_every_kind_agree() -> None:
    def everything(params: Any, x: Any) -> Any:
        def forwards(h: Any, xt: Any) -> Any:  # from the end, with the old state as a result
            return jnp.tanh(h @ params["w"] + xt), (h, jnp.sum(xt))

        last, (old, sums) = jax.lax.scan(forwards, jnp.ones((N, H)), x, reverse=True)
        counted = jax.lax.fori_loop(0, 3, lambda i, h: jnp.sin(h @ params["w"] + x[i]), last)

        def outer(h: Any, xs: Any) -> Any:  # nested, with a mean over the batch as a second carry
            def inner(h: Any, xt: Any) -> Any:
                return jnp.tanh(h + xt), None

            return jax.lax.scan(inner, h, xs)[0], jnp.mean(h)

        deep, means = jax.lax.scan(outer, counted, x.reshape(2, 2, N, H))
        alone = jax.lax.scan(lambda s, v: (s * 0.5 + v, s), jnp.zeros(H), x[:, 0])[1]  # without a batch
        return last, old, sums, deep, means, alone

    params, x = {"w": array(H, H)}, array(4, N, H)
    loops = tg.from_jax(everything, params, x)
    call = agrees(loops, everything, params, array(4, N, H, seed=1))
    assert {name: len(run) for name, run in call.runs.items()} == {"forwards": 4, "scan": 3, "outer": 2, "scan.2": 4}
    assert call.runs["forwards"].reverse


def test_what_cannot_be_taken_over_is_refused_with_its_line() -> None:
    x = array(3)
    with pytest.raises(tg.UnsupportedError, match=r"lgamma has no counterpart here \(.*test_from_jax.py:\d+, in"):
        tg.from_jax(lambda x: jax.lax.lgamma(x), x)
    with pytest.raises(tg.UnsupportedError, match=r"debug_(print|callback) has an effect"):
        tg.from_jax(lambda x: (jax.debug.print("{}", x), x)[1], x)
    with pytest.raises(tg.UnsupportedError, match=r"pure_callback"):
        tg.from_jax(lambda x: jax.pure_callback(np.sin, x, x), x)
    with pytest.raises(tg.UnsupportedError, match="bfloat16"):
        tg.from_jax(lambda x: x.astype(jnp.bfloat16), x)
    with pytest.raises(tg.UnsupportedError, match="complex"):
        tg.from_jax(lambda x: x.astype(complex).real, x)
    with pytest.raises(tg.UnsupportedError, match=r"condition on values"):
        tg.from_jax(lambda x: jax.lax.while_loop(lambda v: v.sum() < 9, lambda v: v * 2, x), x)
    with pytest.raises(TypeError, match="function of JAX"):
        tg.from_jax(3, x)
    with pytest.raises(ValueError, match="gives back no array"):
        tg.from_jax(lambda x: None, x)
