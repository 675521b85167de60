"""A module that loops over time itself as the cell of its step, against PyTorch; and loops that have no such step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn.interop.torch.aten import ATEN

torch = pytest.importorskip("torch")

from .loops import LOOPS, H, I, Learned, Memory, Plain, Projected, Tokens, TwoInOne  # noqa: E402


def made(kind):
    torch.manual_seed(3)
    return kind().double().eval()


def sequence(kind, steps, batch):
    return torch.randn(*((batch, steps) if kind.batch_first else (steps, batch)), I, dtype=torch.float64)


def flat(value):
    return [value] if hasattr(value, "shape") else [leaf for part in value for leaf in flat(part)]


def rel(ours, theirs):
    theirs = np.zeros(ours.shape) if theirs is None else theirs.detach().numpy()
    return np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max())


def loss_of(results, weights, product):
    return sum(product(w, r).sum() for w, r in zip(weights, flat(results), strict=True))


@pytest.mark.parametrize("kind", LOOPS)
def test_a_loop_has_the_values_and_all_gradients_of_pytorch(kind):
    net = made(kind)
    cell = tg.from_torch(net, sequence(kind, 7, 2))
    steps = 7 if kind is Memory else 9  # a memory as long as the sequence stays as long
    net.train()
    x = sequence(kind, steps, 3).requires_grad_()
    theirs = net(x)
    weights = [torch.randn_like(r) for r in flat(theirs)]
    loss_of(theirs, weights, torch.mul).backward()

    ours_x = tg.tensor(x.detach().numpy(), requires_grad=True)
    run, ours = cell.run(ours_x)
    loss = loss_of(ours, [tg.tensor(w.numpy()) for w in weights], tg.multiply)
    loss.backward()
    assert len(run) == steps and cell.batch_first == kind.batch_first
    for mine, other in zip(flat(ours), flat(theirs), strict=True):
        assert rel(mine.data, other) < 1e-10
    assert rel(ours_x.grad, x.grad) < 1e-10
    parameters = dict(net.named_parameters())
    assert [name for name, _ in cell.named_parameters()] == list(parameters)
    for name, parameter in cell.named_parameters():
        assert rel(parameter.grad, parameters[name].grad) < 1e-10, name
    assert cell.state_names[0] == kind.output
    kept = getattr(net, "kept", [])
    trace = inspector.trace(run, loss)
    name = "h2" if kind is TwoInOne else "h"
    for t, h in enumerate(kept):
        assert rel(trace.gradient(name, t), h.grad) < 1e-10


@pytest.mark.parametrize(
    ("kind", "states", "named"),
    [
        (Plain, ("h",), {"r", "z", "n"}),
        (Projected, ("h",), set()),
        (TwoInOne, ("y", "h", "c", "h2", "c2"), {"c1.i", "c2.i", "c1.o"}),
        (Memory, ("h", "memory"), {"weights", "context", "r"}),
    ],
)
def test_states_and_gates_have_the_names_of_the_source(kind, states, named):
    cell = tg.from_torch(made(kind), sequence(kind, 6, 2))
    assert cell.state_names == states
    run, _ = cell.run(sequence(kind, 6, 2).numpy())
    assert named <= {name for name, _ in run.names}


def test_the_cell_alone_is_the_loop():
    """unroll, compiled or not, over (T, batch, features): the projection of each input is part of the step."""
    net = made(Projected)
    cell = tg.from_torch(net, sequence(Projected, 6, 2))
    assert repr(cell) == f"Projected({I}, {H})" and not cell.reason
    x = sequence(Projected, 8, 3)
    expected = net(x)
    swapped = np.swapaxes(x.numpy(), 0, 1)
    for one in (cell, tg.compile(cell, backend="numpy")):
        h = tg.unroll(one, swapped).outputs[-1]
        out = tg.log_softmax(tg.linear(h, *[dict(cell.named_parameters())[f"out.{n}"] for n in ("weight", "bias")]))
        assert rel(out.data, expected) < 1e-12
    learned = tg.from_torch(made(Learned), sequence(Learned, 6, 2))
    run = tg.unroll(learned, np.zeros((3, 2, I)))
    h0 = dict(learned.named_parameters())["h0"]
    assert np.array_equal(run.initial_state.h.data, np.tile(h0.data, (2, 1)))
    (gradient,) = tg.grad(run.outputs[-1].sum(), [h0])
    assert np.abs(gradient.data).min() > 0


def test_backwards_and_with_a_memory_what_the_cell_reads_is_said():
    cell = tg.from_torch(made(Memory), sequence(Memory, 6, 2))
    assert cell.reverse and "differs for a timestep alone" in cell.reason
    with pytest.raises(ValueError, match="state memory"):
        cell.run(sequence(Memory, 7, 2).numpy())


def test_whole_numbers_are_looked_up_before_the_loop():
    net = made(Tokens)
    tokens = torch.randint(0, 7, (6, 2))
    cell = tg.from_torch(net, tokens)
    assert "whole numbers" in cell.reason and cell.input_size == I
    other = torch.randint(0, 7, (9, 3))
    theirs = net(other)
    run, ours = cell.run(other.numpy())
    assert rel(ours.data, theirs) < 1e-12
    theirs.square().sum().backward()
    names = [name for name, _ in cell.named_parameters()]
    for name, gradient in zip(names, tg.grad((ours**2).sum(), cell.parameters()), strict=True):
        assert rel(gradient.data, dict(net.named_parameters())[name].grad) < 1e-10
    assert len(run) == 9


def test_analyses_take_the_run_of_a_module():
    cell = tg.from_torch(made(TwoInOne), sequence(TwoInOne, 6, 2))
    run, y = cell.run(sequence(TwoInOne, 4, 2).numpy())
    loss = (y**2).mean()
    assert repr(cell) in str(inspector.diagnose(run, loss))
    assert set(inspector.trace(run, loss).states) == set(cell.state_names)
    assert "c2_t" in str(inspector.equations(run)) or "c2" in str(inspector.equations(run))


# ------------------------------------------------------------------------------- steps that differ


def start(x):
    return torch.zeros(x.shape[1], I, dtype=x.dtype)


def changing(x, keep):
    h = start(x)
    for t in range(len(x)):
        h = keep(torch.tanh(h + x[t]) if t % 2 else torch.sigmoid(h + x[t]))
    return h


def counting(x, keep):
    h = start(x)
    for t in range(len(x)):
        h = keep(torch.tanh(h * (t + 1) + x[t]))
    return h


def further_back(x, keep):
    h = before = start(x)
    for x_t in x:
        h, before = keep(torch.tanh(h + before * x_t + x_t)), h
    return h


def cut(x, keep):
    """Truncated backpropagation through time."""
    h, outs = start(x), []
    for t in range(len(x)):
        if t % 3 == 0:
            h = h.detach()
        h = keep(torch.tanh(0.9 * h + x[t]))
        outs.append(h)
    return torch.stack(outs).mean(0), h


def growing(x, keep):
    """Attention over all states so far, backwards in time."""
    h = start(x)
    past = [h]
    for t in reversed(range(len(x))):
        memory = torch.stack(past, 1)
        weights = torch.softmax((memory @ h[..., None]).squeeze(-1), -1)
        h = keep(torch.tanh(x[t] + (weights[:, None] @ memory).squeeze(1)))
        past.append(h)
    return h


@pytest.mark.parametrize("function", [changing, counting, further_back, cut, growing])
def test_a_loop_that_repeats_no_step_is_kept_as_a_graph_with_timesteps(function):
    kept = []

    def module(x):
        return function(x, lambda h: h)

    cell = tg.from_torch(module, torch.randn(6, 2, I, dtype=torch.float64))
    assert cell.reason and "h" in cell.state_names and cell.reverse == (function is growing)

    def keep(h):
        h.retain_grad()
        kept.append(h)
        return h

    x = torch.randn(6, 3, I, dtype=torch.float64, requires_grad=True)
    theirs = function(x, keep)
    weights = [torch.randn_like(r) for r in flat(theirs)]
    loss_of(theirs, weights, torch.mul).backward()
    ours_x = tg.tensor(x.detach().numpy(), requires_grad=True)
    run, ours = cell.run(ours_x)
    loss = loss_of(ours, [tg.tensor(w.numpy()) for w in weights], tg.multiply)
    loss.backward()
    assert rel(ours_x.grad, x.grad) < 1e-10
    trace = inspector.trace(run, loss)
    for t, h in enumerate(kept[::-1] if cell.reverse else kept):
        assert rel(run.states[t].h.data, h) < 1e-12
        assert rel(trace.gradient("h", t), h.grad) < 1e-10
    assert "<svg" in inspector.draw(run).svg and repr(cell) in str(inspector.diagnose(run, loss))
    assert function is not growing or {("weights", t) for t in range(6)} <= set(run.names)
    with pytest.raises(tg.UnsupportedError, match="there is no step to unroll; run the whole sequence"):
        tg.unroll(cell, np.zeros((6, 2, I)))
    with pytest.raises(ValueError, match="takes sequences of 6 timesteps"):
        cell.run(np.zeros((7, 2, I)))


def test_why_a_step_does_not_repeat_is_said():
    x = torch.randn(6, 2, I, dtype=torch.float64)
    assert "step 1 computes tanh" in tg.from_torch(lambda x: changing(x, abs), x).reason
    assert "detach" in tg.from_torch(lambda x: cut(x, abs)[0], x).reason
    assert f"mul.Tensor is not given the same in steps 2 and 1 (in {__file__}" in (
        tg.from_torch(lambda x: counting(x, torch.abs), x).reason
    )


def shuffled(x):
    h = start(x)
    for t in sorted(range(len(x)), key=lambda t: -t % 3):
        h = torch.tanh(h + x[t])
    return h


def both_ways(x):
    forward = backward = start(x)
    for t in range(len(x)):
        forward = torch.tanh(forward + x[t])
    for t in reversed(range(len(x))):
        backward = torch.tanh(backward + x[t])
    return forward + backward


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (shuffled, "it reads the sequence in the order 0, 3, 2, 1, 4"),
        (both_ways, "it reads the sequence in both directions"),
        (lambda x: torch.tanh(x), "no loop reads the sequence one timestep after the other"),
        (lambda x: x.cumsum(0), "no loop reads the sequence"),
    ],
)
def test_what_is_no_loop_is_refused_with_the_reason(function, why):
    with pytest.raises(tg.UnsupportedError, match=f"does not repeat a step over time: {why}"):
        tg.from_torch(function, torch.randn(6, 2, I, dtype=torch.float64))


def test_sequences_and_operations_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"for one step give an example of its states, too"):
        tg.from_torch(torch.nn.GRUCell(I, H), torch.zeros(2, I))
    with pytest.raises(ValueError, match=r"a sequence must be .* got \(4,\); add a batch axis"):
        tg.from_torch(made(Plain), torch.zeros(4))

    def unsupported(x):
        return torch.stack([torch.special.i0(x_t) for x_t in x])

    line = unsupported.__code__.co_firstlineno + 1
    with pytest.raises(tg.UnsupportedError, match=f"aten.i0 has no counterpart here .*{__file__}:{line}"):
        tg.from_torch(unsupported, torch.zeros(4, 2, I))


# ----------------------------------------------------------------------------------- any such loop

READ = {
    "index": lambda x, axis: (x.select(axis, t) for t in range(x.shape[axis])),
    "unbind": lambda x, axis: x.unbind(axis),
    "slice": lambda x, axis: (x.narrow(axis, t, 1).squeeze(axis) for t in range(x.shape[axis])),
    "split": lambda x, axis: (part.squeeze(axis) for part in x.split(1, axis)),
}
GATHER = {
    "stack": lambda outs, axis: torch.stack(outs, axis),
    "cat": lambda outs, axis: torch.cat([out.unsqueeze(axis) for out in outs], axis),
    "last": lambda outs, axis: outs[-1],
    "sum": lambda outs, axis: sum(outs),
}
STEP = {
    "vanilla": lambda net, x, h, c: (torch.tanh(net.a(x) + net.b(h)), c),
    "gated": lambda net, x, h, c: (torch.sigmoid(net.a(x)) * h + torch.tanh(net.b(h) + c) * 0.5, 0.9 * c + x),
    "cell": lambda net, x, h, c: net.lstm(x, (h, c)),
    "both": lambda net, x, h, c: (torch.relu(net.a(c) - h) + x, torch.sigmoid(c + x) * h),
    "leaky": lambda net, x, h, c: (0.9 * h + 0.1 * torch.tanh(net.a(x * h)), c),
}


class AnyLoop(torch.nn.Module):
    def __init__(self, axis, read, gather, step, project, output):
        super().__init__()
        self.a, self.b, self.lstm = torch.nn.Linear(I, I), torch.nn.Linear(I, I), torch.nn.LSTMCell(I, I)
        self.axis, self.read, self.gather = axis, READ[read], GATHER[gather]
        self.step, self.project, self.output = STEP[step], project, output

    def forward(self, x):
        h = c = torch.zeros(x.shape[1 - self.axis], I, dtype=x.dtype)
        if self.project:
            x = torch.tanh(self.b(x)) * 2
        outs = []
        for x_t in self.read(x, self.axis):
            h, c = self.step(self, x_t, h, c)
            outs.append(self.a(h) if self.output else h)
        return self.gather(outs, self.axis)


@given(
    st.sampled_from([0, 1]),
    st.sampled_from([*READ]),
    st.sampled_from([*GATHER]),
    st.sampled_from([*STEP]),
    st.booleans(),
    st.booleans(),
)
def test_any_way_to_write_a_loop_gives_its_step(axis, read, gather, step, project, output):
    torch.manual_seed(1)
    net = AnyLoop(axis, read, gather, step, project, output).double()
    cell = tg.from_torch(net, torch.randn(5, 5, I, dtype=torch.float64))
    assert type(cell).__mro__[1].__name__ == "LoopCell" and not cell.reason and cell.batch_first == (axis == 1)
    assert len(cell.state_names) <= 2 + output + (gather == "sum")
    x = torch.randn(*((8, 3) if axis == 0 else (3, 8)), I, dtype=torch.float64, requires_grad=True)
    theirs = net(x)
    weight = torch.randn_like(theirs)
    (their_gradient,) = torch.autograd.grad((theirs * weight).sum(), x)
    ours_x = tg.tensor(x.detach().numpy(), requires_grad=True)
    run, ours = cell.run(ours_x)
    (gradient,) = tg.grad((ours * tg.tensor(weight.numpy())).sum(), [ours_x])
    assert len(run) == 8 and rel(ours.data, theirs) < 1e-12 and rel(gradient.data, their_gradient) < 1e-10


def test_a_wrong_loop_would_be_found(monkeypatch):
    monkeypatch.setitem(ATEN, "tanh.default", lambda x: tg.tanh(x) * 1.000001)
    with pytest.raises(RuntimeError, match="the value of result 0 of Projected comes out otherwise"):
        tg.from_torch(made(Projected), sequence(Projected, 6, 2))
