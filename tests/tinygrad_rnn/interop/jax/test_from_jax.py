"""Functions of JAX as functions of ours: values and gradients, loops as runs of cells, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inspector
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
        i, g, o = jax.nn.sigmoid(i), jnp.tanh(g), jax.nn.sigmoid(o)
        c = f * c + i * g
        h = o * jnp.tanh(c)
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
    assert {name for name, t in run.names if t == 2} == {"x", "z", "forget", "i", "g", "o", "h", "c"}
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
    steps = {"forwards": 4, "scan": 3, "outer": 2, "outer/0/inner": 2, "outer/1/inner": 2, "scan.2": 4}
    assert {name: len(run) for name, run in call.runs.items()} == steps
    assert call.runs["forwards"].reverse
    assert call.runs["scan.2"].stacked.shape == (4, 1, H)


def test_other_lengths_batches_and_parameters_are_taken(model: Any) -> None:
    x, doubled = array(T + 2, N + 1, F), jax.tree_util.tree_map(lambda p: 2 * p, PARAMS)
    assert str(model.inputs["x"]) == "(T, batch, 3) float64"
    assert str(model.outputs["y"]) == "(batch, 4) float64"
    theirs = jax.jit(lstm)
    np.testing.assert_allclose(model(x)["y"].data, theirs(PARAMS, x)["y"], atol=1e-12)
    bias = tg.tensor(doubled["b"], requires_grad=True)
    call = model({**doubled, "b": bias}, x=x)
    np.testing.assert_allclose(call["c"].data, theirs(doubled, x)["c"], atol=1e-12)
    assert tg.grad(tg.sum(call["c"]), [bias])[0].data.any()
    run = model(x).runs["step"]
    alone = tg.unroll(run.cell, x[:, :1])  # the cell itself, with yet another batch
    np.testing.assert_allclose(alone.stacked.data, run.stacked.data[:, :1], atol=1e-12)
    with pytest.raises(TypeError, match="missing x"):
        model()
    with pytest.raises(ValueError, match=r"'x' is \(T, batch, 3\) float64, got \(4, 2, 5\)"):
        model(array(T, N, 5))
    with pytest.raises(ValueError, match="structure"):
        model({"w": 1.0}, x)


def test_analyses_and_compiled_loops_take_the_run(model: Any) -> None:
    call = model(array(T, N, F))
    run, loss = call.runs["step"], tg.sum(call["y"] * call["y"])
    trace = inspector.trace(run, loss)
    assert trace.norm("forget")[1:].all()
    assert "w.hh" in str(inspector.weights(run, loss))
    assert "forget" in str(inspector.what_if(run, loss, hold={"forget": 1.0}))
    assert inspector.diagnose(run, loss).verdict
    assert "forget" in inspector.draw(run, level="gate").svg
    x = np.stack([value.data for value in run.inputs])
    compiled = tg.unroll(tg.compile(run.cell, backend="numpy"), x)
    assert compiled.tape is not None
    np.testing.assert_allclose(compiled.stacked.data, run.stacked.data, atol=1e-12)


def test_derivatives_are_those_of_jax_where_a_function_has_a_corner() -> None:
    @jax.custom_jvp
    def cut(x: Any) -> Any:
        return jnp.sin(x)

    cut.defjvp(lambda primals, tangents: (cut(*primals), 5.0 * cut(primals[0]) * tangents[0]))

    @jax.custom_vjp
    def straight_through(x: Any, scale: Any) -> Any:
        return jnp.round(x) * scale, x

    straight_through.defvjp(
        lambda x, scale: (straight_through(x, scale), (x, scale)),
        lambda kept, g: (g[0] * kept[1] + g[1], 3.0 * g[0].sum(0)),
    )

    def corners(params: Any, x: Any) -> Any:
        def step(h: Any, xt: Any) -> Any:
            return cut(h * params["a"] + xt), jax.nn.relu(xt)

        return (
            jax.lax.scan(step, jnp.zeros(H), x),
            [jax.nn.relu(x), jnp.abs(x), jnp.clip(x, 0.0, 1.0), jnp.maximum(x, 0.0), jax.nn.leaky_relu(x)],
            [jax.nn.softplus(x), jax.nn.silu(x), jax.nn.elu(x), jax.nn.relu6(x), jax.lax.clamp(0.0, x, 1.0)],
            jnp.max(x, 0),
            jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0),
            jax.nn.logsumexp(x, axis=0),
            straight_through(x, params["a"]),
            jnp.sort(x, 0),
            jax.lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x),
        )

    x = np.array([[0.0, 1.0, -1.0, 0.5], [0.0, 0.0, 2.0, 0.5], [1.0, 1.0, 6.0, -0.0]])
    params = {"a": array(H)}
    agrees(tg.from_jax(corners, params, x), corners, params, x)


@pytest.mark.parametrize("name", ["straight", "tanh", "where", "apply"])
def test_a_function_with_its_own_derivative_is_what_it_computes_whatever_it_is_called(name: str) -> None:
    def wave(x: Any) -> Any:
        return jnp.sin(3.0 * x)

    wave.__name__ = name
    own = jax.custom_jvp(wave)
    own.defjvp(lambda primals, tangents: (wave(*primals), 5.0 * tangents[0]))

    def function(params: Any, x: Any) -> Any:
        return jax.lax.scan(lambda h, xt: (own(xt @ params["w"] + h),) * 2, jnp.zeros((N, H)), x)[1]

    params, x = {"w": array(F, H)}, array(T, N, F)
    (run,) = agrees(tg.from_jax(function, params, x), function, params, x).runs.values()
    compiled = tg.unroll(tg.compile(run.cell, backend="numpy"), run.inputs, run.initial_state)
    np.testing.assert_allclose(compiled.stacked.data, run.stacked.data, atol=1e-12)
    found = inspector.equations(run)
    assert found.unicode.startswith(f"hₜ = {name if name == 'straight' else f'custom_{name}'}(")
    for line in found.equations:
        np.testing.assert_allclose(line.computed, line.value, rtol=1e-12)


@pytest.mark.slow
def test_places_and_keys_are_taken_as_they_are() -> None:
    def words(params: Any, tokens: Any, key: Any) -> Any:
        def step(carry: Any, token: Any) -> Any:
            h, last, key = carry  # a word that is fed back, and dropout under a key
            key, now = jax.random.split(key)
            kept = jax.random.bernoulli(now, 0.5, (N, H))
            h = jnp.tanh(h @ params["w"] + params["e"][token] + params["e"][last]) * kept
            return (h, jnp.argmax(h @ params["e"].T, -1), key), h

        carry, hs = jax.lax.scan(step, (jnp.zeros((N, H)), tokens[0], key), tokens)
        kernel, orders = params["w"].reshape(2, 2, 4), ("NWC", "WIO", "NWC")
        convolved = jax.lax.conv_general_dilated(
            hs, kernel, (2,), [(1, 0)], dimension_numbers=orders, feature_group_count=2
        )
        memory = jnp.zeros((T, N, H)).at[1].set(carry[0]).at[tokens[:, 0] % T].add(1.5 * hs[0])
        return (
            hs,
            convolved,
            carry[1],
            jax.lax.dynamic_slice(memory, (tokens[0, 0] % 2, 0, 0), (2, N, H)),
            jnp.take(hs, tokens[0] % T, 0),
        )

    params, tokens = {"w": array(H, H), "e": array(7, H)}, np.arange(T * N).reshape(T, N) % 7
    model = tg.from_jax(words, params, tokens, jax.random.key(0))
    assert list(model.inputs) == ["tokens"]
    call = agrees(model, lambda params, tokens: words(params, tokens, jax.random.key(0)), params, tokens[::-1].copy())
    assert call.runs["step"].inputs[0].shape == (N, 2 * H)  # the word's vector and the mask


@pytest.mark.slow
def test_modules_of_flax_and_equinox_are_runs_with_the_gates_of_their_code() -> None:
    nnx = pytest.importorskip("flax.nnx", reason="Flax is not installed: pip install flax")
    rnn = nnx.RNN(nnx.LSTMCell(F, H, rngs=nnx.Rngs(0), param_dtype=jnp.float64, dtype=jnp.float64))
    model = tg.from_jax(rnn, array(N, T, F))
    assert {"cell.hf.bias", "cell.ii.kernel"} <= {name for name, _ in model.named_parameters()}
    (run,) = model(array(N, T + 1, F)).runs.values()
    assert repr(run.cell) == "LSTMCell(3, 4)"
    assert run.cell.state_names == ("h", "c")
    assert {"i", "f", "g", "o"} <= {name for name, _ in run.names}


@pytest.mark.slow
def test_a_module_of_equinox_without_a_batch() -> None:
    eqx = pytest.importorskip("equinox", reason="Equinox is not installed: pip install equinox")

    class Encoder(eqx.Module):
        cell: Any

        def __call__(self, xs: Any) -> Any:
            return jax.lax.scan(lambda h, x: (self.cell(x, h), None), jnp.zeros(H), xs)[0]

    mapped = jax.vmap(Encoder(eqx.nn.GRUCell(F, H, key=jax.random.key(0), dtype=jnp.float64)))
    assert repr(tg.from_jax(mapped, array(N, T, F))) == "Imported(Encoder: JAX, 1 layer)"
    model = tg.from_jax(Encoder(eqx.nn.GRUCell(F, H, key=jax.random.key(0), dtype=jnp.float64)), array(T, F))
    (run,) = model(array(T + 1, F)).runs.values()
    assert repr(run) == "Run(GRUCell(3, 4), T=5, batch=1)"
    assert {"reset", "new"} <= {name for name, _ in run.names}


@st.composite
def loops(draw: Any) -> tuple[Any, bool, bool]:
    """A step over states and an input out of random operations; whether it runs backwards, and over a batch."""
    pairs = [jnp.add, jnp.multiply, jnp.subtract, jnp.maximum, lambda a, b: jnp.where(a > 0, a, b)]
    singles = [jnp.tanh, jax.nn.sigmoid, jax.nn.relu, jnp.sin, lambda a: a / (1 + a * a), lambda a: jnp.flip(a, -1)]
    singles += [
        lambda a: jax.nn.softmax(a, -1),
        lambda a: jnp.concatenate([a[..., :1], a[..., 1:] * 2], -1),
        jax.nn.gelu,
    ]
    count = draw(st.integers(1, 3))
    plan = draw(
        st.lists(
            st.tuples(st.integers(0, 4), st.integers(0, 8), st.integers(0, 9), st.integers(0, 9)),
            min_size=2,
            max_size=5,
        )
    )

    def step(params: Any, carry: Any, x: Any) -> Any:
        values = [*carry, x, x @ params["u"], carry[0] @ params["w"]]
        for pair, single, a, b in plan:
            values.append(singles[single](pairs[pair](values[a % len(values)], values[b % len(values)])))
        new = tuple(0.5 * values[-1 - k] + 0.1 * old for k, old in enumerate(carry))
        return new, (values[-1], new[-1])

    def function(params: Any, x: Any) -> Any:
        start = tuple(k * 0.1 * params["w"][: x.shape[1], :] if x.ndim == 3 else params["u"][k] for k in range(count))
        return jax.lax.scan(lambda carry, xt: step(params, carry, xt), start, x, reverse=backwards)

    backwards, batched = draw(st.booleans()), draw(st.booleans())
    return function, backwards, batched


@pytest.mark.slow
@given(loops())
@settings(max_examples=5)
def test_random_loops_agree(drawn: tuple[Any, bool, bool]) -> None:
    function, backwards, batched = drawn
    params = {"w": array(H, H), "u": array(H, H, seed=1)}
    shape = (T, N, H) if batched else (T, H)
    model = tg.from_jax(function, params, array(*shape))
    (run,) = agrees(model, function, params, array(*shape, seed=2)).runs.values()
    assert run.reverse == backwards
    assert len(run.outputs[0]) == (N if batched else 1)


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


def test_a_function_that_comes_out_otherwise_is_refused_with_the_numbers() -> None:
    calls = []

    def counts(x: Any) -> Any:
        calls.append(x)
        return x * len(calls)

    with pytest.raises(RuntimeError, match=r"the value of output of counts .* [\d.]+ instead of [\d.]+ at \(0,\)"):
        tg.from_jax(counts, np.ones(1))
