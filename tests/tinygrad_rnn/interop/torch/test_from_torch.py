"""A step of PyTorch as a Cell, against PyTorch: values, all gradients, those per timestep; names; refusals."""

import types

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg

torch = pytest.importorskip("torch")

from .steps import STEPS, H, I, inputs, module, pair, state  # noqa: E402


def flat(value):
    return [value] if isinstance(value, torch.Tensor) else [leaf for part in value for leaf in flat(part)]


def nest(like, leaves):
    return next(leaves) if isinstance(like, torch.Tensor) else type(like)([nest(part, leaves) for part in like])


def torch_run(net, x, states):
    """The output and the states of every step, with gradients kept; how a result is read is what `read` says."""
    steps = []
    for x_t in x:
        result = net(x_t, *states)
        found = flat(result)
        count = len(flat(states))
        new = nest(states, iter(found[len(found) - count :]))
        for leaf in found:
            if leaf.requires_grad:
                leaf.retain_grad()
        steps.append((found[0], flat(new)))
        states = new
    return steps


def rel(ours, theirs):
    theirs = np.zeros(ours.shape) if theirs is None else theirs.detach().numpy().reshape(ours.shape)
    return np.abs(ours - theirs).max() / (1e-300 + max(1.0, np.abs(theirs).max()))


@pytest.mark.parametrize("name", STEPS)
def test_a_step_has_the_values_and_all_gradients_of_pytorch(name):
    net = module(name)
    example = STEPS[name][1](2)
    cell = tg.from_torch(net, inputs(name, 2), *example)
    T, batch = 5, 3
    x = inputs(name, T, batch).requires_grad_()
    start = nest(STEPS[name][1](batch), iter([s.requires_grad_() for s in flat(STEPS[name][1](batch))]))
    steps = torch_run(net, x, start)
    weights = torch.randn(T, *steps[0][0].shape, dtype=torch.float64)
    last = [torch.randn_like(s) for s in steps[-1][1]]
    their_loss = sum((w * out).sum() for w, (out, _) in zip(weights, steps, strict=True))
    their_loss = their_loss + sum((w * s).sum() for w, s in zip(last, steps[-1][1], strict=True))
    their_loss.backward()

    own = len(cell.state_names) - len(last)  # an output that is no state is one of its own, in front
    ours_x = [tg.tensor(x_t.reshape(batch, -1).detach().numpy(), requires_grad=True) for x_t in x]
    begin = [tg.tensor(s.detach().numpy(), requires_grad=True) for s in flat(start)]
    run = tg.unroll(cell, ours_x, [*cell.initial_state(batch)[:own], *begin])
    loss = sum((tg.tensor(w.numpy()) * out).sum() for w, out in zip(weights, run.outputs, strict=True))
    loss = loss + sum((tg.tensor(w.numpy()) * s).sum() for w, s in zip(last, run.states[-1][own:], strict=True))
    loss.backward()

    assert rel(loss.data, their_loss) < 1e-10
    theirs = dict(net.named_parameters())
    assert [n for n, _ in cell.named_parameters()] == list(theirs)
    for key, parameter in cell.named_parameters():
        if theirs[key].requires_grad:
            assert rel(parameter.grad, theirs[key].grad) < 1e-10, key
        else:
            assert parameter.grad is None
    for ours, other in zip([*ours_x, *begin], [*x.grad, *[s.grad for s in flat(start)]], strict=True):
        assert rel(ours.grad if ours.grad is not None else np.zeros(ours.shape), other) < 1e-10
    trace = inspector.trace(run, loss)
    for t, (_, new) in enumerate(steps):
        for key, leaf in zip(cell.state_names[own:], new, strict=True):
            if leaf.grad is not None or t < T - 1:
                assert rel(trace.gradient(key, t), leaf.grad) < 1e-10, (key, t)


# ------------------------------------------------------------------------------------------- names


def step(name):
    net = module(name)
    return tg.from_torch(net, inputs(name, 2), *STEPS[name][1](2))


def names_of(cell, T=2):
    run = tg.unroll(cell, np.ones((T, 1, cell.input_size)))
    return {name for name, _ in run.names}


