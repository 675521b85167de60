"""LSTM, GRU and plain RNN are told in whatever operators a step was exported as, and nothing else is taken for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("onnx", reason="the files are ONNX")
from onnx import TensorProto, helper, numpy_helper

from tests.tinygrad_rnn.interop.onnx.test_recognise import BATCH, Unroller, compared

I, H, T = 2, 3, 3  # noqa: E741


class Writer:
    """Writes a step in one of many ways, the same at every step."""

    def __init__(self, to, draw):
        self.to, self.draw, self.known = to, draw, {}

    def chosen(self, name, *ways):
        return self.known.setdefault(name, self.draw(st.sampled_from(ways)))

    def either(self, name, a, b):
        return (a, b) if self.chosen(name, True, False) else (b, a)

    def mul(self, name, a, b):
        return self.to.add("Mul", *self.either(name, a, b))

    def sum(self, name, a, b):
        return self.to.add("Add", *self.either(name, a, b))

    def product(self, name, value, width, rows, with_bias):
        """One value times a weight, with or without a bias."""
        if with_bias or self.chosen(f"{name}/gemm", True, False):
            turned = self.chosen(f"{name}/transB", 0, 1)
            weight = self.to.weight(f"{name}/W", *((rows, width) if turned else (width, rows)))
            bias = [self.to.weight(f"{name}/b", rows)] if with_bias else []
            return self.to.add("Gemm", value, weight, *bias, transB=turned)
        return self.to.add("MatMul", value, self.to.weight(f"{name}/W", width, rows))

    def linear(self, name, x, h, rows, biases=(False, True)):
        """W x + R h + b."""
        if self.chosen(f"{name}/joined", True, False):
            both = self.to.add("Concat", *self.either(f"{name}/order", x, h), axis=self.chosen(f"{name}/axis", 1, -1))
            return self.product(name, both, I + H, rows, self.chosen(f"{name}/bias", *biases))
        one = self.product(f"{name}/x", x, I, rows, self.chosen(f"{name}/bias", *biases))
        other = self.product(f"{name}/h", h, H, rows, self.chosen(f"{name}/bias h", *biases))
        total = self.sum(f"{name}/sum", one, other)
        if self.chosen(f"{name}/apart", False, True):
            total = self.sum(f"{name}/more", total, self.to.weight(f"{name}/c", rows))
        return total

    def cut(self, name, value, count):
        """Parts of equal size."""
        way = self.chosen(f"{name}/cut", "equal", "sizes", "slices", "sequence")
        if way == "sequence":
            sizes = self.to.constant(self.chosen(f"{name}/pieces", H, [H] * count))
            pieces = self.to.add("SplitToSequence", value, sizes, axis=1)
            return [self.to.add("SequenceAt", pieces, self.to.constant(k)) for k in range(count)]
        if way != "slices":
            sizes = [self.to.constant([H] * count)] if way == "sizes" else []
            return self.to.add("Split", value, *sizes, axis=self.chosen(f"{name}/split", 1, -1), outputs=count)
        numbers = [[self.to.constant([n]) for n in (k * H, (k + 1) * H, 1)] for k in range(count)]
        return [self.to.add("Slice", value, *three) for three in numbers]

    def gates(self, x, h, names):
        """The sums of gates, cut out of one or each for itself."""
        if self.chosen("apart", True, False):
            return {name: self.linear(name, x, h, H) for name in names}
        order = self.chosen("order", *[names[k:] + names[:k] for k in range(len(names))])
        return dict(zip(order, self.cut("all", self.linear("all", x, h, len(names) * H), len(names)), strict=True))


def lstm(to, x, h, c):
    z = to.gates(x, h, "ifgo")
    i, f, o = (to.to.add("Sigmoid", z[name]) for name in "ifo")
    g = to.to.add("Tanh", z["g"])
    c = to.sum("c", to.mul("fc", f, c), to.mul("ig", i, g))
    return to.mul("h", o, to.to.add("Tanh", c)), c


def gru(to, x, h):
    if to.chosen("whole", True, False):
        biases = (True,)
        xs = to.cut("x", to.product("x", x, I, 3 * H, *biases), 3)
        hs = to.cut("h", to.product("h", h, H, 3 * H, *biases), 3)
        r, z = (to.to.add("Sigmoid", to.sum(f"rz{k}", xs[k], hs[k])) for k in range(2))
        n = to.to.add("Tanh", to.sum("n", xs[2], to.mul("rn", r, hs[2])))
    else:
        zs = to.gates(x, h, "rz")
        r, z = (to.to.add("Sigmoid", zs[name]) for name in "rz")
        inner = to.mul("rn", r, to.product("nh", h, H, H, to.chosen("b", True, False)))
        n = to.to.add("Tanh", to.sum("n", to.product("nx", x, I, H, to.chosen("c", True, False)), inner))
    return (mixed(to, h, n, z),)


def gru_before(to, x, h):
    zs = to.gates(x, h, "rz")
    r, z = (to.to.add("Sigmoid", zs[name]) for name in "rz")
    n = to.to.add("Tanh", to.linear("n", x, to.mul("rh", r, h), H))
    return (mixed(to, h, n, z),)


def mixed(to, h, n, z):
    if to.chosen("mixed", True, False):
        return to.sum("new", to.mul("new", to.to.add("Sub", h, n), z), n)
    one = to.to.add("Constant", value=numpy_helper.from_array(np.ones(())))
    return to.sum("new", to.mul("zh", z, h), to.mul("zn", to.to.add("Sub", one, z), n))


def rnn(to, x, h):
    return (to.to.add(to.chosen("f", "Tanh", "Relu", "Sigmoid"), to.linear("a", x, h, H)),)


def unlike_lstm(to, x, h, c):
    """Almost one: one thing is not as it should be."""
    z = to.gates(x, h, "ifgo")
    wrong = to.chosen("wrong", "activation", "output", "kept", "candidate", "order", "scaled")
    i, f, o = (to.to.add("Tanh" if (name, wrong) == ("f", "activation") else "Sigmoid", z[name]) for name in "ifo")
    g = to.to.add("Relu" if wrong == "candidate" else "Tanh", z["g"])
    new = to.sum("c", to.mul("fc", f, h if wrong == "kept" else c), to.mul("ig", i, g))
    shown = to.to.add("Tanh", c if wrong == "order" else new)
    new = to.mul("twice", new, f) if wrong == "scaled" else new
    return to.mul("h", o, new if wrong == "output" else shown), new


KINDS = {"LSTMCell": lstm, "GRUCell": gru, "GRUResetBeforeCell": gru_before, "RNNCell": rnn, "": unlike_lstm}


@st.composite
def models(draw, name):
    to = Unroller(np.random.default_rng(draw(st.integers(0, 99))))
    writer = Writer(to, draw)
    count = 2 if name in ("LSTMCell", "") else 1
    states = values = [f"s{k}" for k in range(count)]
    inputs = {"x": (T, BATCH, I), **dict.fromkeys(states, (BATCH, H))}
    if draw(st.booleans()):
        return scanned(to, writer, name, states), inputs
    xs = [to.add("Gather", "x", to.constant(t), axis=0) for t in range(T)]
    shown = []
    for x in xs:
        values = KINDS[name](writer, x, *values)
        shown.append(to.add("MatMul", values[0], to.weight("head", H, 2)))
    return to.file(inputs, [to.add("Neg", value) for value in (*values, *shown)]), inputs


def scanned(to, writer, name, states):
    """The same as a Scan, which also puts out something of the states and of x."""
    values = KINDS[name](writer, "element", *[f"{state}_in" for state in states])
    shown = to.add("MatMul", values[0], to.weight("head", H, I))
    shown = [to.add("Add", shown, "element"), to.add("Sub", values[0], "s0_in"), to.add("Identity", values[-1])]
    nodes, to.nodes = to.nodes, []
    body = helper.make_graph(
        nodes,
        "step",
        [helper.make_tensor_value_info(n, TensorProto.DOUBLE, None) for n in (*[f"{s}_in" for s in states], "element")],
        [helper.make_tensor_value_info(n, TensorProto.DOUBLE, None) for n in (*values, *shown)],
    )
    ends = [f"end{k}" for k in range(len(values) + len(shown))]
    to.nodes = [helper.make_node("Scan", [*states, "x"], ends, body=body, num_scan_inputs=1)]
    return to.file({"x": (T, BATCH, I), **dict.fromkeys(states, (BATCH, H))}, ends)


@pytest.mark.parametrize("name", [name for name in KINDS if name])
@given(data=st.data())
def test_a_standard_cell_in_any_operators_runs_as_that_cell(name, data):
    model, inputs = data.draw(models(name))
    (run,) = compared(model, inputs).runs.values()
    assert type(run.cell).__name__ == name and len(run) == T


@given(data=st.data())
def test_what_is_almost_an_lstm_is_not_taken_for_one(data):
    model, inputs = data.draw(models(""))
    for run in compared(model, inputs).runs.values():
        assert type(run.cell).__name__ != "LSTMCell"


@given(data=st.data())
def test_a_product_of_the_whole_sequence_ahead_is_part_of_the_cell(data):
    to = Unroller(np.random.default_rng(data.draw(st.integers(0, 99))))
    is_turned, is_lifted, has_bias, is_cut = (data.draw(st.booleans()) for _ in range(4))
    whole = to.add("MatMul", "x", to.weight("W", I, H))
    whole = to.add("Add", whole, to.weight("b", H)) if has_bias else whole
    ends = [[-1], [-(2**63) if is_turned else 0], [0], [-1]]
    whole = to.add("Slice", whole, *map(to.constant, ends)) if is_turned else whole
    h, shown = "h", []
    for t in range(T):
        if is_cut:
            part = to.add("Slice", whole, *map(to.constant, ([t], [t + 1], [0])))
            x = to.add("Squeeze", part, to.constant([0]))
        else:
            x = to.add("Gather", whole, to.constant(t), axis=0)
        net = to.add("Add", to.add("MatMul", h, to.weight("R", H, H)), to.weight("c", H))
        h = to.add("Tanh", to.add("Add", net, x))
        shown.append(to.add("Neg", h))
    inputs = {"x": (T, BATCH, I), "h": (1, BATCH, H) if is_lifted else (BATCH, H)}
    (run,) = compared(to.file(inputs, [*shown, h]), inputs).runs.values()
    assert (repr(run.cell), len(run), run.reverse) == (f"RNNCell({I}, {H})", T, is_turned)
    assert run.inputs[0].shape == (BATCH, I)


@pytest.mark.parametrize("kind", ["bias", "weight"])
def test_what_is_another_at_each_step_stays_ahead(kind):
    to = Unroller(np.random.default_rng(0))
    shapes = {"weight": (T, I, H) if kind == "weight" else (I, H), "bias": (T, 1, H) if kind == "bias" else (H,)}
    whole = to.add("MatMul", "x", to.weight("W", *shapes["weight"]))
    whole, h = to.add("Add", whole, to.weight("b", *shapes["bias"])), "h"
    for t in range(T):
        x = to.add("Gather", whole, to.constant(t), axis=0)
        h = to.add("Tanh", to.add("Add", to.add("MatMul", h, to.weight("R", H, H)), x))
    inputs = {"x": (T, BATCH, I), "h": (BATCH, H)}
    (run,) = compared(to.file(inputs, [h]), inputs).runs.values()
    assert run.inputs[0].shape == (BATCH, H)


def test_starts_that_may_each_be_made_of_the_other_are_left_alone():
    to = Unroller(np.random.default_rng(0))
    first = to.rng.normal(size=(BATCH, H))
    to.weights |= {"R": np.eye(H)[::-1].copy(), "c": np.zeros(H), "first": first, "second": first[:, ::-1].copy()}
    xs, ends = [to.add("Gather", "x", to.constant(t), axis=0) for t in range(T + 1)], []
    for net in ("first", "second"):
        for x in xs:
            h = to.add("Tanh", to.add("Add", net, x))
            net = to.add("Add", to.add("MatMul", h, "R"), "c")
        ends.append(h)
    inputs = {"x": (T + 1, BATCH, H)}
    assert len(compared(to.file(inputs, ends), inputs).runs) == 2


def test_a_product_ahead_of_a_step_that_is_no_standard_one_stays_ahead():
    to = Unroller(np.random.default_rng(0))
    whole, h = to.add("MatMul", "x", to.weight("W", I, H)), "h"
    for t in range(T):
        x = to.add("Gather", whole, to.constant(t), axis=0)
        h = to.add("Mul", to.add("Tanh", to.add("Add", to.add("MatMul", h, to.weight("R", H, H)), x)), x)
    inputs = {"x": (T, BATCH, I), "h": (BATCH, H)}
    (run,) = compared(to.file(inputs, [h]), inputs).runs.values()
    assert run.inputs[0].shape == (BATCH, H)
