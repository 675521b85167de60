"""ONNX files in ONNX's own text form: a Scan, Loops and functions."""

from __future__ import annotations

from typing import Any

HEAD = '<ir_version: 8, opset_import: ["": {}]>\n'


def file_of(text: str, opset: int = 17, **weights: Any) -> bytes:
    """A file of ONNX's own text form, with initialisers."""
    import onnx

    model = onnx.parser.parse_model(text if text.startswith("<") else HEAD.format(opset) + text)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in weights.items())
    return bytes(model.SerializeToString())


SCAN = """
agraph (float[batch,T,3] X, float[batch,4] h0) => (float[batch,4] last, float[batch,T,2] Y) {
  Wt = Transpose<perm=[1,0]>(W)
  Rt = Transpose<perm=[1,0]>(R)
  last, Y = Scan <num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1], scan_input_directions=[1],
                  scan_output_directions=[1],
                  body = step (float[b,4] h, float[b,3] x) => (float[b,4] next, float[b,2] y) {
    xw = MatMul(x, Wt)
    hr = MatMul(h, Rt)
    sum = Add(xw, hr)
    net = Add(sum, b)
    left, right = Split<axis=1>(net)
    z = Sigmoid(left)
    n = Tanh(right)
    zh = Mul(z, h)
    part = Mul(z, n)
    rest = Sub(n, part)
    next = Add(zh, rest)
    y = MatMul(next, V)
  }>(h0, X)
}"""

LOOP = """
agraph (float[T,batch,3] X, float[batch,4] h0, float[batch,4] c0) => (float[batch,4] h, float[U,batch,4] Y) {
  shape = Shape(X)
  zero = Constant<value_int=0>()
  one = Constant<value_int=1>()
  yes = Constant<value = bool {1}>()
  T = Gather(shape, zero)
  h, c, k, Y = Loop <body = step (int64 t, bool go, float[b,4] h_in, float[b,4] c_in, int64 k_in)
                             => (bool on, float[b,4] h_out, float[b,4] c_out, int64 k_out, float[b,4] y) {
    x = Gather(X, k_in)
    k_out = Add(k_in, one)
    on = Less(k_out, T)
    both = Concat<axis=1>(x, h_in)
    net = Gemm<transB=1>(both, W, b)
    i, f, g, o = Split<axis=1>(net)
    si = Sigmoid(i)
    sf = Sigmoid(f)
    tg = Tanh(g)
    so = Sigmoid(o)
    kept = Mul(sf, c_in)
    new = Mul(si, tg)
    c_out = Add(kept, new)
    tc = Softsign(c_out)
    h_out = Mul(so, tc)
    y = Identity(h_out)
  }>(, yes, h0, c0, zero)
}"""

GREEDY = """agraph (int64 most, float[batch,4] h0, int64[batch] word0)
                 => (float[batch,4] h, int64[batch] word, float[T,batch,6] scores) {
  h, word, scores = Loop<body = step (int64 t, bool on, float[b,4] h, int64[b] word)
                         => (bool more, float[b,4] next, int64[b] chosen, float[b,6] y) {
    x = Gather<axis=0>(E, word)
    hr = MatMul(h, R)
    net = Add(x, hr)
    next = Tanh(net)
    y = MatMul(next, O)
    chosen = ArgMax<axis=1, keepdims=0>(y)
    goes = Greater(chosen, end)
    number = Cast<to=6>(goes)
    any = ReduceMax<keepdims=0>(number)
    more = Cast<to=9>(any)
  }>(most, , h0, word0)
}"""

FUNCTIONS = """<ir_version: 10, opset_import: ["": 17, "my": 1]>
agraph (float[n,3] x) => (float[n,3] y, float[n,3] same, float[n,1] total) {
  h = my.Dense<alpha = 0.25>(x, W, b)
  g = my.Dense(h, W)
  y, same, total = my.Outer<axis = 1>(g)
}
<domain: "my", opset_import: ["": 17]>
Dense <alpha: float = 0.5> (x, W, b) => (y) {
  net = Gemm<alpha: float = @alpha, transB = 1>(x, W, b)
  y = Tanh(net)
}
<domain: "my", opset_import: ["": 11, "my": 1]>
Outer <axis> (x) => (z, x, total) {
  h = my.Dense(x, x2)
  x2 = Identity(eye)
  eye = Constant<value = float[3,3] {1,0,0,0,1,0,0,0,1}>()
  half = Constant<value = float {2}>()
  z = Div(h, half)
  total = ReduceSum<axes = [-1], keepdims = 1>(h)
}"""