@pytest.mark.parametrize(
    ("name", "states", "named"),
    [
        ("PeepholeLSTM", ("h", "c"), {"i", "f", "o"}),
        ("LayerNormLSTM", ("h", "c"), {"gates", "i", "f", "g", "o"}),
        ("MinGRU", ("h",), {"z", "candidate"}),
        ("Attention", ("h", "memory"), {"q", "weights", "read", "r", "z", "n"}),
        ("DeltaRule", ("y", "S"), {"alpha", "beta", "error"}),
        ("MultiplicativeLSTM", ("h", "c"), {"m", "z"}),
        ("LSTMCell", ("h", "c"), {"i", "f", "g", "o"}),
        ("Residual", ("h",), {"update"}),
    ],
)
def test_states_and_gates_are_called_as_in_the_source(name, states, named):
    cell = step(name)
    assert cell.state_names == states
    assert repr(cell) == f"{name}({I}, {H})" or name == "DeltaRule"
    found = names_of(cell)
    assert named <= found
    assert found - named - set(states) - {"x"} <= {"k"}, found


def test_names_that_two_submodules_share_carry_their_paths():
    cell = step("TwoLayers")
    assert {"cells.0.i", "cells.1.i", "cells.0.o", "cells.1.o"} <= names_of(cell)
    assert len(cell.state_names) == 5  # the readout first


def test_a_variable_of_a_function_called_twice_names_nothing():
    def gate(z):
        inner = torch.sigmoid(z)
        return inner * 1.0

    def step(x, h):
        r = gate(x)
        u = gate(x + h)
        return r * h + u

    cell = tg.from_torch(step, state(2), state(2))
    assert names_of(cell) == {"x", "h", "r", "u"}


def test_lines_of_several_targets_and_attributes_of_the_source():
    def step(x, h_prev):
        r, z = torch.sigmoid(x + h_prev), torch.sigmoid(x - h_prev)
        if (n := torch.tanh(r * x)) is not None:
            h = (1 - z) * n + z * h_prev
        return h

    cell = tg.from_torch(step, state(2), state(2))
    assert cell.state_names == ("h",)
    assert {"r", "z", "n"} <= names_of(cell)


# --------------------------------------------------------------------------------- output and states

w = torch.nn.Parameter(torch.randn(H, H, dtype=torch.float64))


def both(h, c):
    return torch.tanh(h), c * 0.5 + h


@pytest.mark.parametrize(
    ("read", "states"),
    [
        (lambda h, c: (h, c), ("h", "c")),
        (lambda h, c: [h, c], ("h", "c")),
        (lambda h, c: (h, (h, c)), ("h", "c")),
        (lambda h, c: (c, (h, c)), ("c", "h")),
        (lambda h, c: (h, h, c), ("h", "c")),
        (lambda h, c: (h.sum(1, keepdim=True), (h, c)), ("y", "h", "c")),
        (lambda h, c: ((h, c), h @ w), ("y", "h", "c")),
        (lambda h, c: (h @ w, h, c), ("y", "h", "c")),
    ],
)
def test_what_is_the_output_and_what_the_states(read, states):
    cell = tg.from_torch(lambda x, h, c: read(*both(h + x, c)), state(2), *pair(2))
    assert cell.state_names == states
    x, h, c = state(3), *pair(3)
    new_h, new_c = both(h + x, c)
    run = tg.unroll(cell, x[None].numpy(), [*cell.initial_state(3)[: len(states) - 2], *_ordered(states, h, c)])
    for key, value in (("h", new_h), ("c", new_c)):
        assert rel(getattr(run.states[0], key).data, value) < 1e-12
    first = flat(read(new_h, new_c))
    output = first[-1] if isinstance(read(new_h, new_c)[0], tuple) else first[0]
    assert rel(run.outputs[0].data, output) < 1e-12


def _ordered(states, h, c):
    return [{"h": h, "c": c}[name].numpy() for name in states if name != "y"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, h, c: h, "must return its 2 states h, c, or an output and the states; it returned a Tensor"),
        (lambda x, h, c: (h, c[:, :2]), r"returned \(a Tensor \(batch, 4\), a Tensor \(batch, 2\)\)"),
        (lambda x, h, c: ((h, h), (h, c)), "the output must be one Tensor"),
        (lambda x, h, c: (x.sum(), (h, c)), r"y must be \(batch, ...\), with the batch in front, got \(\)"),
        (lambda x, h, c: None, "it returned nothing"),
    ],
)
def test_results_that_are_no_states_are_refused(function, message):
    with pytest.raises(ValueError, match=message):
        tg.from_torch(function, state(2), *pair(2))


