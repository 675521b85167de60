"""Reverse-mode autodiff on NumPy that builds explicit graphs of recurrent networks over time."""

from . import cells, init, losses, optim
from .ancestry import parts
from .anomaly import AnomalyError
from .backward import grad, jacobian
from .cell import Cell
from .compile import CompileWarning, compile
from .functions import (
    clip,
    concatenate,
    cumsum,
    einsum,
    expand_dims,
    linear,
    log_softmax,
    mean,
    softmax,
    split,
    squeeze,
    stack,
    swapaxes,
)  # fmt: skip
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .graph import Edge, Graph, Node
from .primitive import PRIMITIVES, Primitive, elementwise, primitive, variadic
from .primitives import (
    abs,
    add,
    astype,
    broadcast_to,
    cos,
    divide,
    equal,
    exp,
    expm1,
    flip,
    getitem,
    greater,
    greater_equal,
    identity,
    less,
    less_equal,
    log,
    log1p,
    logsumexp,
    matmul,
    max,
    maximum,
    min,
    minimum,
    multiply,
    negative,
    not_equal,
    pad,
    power,
    prod,
    relu,
    reshape,
    scatter,
    sigmoid,
    sign,
    sin,
    softplus,
    sqrt,
    square,
    stop_gradient,
    subtract,
    sum,
    take,
    tanh,
    transpose,
    where,
)  # fmt: skip
from .scope import Scope, detect_anomaly, no_grad, scope
from .stacks import Bidirectional, Stacked
from .tensor import Tensor, named, tensor
from .unroll import Run, unroll

__all__ = [
    "PRIMITIVES", "AnomalyError", "Bidirectional", "Cell", "CompileWarning", "Edge", "GradcheckError", "Graph", "Node", "Primitive",
    "Run", "Scope", "Stacked", "Tensor", "abs", "add", "astype", "broadcast_to", "cells", "clip", "compile", "concatenate",
    "cos", "cumsum", "detect_anomaly", "divide", "einsum", "elementwise", "equal", "exp", "expand_dims", "expm1",
    "flip", "getitem", "grad", "gradcheck", "gradgradcheck", "greater", "greater_equal", "identity", "init",
    "jacobian", "less", "less_equal", "linear", "log", "log1p", "log_softmax", "logsumexp", "losses", "matmul",
    "max", "maximum", "mean", "min", "minimum", "multiply", "named", "negative", "no_grad", "not_equal", "optim",
    "pad", "parts", "power", "primitive", "prod", "relu", "reshape", "scatter", "scope", "sigmoid", "sign", "sin",
    "softmax", "softplus", "split", "sqrt", "square", "squeeze", "stack", "stop_gradient", "subtract", "sum",
    "swapaxes", "take", "tanh", "tensor", "transpose", "unroll", "variadic", "where",
]  # fmt: skip
