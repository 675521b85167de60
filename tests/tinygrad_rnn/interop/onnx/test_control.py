"""Scan, Loop and sequences of ONNX files: against onnxruntime, and as runs of a cell where they are recurrences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn.interop.onnx.ops import control

from .texts import GREEDY, LOOP, SCAN, file_of

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

rng = np.random.default_rng(0)


def normal(*shape, dtype=np.float32):
    return rng.normal(size=shape).astype(dtype)


def theirs(file, **arrays):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"]).run(None, arrays)


def agree(file, atol=1e-5, **arrays):
    """The call, whose outputs are those of onnxruntime."""
    call = tg.load_onnx(file)(**arrays)
    for found, expected in zip(call.values(), theirs(file, **arrays), strict=True):
        if isinstance(expected, list):
            assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True) if isinstance(expected, list) else [(found, expected)]:
            assert one.shape == other.shape
            np.testing.assert_allclose(one.data, other, atol=atol, rtol=1e-4)
    return call


WEIGHTS = {"W": normal(8, 3) / 2, "R": normal(8, 4) / 2, "b": normal(8), "V": normal(4, 2)}


def test_a_scan_is_a_run_of_a_cell_whose_parameters_are_computed_from_the_file():
    call = agree(file_of(SCAN, **WEIGHTS), X=normal(2, 5, 3), h0=normal(2, 4))
    (run,) = call.runs.values()
    assert run.cell.state_names == ("h",) and run.reverse and len(run) == 5
    assert {name for name, _ in run.names} == {"h", "n", "x", "z"}
    shapes = {name: parameter.shape for name, parameter in run.cell.named_parameters()}
    assert shapes == {"Wt": (3, 8), "Rt": (4, 8), "b": (8,), "V": (4, 2)}


@pytest.mark.slow
def test_every_analysis_takes_the_run_of_a_scan():
    model = tg.load_onnx(file_of(SCAN, **WEIGHTS))
    X, h0 = normal(2, 4, 3), normal(2, 4)
    call = model(X, h0)
    (run,) = call.runs.values()
    loss = tg.sum(tg.square(call["Y"]))
    assert inspector.trace(run, loss).states == ("h",)
    assert "<svg" in inspector.draw(run, level="gate").svg
    assert str(inspector.diagnose(run, loss)) and str(inspector.weights(run, loss))
    halved = inspector.what_if(run, loss, scale={"Rt": 0.5})
    weights = {**WEIGHTS, "R": WEIGHTS["R"] / 2}
    np.testing.assert_allclose(
        halved.loss_after, np.square(theirs(file_of(SCAN, **weights), X=X, h0=h0)[1]).sum(), rtol=1e-4
    )
    fast = tg.unroll(tg.compile(run.cell), np.moveaxis(X, 1, 0), h0, reverse=True)
    assert fast.tape is not None
    np.testing.assert_allclose(fast.stacked.data, run.stacked.data, atol=1e-6)
    leaves = [parameter for name, parameter in model.named_parameters() if name != "V"]
    both = [tg.grad(tg.sum(tg.square(r.stacked)), leaves) for r in (run, fast)]
    for found, expected in zip(*both, strict=True):
        np.testing.assert_allclose(found.data, expected.data, atol=1e-4)


def test_a_loop_that_indexes_by_a_counter_is_a_run():
    file = file_of(LOOP, W=normal(16, 7), b=normal(16))
    call = agree(file, X=normal(5, 2, 3), h0=normal(2, 4), c0=normal(2, 4))
    (run,) = call.runs.values()
    assert run.cell.state_names == ("h_in", "c_in") and len(run) == 5
    assert {"si", "sf", "tg", "so"} <= {name for name, _ in run.names}
    assert [name for name, _ in run.cell.named_parameters()] == ["W", "b"]
    X, fast = normal(7, 3, 3), tg.compile(run.cell)
    np.testing.assert_allclose(tg.unroll(fast, X).stacked.data, tg.unroll(run.cell, X).stacked.data, atol=1e-5)


@st.composite
def scans(draw):
    """A Scan over two inputs, along any axes, in any directions, with states of any number of axes."""
    steps, ranks = draw(st.integers(1, 4)), draw(st.integers(0, 2))
    axes, outs = ([draw(st.integers(0, ranks)) for _ in range(2)] for _ in range(2))
    turned, prepended = ([draw(st.integers(0, 1)) for _ in range(2)] for _ in range(2))
    return steps, ranks, axes, outs, turned, prepended


@given(scans())
def test_any_axes_and_directions_give_the_outputs_of_onnxruntime(case):
    steps, ranks, axes, outs, turned, prepended = case
    shape = [2, 3][:ranks]
    inner = f"float[{','.join(map(str, shape))}]" if shape else "float"
    outer, other = (f"float[{','.join(names[: ranks + 1])}]" for names in ("nml", "pqr"))
    text = f"""agraph ({outer} A, {other} B, {inner} s0, {inner} p0) => ({inner} s, {inner} p, {outer} Y, {outer} Z) {{
      s, p, Y, Z = Scan <num_scan_inputs=2, scan_input_axes={axes}, scan_output_axes={outs},
        scan_input_directions={turned}, scan_output_directions={prepended},
        body = step ({inner} s1, {inner} p1, {inner} a, {inner} b)
                 => ({inner} s2, {inner} p2, {inner} y, {inner} z) {{
          sa = Mul(s1, a)
          s2 = Add(sa, w)
          q = Tanh(sa)
          p2 = Sub(p1, q)
          y = Mul(p2, b)
          z = Identity(s2)
      }}>(s0, p0, A, B)
    }}"""
    A, B = (np.moveaxis(normal(steps, *shape), 0, axis) for axis in axes)
    call = agree(file_of(text, w=normal()), A=A, B=B, s0=normal(*shape), p0=normal(*shape))
    (run,) = call.runs.values()
    assert run.cell.state_names == ("s1", "p1") and len(run) == steps


def test_initialisers_get_gradients_through_a_scan():
    weights = {name: value.astype(float) for name, value in WEIGHTS.items()}
    model = tg.load_onnx(file_of(SCAN.replace("float", "double"), **weights))
    X, h0 = normal(2, 4, 3, dtype=float), normal(2, 4, dtype=float)
    for leaf in model.parameters():
        gradient = tg.grad(tg.sum(tg.square(model(X, h0)["Y"])), [leaf])[0].data
        base, way = np.array(leaf.data), normal(*leaf.shape, dtype=float)
        values = []
        for eps in (1e-5, -1e-5):
            leaf.data = base + eps * way
            values.append(tg.sum(tg.square(model(X, h0)["Y"])).item())
        leaf.data = base
        np.testing.assert_allclose((values[0] - values[1]) / 2e-5, (gradient * way).sum(), rtol=1e-6)


def test_a_matrix_that_is_no_batch_is_not_taken_for_one():
    text = """agraph (float[T,3,1] K, float[T,3,1] V) => (float[3,3] M, float[T,3,1] Y) {
      M, Y = Scan<num_scan_inputs=2, body = step (float[3,3] m, float[3,1] k, float[3,1] v)
                  => (float[3,3] next, float[3,1] y) {
        kt = Transpose<perm=[1,0]>(k)
        vk = MatMul(v, kt)
        less = Mul(decay, m)
        next = Add(less, vk)
        y = MatMul(next, k)
      }>(m0, K, V)
    }"""
    call = agree(
        file_of(text, decay=np.float32(0.9), m0=np.zeros((3, 3), np.float32)), K=normal(4, 3, 1), V=normal(4, 3, 1)
    )
    (run,) = call.runs.values()
    assert run.states[0].m.shape == (1, 3, 3)


def test_a_decoder_reads_a_memory_from_around_it():
    text = """agraph (float[batch,S,4] memory, float[T,batch,4] X) => (float[T,batch,4] Y) {
      h0 = ReduceMean<axes=[1], keepdims=0>(memory)
      last, Y = Scan<num_scan_inputs=1, body = step (float[b,4] h, float[b,4] x) => (float[b,4] next, float[b,4] y) {
        two = Constant<value_ints=[2]>()
        one = Constant<value_ints=[1]>()
        hx = Add(h, x)
        q = MatMul(hx, Q)
        column = Unsqueeze(q, two)
        scores = MatMul(memory, column)
        shares = Softmax<axis=1>(scores)
        weighted = Mul(shares, memory)
        context = ReduceSum<keepdims=0>(weighted, one)
        next = Tanh(context)
        y = Identity(next)
      }>(h0, X)
    }"""
    model_file = file_of(text, Q=normal(4, 4))
    arrays = {"memory": normal(2, 3, 4), "X": normal(5, 2, 4)}
    call = agree(model_file, **arrays)
    (run,) = call.runs.values()
    assert [name for name, _ in run.cell.named_parameters()] == ["Q"] and run.states[0].h.shape == (2, 4)
    assert "shares" in {name for name, _ in run.names}
    again = agree(model_file, memory=normal(3, 6, 4), X=normal(2, 3, 4))
    assert len(again.runs) == 1


PLAIN = """agraph (int64 n, bool go, float[k] x) => (float[k] last, float[U,k] Y, float[g] grown) {{
  start = Constant<value_floats=[0.0]>()
  last, grown, Y = Loop<body = step (int64 t, bool on, float[k] s, float[q] g)
                         => (bool more, float[k] next, float[r] longer, float[k] y) {{
    next = Mul(s, half)
    total = ReduceSum<keepdims=1>(next)
    longer = Concat<axis=0>(g, total)
    size = ReduceSum<keepdims=0>(next)
    more = {condition}
    y = Add(next, x)
  }}>(n, go, x, start)
}}"""


@pytest.mark.parametrize("condition", ["Identity(on)", "Greater(size, limit)"])
@pytest.mark.parametrize(("count", "go"), [(3, True), (0, True), (4, False), (9, True)])
def test_loops_of_any_form_give_the_outputs_of_onnxruntime(condition, count, go):
    file = file_of(PLAIN.format(condition=condition), half=np.float32(0.5), limit=np.float32(0.3))
    call = agree(file, n=np.array(count), go=np.array(go), x=np.float32([1, 2]))
    leaf = dict(tg.load_onnx(file).named_parameters())["half"]
    assert leaf.requires_grad and call.runs == {}


@given(seed=st.integers(0, 99))
def test_a_greedy_decoder_that_ends_by_the_word_it_chose_is_a_run(seed):
    rng = np.random.default_rng(seed)
    weights = {"E": (6, 4), "R": (4, 4), "O": (4, 6)}
    file = file_of(GREEDY, **{k: rng.normal(size=s).astype("f") for k, s in weights.items()}, end=np.int64(2))
    arrays = {"most": np.array(6), "h0": rng.normal(size=(2, 4)).astype("f"), "word0": np.array([1, 4])}
    call = agree(file, **arrays)
    (run,) = call.runs.values()
    assert run.cell.state_names == ("h", "word") and len(run) == len(call["scores"].data) <= 6
    np.testing.assert_array_equal(run.states[0].word[:, 0], np.argmax(call["scores"].data[0], 1))
    gradients = []
    for is_plain in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if is_plain:
                patch.setattr(control, "over_time", lambda *args: None)
            model = tg.load_onnx(file)
            again = model(**arrays)
            assert bool(again.runs) != is_plain
            tg.sum(tg.square(again["scores"])).backward()
            gradients.append({name: leaf.grad for name, leaf in model.named_parameters()})
    for name, wanted in gradients[1].items():
        np.testing.assert_allclose(gradients[0][name], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("first", [2**23, 2**24 + 1])
def test_a_whole_number_that_single_precision_does_not_hold_is_no_state(first):
    text = """agraph (int64 n, float[2,3] x, int64[2,1] k) => (float[2,3] y, int64[2,1] last) {
      y, last = Loop<body = step (int64 t, bool on, float[2,3] h, int64[2,1] k)
                     => (bool more, float[2,3] next, int64[2,1] other) {
        next = Tanh(h)
        sign = Sign(next)
        whole = Cast<to=7>(sign)
        most = ReduceMax<axes=[1], keepdims=1>(whole)
        other = Add(k, most)
        more = Identity(on)
      }>(n, , x, k)
    }"""
    call = agree(file_of(text), n=np.array(3), x=normal(2, 3), k=np.array([[first], [0]]))
    assert len(call.runs) == (first == 2**23)


def test_sequences_give_the_outputs_of_onnxruntime():
    text = """agraph (float[n,3] x) => (seq(float[a,3]) pieces, float[b,3] back, int64 count, float[2,3] one) {
      two = Constant<value_int=2>()
      minus = Constant<value_int=-1>()
      pieces = SplitToSequence<axis=0>(x, two)
      count = SequenceLength(pieces)
      longer = SequenceInsert(pieces, x)
      turned = SequenceInsert(longer, x, minus)
      shorter = SequenceErase(turned)
      one = SequenceAt(shorter, minus_two)
      back = ConcatFromSequence<axis=0>(shorter)
    }""".replace("SequenceAt(shorter, minus_two)", "SequenceAt(pieces, minus)")
    agree(file_of(text), x=normal(4, 3))


def test_a_loop_over_a_sequence_keeps_what_it_collects():
    text = """agraph (float[n,3] x, int64 n) => (seq(float[1,3]) kept, float[n,3] joined) {
      yes = Constant<value = bool {1}>()
      empty = SequenceEmpty()
      kept = Loop<body = step (int64 t, bool on, seq(float[1,3]) s) => (bool more, seq(float[1,3]) longer) {
        more = Identity(on)
        one = Constant<value_int=1>()
        end = Add(t, one)
        shape = Constant<value_ints=[1]>()
        first = Reshape(t, shape)
        last = Reshape(end, shape)
        row = Slice(x, first, last)
        longer = SequenceInsert(s, row)
      }>(n, yes, empty)
      joined = ConcatFromSequence<axis=0>(kept)
    }"""
    x = normal(3, 3)
    call = agree(file_of(text), x=x, n=np.array(3))
    np.testing.assert_array_equal(call["joined"].data, x)


def test_a_loop_without_end_is_said_to_have_none(monkeypatch):
    monkeypatch.setattr("tinygrad_rnn.interop.onnx.operators.LONGEST", 1000)
    text = """agraph (float[2] x) => (float[2] y) {
      y = Loop<body = step (int64 t, bool on, float[2] s) => (bool more, float[2] next) {
        more = Identity(on)
        next = Mul(s, s)
      }>(, , x)
    }"""
    with pytest.raises(ValueError, match="does a loop in it never end"):
        tg.load_onnx(file_of(text))(normal(2))