@pytest.mark.parametrize(
    ("x", "states", "error", "message"),
    [
        (state(2), [state(3)], ValueError, "state 0 must be .* batch of 2, got"),
        (torch.zeros(I), [torch.zeros(H)], ValueError, "add a batch axis"),
        (torch.zeros(2, I).bfloat16(), [torch.zeros(2, H)], tg.UnsupportedError, "call module.float"),
        (torch.zeros(2, I).long(), [torch.zeros(2, H)], tg.UnsupportedError, "float16, float32 or float64"),
        (
            torch.zeros(2, I),
            [],
            ValueError,
            r"one step, give an example of its states, too: from_torch\(module, x, h\)",
        ),
        (np.zeros((2, I)), [torch.zeros(2, H)], TypeError, "Tensors of PyTorch, got ndarray"),
    ],
)
def test_examples_that_do_not_fit_are_refused(x, states, error, message):
    with pytest.raises(error, match=message):
        tg.from_torch(torch.nn.GRUCell(I, H), x, *states)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match=r"a torch.nn.Module or a function, got int"):
        tg.from_torch(3, state(2), state(2))


# ---------------------------------------------------------------------------------------- refusals


class Bad(torch.nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body, self.sub = body, torch.nn.Dropout(0.5)
        self.bn, self.lstm = torch.nn.BatchNorm1d(H).double(), torch.nn.LSTM(H, H).double()
        self.p = torch.nn.Parameter(torch.ones(H, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(H, dtype=torch.float64))
        self.kept = torch.zeros(1, H, dtype=torch.float64)

    def forward(self, x, h):
        return self.body(self, x, h)


def remember(m, x, h):
    m.kept = x.detach().mean(0, keepdim=True)
    return h + m.kept


def counts(m, x, h):
    m.count += 1
    return h + m.count


def branches(m, x, h):
    if h.sum() > 0:
        return h
    return h + x


def attribute(m, x, h):
    out = h + m.kept
    remember(m, x, h)
    return out


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (lambda m, x, h: torch.linalg.inv(h.T @ h), "aten.linalg_inv_ex has no counterpart here"),
        (lambda m, x, h: h.sort(1)[0], "aten.sort has no counterpart here"),
        (branches, "aten._local_scalar_dense makes the way depend on numbers"),
        (lambda m, x, h: h * h.max().item(), "aten._local_scalar_dense makes the way depend on numbers"),
        (lambda m, x, h: h * m.p.sum().item(), "aten._local_scalar_dense makes the way depend on numbers"),
        (lambda m, x, h: h + torch.from_numpy(np.tanh(x.detach().numpy())), "Tensor.numpy takes the numbers out"),
        (lambda m, x, h: h + x.tolist()[0][0], "Tensor.tolist takes the numbers out"),
        (lambda m, x, h: m.sub(h), "aten.bernoulli_ draws random numbers.*call module.eval.*in module sub, "),
        (lambda m, x, h: h + torch.randn_like(h), "aten.randn_like draws random numbers"),
        (lambda m, x, h: h + torch.rand(H), "aten.rand draws random numbers"),
        (lambda m, x, h: m.bn(h), "aten.add_ writes into bn.num_batches_tracked"),
        (lambda m, x, h: h.add_(x), "aten.add_ writes into a value that the step is given"),
        (counts, "aten.add_ writes into count"),
        (attribute, "given a constant of shape .* differs between two runs"),
        (lambda m, x, h: h + torch.ones(2, H), "fails with a batch of 5"),
        (lambda m, x, h: h / x.shape[0] ** 0.5, "given the number .* in a way that cannot be told"),
        (lambda m, x, h: h + UNKNOWN[0], "is no parameter of the module"),
        (lambda m, x, h: h.to(torch.bfloat16).double(), "bfloat16 has no counterpart"),
        (lambda m, x, h: through_a_view(h), "a view that is no index"),
    ],
)
def test_what_has_no_counterpart_is_refused_with_its_place_before_it_runs(body, what):
    net = Bad(body)
    example = state(2), state(2)
    before = torch.get_rng_state()
    kept = {name: buffer.clone() for name, buffer in net.named_buffers()}
    with pytest.raises((tg.UnsupportedError, ValueError), match=what) as raised:
        tg.from_torch(net, *example)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(kept[name], buffer) for name, buffer in net.named_buffers())
    if isinstance(raised.value, tg.UnsupportedError):
        assert f"{__file__}:" in str(raised.value)


UNKNOWN = [torch.ones(H, dtype=torch.float64, requires_grad=True)]


def through_a_view(h):
    out = h + 1
    out.view(-1).mul_(2)
    return out


def test_the_place_is_the_line_of_the_user():
    def step(x, h):
        h = h + x
        return torch.special.i0(h)

    line = step.__code__.co_firstlineno + 2
    with pytest.raises(tg.UnsupportedError, match=f"aten.i0 .* {__file__}:{line}"):
        tg.from_torch(step, state(2), state(2))


def test_training_changes_nothing_for_a_module_that_draws_nothing():
    net = module("PeepholeLSTM").train()
    assert tg.from_torch(net, inputs("PeepholeLSTM", 2), pair(2)).state_names == ("h", "c")
    assert net.training
    assert all(p.grad is None for p in net.parameters())


# ------------------------------------------------------------------------------------- what it is for


@pytest.mark.parametrize("name", ["PeepholeLSTM", "DeltaRule", "Attention", "TwoLayers", "Written"])
def test_compiled_it_is_the_same(name):
    cell = step(name)
    x = np.random.default_rng(0).normal(size=(6, 3, cell.input_size))

    def of(cell):
        start = [tg.tensor(np.random.default_rng(k).normal(size=s.shape)) for k, s in enumerate(cell.initial_state(3))]
        run = tg.unroll(cell, x, start)
        loss = (run.stacked**2).sum()
        return float(loss), [g.data for g in tg.grad(loss, cell.parameters())]

    eager = of(cell)
    compiled = of(tg.compile(cell, backend="numpy"))
    for ours, other in zip(eager[1], compiled[1], strict=True):
        assert np.allclose(ours, other, rtol=1e-10, atol=1e-12)
    assert np.isclose(eager[0], compiled[0], rtol=1e-12)


@pytest.mark.parametrize("name", ["LayerNormLSTM", pytest.param("DeltaRule", marks=pytest.mark.slow)])
def test_analyses_and_drawings_take_it(name):
    cell = step(name)
    run = tg.unroll(cell, np.random.default_rng(0).normal(size=(4, 2, cell.input_size)))
    loss = (run.outputs[-1] ** 2).sum()
    assert repr(cell) in str(inspector.diagnose(run, loss))
    assert "<svg" in inspector.draw(run).svg
    assert str(inspector.gates(run, loss)) and str(inspector.equations(cell))
    assert set(inspector.trace(run, loss).states) == set(cell.state_names)


def test_float32_stays_float32_and_frozen_stays_frozen():
    net = torch.nn.LSTMCell(I, H)
    net.bias_hh.requires_grad_(False)
    cell = tg.from_torch(net, torch.randn(2, I), (torch.randn(2, H), torch.randn(2, H)))
    assert cell.dtype == np.float32
    assert [name for name, p in cell.named_parameters() if not p.requires_grad] == ["bias_hh"]
    assert cell.initial_state(3).h.dtype == np.float32


def test_a_method_a_closure_and_a_compiled_module():
    net = module("MinGRU")
    method = tg.from_torch(net.forward, state(2)[:, :I], state(2))
    assert dict(method.named_parameters()).keys() == dict(net.named_parameters()).keys()
    closed = tg.from_torch(lambda x, h: net(x, h) @ w, state(2)[:, :I], state(2))
    assert {"net.to_z.weight", "w"} <= {name for name, _ in closed.named_parameters()}
    compiled = types.SimpleNamespace(_orig_mod=net)  # what torch.compile makes keeps the module there
    assert repr(tg.from_torch(compiled, state(2)[:, :I], state(2))) == f"MinGRU({I}, {H})"


def test_a_network_over_time_that_is_called_for_one_step():
    net = torch.nn.GRU(I, H).double()
    cell = tg.from_torch(lambda x, h: net(x[None], h[None])[1][0], state(2)[:, :I], state(2))
    assert "net.weight_hh_l0" in dict(cell.named_parameters())
